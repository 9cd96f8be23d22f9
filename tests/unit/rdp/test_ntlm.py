"""NTLMv2 against the examples of MS-NLMP 4.2.4, and MD4 against those of RFC 1320."""

import struct

import pytest
from spnego._ntlm_raw.md4 import md4

from sidecar.access.grant import Candidate, Grant
from sidecar.rdp.errors import LocalError, Reason, RemoteError
from sidecar.rdp.ntlm import NtlmAcceptor, NtlmSession, nt_hash, response_key
from sidecar.rdp.ntlm_messages import Authenticate, ClientChallenge, pack_challenge

PLAINTEXT = "Plaintext".encode("utf-16-le")
SERVER_CHALLENGE = bytes.fromhex("0123456789abcdef")
RESPONSE_KEY = bytes.fromhex("0c868a403bfd7a93a3001ef22ef02e3f")
NEGOTIATE = b"NTLMSSP\0" + struct.pack("<II", 1, 0xE2888237)

AUTHENTICATE = bytes.fromhex(
    "4e544c4d535350000300000018001800"
    "6c00000054005400840000000c000c00"
    "48000000080008005400000010001000"
    "5c00000010001000d8000000358288e2"
    "0501280a0000000f44006f006d006100"
    "69006e00550073006500720043004f00"
    "4d005000550054004500520086c35097"
    "ac9cec102554764a57cccc19aaaaaaaa"
    "aaaaaaaa68cd0ab851e51c96aabc927b"
    "ebef6a1c010100000000000000000000"
    "00000000aaaaaaaaaaaaaaaa00000000"
    "02000c0044006f006d00610069006e00"
    "01000c00530065007200760065007200"
    "0000000000000000c5dad2544fc97990"
    "94ce1ce90bc9d03e"
)
"""4.2.4.3: the AV pairs of its response are followed by four zeros, as with FreeRDP."""


