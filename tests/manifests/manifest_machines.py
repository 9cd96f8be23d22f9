"""The machines of `manifests/` as they would run, and the command lines of their sidecars."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from manifest_renderer import ROOT, Object, kustomizations, pod_spec, render

from sidecar.cli.program import program
from sidecar.cli.shared import option_values
from sidecar.config.address import TcpAddress
from sidecar.config.options import HookOptions

SIDECARS = "hooks.kubevirt.io/hookSidecars"
BUILT = {str(path.relative_to(ROOT)): render(path) for path in kustomizations()}


@dataclass(frozen=True, slots=True)
class Machine:
    """A VMI as it runs, and the objects that are applied beside it."""

    directory: str
    name: str
    metadata: Object
    spec: Object
    beside: list[Object]

    @property
    def sidecars(self) -> list[Object]:
        return list(json.loads(self.metadata["annotations"][SIDECARS]))

    @property
    def as_json(self) -> bytes:
        metadata = {"name": self.name, **self.metadata}
        vmi = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": metadata}
        return json.dumps({**vmi, "spec": self.spec}).encode()

    def of_kind(self, kind: str) -> list[Object]:
        return [each for each in self.beside if each["kind"] == kind]

    @property
    def guest_ports(self) -> set[int]:
        return {port["port"] for port in self.spec["domain"]["devices"]["interfaces"][0]["ports"]}


def machines() -> list[Machine]:
    """Those with a sidecar in an annotation; a plugin's container comes in another way."""
    found = []
    for directory, objects in BUILT.items():
        for each in objects:
            template = {
                "VirtualMachine": each.get("spec", {}).get("template"),
                "VirtualMachineInstance": each,
            }
            inner = template.get(each["kind"]) or {}
            if SIDECARS in inner.get("metadata", {}).get("annotations", {}):
                name = each["metadata"]["name"]
                found.append(Machine(directory, name, inner["metadata"], inner["spec"], objects))
    return found


def understood(sidecar: Object) -> HookOptions:
    """The command line of a sidecar, parsed and checked as at its start. Nothing runs."""
    name, *words = [*sidecar["command"], *sidecar["args"]]
    assert name == "vdi-sidecar"
    with click.Context(program) as context:
        called, command, options = program.resolve_command(context, words)
        assert called == "hook"
        assert command is not None
        inner = command.make_context("hook", options, parent=context)
        return HookOptions(**option_values(inner, inner.params))


def reachable(options: HookOptions) -> dict[str, int]:
    """Ports of the sidecar that another pod can connect to, by what is served there."""
    listeners: list[tuple[str, Any]] = [("vnc", each) for each in options.vnc]
    listeners += [("rdp", each) for each in options.rdp]
    listeners += [("api", each) for each in options.api]
    listeners += [("web", options.web), ("metrics", options.metrics)]
    return {name: each.port for name, each in listeners if isinstance(each, TcpAddress) and not each.is_local}


def copy(secret: Path, volume: Path) -> subprocess.CompletedProcess[bytes]:
    """Runs the script of the Job of `manifests/secrets` by this machine's sh."""
    (container,) = pod_spec(BUILT["manifests/secrets"][1])["containers"]
    return subprocess.run(
        container["command"],
        env={"PATH": "/usr/bin:/bin", "FROM": str(secret), "TO": str(volume)},
        capture_output=True,
        timeout=60,
        check=False,
    )
