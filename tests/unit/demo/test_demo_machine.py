"""Which guest the demo shows, and what it tells QEMU."""

from pathlib import Path

import pytest

from sidecar.demo.machine import BOX_IMAGE, DemoUnavailable, choose_machine


def _install(images: Path, release: str, *files: str) -> Path:
    directory = images / release / "amd64/gtk/debian-installer/amd64"
    directory.mkdir(parents=True)
    for name in files:
        (directory / name).touch()
    return directory


def test_the_newest_installer_is_preferred(tmp_path: Path) -> None:
    _install(tmp_path, "12", "linux", "initrd.gz")
    newest = _install(tmp_path, "13", "linux", "initrd.gz")
    command = choose_machine(None, tmp_path).command("unix:path=/tmp/bus", 1024)
    assert command[command.index("-kernel") + 1] == str(newest / "linux")
    assert command[command.index("-initrd") + 1] == str(newest / "initrd.gz")
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
