"""What is added to the installer's first file system. That a kernel unpacks it is shown in tests/interop."""

import gzip
import subprocess
from pathlib import Path

import pytest

from sidecar.demo.cpio import MAGIC
from sidecar.demo.installer import AGENT_HOME, agent_is_here, write_initrd

ORIGINAL = gzip.compress(b"what the installer has")


def _unpack(initrd: bytes) -> dict[str, tuple[int, bytes]]:
    """Mode and data by name."""
    at = len(ORIGINAL) + -len(ORIGINAL) % 4
    found: dict[str, tuple[int, bytes]] = {}
    while at < len(initrd):
        assert initrd[at : at + 6] == MAGIC
        fields = [int(initrd[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name_at = at + 110
        data_at = (name_at + name_size + 3) & ~3
        name = initrd[name_at : name_at + name_size - 1].decode()
        found[name] = (mode, initrd[data_at : data_at + size])
        at = (data_at + size + 3) & ~3
    return found


@pytest.fixture(scope="module")
def initrd(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    directory = tmp_path_factory.mktemp("initrd")
    (directory / "original").write_bytes(ORIGINAL)
    write_initrd(directory / "original", directory / "initrd")
    return (directory / "initrd").read_bytes()


def test_the_installers_own_comes_first_and_is_left_as_it_is(initrd: bytes) -> None:
    assert initrd.startswith(ORIGINAL)


def test_every_script_can_be_run_and_read_by_a_shell(initrd: bytes) -> None:
    scripts = {name: found for name, found in _unpack(initrd).items() if found[1].startswith(b"#!/bin/sh")}
    assert set(scripts) == {
        "lib/debian-installer-startup.d/S99demo",
        "sbin/demo-login",
        "sbin/demo-agent",
        "bin/say",
    }
    for mode, text in scripts.values():
        assert mode == 0o100755
        subprocess.run(["sh", "-n"], input=text, check=True)


@pytest.mark.skipif(not agent_is_here(), reason="spice-vdagent is not installed")
def test_the_agent_brings_every_library_it_needs(initrd: bytes, tmp_path: Path) -> None:
    for name, (mode, data) in _unpack(initrd).items():
        path = Path(name)
        if path.parent == Path(AGENT_HOME) and mode & 0o170000 == 0o100000:
            (tmp_path / path.name).write_bytes(data)
            (tmp_path / path.name).chmod(0o755)
    loader = next(tmp_path.glob("ld-linux*"))
    for program in ("spice-vdagent", "spice-vdagentd"):
        command = (loader, "--inhibit-cache", "--library-path", tmp_path, "--list", tmp_path / program)
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        libraries = [line.split(" => ")[1] for line in listed.splitlines() if " => " in line]
        assert len(libraries) > 10
        assert not [path for path in libraries if not path.startswith(str(tmp_path))]
