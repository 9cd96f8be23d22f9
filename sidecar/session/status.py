"""The status document: the same for the command line, the hook's status service and every later report."""

from datetime import UTC, datetime
from typing import NotRequired, Protocol, TypedDict

from sidecar.guest import Guest
from sidecar.observers import Observers
from sidecar.problems import Problems
from sidecar.session.registry import Registry
from sidecar.session.session import Session


class ProtocolStatus(TypedDict):
    """`sessions`: the initialized ones."""

    sessions: int


class UsbServiceStatus(TypedDict):
    """`devices`: those that are redirected to the machine."""

    devices: int


class ServiceStatus(TypedDict):
    """The shape of VEP #119's `status.service` (facts: kubevirt section 6).

    `usb` is there where devices can be redirected.
    """

    vnc: ProtocolStatus
    rdp: ProtocolStatus
    usb: NotRequired[UsbServiceStatus]


class UsbDeviceStatus(TypedDict):
    """One device that is redirected.

    `slot`: the name of its port. `vendor`, `product`: four hexadecimal digits. `kind`: the name of its class,
    or those of its interfaces. `speed`: low, full, high, super or unknown. `address`: whence it comes, for
    people; empty for a unix socket.
    """

    slot: str
    vendor: str
    product: str
    kind: str
    speed: str
    address: str


class UsbSource(Protocol):
    """Who knows the devices. Belongs to the main loop."""

    @property
    def changes(self) -> Observers[[]]:
        """Called when devices have come or gone, among others."""
        ...

    def devices(self) -> list[UsbDeviceStatus]:
        """Those of this moment, in the order of their slots."""
        ...


class SessionStatus(TypedDict):
    """One session, as `sidecar.session.session.Session` names its parts; times are RFC 3339 in UTC."""

    id: str
    protocol: str
    transport: str
    tls: bool
    state: str
    address: str
    user: str
    auth: str
    ticket: str
    view_only: bool
    console: int
    connected: str
    initialized: str | None
    bytes_sent: int
    bytes_received: int
    frames: int
    encoding: str
    audio: str
    audio_drop_outs: int
    microphone: bool
    round_trip_ms: float | None


class ConsoleStatus(TypedDict):
    """One screen; width and height in pixels."""

    index: int
    label: str
    width: int
    height: int


class VmStatus(TypedDict):
    """The virtual machine; `state` is a `GuestState`."""

    state: str
    name: str
    uuid: str
    consoles: list[ConsoleStatus]


class ProblemStatus(TypedDict):
    """One `Problem`."""

    code: str
    severity: str
    message: str


class HealthStatus(TypedDict):
    """How the daemon itself is; `state` is `ok` or the worst `Severity`."""

    state: str
    problems: list[ProblemStatus]


class Status(TypedDict):
    """The whole document. `generation` rises with every change of state, not with the counters.

    `usb` is there where devices can be redirected.
    """

    generation: int
    service: ServiceStatus
    sessions: list[SessionStatus]
    vm: VmStatus
    health: HealthStatus
    usb: NotRequired[list[UsbDeviceStatus]]


def status_of(
    registry: Registry, vm: VmStatus, problems: Problems, usb: list[UsbDeviceStatus] | None = None
) -> Status:
    """The document of this moment. Sessions that have not authenticated are listed, and not counted.

    `usb`: the devices that are redirected; None: none can be.
    """
    status = Status(
        generation=registry.generation,
        service=ServiceStatus(
            vnc=ProtocolStatus(sessions=registry.count("vnc")),
            rdp=ProtocolStatus(sessions=registry.count("rdp")),
        ),
        sessions=[session_status(session) for session in registry],
        vm=vm,
        health=HealthStatus(
            state=problems.health,
            problems=[
                ProblemStatus(code=each.code, severity=each.severity.value, message=each.message)
                for each in problems
            ],
        ),
    )
    if usb is not None:
        status["service"]["usb"] = UsbServiceStatus(devices=len(usb))
        status["usb"] = usb
    return status


def session_status(session: Session) -> SessionStatus:
    """What is told about one session."""
    return SessionStatus(
        id=session.id,
        protocol=session.protocol,
        transport=session.transport,
        tls=session.tls,
        state=session.state.value,
        address=session.address,
        user=session.user,
        auth=session.auth,
        ticket=session.ticket,
        view_only=session.view_only,
        console=session.console,
        connected=_rfc3339(session.connected_at),
        initialized=None if session.initialized_at is None else _rfc3339(session.initialized_at),
        bytes_sent=session.bytes_sent,
        bytes_received=session.bytes_received,
        frames=session.frames,
        encoding=session.encoding,
        audio=session.audio,
        audio_drop_outs=session.audio_drop_outs,
        microphone=session.microphone,
        round_trip_ms=None if session.round_trip is None else round(session.round_trip * 1000, 1),
    )


def vm_status(guest: Guest) -> VmStatus:
    """What is told about the machine."""
    return VmStatus(
        state=guest.state.value,
        name=guest.name,
        uuid=guest.uuid,
        consoles=[
            ConsoleStatus(
                index=console.index,
                label=console.label,
                width=console.surface.frame.width,
                height=console.surface.frame.height,
            )
            for console in guest.consoles.values()
        ],
    )


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
