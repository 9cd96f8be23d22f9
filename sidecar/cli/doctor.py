"""`vdi-sidecar doctor`: what is installed, what is missing, what to do about it."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from sidecar.cli.finding import FAILURES, Finding
from sidecar.cli.setting import LISTEN_ADDRESS, NO_ADDRESS, TCP_ADDRESS, SettingsCommand
from sidecar.cli.shared import running_daemon_settings
from sidecar.config.options import HookOptions
from sidecar.errors import UsageError


@click.command(
    cls=SettingsCommand,
    short_help="Say what is installed, what is missing, and what to do about it.",
    epilog="""\b
Examples:
  vdi-sidecar doctor
  vdi-sidecar doctor -- serve --config /etc/vm.toml --users-file /etc/vm/users.toml
  kubectl get vmi myvm -o json | vdi-sidecar doctor --vmi -
  kubectl exec virt-launcher-myvm-xxxxx -c hook-sidecar-0 -- vdi-sidecar doctor

Exits with 1 when something is missing or does not work (`missing`, `degraded`), with 2 for wrong usage, else
with 0. docs/doctor.md explains every finding.""",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--vmi",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Look at a VirtualMachineInstance (JSON, `-` for stdin), and at nothing else.",
)
@click.option(
    "--vnc",
    type=LISTEN_ADDRESS,
    multiple=True,
    metavar="ADDRESS",
    help="With --vmi: where the sidecar serves VNC; by default what the VMI's annotation says.",
)
@click.option("--rdp", type=LISTEN_ADDRESS, multiple=True, metavar="ADDRESS", help="The same for RDP.")
@click.option("--web", type=TCP_ADDRESS, metavar="HOST:PORT", help="The same for WebSocket.")
@click.argument("command", nargs=-1, metavar="[-- COMMAND OPTIONS...]")
@running_daemon_settings
def doctor(as_json: bool, vmi: Path | None, command: tuple[str, ...], run_dir: Path, **listening: Any) -> int:
    """Check this machine and the daemon that runs on it, or the VMI of a machine in KubeVirt.

    With a COMMAND that serves (serve, hook, demo) and its OPTIONS, also what they name: passwords, users,
    certificates, roles. Nothing is started.
    """
    if vmi is None:
        if any(listening.values()):
            raise UsageError("--vnc, --rdp and --web belong to --vmi FILE")
        # the checks are loaded by this command alone
        from sidecar.cli.doctor_machine import check_daemon, examine

        told = [*_of_command(command), *check_daemon(run_dir)]
        # command and daemon know better what they need
        known = {finding.name for finding in told}
        findings = [*(finding for finding in examine() if finding.name not in known), *told]
    elif command:
        raise UsageError("--vmi FILE looks at a machine of KubeVirt and at no command: leave one of them out")
    else:
        from sidecar.cli.doctor_vmi import examine_vmi, read_vmi_file

        findings = examine_vmi(read_vmi_file(vmi), _said(run_dir, **listening))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    return int(any(finding.verdict in FAILURES for finding in findings))


def _of_command(words: Sequence[str]) -> list[Finding]:
    from sidecar.cli.doctor_command import check_found_secrets, examine_command

    return [*check_found_secrets(os.environ), *(examine_command(words) if words else ())]


def _said(run_dir: Path, vnc: tuple[Any, ...], rdp: tuple[Any, ...], web: Any) -> HookOptions | None:
    """The listeners that the command line names, if it names any."""
    if not (vnc or rdp or web):
        return None
    said: dict[str, Any] = {"rdp": _addresses(rdp), "web": web}
    if vnc:
        said["vnc"] = _addresses(vnc)
    # nothing listens here, so nobody need be kept out
    return HookOptions(run_dir=run_dir, insecure=True, **said)


def _addresses(addresses: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(address for address in addresses if address != NO_ADDRESS)


def _print(findings: Sequence[Finding]) -> None:
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        click.echo(f"{finding.verdict.value:8}  {finding.name:{width}}  {finding.found}")
        if finding.advice:
            click.echo(f"{'':8}  {'':{width}}  -> {finding.advice}")
