"""What a person is told first: where everything is, and nothing that is not there."""

from dataclasses import replace
from pathlib import Path

from sidecar.config.options import DemoOptions
from sidecar.demo.equipment import Equipment
from sidecar.demo.machine import choose_machine
from sidecar.demo.terminal import how_to_connect

VNC, RDP = "127.0.0.1:5901", "127.0.0.1:3390"
BOX = choose_machine("box", Path("/nonexistent"))
ALL = Equipment(sound=True, clipboard=True)
OPTIONS = DemoOptions(run_dir=Path("/run/demo"))


def test_sound_and_the_serial_port_are_reached_through_the_same_ports_as_the_screen() -> None:
    told = how_to_connect(BOX, ALL, (f"vnc {VNC}", f"rdp {RDP}"), OPTIONS)
    assert "vncviewer 127.0.0.1::5901" in told
    assert f"vdi-sidecar console --vnc {VNC}" in told
    assert "Ctrl-Alt-2" in told
    assert f"remote-viewer vnc://{VNC}" in told
    assert f"xfreerdp /v:{RDP} /cert:ignore /gfx /sound" in told
    assert "--run-dir /run/demo" in told


def test_what_this_qemu_lacks_or_an_option_forbids_is_not_told() -> None:
    for equipment, options in (
        (Equipment(), replace(OPTIONS, serial="off")),
        (ALL, replace(OPTIONS, serial="off", sound=False, clipboard="off")),
    ):
        told = how_to_connect(replace(BOX, has_agent=True), equipment, (f"vnc {VNC}", f"rdp {RDP}"), options)
        assert not [word for word in ("Serial", "Sound", "Clipboard", "remote-viewer") if word in told]


def test_the_clipboard_is_told_of_where_the_guest_shares_it() -> None:
    for has_agent in (False, True):
        told = how_to_connect(replace(BOX, has_agent=has_agent), ALL, (f"vnc {VNC}",), OPTIONS)
        assert ("Clipboard" in told) == has_agent


def test_a_unix_socket_is_told_to_the_programs_that_take_one() -> None:
    told = how_to_connect(BOX, ALL, ("vnc unix:/run/vnc", "vnc-console serial0=127.0.0.1:5902"), OPTIONS)
    assert "vdi-sidecar console --vnc unix:/run/vnc" in told
    assert "remote-viewer" not in told


def test_every_address_is_told() -> None:
    addresses = (f"vnc {VNC}", "vnc-console serial0=127.0.0.1:5902", f"rdp {RDP}", "https://[::1]:6080/")
    told = how_to_connect(
        BOX, ALL, (*addresses, "metrics http://127.0.0.1:9100/metrics", "api unix:/run/api"), OPTIONS
    )
    for where in (
        VNC,
        "serial0 at 127.0.0.1:5902",
        RDP,
        "https://[::1]:6080/",
        "http://127.0.0.1:9100/metrics",
        "unix:/run/api",
        "vdi-sidecar vm",
    ):
        assert where in told


def test_the_api_and_tickets_come_with_a_command_that_works() -> None:
    told = how_to_connect(BOX, ALL, ("api unix:/run/api", "api 127.0.0.1:8697"), OPTIONS)
    assert "curl --unix-socket /run/api http://vm/api/v1/status" in told
    assert "curl http://127.0.0.1:8697/api/v1/status" in told
    assert "ticket" not in told
    options = replace(OPTIONS, auth="ticket", tls_dir=Path("/tls"))
    told = how_to_connect(BOX, ALL, ("api 127.0.0.1:8697",), options)
    assert "curl https://127.0.0.1:8697/api/v1/status" in told
    assert "vdi-sidecar ticket create --run-dir /run/demo" in told
