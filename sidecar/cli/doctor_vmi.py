"""What `vdi-sidecar doctor --vmi` finds in a VirtualMachineInstance, before or while the machine runs."""

import copy
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from sidecar.advice.graphics import check_graphics
from sidecar.advice.hook_sidecars import ANNOTATION, HookSidecar, find_hook_sidecar
from sidecar.advice.listeners import Listener, listeners_of, named
from sidecar.advice.memory import USUAL_PIXELS, WHERE, needed_memory, recommended_limit
from sidecar.advice.pod_network import check_pod_network
from sidecar.cli.daemon import hook, hook_options
from sidecar.cli.finding import Finding, Verdict, finding_of
from sidecar.config.options import HookOptions
from sidecar.domain.errors import DomainError
from sidecar.domain.options import RewriteOptions, options_from_vmi
from sidecar.domain.vmi import MAX_VMI_SIZE, Vmi, read_vmi
from sidecar.errors import UsageError

ANY_ADDRESS = "unix:path=/dbus/bus"
"""The annotations are judged without it."""


def read_vmi_file(path: Path) -> Vmi:
    """The VMI in a file, `-` for stdin. Raises UsageError, DomainError."""
    try:
        if path == Path("-"):
            return read_vmi(sys.stdin.buffer.read(MAX_VMI_SIZE + 1))
        with path.open("rb") as file:
            return read_vmi(file.read(MAX_VMI_SIZE + 1))
    except OSError as error:
        raise UsageError(f"--vmi: cannot read {path}: {(error.strerror or str(error)).lower()}") from None


def examine_vmi(vmi: Vmi, listening: HookOptions | None) -> list[Finding]:
    """Every check of a VMI. `listening`: what was said of the listeners; None: the annotation has it."""
    name = "/".join(filter(None, (vmi.namespace, vmi.name))) or "without a name"
    findings = [Finding("VMI", Verdict.OK, name), *_annotations(vmi)]
    sidecar, options = _sidecar(vmi)
    findings.append(sidecar)
    chosen = listening or options or HookOptions(run_dir=Path())
    findings += _reach(vmi, listeners_of(chosen))
    no_screen = check_graphics(vmi, chosen.screen)
    if no_screen is not None:
        findings.append(finding_of(no_screen))
    if vmi.dedicated_cpus or vmi.qos_class == "Guaranteed":
        needed = needed_memory(USUAL_PIXELS, rdp=bool(chosen.rdp), h264=bool(chosen.rdp))
        findings.append(
            Finding(
                "resources",
                Verdict.WARNING,
                "Guaranteed or with dedicated CPUs: by default KubeVirt limits the sidecar to 200m and 64M",
                f'see to limits: cpu: "1", memory: {recommended_limit(needed)}Mi {WHERE}',
            )
        )
    return findings


def options_in_container(arguments: Sequence[str]) -> HookOptions:
    """What `vdi-sidecar hook ARGUMENTS` would run with, in a container with none of our environment.

    A file that --config names is not read: it is in the container. Raises UsageError and click's own.
    """
    parameters: list[click.Parameter] = []
    for each in hook.params:
        if each.name == "config":
            parameters.append(click.Option(["--config"], expose_value=False))
            continue
        parameter = copy.copy(each)
        # this process's environment is not the container's
        parameter.envvar = None
        parameters.append(parameter)
    command = click.Command("hook", params=parameters, add_help_option=False)
    ctx = command.make_context("hook", list(arguments))
    return hook_options(ctx, ctx.params)


def _annotations(vmi: Vmi) -> list[Finding]:
    ours = sorted(name for name in vmi.annotations if name.startswith("vdi-sidecar/"))
    try:
        options_from_vmi(vmi, RewriteOptions(address=ANY_ADDRESS))
    except DomainError as error:
        return [
            Finding("annotations", Verdict.DEGRADED, "one means nothing: the start will fail", str(error))
        ]
    return [Finding("annotations", Verdict.OK, ", ".join(map(_shown, ours)) or "none of vdi-sidecar's")]


def _sidecar(vmi: Vmi) -> tuple[Finding, HookOptions | None]:
    """The annotation's entry, and the options that its arguments make."""
    try:
        entry = find_hook_sidecar(vmi)
    except DomainError as error:
        return Finding("hook sidecar", Verdict.DEGRADED, f"{ANNOTATION} cannot be read", str(error)), None
    if entry is None:
        advice = (
            f"put it into {ANNOTATION} in spec.template.metadata.annotations of the VirtualMachine, unless "
            "the plugin API brings the sidecar"
        )
        return Finding("hook sidecar", Verdict.WARNING, "vdi-sidecar is not in the annotation", advice), None
    try:
        options = options_in_container(entry.arguments)
    except click.ClickException as error:
        return _wrong_arguments(entry, error.format_message()), None
    except UsageError as error:
        return _wrong_arguments(entry, str(error)), None
    listening = named(listeners_of(options)) or "no TCP port"
    return Finding("hook sidecar", Verdict.OK, f"{entry.container}: {listening}"), options


def _wrong_arguments(entry: HookSidecar, reason: str) -> Finding:
    found = f"{entry.container} would end at once: its args are wrong"
    return Finding("hook sidecar", Verdict.DEGRADED, found, " ".join(reason.split()))


def _reach(vmi: Vmi, listeners: Sequence[Listener]) -> list[Finding]:
    problems = check_pod_network(vmi, listeners)
    if problems:
        return [finding_of(problem) for problem in problems]
    outside = [each for each in listeners if not each.local]
    found = f"nothing is in the way of {named(outside)}" if outside else "nothing listens to the outside"
    return [Finding("pod network", Verdict.OK, found)]


def _shown(name: str) -> str:
    return name if name.isprintable() and name.isascii() else ascii(name)
