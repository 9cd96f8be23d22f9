"""libvirt-python is needed by those who ask for libvirt only, and they are told."""

import subprocess
import sys

import pytest

from sidecar.errors import UsageError
from sidecar.libvirt_domain.attach import LibvirtAttach
from sidecar.libvirt_domain.library import is_remote
from sidecar.libvirt_domain.machine import LibvirtMachine


@pytest.mark.parametrize("kind", [LibvirtAttach, LibvirtMachine])
def test_without_it_one_line_says_what_to_install(
    kind: type[LibvirtAttach | LibvirtMachine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    with pytest.raises(UsageError, match="needs the library libvirt-python") as error:
        kind("qemu:///system", "machine")
    assert "pip install 'vdi-sidecar[libvirt]'" in str(error.value)
    assert "\n" not in str(error.value)


def test_it_is_loaded_by_who_asks_for_a_domain_only() -> None:
    program = """if True:
        import sys
        import sidecar.libvirt_domain.attach, sidecar.libvirt_domain.machine
        assert "libvirt" not in sys.modules
        sidecar.libvirt_domain.machine.LibvirtMachine("qemu:///system", "machine")
        assert "libvirt" in sys.modules
    """
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("uri", "remote"),
    [
        ("qemu:///system", False),
        ("qemu:///session", False),
        ("qemu+unix:///session?socket=/run/user/1000/libvirt/libvirt-sock", False),
        ("qemu://host/system", True),
        ("qemu+ssh://somebody@host/system", True),
        ("qemu+tls:///system", True),
        ("qemu+tcp://[::1]/system", True),
    ],
)
def test_an_address_tells_whether_the_machine_runs_on_another_host(uri: str, remote: bool) -> None:
    assert is_remote(uri) is remote
