"""`vdi-qemu-vnc`: the command line of `qemu-vnc`, QEMU 11.1."""

import os
import sys
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from sidecar import __version__
from sidecar.bus_address import check_bus_address
from sidecar.command_line import run
from sidecar.drop_in.bus import session_bus
from sidecar.drop_in.program import run_service
from sidecar.drop_in.sharing import Sharing
from sidecar.drop_in.vnc_options import DEFAULT_CHARDEVS, VncOptions, parse_display, parse_websocket
from sidecar.drop_in.vnc_password import credential_in
from sidecar.errors import UsageError

NAME = "vdi-qemu-vnc"


def _refuse(reason: str) -> Any:
    def callback(_ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value:
            raise UsageError(f"{parameter.opts[-1]} is not supported: {reason}")

    return callback


NO_OBJECTS = "client certificates are not checked here; let the network or a password keep strangers out"
NO_SASL = "use a password (SetPassword) within TLS (--tls-creds)"


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  vdi-qemu-vnc --dbus-address unix:path=/run/vm/bus --bus-name org.qemu --wait --vnc-addr localhost:0
  vdi-qemu-vnc --vnc-addr unix:/run/vm/vnc --password

libvirt starts it when qemu.conf says qemu_vnc = "/path/to/vdi-qemu-vnc". It is managed over D-Bus as
org.qemu.vnc: SetPassword, ExpirePassword, ReloadCertificates, AddClient, and it ends with QEMU.""",
)
@click.option(
    "-a", "--dbus-address", metavar="ADDRESS", help="The bus that QEMU is on; by default the session's."
)
@click.option(
    "-p",
    "--dbus-p2p-fd",
    "p2p_fd",
    type=click.IntRange(min=0),
    metavar="FD",
    help="An inherited descriptor of a connection to QEMU itself.",
)
@click.option(
    "-n",
    "--bus-name",
    metavar="NAME",
    help="QEMU's name on the bus [org.qemu]. With --dbus-address alone QEMU itself is at that address.",
)
@click.option("-W", "--wait", is_flag=True, help="Wait until QEMU's name is on the bus.")
@click.option(
    "-l",
    "--vnc-addr",
    default="localhost:0",
    show_default=True,
    metavar="ADDR",
    help="HOST:N (port 5900 + N), [IPV6]:N, :N (every interface), unix:PATH or none.",
)
@click.option(
    "-w", "--websocket", metavar="ADDR", help="Serve WebSocket on PORT of the same host, or on HOST:PORT."
)
@click.option(
    "-s",
    "--share",
    type=click.Choice([each.value for each in Sharing]),
    default=Sharing.ALLOW_EXCLUSIVE.value,
    show_default=True,
    help="What becomes of a client that wants to be alone: it is, it is refused, nobody looks.",
)
@click.option(
    "-k",
    "--keyboard-layout",
    default="en-us",
    show_default=True,
    metavar="LAYOUT",
    help="For viewers that send key symbols and not key codes.",
)
@click.option(
    "--password", is_flag=True, help="Ask for the password that SetPassword sets; before that nobody gets in."
)
@click.option(
    "-t",
    "--tls-creds",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Take nobody without TLS; server-cert.pem and server-key.pem are in DIR.",
)
@click.option(
    "-C",
    "--vt-chardev",
    multiple=True,
    metavar="NAME",
    help="A character device that is shown as a text console; may be repeated. "
    f"[{', '.join(DEFAULT_CHARDEVS)}]",
)
@click.option("-N", "--no-vt", is_flag=True, help="Show no character devices.")
@click.option(
    "--lossy", is_flag=True, help="Taken; what moves is lossy for clients that allow it, what rests is exact."
)
@click.option("--non-adaptive", is_flag=True, help="Taken; without effect.")
@click.option("-T", "--trace", multiple=True, metavar="PATTERN", help="Log more, whatever the pattern.")
@click.option(
    "-O",
    "--object",
    "objects",
    multiple=True,
    metavar="OBJDEF",
    callback=_refuse(NO_OBJECTS),
    expose_value=False,
    help="Refused.",
)
@click.option("--tls-authz", metavar="ID", callback=_refuse(NO_OBJECTS), expose_value=False, help="Refused.")
@click.option("--sasl", is_flag=True, callback=_refuse(NO_SASL), expose_value=False, help="Refused.")
@click.option("--sasl-authz", metavar="ID", callback=_refuse(NO_SASL), expose_value=False, help="Refused.")
@click.version_option(
    __version__, "-V", "--version", message="vdi-qemu-vnc %(version)s, as qemu-vnc of QEMU 11.1"
)
def command(**values: Any) -> None:
    """Serve the screen of a QEMU on D-Bus over VNC: QEMU's qemu-vnc, by vdi-sidecar."""
    options = options_of(values)

    def entry() -> Coroutine[Any, Any, None]:
        from sidecar.drop_in.vnc_service import serve

        return serve(options)

    run_service(entry, debug=options.debug)


def options_of(values: Mapping[str, Any]) -> VncOptions:
    """What the parameters of the command say. Raises UsageError."""
    address, fd, name = values["dbus_address"], values["p2p_fd"], values["bus_name"]
    if fd is not None and (address is not None or name is not None):
        raise UsageError("--dbus-p2p-fd leads to QEMU itself: leave --dbus-address and --bus-name out")
    if fd is None:
        name = name or ("org.qemu" if address is None else None)
        address = session_bus(os.environ) if address is None else address
        check_bus_address(address)
    if values["wait"] and name is None:
        raise UsageError("--wait waits for a name on a bus: add --bus-name NAME")
    display = parse_display(values["vnc_addr"])
    websocket = values["websocket"]
    return VncOptions(
        dbus_address=address,
        bus_name=name,
        p2p_fd=fd,
        wait=values["wait"],
        vnc=display,
        websocket=None if websocket is None else parse_websocket(websocket, display),
        sharing=Sharing(values["share"]),
        keyboard_layout=values["keyboard_layout"],
        password=values["password"],
        credential=credential_in(os.environ),
        tls_directory=values["tls_creds"],
        chardevs=() if values["no_vt"] else values["vt_chardev"] or DEFAULT_CHARDEVS,
        debug=bool(values["trace"]),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    return run(command, NAME, arguments)


if __name__ == "__main__":
    sys.exit(main())
