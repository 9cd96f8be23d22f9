from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from support.certificate import write_certificate

from sidecar.access.certificate import CERTIFICATE, KEY, load
from sidecar.access.self_signed import CLOCK_SKEW, FALLBACK_NAME, LIFETIME, RENEWED_BEFORE, ensure

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    assert ensure(tmp_path, ["vm"], NOW)
    return tmp_path


def names_in(directory: Path) -> list[str]:
    found = x509.load_der_x509_certificate(load(directory).der)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


def test_a_good_certificate_is_kept(made: Path) -> None:
    before = [(made / name).read_bytes() for name in (CERTIFICATE, KEY)]
    for later in (timedelta(), LIFETIME - CLOCK_SKEW - RENEWED_BEFORE - timedelta(seconds=1)):
        assert not ensure(made, ["another"], NOW + later)
    assert [(made / name).read_bytes() for name in (CERTIFICATE, KEY)] == before


@pytest.mark.parametrize(
    "later", [LIFETIME - CLOCK_SKEW - RENEWED_BEFORE, LIFETIME * 2, -CLOCK_SKEW - timedelta(seconds=1)]
)
def test_one_whose_time_is_nearly_over_or_has_not_come_is_made_anew(made: Path, later: timedelta) -> None:
    before = load(made).der
    assert ensure(made, ["vm"], NOW + later)
    after = load(made).der
    assert after != before
    found = x509.load_der_x509_certificate(after)
    assert found.not_valid_before_utc < NOW + later < found.not_valid_after_utc
    assert found.not_valid_after_utc - found.not_valid_before_utc == LIFETIME


@pytest.mark.parametrize("name", [CERTIFICATE, KEY])
@pytest.mark.parametrize("content", [None, b"", b"garbage", b"another"])
def test_one_that_cannot_be_used_is_made_anew(made: Path, name: str, content: bytes | None) -> None:
    if content is None:
        (made / name).unlink()
    elif content == b"another":
        # what a crash leaves that comes between the two files
        write_certificate(made / "other")
        (made / name).write_bytes((made / "other" / name).read_bytes())
    else:
        (made / name).write_bytes(content)
    assert ensure(made, ["vm"], NOW)
    assert not ensure(made, ["vm"], NOW)


def test_what_a_crash_has_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / f".{KEY}.new").write_bytes(b"half a key")
    assert ensure(tmp_path, ["vm"], NOW)
    assert sorted(path.name for path in tmp_path.iterdir()) == [CERTIFICATE, KEY]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["vm", "2001:db8::1"], ["vm", "2001:db8::1"]),
        (["b\u00fccher.example"], ["xn--bcher-kva.example"]),
        (["a" * 63 + "." + "b" * 63], ["a" * 63 + "." + "b" * 63]),
        (["", "x" * 64, "a..b"], [FALLBACK_NAME]),
    ],
)
def test_a_host_may_have_any_name(tmp_path: Path, names: list[str], expected: list[str]) -> None:
    ensure(tmp_path, names, NOW)
    assert names_in(tmp_path) == expected


def test_the_hosts_own_name_is_taken_where_none_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "virt-launcher-vm")
    ensure(tmp_path, [], NOW)
    assert names_in(tmp_path) == ["virt-launcher-vm"]
