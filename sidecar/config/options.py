"""Every option of the daemon's commands, with the rules that they keep among themselves."""

import re
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from sidecar.bus_address import check_bus_address
from sidecar.config.address import ConsoleAddress, ListenAddress, TcpAddress
from sidecar.config.run_directory import HOOK_VOLUME
from sidecar.errors import UsageError

ShareName: TypeAlias = Literal["shared", "exclusive", "single"]
AuthName: TypeAlias = Literal["none", "password", "ticket"]
ScreenshotName: TypeAlias = Literal["always", "unwatched", "never"]
RdpSecurityName: TypeAlias = Literal["negotiate", "nla", "tls"]
MicrophoneName: TypeAlias = Literal["off", "first", "last"]
ClipboardName: TypeAlias = Literal["both", "to-guest", "from-guest", "off"]
SerialName: TypeAlias = Literal["everybody", "one", "nobody", "off"]
GraphicsName: TypeAlias = Literal["replace", "keep-vnc", "commandline"]
DemoGuest: TypeAlias = Literal["debian", "box"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]

DEFAULT_VNC = TcpAddress("127.0.0.1", 5900)
DEFAULT_RDP = TcpAddress("127.0.0.1", 3389)
"""Of `demo`; the other commands serve RDP where they are told to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonOptions:
    """What `serve`, `hook` and `demo` have in common. Raises UsageError for what cannot be together."""

    run_dir: Path
    vnc: tuple[ListenAddress, ...] = (DEFAULT_VNC,)
    """Empty: no VNC."""
    rdp: tuple[ListenAddress, ...] = ()
    """Empty: no RDP."""
    rdp_security: RdpSecurityName = "negotiate"
    """Whether RDP clients prove their password before they see anything (NLA): if they can, always, never."""
    web: TcpAddress | None = None
    """Where WebSocket (and the web page) is served."""
    web_origin: tuple[str, ...] = ()
    """Origins whose pages may connect besides those of the host itself; `*` means all."""
    name: str = ""
    """The machine's name for viewers; empty: the guest's own."""
    share: ShareName = "shared"
    max_sessions: int = 32
    view_only: bool = False
    auth: AuthName = "none"
    password_file: Path | None = None
    users_file: Path | None = None
    """Users of their own, with hashed passwords."""
    auth_timeout: float = 30.0
    """Seconds for a connection to authenticate."""
    metrics: TcpAddress | None = None
    """Where Prometheus may ask for the metrics; they name no users and no addresses."""
    api: tuple[ListenAddress, ...] = ()
    """Where the management API is served; empty: nowhere."""
    api_client_ca: Path | None = None
    """Certificates of those who sign the clients' certificates of the management API; None: it takes none."""
    api_roles: Path | None = None
    """Which certificate, and which local user, has which role there; None: this user and root are admins."""
    screenshots: ScreenshotName = "always"
    """Whether the management API gives pictures of the screen: always, while nobody watches, never."""
    tls_dir: Path | None = None
    """Holds tls.crt and tls.key, and ca.crt if there is one. None: RDP signs its own certificate."""
    allow_power: bool = False
    """Whether viewers may shut down and reset the machine (RFB xvp)."""
    sound: bool = True
    """Whether sessions hear the machine."""
    microphone: MicrophoneName = "first"
    """Which session speaks to the machine, of those whose clients offer a microphone."""
    clipboard: ClipboardName = "both"
    """Which way text may go between the machine's clipboard and those of the sessions."""
    share_clipboard: bool = False
    """Whether what one session copied is given to the others too."""
    serial: SerialName = "everybody"
    """Who may write to serial ports; everybody may read them, but not with `off`."""
    text_consoles: bool = True
    """Whether serial ports can be looked at as screens (Ctrl-Alt-2)."""
    monitor: bool = False
    """Whether QEMU's monitor is among the serial ports, where QEMU has it on its display."""
    vnc_console: tuple[ConsoleAddress, ...] = ()
    """Where VNC shows another console first."""
    touch_screen: bool | None = None
    """Whether the machine has a touch screen; None: found out where QEMU can be asked (QMP), else no."""
    keyboard_layout: str = "en-us"
    """For viewers that send key symbols and not key codes."""
    insecure: bool = False
    """Lets it listen to the world without authentication."""
    log_level: LogLevel = "info"
    log_json: bool = False

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions(DaemonOptions):
    """Options of `serve`: exactly one of `dbus_address`, `p2p_fd` and `qmp` says where the machine is."""

    dbus_address: str | None = None
    """The bus that QEMU is on, as `name` of `bus_name`."""
    bus_name: str = "org.qemu"
    p2p_fd: int | None = None
    """An open descriptor of a connection to QEMU's D-Bus display."""
    qmp: Path | None = None
    """QEMU's QMP socket, by which a connection is handed to QEMU."""
    libvirt: str | None = None
    """URI of the libvirt that runs `domain`."""
    domain: str | None = None
    """Name or UUID of the machine in `libvirt`."""
    control_qmp: Path | None = None
    """A QMP socket for information and control alone, beside a bus or a descriptor."""

    def __post_init__(self) -> None:
        _check(self)
        given = [
            option
            for option, value in (
                ("--dbus-address", self.dbus_address),
                ("--p2p-fd", self.p2p_fd),
                ("--qmp", self.qmp),
                ("--libvirt", self.libvirt),
            )
            if value is not None
        ]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} exclude each other: say once where the machine is")
        if not given:
            raise UsageError(
                "say where the machine is: --dbus-address ADDRESS, --qmp SOCKET, --libvirt URI --domain NAME "
                "or --p2p-fd FD"
            )
        if (self.libvirt is None) != (self.domain is None):
            raise UsageError("--libvirt URI and --domain NAME belong together")
        if self.control_qmp is not None and (self.qmp is not None or self.libvirt is not None):
            raise UsageError(
                "--control-qmp is of no use with --qmp or --libvirt, which control the machine too"
            )
        if self.p2p_fd is not None and self.p2p_fd < 0:
            raise UsageError(f"--p2p-fd {self.p2p_fd} is not a file descriptor")
        if self.dbus_address is not None:
            check_bus_address(self.dbus_address)


