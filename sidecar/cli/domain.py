"""`vdi-sidecar define-domain`."""

import sys
from typing import Any

import click

from sidecar.cli.setting import SettingsCommand
from sidecar.cli.shared import config_setting, domain_settings
from sidecar.errors import UsageError

LONGEST_DOCUMENT = 16 * 1024 * 1024
"""Bytes read from a file; the rewrite takes less and says so."""


def _document(_ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | bytes | None:
    """The argument itself, or the file that it names: neither XML nor JSON begins with an @."""
    if value is None or not value.startswith("@"):
        return value
    name = value[1:]
    try:
        if name == "-":
            return sys.stdin.buffer.read(LONGEST_DOCUMENT)
        with open(name, "rb") as file:
            return file.read(LONGEST_DOCUMENT)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError(f"--{parameter.name}: cannot read {name!a}: {reason}") from None


@click.command(
    "define-domain",
    cls=SettingsCommand,
    short_help="Rewrite a domain's XML as the hook does, to stdout.",
    epilog="""\b
Examples:
  vdi-sidecar define-domain --vmi @vmi.json --domain @domain.xml
  virsh dumpxml myvm | vdi-sidecar define-domain --domain @- --dbus-address unix:path=/run/vm/bus""",
)
@click.option(
    "--domain",
    metavar="XML",
    required=True,
    callback=_document,
    help="The domain, as KubeVirt hands it over; @FILE reads a file, @- stdin.",
)
@click.option(
    "--vmi",
    metavar="JSON",
    callback=_document,
    help="The VirtualMachineInstance, as KubeVirt hands it over; @FILE reads a file, @- stdin.",
)
@domain_settings
@config_setting
def define_domain(vmi: str | bytes | None, domain: str | bytes, **settings: Any) -> None:
    """Print the domain with a D-Bus display. KubeVirt's sidecar-shim calls this by hooks/onDefineDomain."""
    from sidecar.domain.command import define_domain as rewrite

    click.echo(rewrite(vmi, domain, **settings), nl=False)
