"""What `vdi-sidecar doctor` finds on this machine, and of the daemon that runs on it."""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from sidecar.advice.container import Limits, read_limits
from sidecar.advice.cpu import check_cpu_limit
from sidecar.advice.memory import MIB, USUAL_PIXELS, check_memory_limit, needed_memory
from sidecar.cli.finding import Finding, Verdict, finding_of
from sidecar.config.run_directory import ADMIN_SOCKET
from sidecar.control.admin_client import connect_admin
from sidecar.errors import SidecarError

OLDEST_PYTHON = (3, 11)
OLDEST_QEMU = (7, 2)

QEMU_PLACES = (f"qemu-system-{platform.machine()}", "/usr/libexec/qemu-kvm", "qemu-kvm", "kvm")
"""Debian's and Fedora's names first, then where CentOS Stream puts it."""


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Python 3.11 or newer."""
    found = ".".join(map(str, version))
    if version >= OLDEST_PYTHON:
        return Finding("Python", Verdict.OK, found)
    return Finding("Python", Verdict.MISSING, found, "install Python 3.11 or newer")


def check_dbus_daemon(find: Callable[[str], str | None] = shutil.which) -> Finding:
    """The bus of `hook` and `demo`; `serve --qmp` does without."""
    path = find("dbus-daemon")
    if path is not None:
        return Finding("dbus-daemon", Verdict.OK, path)
    advice = "apt install dbus-daemon (dnf install dbus-daemon); needed by hook and demo, not by serve --qmp"
    return Finding("dbus-daemon", Verdict.MISSING, "not found", advice)


def check_qemu(find: Callable[[str], str | None] = shutil.which) -> list[Finding]:
    """QEMU with its D-Bus display and audio; not needed beside a QEMU in another container."""
    path = next((found for place in QEMU_PLACES if (found := find(place)) is not None), None)
    if path is None:
        advice = (
            "apt install qemu-system-x86 qemu-system-gui; needed by demo, and by whoever runs a machine here"
        )
        return [Finding("QEMU", Verdict.OPTIONAL, "not found", advice)]
    return [
        qemu_version(path, _output(path, "--version")),
        qemu_module("QEMU's D-Bus display", "dbus", _output(path, "-display", "help"), "qemu-kvm-ui-dbus"),
        qemu_module("QEMU's D-Bus audio", "dbus", _output(path, "-audiodev", "help"), "qemu-kvm-audio-dbus"),
    ]


def qemu_version(path: str, output: str) -> Finding:
    """QEMU 7.2 or newer, from what `--version` printed."""
    words = output.split()
    text = words[words.index("version") + 1] if "version" in words[:-1] else ""
    numbers = tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
    if numbers >= OLDEST_QEMU:
        return Finding("QEMU", Verdict.OK, f"{text} ({path})")
    return Finding("QEMU", Verdict.OPTIONAL, text or f"{path} does not run", "install QEMU 7.2 or newer")


def qemu_module(name: str, driver: str, output: str, fedora_package: str) -> Finding:
    """Whether QEMU's own list of drivers, printed by `help`, has `driver`."""
    if driver in output.split():
        return Finding(name, Verdict.OK, "available")
    advice = f"apt install qemu-system-modules-opengl (Debian 12: qemu-system-gui; dnf: {fedora_package})"
    return Finding(name, Verdict.OPTIONAL, "not available", advice)


def check_kvm(path: str = "/dev/kvm") -> Finding:
    """Hardware virtualisation for the demo guest."""
    if os.access(path, os.R_OK | os.W_OK):
        return Finding("KVM", Verdict.OK, path)
    if os.path.exists(path):
        return Finding("KVM", Verdict.OPTIONAL, f"{path} may not be opened", "add yourself to the group kvm")
    return Finding("KVM", Verdict.OPTIONAL, f"no {path}", "the demo guest runs without it, more slowly")


LIBRARIES: tuple[tuple[str, str, Verdict, str], ...] = (
    ("dbus-fast", "dbus_fast", Verdict.MISSING, "talks to QEMU"),
    ("numpy", "numpy", Verdict.MISSING, "holds the pixels"),
    ("simplejpeg", "simplejpeg", Verdict.MISSING, "makes JPEG for Tight"),
    ("aiohttp", "aiohttp", Verdict.MISSING, "serves WebSocket and the management API"),
    ("msgspec", "msgspec", Verdict.MISSING, "reads what the management API is sent"),
    ("uvloop", "uvloop", Verdict.MISSING, "runs the daemon"),
    ("grpcio", "grpc", Verdict.MISSING, "answers KubeVirt's hooks"),
    ("cryptography", "cryptography", Verdict.MISSING, "checks passwords, makes certificates"),
    ("pyspnego", "spnego", Verdict.OPTIONAL, "lets RDP clients log in by NLA"),
    ("av", "av", Verdict.OPTIONAL, "sends RDP clients what moves as H.264"),
    ("libvirt-python", "libvirt", Verdict.OPTIONAL, "attaches to machines of libvirt; docs/libvirt.md"),
    ("isal", "isal", Verdict.OPTIONAL, "compresses several times faster than zlib"),
)
"""Distribution, module, what it means when it is missing, what it does."""


def check_library(
    distribution: str, module: str, without: Verdict, purpose: str, locate: Callable[[str], object | None]
) -> Finding:
    """A Python library; it is looked up, not imported."""
    if locate(module) is None:
        return Finding(distribution, without, "not installed", f"pip install {distribution} ({purpose})")
    from importlib import metadata

    try:
        version = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        version = "installed"
    return Finding(distribution, Verdict.OK, version)


def check_container(limits: Limits) -> list[Finding]:
    """The limits of the container that this runs in, against what one viewer's VNC needs."""
    needed = needed_memory(USUAL_PIXELS, rdp=False, h264=False)
    memory = "no limit" if limits.memory is None else f"{limits.memory // MIB} MiB"
    cpus = "no limit" if limits.cpus is None else f"{limits.cpus * 1000:.0f}m"
    problems = {
        "memory limit": (memory, check_memory_limit(limits, needed)),
        "CPU limit": (cpus, check_cpu_limit(limits)),
    }
    return [
        Finding(name, Verdict.OK, found) if problem is None else finding_of(problem)
        for name, (found, problem) in problems.items()
    ]


def check_daemon(run_dir: Path) -> list[Finding]:
    """What a daemon tells that runs in `run_dir`; nothing where there is none."""
    socket = run_dir / ADMIN_SOCKET
    # unlike Path.exists, without an error where the directory is somebody else's
    if not os.path.exists(socket):
        return []
    try:
        with connect_admin(socket) as daemon:
            document = daemon.ask("status")
    except SidecarError as error:
        return [Finding("daemon", Verdict.WARNING, "does not answer", str(error))]
    state = f"runs in {run_dir}, the machine is {document['vm']['state']}"
    problems = [
        Finding(each["code"], Verdict(each["severity"]), each["message"])
        # a daemon that was started before an upgrade may not tell any
        for each in document.get("health", {}).get("problems", ())
    ]
    return [Finding("daemon", Verdict.OK, state), *problems]


def examine() -> list[Finding]:
    """Every check of this machine, in the order in which it is shown."""
    return [
        check_python(),
        check_dbus_daemon(),
        *check_qemu(),
        check_kvm(),
        *(check_library(*library, importlib.util.find_spec) for library in LIBRARIES),
        *check_container(read_limits()),
    ]


def _output(*command: str) -> str:
    """What a program prints; empty when it cannot be run or hangs."""
    try:
        done = subprocess.run(  # noqa: S603 - the program was found by its fixed name
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
