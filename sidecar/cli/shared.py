"""Settings that several commands have, and what is made of them."""

import os
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar, get_args

import click
from click.core import ParameterSource

from sidecar.cli.config_file import read_settings
from sidecar.cli.setting import CONSOLE_ADDRESS, LISTEN_ADDRESS, NO_ADDRESS, SECONDS, TCP_ADDRESS, setting
from sidecar.config.credentials import found_secrets
from sidecar.config.options import (
    AuthName,
    ClipboardName,
    GraphicsName,
    LogLevel,
    MicrophoneName,
    RdpSecurityName,
    ScreenshotName,
    SerialName,
    ShareName,
)
from sidecar.config.run_directory import default_run_directory
from sidecar.errors import UsageError

T = TypeVar("T")

FILE = click.Path(path_type=Path)

RANKS = (
    ParameterSource.COMMANDLINE,
    ParameterSource.ENVIRONMENT,
    ParameterSource.DEFAULT_MAP,
    ParameterSource.DEFAULT,
)
"""What goes before what."""


def _load_config(ctx: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    if path is not None:
        name = str(ctx.command.name)
        root = ctx.find_root().command
        # a command below another one, such as `ticket create`, is none of the root's
        commands = {**(root.commands if isinstance(root, click.Group) else {}), name: ctx.command}
        ctx.default_map = read_settings(path, name, commands)
    return path


def _run_dir(_ctx: click.Context, _parameter: click.Parameter, path: Path | None) -> Path:
    return path.absolute() if path else default_run_directory(os.environ, os.geteuid())


def _all(decorators: Iterable[Callable[[Any], Any]], command: T) -> T:
    # the last one applied comes first in the help
    return reduce(lambda decorated, decorate: decorate(decorated), reversed(list(decorators)), command)


def config_setting(command: T) -> T:
    """The setting --config, which fills in the other settings of its command."""
    decorate = setting(
        "--config",
        section="Daemon",
        type=FILE,
        is_eager=True,
        expose_value=False,
        callback=_load_config,
        help="TOML file with settings; the environment and the command line go before it.",
    )
    return _all((decorate,), command)


def running_daemon_settings(command: T) -> T:
    """Settings of the commands that talk to a running daemon, and of the daemon: --run-dir and --config."""
    run_dir = setting(
        "--run-dir",
        section="Daemon",
        type=FILE,
        callback=_run_dir,
        show_default="$XDG_RUNTIME_DIR/vdi-sidecar, else below /run or /tmp, or in the hook volume",
        help="Directory of the daemon's admin socket; it tells daemons apart.",
    )
    return _all((run_dir, config_setting), command)


def domain_settings(command: T) -> T:
    """Settings of the commands that rewrite a domain."""
    return _all(DOMAIN_SETTINGS, command)


def daemon_settings(command: T) -> T:
    """Settings that `serve`, `hook` and `demo` have in common."""
    return _all((*LISTEN_SETTINGS, *SESSION_SETTINGS, running_daemon_settings, *LOG_SETTINGS), command)


DOMAIN_SETTINGS: tuple[Callable[[Any], Any], ...] = (
    setting(
        "--graphics",
        section="Domain",
        type=click.Choice(get_args(GraphicsName)),
        help="How the domain gets its D-Bus display; by default the annotation vdi-sidecar/graphics decides, "
        "then replace.",
    ),
    setting(
        "--dbus-address",
        section="Domain",
        metavar="ADDRESS",
        help="The bus address to write into the domain; by default worked out from CONTAINER_NAME.",
    ),
    setting(
        "--screen/--no-screen",
        section="Domain",
        default=None,
        help="Give a machine without graphics a screen; by default the annotation vdi-sidecar/screen "
        "decides, then no.",
    ),
    setting(
        "--audio/--no-audio",
        section="Domain",
        default=None,
        help="Take sound over the bus; by default the annotation vdi-sidecar/audio decides, then yes, except "
        "with commandline.",
    ),
    setting(
        "--input/--no-input",
        section="Domain",
        default=None,
        help="Add an absolute pointer where there is none; by default the annotation vdi-sidecar/input "
        "decides, then yes.",
    ),
    setting(
        "--serial-console/--no-serial-console",
        section="Domain",
        default=None,
        help="Add a virtio console that viewers can reach; by default the annotation vdi-sidecar/serial "
        "decides, then no.",
    ),
    setting(
        "--clipboard-channel/--no-clipboard-channel",
        section="Domain",
        default=None,
        help="Add the channel by which spice-vdagent in the guest shares its clipboard; by default the "
        "annotation vdi-sidecar/clipboard decides, then no.",
    ),
    setting(
        "--usb-slots",
        section="Domain",
        type=int,
        metavar="N",
        help="Add slots for redirected USB devices, up to 8; by default the annotation vdi-sidecar/usb "
        "decides, then none.",
    ),
)

LISTEN_SETTINGS: tuple[Callable[[Any], Any], ...] = (
    setting(
        "--vnc",
        section="Listen",
        type=LISTEN_ADDRESS,
        multiple=True,
        metavar="ADDRESS",
        help="Serve VNC on HOST:PORT, [IPV6]:PORT, :PORT (every interface) or unix:PATH; may be repeated. "
        "`none`: no VNC.",
    ),
    setting(
        "--vnc-console",
        section="Listen",
        type=CONSOLE_ADDRESS,
        multiple=True,
        metavar="NAME=ADDRESS",
        help="Serve VNC on an address of its own that shows this console first: a serial port's name, or a "
        "number. May be repeated.",
    ),
    setting(
        "--rdp",
        section="Listen",
        type=LISTEN_ADDRESS,
        multiple=True,
        metavar="ADDRESS",
        help="Serve RDP, as --vnc serves VNC; always with TLS. `none`: no RDP.",
    ),
    setting(
        "--rdp-security",
        section="Listen",
        type=click.Choice(get_args(RdpSecurityName)),
        help="negotiate: RDP clients that can prove the password before they see anything (NLA), others send "
        "it over TLS; nla: all must; tls: none does.",
    ),
    setting(
        "--web",
        section="Listen",
        type=TCP_ADDRESS,
        metavar="HOST:PORT",
        help="Serve WebSocket at /websockify, as noVNC wants it.",
    ),
    setting(
        "--web-origin",
        section="Listen",
        multiple=True,
        metavar="ORIGIN",
        help="Let pages of this origin connect (https://vms.example.org, or *), besides pages of the host "
        "that they connect to. With a password any page may. Can be repeated.",
    ),
    setting(
        "--metrics",
        section="Listen",
        type=TCP_ADDRESS,
        metavar="HOST:PORT",
        help="Serve metrics for Prometheus at /metrics, to everybody: they name nobody.",
    ),
    setting(
        "--api",
        section="Listen",
        type=LISTEN_ADDRESS,
        multiple=True,
        metavar="ADDRESS",
        help="Serve the management API, by which USB devices come too, as --vnc serves VNC. `none`: no API.",
    ),
    setting(
        "--api-client-ca",
        section="Listen",
        type=FILE,
        metavar="PATH",
        help="Let clients of the management API show certificates that these sign; needs --tls-dir.",
    ),
    setting(
        "--api-roles",
        section="Listen",
        type=FILE,
        metavar="PATH",
        help="File that says who is viewer, operator or admin in the management API; without it the daemon's "
        "user and root are admins at a unix socket, and certificates have no role.",
    ),
    setting(
        "--screenshots",
        section="Listen",
        type=click.Choice(get_args(ScreenshotName)),
        help="Whether the management API gives pictures of the screen: always, only while nobody watches, or "
        "never.",
    ),
    setting(
        "--tls-dir",
        section="Listen",
        type=FILE,
        metavar="DIR",
        help="Use tls.crt and tls.key from DIR. Without it RDP signs its own certificate, in the run "
        "directory, and the others do without TLS.",
    ),
    setting(
        "--insecure",
        section="Listen",
        is_flag=True,
        help="Allow to be reached from outside without authentication.",
    ),
)

SESSION_SETTINGS: tuple[Callable[[Any], Any], ...] = (
    setting(
        "--auth",
        section="Sessions",
        type=click.Choice(get_args(AuthName)),
        help="How viewers prove who they are; --password-file and --users-file mean password. Where anybody "
        "is asked, tickets let in too.",
    ),
    setting(
        "--password-file",
        section="Sessions",
        type=FILE,
        metavar="PATH",
        help="File that holds the password, such as a mounted secret; read again at every login.",
    ),
    setting(
        "--users-file",
        section="Sessions",
        type=FILE,
        metavar="PATH",
        help="File of users with hashed passwords; read again when it has changed.",
    ),
    setting(
        "--auth-timeout",
        section="Sessions",
        type=SECONDS,
        metavar="TIME",
        show_default="30s",
        help="Time for a connection to log in.",
    ),
    setting(
        "--share",
        section="Sessions",
        type=click.Choice(get_args(ShareName)),
        help="shared: everybody may watch; exclusive: a newcomer takes over; single: a second is refused. "
        "What the viewer asks for does not matter.",
    ),
    setting(
        "--max-sessions",
        section="Sessions",
        type=int,
        metavar="N",
        help="Sessions at once, at most.",
    ),
    setting(
        "--view-only",
        section="Sessions",
        is_flag=True,
        help="Ignore keys, pointer and clipboard of every session.",
    ),
    setting(
        "--sound/--no-sound",
        section="Sound, clipboard, serial ports",
        help="Let sessions hear the machine.",
    ),
    setting(
        "--microphone",
        section="Sound, clipboard, serial ports",
        type=click.Choice(get_args(MicrophoneName)),
        help="Who speaks to the machine, of the RDP clients that offer a microphone: the first until it "
        "leaves, the last that came, or nobody.",
    ),
    setting(
        "--clipboard",
        section="Sound, clipboard, serial ports",
        type=click.Choice(get_args(ClipboardName)),
        help="Which way copied text may go.",
    ),
    setting(
        "--share-clipboard",
        section="Sound, clipboard, serial ports",
        is_flag=True,
        help="Give what one session copied to the other sessions too.",
    ),
    setting(
        "--serial",
        section="Sound, clipboard, serial ports",
        type=click.Choice(get_args(SerialName)),
        help="Who may write to serial ports: everybody, one session at a time, or nobody, and all may read; "
        "off: they are not served.",
    ),
    setting(
        "--text-consoles/--no-text-consoles",
        section="Sound, clipboard, serial ports",
        help="Show serial ports as screens, which viewers reach by Ctrl-Alt-2 and so on.",
    ),
    setting(
        "--monitor",
        section="Sound, clipboard, serial ports",
        is_flag=True,
        help="Serve QEMU's monitor among the serial ports: who may write there rules the machine.",
    ),
    setting(
        "--allow-power",
        section="Sessions",
        is_flag=True,
        help="Let viewers shut down and reset the machine (xvp).",
    ),
    setting(
        "--name",
        section="Sessions",
        metavar="TEXT",
        help="The machine's name for viewers; by default the guest's own.",
    ),
    setting(
        "--touch-screen/--no-touch-screen",
        section="Sessions",
        default=None,
        help="Whether the machine has a touch screen (QEMU 8.1, virtio-multitouch-pci) for the fingers of "
        "RDP clients; by default found out with --qmp, else no: a finger is the left button then.",
    ),
    setting(
        "--keyboard-layout",
        section="Sessions",
        metavar="LAYOUT",
        help="The guest's layout, for viewers that do not send key codes: en-us, de, fr ...",
    ),
)

LOG_SETTINGS: tuple[Callable[[Any], Any], ...] = (
    setting(
        "--log-level",
        section="Daemon",
        type=click.Choice(get_args(LogLevel)),
        help="What is logged to stderr.",
    ),
    setting("--log-json", section="Daemon", is_flag=True, help="Log one JSON object a line."),
)


def rank(ctx: click.Context, name: str) -> int:
    """Where the value of a parameter comes from: an index into RANKS, the lowest goes first."""
    source = ctx.get_parameter_source(name)
    return RANKS.index(source) if source in RANKS else len(RANKS)


def given(ctx: click.Context, name: str) -> bool:
    """Whether somebody has said something about a parameter."""
    return rank(ctx, name) < RANKS.index(ParameterSource.DEFAULT)


def only_the_first(ctx: click.Context, values: dict[str, Any], names: Iterable[str]) -> None:
    """Of settings that exclude each other, takes back those that one of a higher rank overrules."""
    said = {name: rank(ctx, name) for name in names if given(ctx, name)}
    for name, its_rank in said.items():
        if its_rank > min(said.values()):
            values[name] = None


def option_values(ctx: click.Context, values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a daemon's command as its option class wants them. Raises UsageError."""
    made = dict(values)
    for option in ("vnc", "rdp", "api"):
        made[option] = _addresses(option, made[option])
    found = found_secrets(os.environ)
    if not any(given(ctx, name) for name in ("auth", "password_file", "users_file")):
        made["password_file"], made["users_file"] = found.password_file, found.users_file
    if not given(ctx, "tls_dir"):
        made["tls_dir"] = found.tls_dir
    for secret in ("password_file", "users_file"):
        if made[secret] is None:
            continue
        if not given(ctx, "auth") or rank(ctx, "auth") > rank(ctx, secret):
            made["auth"] = "password"
        elif made["auth"] != "password" and rank(ctx, "auth") < rank(ctx, secret):
            made[secret] = None
            continue
        made[secret] = made[secret].absolute()
    chosen = {name: value for name, value in made.items() if value is not None}
    if chosen.get("hook_dir") == Path("none"):
        chosen["hook_dir"] = None
    return chosen


def _addresses(option: str, addresses: tuple[Any, ...]) -> tuple[Any, ...]:
    if NO_ADDRESS not in addresses:
        return addresses
    if len(addresses) > 1:
        raise UsageError(f"--{option} none stands alone")
    return ()
