"""Which guest the demo shows, and what it tells QEMU."""

from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.config.options import DemoGuest
from sidecar.demo.equipment import Equipment
from sidecar.demo.machine import BOX_IMAGE, DemoUnavailable, choose_machine

BUS = "unix:path=/tmp/bus"


def _install(images: Path, release: str, *files: str) -> Path:
    directory = images / release / "amd64/gtk/debian-installer/amd64"
    directory.mkdir(parents=True)
    for name in files:
        (directory / name).touch()
    return directory


def test_the_newest_installer_is_preferred(tmp_path: Path) -> None:
    _install(tmp_path, "12", "linux", "initrd.gz")
    newest = _install(tmp_path, "13", "linux", "initrd.gz")
    machine = choose_machine(None, tmp_path)
    assert machine.initrd == newest / "initrd.gz"
    command = machine.command(BUS, 1024, Equipment(), tmp_path / "initrd")
    assert command[command.index("-kernel") + 1] == str(newest / "linux")
    assert command[command.index("-initrd") + 1] == str(tmp_path / "initrd")
    assert command[command.index("-display") + 1] == "dbus,addr=unix:path=/tmp/bus"
    assert command[command.index("-m") + 1] == "1024"


def test_an_installer_without_its_files_is_passed_over(tmp_path: Path) -> None:
    _install(tmp_path, "13", "linux")
    assert choose_machine(None, tmp_path).name == "box"


def test_without_an_installer_the_box_is_shown(tmp_path: Path) -> None:
    assert str(BOX_IMAGE) in " ".join(choose_machine(None, tmp_path).options)


def test_an_installer_that_was_asked_for_and_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DemoUnavailable, match="--guest box"):
        choose_machine("debian", tmp_path)


def test_the_box_can_be_asked_for(tmp_path: Path) -> None:
    _install(tmp_path, "13", "linux", "initrd.gz")
    assert choose_machine("box", tmp_path).name == "box"


def test_the_image_that_is_shipped_is_built_from_its_source(guest_image: Path) -> None:
    assert guest_image.read_bytes() == BOX_IMAGE.read_bytes()


@pytest.mark.parametrize("guest", ["debian", "box"])
def test_a_qemu_without_sound_and_agent_is_not_asked_for_them(tmp_path: Path, guest: DemoGuest) -> None:
    _install(tmp_path, "13", "linux", "initrd.gz")
    command = " ".join(choose_machine(guest, tmp_path).command(BUS, 1024, Equipment()))
    assert "audio" not in command
    assert "vdagent" not in command
    assert "dbus,id=serial0,name=org.qemu.console.serial.0" in command


@pytest.mark.parametrize("guest", ["debian", "box"])
def test_sound_goes_where_the_screen_goes(tmp_path: Path, guest: DemoGuest) -> None:
    _install(tmp_path, "13", "linux", "initrd.gz")
    command = choose_machine(guest, tmp_path).command(BUS, 1024, Equipment(sound=True))
    assert f"dbus,addr={BUS},audiodev=sound" in command
    assert "dbus,id=sound" in command
    assert any(option.endswith("audiodev=sound") for option in command if not option.startswith("dbus"))


def test_the_clipboard_is_there_only_with_a_program_in_the_guest_that_shares_it(tmp_path: Path) -> None:
    _install(tmp_path, "13", "linux", "initrd.gz")
    machine = choose_machine("debian", tmp_path)
    for has_agent in (False, True):
        command = replace(machine, has_agent=has_agent).command(BUS, 1024, Equipment(clipboard=True))
        assert any("qemu-vdagent" in option for option in command) == has_agent


def test_it_can_be_asked_and_controlled(tmp_path: Path) -> None:
    command = choose_machine("box", tmp_path).command(BUS, 1024, Equipment(), monitor=tmp_path / "qmp")
    assert command[command.index("-qmp") + 1] == f"unix:{tmp_path}/qmp,server=on,wait=off"
