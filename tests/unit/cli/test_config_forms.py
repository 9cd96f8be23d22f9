"""Addresses, times, sizes, the password file and the run directory."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config.address import (
    ListenAddress,
    TcpAddress,
    UnixAddress,
    parse_listen_address,
    parse_tcp_address,
)
from sidecar.config.password import LONGEST_PASSWORD, PasswordUnreadable, read_password, read_password_once
from sidecar.config.quantity import parse_mebibytes, parse_seconds
from sidecar.config.run_directory import RunDirectoryUnsafe, default_run_directory, prepare_run_directory
from sidecar.errors import UsageError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:5900", TcpAddress("127.0.0.1", 5900)),
        ("localhost:0", TcpAddress("localhost", 0)),
        ("[::1]:5900", TcpAddress("::1", 5900)),
        ("[::]:65535", TcpAddress("::", 65535)),
        (":5900", TcpAddress("", 5900)),
        ("*:5900", TcpAddress("", 5900)),
        ("vnc.example.com:5901", TcpAddress("vnc.example.com", 5901)),
        ("unix:/run/vnc", UnixAddress(Path("/run/vnc"))),
    ],
)
def test_an_address_is_understood_and_written_as_it_was_read(text: str, address: ListenAddress) -> None:
    assert parse_listen_address(text) == address
    assert parse_listen_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "what_to_do"),
    [
        ("", "write HOST:PORT"),
        ("5900", "write HOST:PORT"),
        ("127.0.0.1", "write HOST:PORT"),
        ("127.0.0.1:", "write HOST:PORT"),
        ("127.0.0.1:vnc", "write HOST:PORT"),
        ("127.0.0.1:-1", "write HOST:PORT"),
        ("127.0.0.1:٥٩", "write HOST:PORT"),
        ("127.0.0.1:65536", "ports end at 65535"),
        ("127.0.0.1:" + "9" * 5000, "ports end at 65535"),
        ("::1:5900", "in brackets"),
        ("[::g]:5900", "is not IPv6"),
        ("[127.0.0.1]:5900", "is not IPv6"),
        ("http://a:80", "in brackets"),
        ("a b:80", "write HOST:PORT"),
        ("unix:", "needs a path"),
        ("unix:/" + "x" * 200, "too long for a unix socket"),
    ],
)
def test_what_is_no_address_is_refused_with_what_to_write(text: str, what_to_do: str) -> None:
    with pytest.raises(UsageError, match=what_to_do):
        parse_listen_address(text)


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("127.0.0.1:1", True),
        ("127.8.9.10:1", True),
        ("localhost:1", True),
        ("LocalHost:1", True),
        ("[::1]:1", True),
        ("[::ffff:127.0.0.1]:1", True),
        ("unix:/x", True),
        (":1", False),
        ("*:1", False),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("192.0.2.1:1", False),
        ("[::ffff:192.0.2.1]:1", False),
        ("localhost.example.com:1", False),
        ("2130706433:1", False),
    ],
)
def test_only_loopback_and_unix_sockets_are_local(text: str, local: bool) -> None:
    assert parse_listen_address(text).is_local is local


@settings(deadline=None)
@given(st.text() | st.from_regex(r"[\[\]:.0-9a-f*]{0,20}"))
def test_any_text_is_an_address_or_a_usage_error(text: str) -> None:
    try:
        address = parse_tcp_address(text)
    except UsageError:
        return
    assert 0 <= address.port <= 65535
    assert parse_tcp_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30), ("1.5", 1.5), ("500ms", 0.5), ("30s", 30), ("5m", 300), ("1h30m", 5400), (" 2d ", 172800)],
)
def test_times(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1", "1x", "1 h", "1h-3m", "inf", "nan", "1e9", "٣s", "9" * 5000])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time"):
        parse_seconds(text)


@pytest.mark.parametrize(("text", "mebibytes"), [("512", 512), ("512M", 512), ("2G", 2048), ("1GiB", 1024)])
def test_sizes(text: str, mebibytes: int) -> None:
    assert parse_mebibytes(text) == mebibytes


@pytest.mark.parametrize("text", ["", "M", "-1", "1K", "1.5G", "1 G", "9" * 5000])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        parse_mebibytes(text)


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b" a b ", " a b "),
        (b"\xc3\xa9", "é"),
    ],
)
def test_a_password_is_the_line_in_the_file(tmp_path: Path, content: bytes, password: str) -> None:
    (tmp_path / "password").write_bytes(content)
    assert read_password(tmp_path / "password") == password


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"secret\nmore\n", "one line"),
        (b"se\0cret", "one line"),
        (b"\xff", "not UTF-8"),
        (b"x" * (LONGEST_PASSWORD + 1), "longer than"),
    ],
)
def test_a_password_file_that_is_none_is_refused_and_not_shown(
    tmp_path: Path, content: bytes, error: str
) -> None:
    (tmp_path / "password").write_bytes(content)
    with pytest.raises(PasswordUnreadable, match=error) as raised:
        read_password(tmp_path / "password")
    assert "cret" not in str(raised.value)


def test_a_password_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PasswordUnreadable, match=r"cannot read the password file .*none: no such file"):
        read_password(tmp_path / "none")


def test_a_pipe_holds_up_nobody_who_reads_a_password_and_gives_it_to_a_command(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    # a descriptor for both, so that the pipe has a writer that says nothing, and then one that ends
    end = os.open(tmp_path / "pipe", os.O_RDWR)
    with pytest.raises(PasswordUnreadable, match=r"cannot read the password file .*not a regular file"):
        read_password(tmp_path / "pipe")
    os.close(end)
    with pytest.raises(PasswordUnreadable, match="not a regular file"):
        read_password(tmp_path / "pipe")
    reading, writing = os.pipe()
    os.write(writing, b"secret\n")
    os.close(writing)
    assert read_password_once(Path(f"/dev/fd/{reading}")) == "secret"
    os.close(reading)


def test_the_run_directory_follows_the_users_own_runtime_directory(tmp_path: Path) -> None:
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert default_run_directory(environment, os.geteuid()) == tmp_path / "vdi-sidecar"


@pytest.mark.parametrize("runtime", ["", "relative", "/nonexistent/run"])
def test_without_a_runtime_directory_it_is_in_run_for_root_and_in_tmp_for_others(runtime: str) -> None:
    assert default_run_directory({"XDG_RUNTIME_DIR": runtime}, 0) == Path("/run/vdi-sidecar")
    assert default_run_directory({"XDG_RUNTIME_DIR": runtime}, 107) == Path("/tmp/vdi-sidecar-107")


def test_a_runtime_directory_of_somebody_else_does_not_count(tmp_path: Path) -> None:
    other = os.geteuid() + 1
    assert default_run_directory({"XDG_RUNTIME_DIR": str(tmp_path)}, other) == Path(
        f"/tmp/vdi-sidecar-{other}"
    )


def test_a_run_directory_is_made_for_its_user_alone_and_used_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run"
    prepare_run_directory(path)
    assert path.stat().st_mode & 0o777 == 0o700
    prepare_run_directory(path)


def test_a_run_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    path.chmod(0o777)
    with pytest.raises(RunDirectoryUnsafe, match="can be written by others"):
        prepare_run_directory(path)


def test_a_run_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "real")
    with pytest.raises(RunDirectoryUnsafe, match="is not a directory"):
        prepare_run_directory(tmp_path / "run")


def test_a_run_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run"
    path.mkdir(mode=0o700)
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(RunDirectoryUnsafe, match="belongs to another user"):
        prepare_run_directory(path)


def test_a_run_directory_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryUnsafe, match="choose another with --run-dir"):
        prepare_run_directory(tmp_path / "file" / "run")
