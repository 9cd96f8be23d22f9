"""`vdi-sidecar console` before there is a server: what it is told, and what it says."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.cli import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port that is taken, and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--vnc", "somewhere"],
        ["--vnc", "none"],
        ["--tls-insecure", "--ca", "ca.crt"],
        ["--tls-insecure", "--tls-name", "vm"],
        ["--list", "serial0"],
        ["--escape", "escape"],
        ["--escape", ""],
        ["one", "two"],
        ["--password", "secret"],
    ],
)
def test_wrong_usage_is_one_line_before_anything_is_done(arguments: list[str], capsys: Capture) -> None:
    assert main(["console", *arguments]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_a_server_that_is_not_there_is_told_so(host: str, unused_port: int, capsys: Capture) -> None:
    assert main(["console", "--vnc", f"{host}:{unused_port}"]) == 1
    assert f"nobody listens at {host or 'localhost'}:{unused_port}" in capsys.readouterr().err


def test_a_socket_that_is_not_there_is_told_so(short_dir: Path, capsys: Capture) -> None:
    assert main(["console", "--vnc", f"unix:{short_dir}/vnc"]) == 1
    assert f"nobody listens at {short_dir}/vnc" in capsys.readouterr().err


def test_a_host_that_cannot_be_is_told_so(capsys: Capture) -> None:
    assert main(["console", "--vnc", "x" * 64 + ":5900"]) == 1
    assert "there can be no host 'xxx" in capsys.readouterr().err


def test_the_server_may_come_from_the_environment(
    unused_port: int, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("VDI_SIDECAR_VNC", f"127.0.0.1:{unused_port}")
    assert main(["console"]) == 1
    assert f"127.0.0.1:{unused_port}" in capsys.readouterr().err
