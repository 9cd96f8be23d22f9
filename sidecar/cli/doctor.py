"""`vdi-sidecar doctor`: what is installed, what is missing, what to do about it."""

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

import click

OLDEST_PYTHON = (3, 11)
OLDEST_QEMU = (7, 2)

QEMU_PLACES = (f"qemu-system-{platform.machine()}", "/usr/libexec/qemu-kvm", "qemu-kvm", "kvm")
"""Debian's and Fedora's names first, then where CentOS Stream puts it."""


class Verdict(StrEnum):
    """How a check went."""

    OK = "ok"
    OPTIONAL = "optional"
    """missing, and something is slower or not there without it"""
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has found, and what to do if that is not all well."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


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
    ("aiohttp", "aiohttp", Verdict.MISSING, "serves WebSocket"),
    ("uvloop", "uvloop", Verdict.MISSING, "runs the daemon"),
    ("grpcio", "grpc", Verdict.MISSING, "answers KubeVirt's hooks"),
    ("cryptography", "cryptography", Verdict.MISSING, "checks passwords, makes certificates"),
    ("pyspnego", "spnego", Verdict.OPTIONAL, "lets RDP clients log in by NLA"),
    ("av", "av", Verdict.OPTIONAL, "sends RDP clients what moves as H.264"),
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


def examine() -> list[Finding]:
    """Every check, in the order in which it is shown."""
    return [
        check_python(),
        check_dbus_daemon(),
        *check_qemu(),
        check_kvm(),
        *(check_library(*library, importlib.util.find_spec) for library in LIBRARIES),
    ]


@click.command(short_help="Say what is installed, what is missing, and what to do about it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> int:
    """Check this machine. Exits with 1 when something that is needed is missing."""
    findings = examine()
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    return int(any(finding.verdict is Verdict.MISSING for finding in findings))


def _print(findings: Sequence[Finding]) -> None:
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        click.echo(f"{finding.verdict.value:8}  {finding.name:{width}}  {finding.found}")
        if finding.advice:
            click.echo(f"{'':8}  {'':{width}}  -> {finding.advice}")


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
