from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Status(_message.Message):
    __slots__ = ("generation", "service", "sessions", "vm", "health", "usb")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    VM_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    USB_FIELD_NUMBER: _ClassVar[int]
    generation: int
    service: Service
    sessions: _containers.RepeatedCompositeFieldContainer[Session]
    vm: VirtualMachine
    health: Health
    usb: _containers.RepeatedCompositeFieldContainer[UsbDevice]
    def __init__(self, generation: _Optional[int] = ..., service: _Optional[_Union[Service, _Mapping]] = ..., sessions: _Optional[_Iterable[_Union[Session, _Mapping]]] = ..., vm: _Optional[_Union[VirtualMachine, _Mapping]] = ..., health: _Optional[_Union[Health, _Mapping]] = ..., usb: _Optional[_Iterable[_Union[UsbDevice, _Mapping]]] = ...) -> None: ...

class Service(_message.Message):
    __slots__ = ("vnc", "rdp", "usb")
    VNC_FIELD_NUMBER: _ClassVar[int]
    RDP_FIELD_NUMBER: _ClassVar[int]
    USB_FIELD_NUMBER: _ClassVar[int]
    vnc: ProtocolService
    rdp: ProtocolService
    usb: UsbService
    def __init__(self, vnc: _Optional[_Union[ProtocolService, _Mapping]] = ..., rdp: _Optional[_Union[ProtocolService, _Mapping]] = ..., usb: _Optional[_Union[UsbService, _Mapping]] = ...) -> None: ...

class ProtocolService(_message.Message):
    __slots__ = ("sessions",)
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    sessions: int
    def __init__(self, sessions: _Optional[int] = ...) -> None: ...

class UsbService(_message.Message):
    __slots__ = ("devices",)
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    devices: int
    def __init__(self, devices: _Optional[int] = ...) -> None: ...

class Session(_message.Message):
    __slots__ = ("id", "protocol", "transport", "tls", "state", "address", "user", "auth", "view_only", "console", "connected", "initialized", "bytes_sent", "bytes_received", "frames", "encoding", "round_trip_ms", "audio", "audio_drop_outs", "microphone", "ticket")
    ID_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    AUTH_FIELD_NUMBER: _ClassVar[int]
    VIEW_ONLY_FIELD_NUMBER: _ClassVar[int]
    CONSOLE_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    INITIALIZED_FIELD_NUMBER: _ClassVar[int]
    BYTES_SENT_FIELD_NUMBER: _ClassVar[int]
    BYTES_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    ROUND_TRIP_MS_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    AUDIO_DROP_OUTS_FIELD_NUMBER: _ClassVar[int]
    MICROPHONE_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    id: str
    protocol: str
    transport: str
    tls: bool
    state: str
    address: str
    user: str
    auth: str
    view_only: bool
    console: int
    connected: str
    initialized: str
    bytes_sent: int
    bytes_received: int
    frames: int
    encoding: str
    round_trip_ms: float
    audio: str
    audio_drop_outs: int
    microphone: bool
    ticket: str
    def __init__(self, id: _Optional[str] = ..., protocol: _Optional[str] = ..., transport: _Optional[str] = ..., tls: bool = ..., state: _Optional[str] = ..., address: _Optional[str] = ..., user: _Optional[str] = ..., auth: _Optional[str] = ..., view_only: bool = ..., console: _Optional[int] = ..., connected: _Optional[str] = ..., initialized: _Optional[str] = ..., bytes_sent: _Optional[int] = ..., bytes_received: _Optional[int] = ..., frames: _Optional[int] = ..., encoding: _Optional[str] = ..., round_trip_ms: _Optional[float] = ..., audio: _Optional[str] = ..., audio_drop_outs: _Optional[int] = ..., microphone: bool = ..., ticket: _Optional[str] = ...) -> None: ...

class UsbDevice(_message.Message):
    __slots__ = ("slot", "vendor", "product", "kind", "speed", "address")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    VENDOR_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    slot: str
    vendor: str
    product: str
    kind: str
    speed: str
    address: str
    def __init__(self, slot: _Optional[str] = ..., vendor: _Optional[str] = ..., product: _Optional[str] = ..., kind: _Optional[str] = ..., speed: _Optional[str] = ..., address: _Optional[str] = ...) -> None: ...

class VirtualMachine(_message.Message):
    __slots__ = ("name", "uuid", "state", "consoles")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CONSOLES_FIELD_NUMBER: _ClassVar[int]
    name: str
    uuid: str
    state: str
    consoles: _containers.RepeatedCompositeFieldContainer[Console]
    def __init__(self, name: _Optional[str] = ..., uuid: _Optional[str] = ..., state: _Optional[str] = ..., consoles: _Optional[_Iterable[_Union[Console, _Mapping]]] = ...) -> None: ...

class Console(_message.Message):
    __slots__ = ("index", "label", "width", "height")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    index: int
    label: str
    width: int
    height: int
    def __init__(self, index: _Optional[int] = ..., label: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class Health(_message.Message):
    __slots__ = ("state", "problems")
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    state: str
    problems: _containers.RepeatedCompositeFieldContainer[Problem]
    def __init__(self, state: _Optional[str] = ..., problems: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("code", "severity", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    severity: str
    message: str
    def __init__(self, code: _Optional[str] = ..., severity: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