def acceptor(password: str | None = "Password") -> NtlmAcceptor:
    return NtlmAcceptor(
        lambda _: [] if password is None else [Candidate(Grant(), password=password)],
        random=lambda count: SERVER_CHALLENGE * (count // 8),
        now=0.0,
        end_point=lambda: None,
    )


@pytest.mark.parametrize(
    ("message", "digest"),
    [
        (b"", "31d6cfe0d16ae931b73c59d7e0c089c0"),
        (b"a", "bde52cb31de33e46245e05fbdbd6fb24"),
        (b"abc", "a448017aaf21d8525fc10ae87aa6729d"),
        (b"message digest", "d9130a8164549fe818874806e1c7014b"),
        (b"abcdefghijklmnopqrstuvwxyz", "d79e1c308aa5bbcdeea8ed63df412da9"),
        (
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            "043f8582f241db351ce627e153e7f0e4",
        ),
        (b"1234567890" * 8, "e33b4ddc9c38f2199c3e7b164fcc0536"),
    ],
)
def test_the_md4_that_is_borrowed_is_where_it_was_and_right(message: bytes, digest: str) -> None:
    assert md4(message).hex() == digest


def test_a_password_and_a_name_make_the_keys_of_the_specification() -> None:
    assert nt_hash("Password").hex() == "a4f49c406510bdcab6824ee7c30fd852"
    assert response_key(nt_hash("Password"), "User", "Domain".encode("utf-16-le")) == RESPONSE_KEY


def test_a_name_counts_without_its_case_but_the_domain_does_not() -> None:
    hashed = nt_hash("Password")
    assert response_key(hashed, "uSER", "Domain".encode("utf-16-le")) == RESPONSE_KEY
    assert response_key(hashed, "User", "DOMAIN".encode("utf-16-le")) != RESPONSE_KEY


def test_a_sharp_s_stays_what_it_is() -> None:
    # so does Windows, and FreeRDP
    assert response_key(b"k", "stra\u00dfe", b"") == response_key(b"k", "STRA\u00dfE", b"")
    assert response_key(b"k", "stra\u00dfe", b"") != response_key(b"k", "STRASSE", b"")


def test_the_proof_of_the_specification_is_taken_and_its_messages_can_be_opened() -> None:
    server = acceptor()
    server.challenge(NEGOTIATE)
    login = server.authenticate(AUTHENTICATE)
    assert (login.user, login.domain) == ("User", "Domain")
    sealed = bytes.fromhex("010000007fb38ec5c55d49760000000054e50165bf1936dc996020c1811b0f06fb5f")
    assert login.session.unseal(sealed) == PLAINTEXT


def test_what_the_server_seals_is_what_the_specification_says() -> None:
    session = NtlmSession(b"\x55" * 16)
    sealed = "01000000b298b847ce7c580700000000160871b730ba74e946c453d7465b54278dd0"
    assert session.seal(PLAINTEXT).hex() == sealed


@pytest.mark.parametrize("password", ["password", "", None])
def test_another_password_is_not(password: str | None) -> None:
    server = acceptor(password)
    server.challenge(NEGOTIATE)
    with pytest.raises(RemoteError) as caught:
        server.authenticate(AUTHENTICATE)
    assert caught.value.reason is Reason.LOGIN_FAILED


@pytest.mark.parametrize("at", [*range(0x84, 0xD4), *range(0x48, 0x5C)])
def test_every_byte_of_proof_user_and_domain_counts(at: int) -> None:
    server = acceptor()
    server.challenge(NEGOTIATE)
    changed = AUTHENTICATE[:at] + bytes((AUTHENTICATE[at] ^ 1,)) + AUTHENTICATE[at + 1 :]
    with pytest.raises(RemoteError):
        server.authenticate(changed)


def test_a_message_that_was_sealed_comes_once_and_in_order() -> None:
    sealed = bytes.fromhex("010000007fb38ec5c55d49760000000054e50165bf1936dc996020c1811b0f06fb5f")
    session = NtlmSession(b"\x55" * 16)
    session.unseal(sealed)
    with pytest.raises(RemoteError) as caught:
        session.unseal(sealed)
    assert caught.value.reason is Reason.MALFORMED


def test_nobody_is_judged_before_being_challenged() -> None:
    with pytest.raises(LocalError):
        acceptor().authenticate(AUTHENTICATE)


def test_the_challenge_tells_the_time_so_that_clients_send_a_mic() -> None:
    challenge = pack_challenge(0xE2888235, SERVER_CHALLENGE, 1_000_000_000.5)
    assert challenge[:12] == b"NTLMSSP\0\x02\0\0\0"
    assert challenge[24:32] == SERVER_CHALLENGE
    length, offset = struct.unpack_from("<H2xI", challenge, 40)
    information = challenge[offset : offset + length]
    # 2001-09-09 01:46:40.5, in 100 ns since 1601
    assert b"\x07\0\x08\0" + struct.pack("<Q", 126444736005000000) in information
    assert offset + length == len(challenge)


@pytest.mark.parametrize(
    ("flags", "first", "at"), [(0xE2888235, 72, 72), (0xE0888235, 88, 72), (0xE0888235, 80, 64)]
)
def test_a_mic_is_found_with_and_without_a_version_in_front(flags: int, first: int, at: int) -> None:
    header = b"NTLMSSP\0\x03\0\0\0" + struct.pack("<HHI", 8, 8, first) + bytes(40) + struct.pack("<I", flags)
    mic = b"M" * 16
    token = (header + bytes(at - 64) + mic + bytes(100))[: first + 20]
    message = Authenticate.parse(token)
    found, bare = message.mic(token)
    assert found == mic
    assert bare == token.replace(mic, bytes(16))


def test_channel_bindings_that_are_zero_are_none() -> None:
    head = bytes(16) + b"\x01\x01" + bytes(26)
    for value, expected in ((bytes(16), None), (b"x" * 16, b"x" * 16)):
        response = ClientChallenge.parse(head + b"\x0a\0\x10\0" + value + bytes(4))
        assert response.attributes().channel_bindings == expected
    assert ClientChallenge.parse(head + bytes(4)).attributes().channel_bindings is None


def test_names_longer_than_any_are_refused() -> None:
    header = b"NTLMSSP\0\x03\0\0\0" + bytes(16)
    for length, fits in ((1024, True), (1026, False)):
        for place in (0, 8):
            field = struct.pack("<HHI", length, length, 64)
            fields = bytes(place) + field + bytes(32 - 8 - place)
            token = header + fields + b"\x35\x82\x88\xe2" + b"a\0" * 600
            if fits:
                Authenticate.parse(token)
                continue
            with pytest.raises(RemoteError) as caught:
                Authenticate.parse(token)
            assert caught.value.reason is Reason.OVERSIZED


def test_the_attributes_of_a_wrong_proof_are_not_looked_at() -> None:
    server = acceptor()
    server.challenge(NEGOTIATE)
    # the first AV pair is longer than all of the message
    at = AUTHENTICATE.index(b"\x02\0\x0c\0D\0o\0m\0") + 3
    broken = AUTHENTICATE[:at] + b"\xff" + AUTHENTICATE[at + 1 :]
    with pytest.raises(RemoteError) as caught:
        server.authenticate(broken)
    assert caught.value.reason is Reason.LOGIN_FAILED