@dataclass(frozen=True, slots=True, kw_only=True)
class HookOptions(DaemonOptions):
    """Options of `hook`, beside KubeVirt's virt-launcher."""

    hook_dir: Path | None = HOOK_VOLUME
    """Where the hook socket is put; None: no hook socket, KubeVirt calls by its plugin API alone."""
    plugin_socket: Path | None = None
    """Where the socket of KubeVirt's plugin API is put; None: no such socket (facts: kubevirt 3)."""
    bus_dir: Path | None = None
    """Where the bus's socket is put; None: `dbus` beside the hook socket, or else beside the plugin's."""
    bus_dir_for_qemu: Path | None = None
    """The same directory as QEMU's container sees it; None: worked out (facts: kubevirt 4)."""
    dbus_address: str | None = None
    """The whole address to write into the domain, in place of one made from `bus_dir_for_qemu`."""
    annotate_vmi: bool = False
    """Whether the sessions are told in annotations of the VMI, by the pod's service account."""
    graphics: GraphicsName | None = None
    """How the domain gets its D-Bus display; None: the VMI's annotation decides, then `replace`."""
    screen: bool | None = None
    """Whether a machine without graphics gets a screen; None: the annotation vdi-sidecar/screen, then no."""
    audio: bool | None = None
    """Whether sound goes over the bus; None: the annotation vdi-sidecar/audio, then as `graphics` allows."""
    serial_console: bool | None = None
    """Whether the machine gets a console for viewers; None: the annotation vdi-sidecar/serial, then no."""
    clipboard_channel: bool | None = None
    """Whether it gets a clipboard channel; None: the annotation vdi-sidecar/clipboard, then no."""
    usb_slots: int | None = None
    """Slots for redirected USB devices; None: the annotation vdi-sidecar/usb, then none."""
    input: bool | None = None
    """Whether a missing absolute pointer is added; None: the annotation vdi-sidecar/input, then yes."""
    grace: float = 60.0
    """Seconds after SIGTERM during which a running machine keeps its bus and its viewers."""
    leave_after: float | None = None
    """Seconds without a machine that was there, after which the daemon leaves where nobody calls Shutdown,
    so only without `hook_dir`; None: 30 there."""
    grace_follows_vmi: bool = True
    """Whether the VMI's own grace period takes the place of `grace` once it is known: nobody gave one."""

    def __post_init__(self) -> None:
        _check(self)
        if not 0 <= self.grace <= 86400 * 365:
            raise UsageError("--grace must be from nothing to a year")
        if self.leave_after is not None:
            if not 0 <= self.leave_after <= 86400 * 365:
                raise UsageError("--leave-after must be from nothing to a year")
            if self.hook_dir is not None:
                raise UsageError(
                    "--leave-after is of no use with a hook socket, where virt-launcher says when to go: "
                    "leave it out, or add --hook-dir none"
                )
        if self.dbus_address is not None:
            check_bus_address(self.dbus_address)
        if self.hook_dir is None and self.plugin_socket is None:
            raise UsageError("--hook-dir none leaves nothing for KubeVirt to call: add --plugin-socket PATH")
        if self.dbus_address is not None and self.bus_dir_for_qemu is not None:
            raise UsageError(
                "--dbus-address and --bus-dir-for-qemu say the same thing: leave one of them out"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions(DaemonOptions):
    """Options of `demo`."""

    guest: DemoGuest | None = None
    """None: the best one that can run here."""
    memory: int = 1024
    """MiB for the guest."""
    headless: bool = False
    """No live table of sessions."""
    next_port: bool = True
    """Whether VNC may take the next free port where its port is taken: it was not asked for by name."""
    next_rdp_port: bool = True
    """The same for RDP."""

    def __post_init__(self) -> None:
        _check(self)
        if not 16 <= self.memory <= 1024 * 1024:
            raise UsageError("--memory must be from 16M to 1024G")


def _check(options: DaemonOptions) -> None:
    for option, value, allowed in (
        ("--share", options.share, get_args(ShareName)),
        ("--auth", options.auth, get_args(AuthName)),
        ("--screenshots", options.screenshots, get_args(ScreenshotName)),
        ("--rdp-security", options.rdp_security, get_args(RdpSecurityName)),
        ("--microphone", options.microphone, get_args(MicrophoneName)),
        ("--clipboard", options.clipboard, get_args(ClipboardName)),
        ("--serial", options.serial, get_args(SerialName)),
        ("--log-level", options.log_level, get_args(LogLevel)),
    ):
        if value not in allowed:
            raise UsageError(f"{option} {value!r} is none of {', '.join(allowed)}")
    if options.max_sessions < 1:
        raise UsageError("--max-sessions must be 1 or more")
    if not 1 <= options.auth_timeout <= 3600:
        raise UsageError("--auth-timeout must be from one second to one hour")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", options.keyboard_layout, re.ASCII):
        raise UsageError(
            f"--keyboard-layout {options.keyboard_layout!r} is not a layout: write en-us, de, fr"
        )
    files = (("--password-file", options.password_file), ("--users-file", options.users_file))
    if options.auth == "password" and all(path is None for _, path in files):
        raise UsageError("--auth password needs --password-file PATH or --users-file PATH")
    for option, path in files:
        if options.auth != "password" and path is not None:
            raise UsageError(f"{option} is of no use with --auth {options.auth}: leave one of them out")
    if options.api_client_ca is not None and options.tls_dir is None:
        raise UsageError("--api-client-ca needs --tls-dir DIR: certificates are shown within TLS")
    if options.auth == "none" and options.rdp_security == "nla":
        raise UsageError("--rdp-security nla proves a password: add --password-file PATH")
    _check_places(options)
    _check_reach(options)


def _listeners(options: DaemonOptions) -> list[tuple[str, ListenAddress]]:
    """Everything that listens, with its option."""
    listeners: list[tuple[str, ListenAddress]] = []
    listeners += [("--vnc", address) for address in options.vnc]
    listeners += [("--vnc-console", each.address) for each in options.vnc_console]
    listeners += [("--rdp", address) for address in options.rdp]
    listeners += [("--api", address) for address in options.api]
    for option, address in (("--web", options.web), ("--metrics", options.metrics)):
        if address is not None:
            listeners.append((option, address))
    return listeners


def _check_places(options: DaemonOptions) -> None:
    """No two listeners are where only one can be."""
    for (option, address), (other, place) in combinations(_listeners(options), 2):
        if _collide(address, place):
            raise UsageError(f"{option} {address} and {other} {place} exclude each other: move one of them")


def _collide(one: ListenAddress, other: ListenAddress) -> bool:
    if not (isinstance(one, TcpAddress) and isinstance(other, TcpAddress)):
        return one == other
    return one.port == other.port != 0 and (one.host == other.host or "" in (one.host, other.host))


def _check_reach(options: DaemonOptions) -> None:
    """Nobody serves a screen and a keyboard to the whole network by a slip."""
    if options.auth != "none" or options.insecure:
        return
    for option, address in _listeners(options):
        # metrics name nobody, and there is nothing to type on
        guarded = option == "--metrics" or (option == "--api" and options.api_client_ca is not None)
        if not guarded and not address.is_local:
            raise UsageError(
                f"{option} {address} can be reached from outside and nobody would be asked for a password: "
                "add --password-file PATH or --auth ticket, listen on 127.0.0.1, or say --insecure"
            )
