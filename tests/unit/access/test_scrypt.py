"""Hashes of passwords."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.access.scrypt import (
    MOST_MEMORY,
    MOST_WORK,
    Cost,
    HashUnusable,
    make,
    nobodys,
    parse,
)

CHEAP = Cost(ln=10, r=1, p=1)


@pytest.mark.parametrize("password", ["secret", "p\u00e4ss", "\U0001f511", "a b", "x" * 1000, "\udcff"])
def test_a_password_matches_its_own_hash_alone(password: str) -> None:
    kept = parse(str(make(password, os.urandom, CHEAP)))
    assert kept.matches(password)
    assert not kept.matches(password + "x")
    assert not kept.matches("")


def test_the_same_password_is_kept_differently_each_time() -> None:
    assert str(make("secret", os.urandom, CHEAP)) != str(make("secret", os.urandom, CHEAP))


def test_no_hash_is_that_of_an_empty_password() -> None:
    assert not make("", os.urandom, CHEAP).matches("")


def test_what_others_have_made_is_understood() -> None:
    # the example of passlib's manual, of its default cost
    text = "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E"
    kept = parse(text)
    assert str(kept) == text
    assert kept.matches("password")


def test_a_hash_of_usual_cost_is_taken() -> None:
    kept = parse(str(nobodys(Cost())))
    assert kept.cost == Cost(14, 8, 5)
    assert kept.cost.memory < MOST_MEMORY
    assert not nobodys(CHEAP).matches("secret")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        "$2b$12$abcdefghijklmnopqrstuv",
        "$scrypt$ln=14,r=8,p=5$$",
        "$scrypt$ln=4,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$ln=99,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$ln=20,r=32,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$ln=14,r=8,p=64$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$ln=14,r=8,p=0$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$ln=10,r=1,p=1$AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$ln=10,r=1,p=1$AAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$ln=10,r=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA\n",
        "$scrypt$ln=\u0661\u0661,r=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
    ],
)
def test_what_is_no_hash_or_too_dear_is_refused(text: str) -> None:
    with pytest.raises(HashUnusable):
        parse(text)


@given(
    st.integers(0, 99),
    st.integers(0, 99),
    st.integers(0, 99),
    st.text("ABab01+/=$", max_size=90),
    st.text("ABab01+/=$", max_size=90),
)
@settings(max_examples=100, deadline=None)
def test_nothing_is_taken_that_a_login_cannot_afford(ln: int, r: int, p: int, salt: str, kept: str) -> None:
    try:
        cost = parse(f"$scrypt$ln={ln},r={r},p={p}${salt}${kept}").cost
    except HashUnusable:
        return
    assert cost.memory <= MOST_MEMORY
    assert (1 << cost.ln) * cost.r * cost.p <= MOST_WORK


def test_nothing_of_a_hash_is_shown() -> None:
    kept = make("secret", os.urandom, CHEAP)
    assert repr(kept) == "PasswordHash(cost=Cost(ln=10, r=1, p=1))"
