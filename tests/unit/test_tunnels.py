"""What sessions carry, as the options of a daemon say."""

from pathlib import Path
from typing import Any

import pytest
from support.synthetic_guest import SyntheticGuest, SyntheticPort

from sidecar.config.options import DaemonOptions
from sidecar.guest import PortKind
from sidecar.tunnels import Tunnels
from sidecar.vnc.capabilities import NO_EXTENSIONS, Extension

ALL = Extension.QEMU_AUDIO | Extension.EXTENDED_CLIPBOARD | Extension.STREAMS
PORT = "org.qemu.console.serial.0"


def tunnels(tmp_path: Path, guest: SyntheticGuest, **options: Any) -> Tunnels:
    return Tunnels(DaemonOptions(run_dir=tmp_path, **options), guest)


@pytest.mark.parametrize(
    ("options", "offered", "channels"),
    [
        ({}, ALL, {"rdpsnd", "AUDIO_PLAYBACK_DVC", "AUDIO_INPUT", "cliprdr"}),
        (
            {"sound": False},
            Extension.EXTENDED_CLIPBOARD | Extension.STREAMS,
            {"AUDIO_INPUT", "cliprdr"},
        ),
        ({"microphone": "off"}, ALL, {"rdpsnd", "AUDIO_PLAYBACK_DVC", "cliprdr"}),
        (
            {"clipboard": "off"},
            Extension.QEMU_AUDIO | Extension.STREAMS,
            {"rdpsnd", "AUDIO_PLAYBACK_DVC", "AUDIO_INPUT"},
        ),
        (
            {"serial": "off"},
            Extension.QEMU_AUDIO | Extension.EXTENDED_CLIPBOARD,
            {"rdpsnd", "AUDIO_PLAYBACK_DVC", "AUDIO_INPUT", "cliprdr"},
        ),
        ({"sound": False, "microphone": "off", "clipboard": "off", "serial": "off"}, NO_EXTENSIONS, set()),
    ],
    ids=["all", "no sound", "no microphone", "no clipboard", "no serial ports", "nothing"],
)
async def test_each_is_off_by_an_option(
    tmp_path: Path, options: dict[str, Any], offered: Extension, channels: set[str]
) -> None:
    with tunnels(tmp_path, SyntheticGuest(), **options).open() as opened:
        assert opened.offered == offered
        assert len(opened.vnc) == len(list(offered))
        table = opened.rdp()
        assert {*table._static, *table._dynamic} == channels


async def test_a_console_is_found_by_its_number_its_label_and_the_name_of_its_port(tmp_path: Path) -> None:
    guest, port = SyntheticGuest(), SyntheticPort(PORT)
    port.label = "serial0"
    with tunnels(tmp_path, guest).open() as opened:
        assert opened.console("0") is guest.console
        assert opened.console(PORT) is None
        guest.add_port(port)
        text = opened.guest.consoles[16]
        for name in (PORT, "serial0", "16"):
            assert opened.console(name) is text
        assert opened.console("nothing") is None


async def test_text_consoles_are_left_out_where_they_are_not_wanted(tmp_path: Path) -> None:
    guest = SyntheticGuest()
    guest.add_port(SyntheticPort(PORT))
    for options in ({"text_consoles": False}, {"serial": "off"}):
        with tunnels(tmp_path, guest, **options).open() as opened:
            assert opened.guest is guest
            assert opened.console(PORT) is None


@pytest.mark.parametrize("asked", [False, True])
async def test_the_monitor_is_a_console_only_where_it_is_asked_for(tmp_path: Path, asked: bool) -> None:
    guest = SyntheticGuest()
    guest.add_port(SyntheticPort("org.qemu.monitor.hmp.0", PortKind.MONITOR))
    with tunnels(tmp_path, guest, monitor=asked).open() as opened:
        assert (opened.console("org.qemu.monitor.hmp.0") is not None) is asked


async def test_nothing_of_the_machine_is_observed_afterwards(tmp_path: Path) -> None:
    guest, port = SyntheticGuest(), SyntheticPort(PORT)
    guest.add_port(port)
    observers = (guest.ports_changes, guest.lifecycle, guest.clipboard.changes, port.output, port.changes)
    with tunnels(tmp_path, guest).open():
        assert all(map(len, observers))
    assert not any(map(len, observers))
