"""The command lines of qemu-vnc and qemu-rdp, as these programs take them."""

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.config.address import TcpAddress, UnixAddress
from sidecar.drop_in import rdp_command, vnc_command
from sidecar.drop_in.sharing import Sharing
from sidecar.drop_in.vnc_options import VncOptions, parse_display, parse_websocket
from sidecar.errors import UsageError

BUS = "unix:path=/run/libvirt/qemu/dbus/1-vm-dbus.sock"


def parsed(*arguments: str) -> VncOptions:
    context = vnc_command.command.make_context(vnc_command.NAME, list(arguments))
    return vnc_command.options_of(context.params)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:0", TcpAddress("localhost", 5900)),
        ("192.0.2.7:12", TcpAddress("192.0.2.7", 5912)),
        ("[2001:db8::1]:3", TcpAddress("2001:db8::1", 5903)),
        ("[::]:0", TcpAddress("::", 5900)),
        (":1", TcpAddress("", 5901)),
        ("0.0.0.0:-100", TcpAddress("0.0.0.0", 5800)),
        ("unix:/run/vm/vnc", UnixAddress(Path("/run/vm/vnc"))),
        ("none", None),
    ],
)
def test_a_display_is_written_as_for_qemu(text: str, address: object) -> None:
    assert parse_display(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "localhost",
        "localhost:",
        "localhost:x",
        "localhost:--1",
        "localhost:59636",
        "localhost:-5900",
        "localhost:99999999999999999999",
        "::1:0",
        "unix:",
        "localhost:0,to=9",
        "",
    ],
)
def test_what_is_no_display_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_display(text)


def test_a_websocket_is_at_the_displays_host_unless_it_names_one() -> None:
    display = TcpAddress("192.0.2.7", 5903)
    assert parse_websocket("5700", display) == TcpAddress("192.0.2.7", 5700)
    assert parse_websocket("on", display) == TcpAddress("192.0.2.7", 5703)
    assert parse_websocket("[::1]:80", display) == TcpAddress("::1", 80)
    for display_without_host in (None, UnixAddress(Path("/s"))):
        assert parse_websocket("localhost:80", display_without_host) == TcpAddress("localhost", 80)
        with pytest.raises(UsageError, match="names no host"):
            parse_websocket("5700", display_without_host)


def test_libvirts_command_line_is_taken(tmp_path: Path) -> None:
    options = parsed(
        *(f"--dbus-address={BUS}", "--bus-name=org.qemu", "--wait", "--vnc-addr", "127.0.0.1:2"),
        *("--websocket=5702", "--share=force-shared", "--keyboard-layout=de", "--password"),
        f"--tls-creds={tmp_path}",
    )
    assert options == VncOptions(
        dbus_address=BUS,
        wait=True,
        vnc=TcpAddress("127.0.0.1", 5902),
        websocket=TcpAddress("127.0.0.1", 5702),
        sharing=Sharing.FORCE_SHARED,
        keyboard_layout="de",
        password=True,
        tls_directory=tmp_path,
    )


def test_every_short_option_of_qemu_vnc_is_taken() -> None:
    options = parsed(
        *("-a", BUS, "-n", "org.qemu", "-W", "-l", "none", "-w", "127.0.0.1:80", "-s", "ignore", "-k", "fr"),
        *("-C", "org.qemu.monitor.hmp.0", "-C", "x", "--lossy", "--non-adaptive", "-T", "vnc_*", "-t", "/c"),
    )
    assert options.vnc is None
    assert options.chardevs == ("org.qemu.monitor.hmp.0", "x")
    assert options.sharing is Sharing.IGNORE
    assert options.debug


def test_the_defaults_are_qemus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/session")
    options = parsed()
    assert options == VncOptions(dbus_address="unix:path=/session")
    assert (options.bus_name, options.vnc) == ("org.qemu", TcpAddress("localhost", 5900))
    assert options.sharing is Sharing.ALLOW_EXCLUSIVE
    # but for the monitor, which is shown only where it is named
    assert options.chardevs == ("org.qemu.console.serial.0",)
    assert parsed("--no-vt", "-C", "x").chardevs == ()


def test_an_address_without_a_name_is_qemu_itself() -> None:
    assert parsed("-a", BUS).bus_name is None
    assert parsed("-p", "7").p2p_fd == 7


@pytest.mark.parametrize(
    ("arguments", "auth"),
    [
        ([], ("none", "")),
        (["--password"], ("vnc", "")),
        (["--tls-creds=/c"], ("vencrypt", "x509-none")),
        (["--tls-creds=/c", "--password"], ("vencrypt", "x509-vnc")),
    ],
)
def test_how_clients_log_in_is_told_in_qemus_words(arguments: list[str], auth: tuple[str, str]) -> None:
    options = parsed("-a", BUS, *arguments)
    assert (options.auth, options.vencrypt_sub_auth) == auth


def test_a_systemd_credential_asks_for_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert not parsed("-a", BUS).asks_password
    (tmp_path / "vnc-password").write_text("secret")
    options = parsed("-a", BUS)
    assert options.asks_password
    assert options.credential == tmp_path / "vnc-password"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--sasl"], "--sasl is not supported: use a password"),
        (["--sasl-authz", "a"], "--sasl-authz is not supported"),
        (["--tls-authz", "a"], "--tls-authz is not supported: client certificates are not checked"),
        (["--object", "authz-simple,id=a"], "--object is not supported"),
        (["-p", "3", "-n", "org.qemu"], "leave --dbus-address and --bus-name out"),
        (["-a", BUS, "--wait"], "add --bus-name"),
        (["-a", "nonsense"], "is not a D-Bus address"),
        (["--share", "shared"], "--share"),
        (["--vnc-addr", "x"], "no display"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/session")
    assert vnc_command.main(arguments) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.startswith("vdi-qemu-vnc: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize("command", [vnc_command, rdp_command])
def test_help_and_version_are_printed(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--help"]) == 0
    assert "libvirt starts it when" in capsys.readouterr().out
    assert command.main(["-V"]) == 0
    assert command.NAME in capsys.readouterr().out


def test_qemu_rdp_prints_the_capabilities_that_libvirt_looks_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert rdp_command.main(["--print-capabilities"]) == 0
    assert json.loads(capsys.readouterr().out) == {"features": ["dbus-address"]}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "say what to do"),
        (["serve", "--cert", "c"], "--key"),
        (["-a", BUS, "serve", "--bind-address", "x", "--cert", "c", "--key", "k"], "is not an address"),
        (["-a", "x", "serve", "--cert", "c", "--key", "k"], "is not a D-Bus address"),
        (["-a", BUS, "serve", "--cert", "/nowhere/c", "--key", "/nowhere/k"], "cannot use /nowhere/c"),
    ],
)
def test_qemu_rdp_refuses_in_one_line(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rdp_command.main(arguments) in (1, 2)
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
