"""`vdi-sidecar define-domain`."""

from typing import Any, get_args

import click

from sidecar.cli.setting import SettingsCommand, setting
from sidecar.config.options import GraphicsName


@click.command(
    "define-domain",
    cls=SettingsCommand,
    short_help="Rewrite a domain's XML as the hook does, to stdout.",
    epilog="""\b
Examples:
  vdi-sidecar define-domain --vmi "$(cat vmi.json)" --domain "$(cat domain.xml)"
  vdi-sidecar define-domain --domain "$(virsh dumpxml myvm)" --dbus-address unix:path=/run/vm/bus""",
)
@click.option("--vmi", metavar="JSON", help="The VirtualMachineInstance, as KubeVirt hands it over.")
@click.option("--domain", metavar="XML", required=True, help="The domain, as KubeVirt hands it over.")
@setting(
    "--dbus-address",
    section="KubeVirt",
    metavar="ADDRESS",
    help="The bus address to write; by default worked out from CONTAINER_NAME.",
)
@setting(
    "--graphics",
    section="KubeVirt",
    type=click.Choice(get_args(GraphicsName)),
    help="How the domain gets its D-Bus display; by default the annotation vdi-sidecar/graphics decides, "
    "then replace.",
)
def define_domain(**values: Any) -> None:
    """Print the domain with a D-Bus display. KubeVirt's sidecar-shim calls this by hooks/onDefineDomain."""
    from sidecar.domain.command import define_domain as rewrite  # noqa: PLC0415 - heavy: only when it runs

    click.echo(rewrite(**values), nl=False)
