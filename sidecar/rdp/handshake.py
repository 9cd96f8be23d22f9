"""The connection sequence up to the login, MS-RDPBCGR 1.3.1.1: one conversation from the first PDU on."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from sidecar.rdp import gcc, mcs, x224
from sidecar.rdp.authenticator import Identity
from sidecar.rdp.client_data import ChannelDefinition, ClientData, EarlyCapability, parse_client_data
from sidecar.rdp.client_info import parse_client_info
from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.events import Client, Disconnected, Login, StartTls
from sidecar.rdp.wire import Reader
from sidecar.rdp.x224 import FailureCode, Protocol, ResponseFlags

_NLA = Protocol.HYBRID | Protocol.HYBRID_EX


class Nla(Enum):
    """Whether network level authentication is used."""

    OFF = auto()
    OFFERED = auto()
    """by clients that can; others get in over TLS alone"""
    REQUIRED = auto()


@dataclass(frozen=True, slots=True)
class Security:
    """What a server accepts: TLS always, and this."""

    nla: Nla = Nla.OFF


class Stage(Enum):
    """Where a connection is, in this order; from ACTIVE it may go back to CAPABILITIES."""

    NEGOTIATION = auto()
    """X.224 Connection Request"""
    TLS = auto()
    """the driver upgrades the transport"""
    AUTHENTICATION = auto()
    """CredSSP"""
    BASIC_SETTINGS = auto()
    """MCS Connect Initial"""
    CHANNEL_CONNECTION = auto()
    """Erect Domain, Attach User, Channel Join, Client Info"""
    LOGIN = auto()
    """the driver decides whether the client gets in"""
    CAPABILITIES = auto()
    """Confirm Active"""
    FINALIZATION = auto()
    """Synchronize, Control, Font List"""
    ACTIVE = auto()
    CLOSED = auto()
    """refused, failed or ended: send what is outgoing, then close the transport"""


Question: TypeAlias = StartTls | Login | Disconnected
"""What a handshake waits for its owner to do; Disconnected: nothing any more."""

Conversation: TypeAlias = Generator[Question | None, bytes, None]
"""Yields a question, or None where it wants the next PDU, without its TPKT header."""


class Handshake:
    """One client's way to its login; `converse` is resumed by whoever owns the bytes."""

    __slots__ = ("_confirmed", "_known", "_security", "_send", "channels", "identity", "joined", "stage")

    def __init__(self, security: Security, send: Callable[[bytes], None]) -> None:
        self._security = security
        self._send = send
        self._known: set[int] = set()
        self._confirmed: set[int] = set()
        self.stage = Stage.NEGOTIATION
        self.identity: Identity | None = None
        """Set by the owner once the client is authenticated, before the conversation goes on."""
        self.channels: dict[int, ChannelDefinition] = {}
        """The static virtual channels that the client asked for, by their ids, in its order."""
        self.joined: set[int] = set()
        """Ids of the channels that the client may use."""

    @property
    def joined_channels(self) -> dict[int, ChannelDefinition]:
        """The static virtual channels that the client may use, by their ids."""
        return {number: channel for number, channel in self.channels.items() if number in self.joined}

    def converse(self) -> Conversation:
        """From the X.224 Connection Request to the Login. Raises RemoteError; the client was told by then,
        where the protocol has a place for it.
        """
        requested, selected = self._negotiate(x224.parse_connection_request((yield None)))
        self.stage = Stage.TLS
        yield StartTls(nla=bool(selected & _NLA))
        self.stage = Stage.BASIC_SETTINGS
        if selected & Protocol.HYBRID_EX:
            self._send(_AUTHORIZATION_SUCCESS)
        data = self._settle(requested, x224.parse_data((yield None), "MCS Connect Initial"))
        self.stage = Stage.CHANNEL_CONNECTION
        request = yield from self._connect_channels(skips_joins=_skips_joins(data))
        if request is None:
            yield Disconnected()
            return
        info = parse_client_info(request.data)
        self.stage = Stage.LOGIN
        yield Login(self._client(data), info.user, info.domain, info.password, self.identity)

    def _negotiate(self, request: x224.ConnectionRequest) -> tuple[Protocol, Protocol]:
        """What the client has asked for, and what it gets."""
        requested = request.protocols if request.protocols is not None else Protocol.RDP
        may_use_nla = self._security.nla is not Nla.OFF
        if may_use_nla and requested & Protocol.HYBRID:
            selected = Protocol.HYBRID
        elif may_use_nla and requested & Protocol.HYBRID_EX:
            # not before HYBRID: FreeRDP 2 asks for it, and then does not know what was selected
            selected = Protocol.HYBRID_EX
        elif self._security.nla is Nla.REQUIRED:
            raise self._refuse(FailureCode.HYBRID_REQUIRED_BY_SERVER, requested)
        elif requested & Protocol.SSL:
            selected = Protocol.SSL
        else:
            raise self._refuse(FailureCode.SSL_REQUIRED_BY_SERVER, requested)
        flags = ResponseFlags.EXTENDED_CLIENT_DATA_SUPPORTED | ResponseFlags.DYNVC_GFX_PROTOCOL_SUPPORTED
        self._send(x224.connection_confirm(flags, selected))
        return requested, selected

    def _refuse(self, code: FailureCode, requested: Protocol) -> RemoteError:
        self._send(x224.negotiation_failure(code))
        return RemoteError(Reason.REFUSED, f"{code.name}: the client offers the protocols {requested:#x}.")

    def _settle(self, requested: Protocol, reader: Reader) -> ClientData:
        data = parse_client_data(gcc.parse_conference_create_request(mcs.parse_connect_initial(reader)))
        first = mcs.FIRST_STATIC_CHANNEL
        self.channels = {first + at: channel for at, channel in enumerate(data.channels)}
        self._known = {mcs.USER_CHANNEL, mcs.IO_CHANNEL, *self.channels}
        if data.wants_message_channel:
            self._known.add(mcs.MESSAGE_CHANNEL)
        blocks = gcc.server_data(
            requested,
            tuple(self.channels),
            message_channel=data.wants_message_channel,
            early_flags=gcc.SKIP_CHANNEL_JOIN_SUPPORTED if _skips_joins(data) else 0,
        )
        self._send(mcs.connect_response(gcc.conference_create_response(blocks)))
        return data

    def _connect_channels(self, *, skips_joins: bool) -> Generator[None, bytes, mcs.SendDataRequest | None]:
        """Until the first data come, which are returned; None where the client says goodbye instead."""
        erected = attached = False
        while True:
            pdu = mcs.parse_domain_pdu(x224.parse_data((yield None), "MCS PDU"))
            match pdu:
                case mcs.ErectDomainRequest() if not erected and not attached:
                    erected = True
                case mcs.AttachUserRequest() if not attached:
                    attached = True
                    self._send(mcs.attach_user_confirm())
                    if skips_joins:
                        self.joined |= self._known
                case mcs.ChannelJoinRequest() if attached:
                    self._join(pdu.channel)
                case mcs.SendDataRequest(channel=mcs.IO_CHANNEL) if mcs.IO_CHANNEL in self.joined:
                    return pdu
                case mcs.DisconnectProviderUltimatum():
                    return None
                case _:
                    raise RemoteError(Reason.UNEXPECTED, f"{type(pdu).__name__} while channels are joined.")

    def _join(self, channel: int) -> None:
        if channel not in self._known:
            raise RemoteError(Reason.UNKNOWN_CHANNEL, f"The client joins channel {channel}.")
        if channel in self._confirmed:
            raise RemoteError(Reason.UNEXPECTED, f"The client joins channel {channel} again.")
        self._confirmed.add(channel)
        self.joined.add(channel)
        self._send(mcs.channel_join_confirm(channel))

    def _client(self, data: ClientData) -> Client:
        core, early = data.core, data.core.early_capabilities
        return Client(
            name=core.name,
            build=core.build,
            width=core.width,
            height=core.height,
            colour_depth=core.colour_depth,
            keyboard_layout=core.keyboard_layout,
            keyboard_type=core.keyboard_type,
            version=core.version,
            graphics_pipeline=bool(early & EarlyCapability.SUPPORT_DYNVC_GFX_PROTOCOL),
            channels=tuple(dict.fromkeys(channel.name for channel in self.joined_channels.values())),
            monitors=data.monitors,
            error_info=bool(early & EarlyCapability.SUPPORT_ERRINFO_PDU),
            auto_detect=bool(early & EarlyCapability.SUPPORT_NETCHAR_AUTODETECT)
            and mcs.MESSAGE_CHANNEL in self.joined,
        )


def _skips_joins(data: ClientData) -> bool:
    """Whether the client may use its channels unasked, which saves it a round trip for each."""
    return bool(data.core.early_capabilities & EarlyCapability.SUPPORT_SKIP_CHANNELJOIN)


_AUTHORIZATION_SUCCESS = b"\0\0\0\0"
"""Early User Authorization Result PDU: AUTHZ_SUCCESS (MS-RDPBCGR 2.2.10.2)."""
