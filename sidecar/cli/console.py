"""`vdi-sidecar console`."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from sidecar.cli.setting import Parsed, SettingsCommand, setting
from sidecar.cli.shared import FILE
from sidecar.config.address import ListenAddress, TcpAddress, UnixAddress, parse_listen_address
from sidecar.config.password import read_password_once
from sidecar.errors import SidecarError, UsageError

if TYPE_CHECKING:
    import ssl

    from sidecar.console.ports import Ports
    from sidecar.console.run import Attach, List

CONNECT_TIME = 15.0
"""Seconds that each address of a host may take to answer."""

LOCAL_HOST = "localhost"

SERVER_ADDRESS: Parsed[ListenAddress] = Parsed("address", parse_listen_address, (TcpAddress, UnixAddress))


def _complete_escape(
    _ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    keys = {"^]": "Ctrl-]", "^A": "Ctrl-A", "~": "a tilde", "none": "no commands at the keyboard"}
    return [CompletionItem(key, help=text) for key, text in keys.items() if key.startswith(incomplete)]


def _complete_port(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from sidecar.console.run import List
    from sidecar.console.transport import tls_context

    given = ctx.params
    found: list[CompletionItem] = []

    def collect(ports: "Ports") -> None:
        found.extend(
            CompletionItem(name, help=port.label if name == port.name else port.name)
            for port in ports
            for name in dict.fromkeys((port.name, port.label))
            if name.startswith(incomplete) and name.isprintable()
        )

    def password() -> str:
        if given.get("password_file") is None:
            # a shell that completes cannot ask
            raise UsageError("a password is needed")
        return read_password_once(given["password_file"])

    def tls() -> "ssl.SSLContext":
        return tls_context(given.get("ca"), verify=not given.get("tls_insecure"))

    tls_only = given.get("ca") is not None or given.get("tls_name") is not None
    with contextlib.suppress(SidecarError):
        # a shell that completes has nobody to tell
        server = Server(given["vnc"], tls_only, bool(given.get("insecure_plain")), given.get("tls_name"))
        server.visit(given.get("user"), password, tls, List(collect))
    return found


@click.command(
    cls=SettingsCommand,
    short_help="Attach this terminal to a machine's serial port, through its VNC port.",
    epilog="""\b
Examples:
  vdi-sidecar console
  vdi-sidecar console --vnc vm.example.org:5900 --list
  vdi-sidecar console --vnc vm.example.org:5900 --ca ca.crt serial0
  echo reboot | vdi-sidecar console --vnc unix:/run/vm/vnc --no-history""",
)
@click.argument("name", required=False, shell_complete=_complete_port)
@setting(
    "--vnc",
    section="Server",
    type=SERVER_ADDRESS,
    default="127.0.0.1:5900",
    metavar="ADDRESS",
    help="The VNC server: HOST:PORT, [IPV6]:PORT, :PORT (this machine) or unix:PATH.",
)
@setting("--user", section="Server", metavar="NAME", help="The user's name, where the server asks for one.")
@setting(
    "--password-file",
    section="Server",
    type=FILE,
    metavar="PATH",
    help="File that holds the password; without it you are asked.",
)
@setting(
    "--ca",
    section="Server",
    type=FILE,
    metavar="FILE",
    help="Take only TLS, with a certificate signed by one in FILE (PEM), or that is in FILE itself. Without "
    "it certificates must be signed by those that the system trusts.",
)
@setting(
    "--tls-name",
    section="Server",
    metavar="NAME",
    help="The name that the certificate must be for, where it is not HOST. Takes only TLS, as --ca does.",
)
@setting("--tls-insecure", section="Server", is_flag=True, help="Take any certificate.")
@setting(
    "--insecure-plain",
    section="Server",
    is_flag=True,
    help="Send the password even where anybody on the way can read it.",
)
@click.option("--list", "as_list", is_flag=True, help="Show the ports and leave.")
@setting("--read-only", section="Console", is_flag=True, help="Send nothing to the port.")
@setting(
    "--no-history", section="Console", is_flag=True, help="Leave out what the machine wrote before we came."
)
@setting(
    "--escape",
    section="Console",
    default="^]",
    metavar="CHAR",
    shell_complete=_complete_escape,
    help="The key that commands begin with: a character, ^ and a letter for Ctrl, or none.",
)
def console(
    *,
    name: str | None,
    vnc: ListenAddress,
    user: str | None,
    password_file: Path | None,
    ca: Path | None,
    tls_name: str | None,
    tls_insecure: bool,
    insecure_plain: bool,
    as_list: bool,
    read_only: bool,
    no_history: bool,
    escape: str,
) -> int:
    """Attach this terminal to a serial port of a machine, through the VNC server that shows its screen.

    NAME is a port's name, its label, or the unique beginning of one; without it the only serial port is
    meant. Ctrl-] then q leaves.

    Where standard input is no terminal it is sent as it is; the command ends when the port does.
    """
    if tls_insecure and (ca is not None or tls_name is not None):
        raise UsageError("--tls-insecure takes any certificate: leave it out, or --ca and --tls-name")
    if as_list and name is not None:
        raise UsageError("--list shows every port: leave out the name")

    from sidecar.console.attach import Manner
    from sidecar.console.escape import parse_escape
    from sidecar.console.run import Attach, List
    from sidecar.console.transport import tls_context

    def tls() -> "ssl.SSLContext":
        if tls_insecure:
            click.echo("vdi-sidecar: the certificate is not checked: anybody may be the server", err=True)
        return tls_context(ca, verify=not tls_insecure)

    manner = Manner(parse_escape(escape), write=not read_only, history=not no_history)
    server = Server(vnc, ca is not None or tls_name is not None, insecure_plain, tls_name)
    password = None if password_file is None else partial(read_password_once, password_file)
    return server.visit(user, password, tls, List(_print_ports) if as_list else Attach(name, manner))


@dataclass(frozen=True, slots=True)
class Server:
    """Where the server is, and what is demanded of it."""

    address: ListenAddress
    tls_only: bool
    insecure_plain: bool
    tls_name: str | None

    def visit(
        self,
        user: str | None,
        password: Callable[[], str] | None,
        tls: Callable[[], "ssl.SSLContext"],
        job: "Attach | List",
    ) -> int:
        """Connects and does `job`; the exit status."""
        from sidecar.console.handshake import ClientSecurity
        from sidecar.console.run import Identity, console
        from sidecar.console.transport import connect, connect_unix

        if isinstance(self.address, UnixAddress):
            security, host = ClientSecurity(plain=True), LOCAL_HOST
            connection = connect_unix(self.address.path)
        else:
            host = self.address.host or LOCAL_HOST
            plain = self.insecure_plain or TcpAddress(host, 0).is_local
            security = ClientSecurity(self.tls_only, plain)
            connection = connect(host, self.address.port, time_limit=CONNECT_TIME)
        identity = Identity(_login_name() if user is None else user, password, tls, self.tls_name or host)
        return console(connection, security, identity, job)


def _print_ports(ports: "Ports") -> None:
    for line in ports.table() if any(ports) else ["there are no ports"]:
        click.echo(line)


def _login_name() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # a container whose user has no name
        return ""
