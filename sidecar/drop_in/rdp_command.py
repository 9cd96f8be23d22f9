"""`vdi-qemu-rdp`: the command line of `qemu-rdp`, as libvirt calls it."""

import json
import os
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import click

from sidecar import __version__
from sidecar.bus_address import check_bus_address
from sidecar.command_line import run
from sidecar.config.address import TcpAddress, parse_tcp_address
from sidecar.drop_in.bus import session_bus
from sidecar.drop_in.program import run_service
from sidecar.errors import UsageError

NAME = "vdi-qemu-rdp"

CAPABILITIES = {"features": ["dbus-address"]}
"""In libvirt's words. `remotefx` is not here: clients get H.264, ClearCodec or bitmaps."""

FILE = click.Path(path_type=Path)


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Example:
  vdi-qemu-rdp --dbus-address unix:path=/run/vm/bus serve --bind-address 127.0.0.1:3389 \\
      --cert server-cert.pem --key server-key.pem

libvirt starts it when qemu.conf says qemu_rdp = "/path/to/vdi-qemu-rdp".""",
)
@click.option(
    "-a", "--dbus-address", metavar="ADDRESS", help="The bus that QEMU is on; by default the session's."
)
@click.option("--print-capabilities", is_flag=True, help="Print what libvirt asks for, and end.")
@click.version_option(__version__, "-V", "--version", message=f"{NAME} %(version)s")
@click.pass_context
def command(ctx: click.Context, dbus_address: str | None, print_capabilities: bool) -> None:
    """Serve the screen of a QEMU on D-Bus over RDP: qemu-rdp, by vdi-sidecar."""
    if print_capabilities:
        click.echo(json.dumps(CAPABILITIES))
        ctx.exit()
    if ctx.invoked_subcommand is None:
        raise UsageError(f"say what to do: {NAME} serve --cert FILE --key FILE (see: {NAME} --help)")
    ctx.obj = dbus_address


@command.command()
@click.option(
    "--bind-address",
    default="127.0.0.1:3389",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to listen; [IPV6]:PORT, and :PORT for every interface.",
)
@click.option("--cert", type=FILE, required=True, metavar="FILE", help="The certificate, in PEM.")
@click.option("--key", type=FILE, required=True, metavar="FILE", help="Its key, in PEM.")
@click.pass_obj
def serve(dbus_address: str | None, bind_address: str, cert: Path, key: Path) -> None:
    """Serve until QEMU ends.

    Nobody gets in before SetCredentials of org.QemuDisplay.RDP was called.
    """
    address = session_bus(os.environ) if dbus_address is None else dbus_address
    check_bus_address(address)
    bind: TcpAddress = parse_tcp_address(bind_address)

    def entry() -> Coroutine[Any, Any, None]:
        from sidecar.drop_in import rdp_service

        return rdp_service.serve(
            rdp_service.RdpOptions(dbus_address=address, address=bind, certificate=cert, key=key)
        )

    run_service(entry)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    return run(command, NAME, arguments)


if __name__ == "__main__":
    sys.exit(main())
