"""A share: from Demand Active to Deactivate All, and what the client says meanwhile (MS-RDPBCGR 1.3.1.1)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from sidecar.rdp import mcs, share_pdus, slow_path
from sidecar.rdp.capabilities import ClientCapabilities, parse_capability_sets, server_capability_sets
from sidecar.rdp.error_info import ErrorInfo, set_error_info
from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.events import Activated, Event, Input, ShutdownRequested
from sidecar.rdp.handshake import Stage
from sidecar.rdp.share_control import (
    ShareControlPduType,
    deactivate_all,
    demand_active,
    parse_confirm_active,
    parse_share_control,
)
from sidecar.rdp.share_data import PduType2, parse_share_data, share_data
from sidecar.rdp.share_pdus import ControlAction
from sidecar.rdp.wire import Reader

SHARE_ID = 0x000103EA
"""The same for every share, so that all clients can be sent the same bytes."""

_FONTLIST_FIRST_ONLY = 0x0001


@dataclass(frozen=True, slots=True)
class Offer:
    """What a client is offered: the desktop's size in pixels, bits per pixel, and kinds of input."""

    width: int = 0
    height: int = 0
    colour_depth: int = 0
    unicode_input: bool = True
    relative_mouse: bool = False


class Share:
    """The client's activations, one after the other. `stage`: CAPABILITIES, FINALIZATION or ACTIVE."""

    __slots__ = ("_next", "_offer", "_send", "_was_active", "capabilities", "stage")

    def __init__(self, send: Callable[[bytes], None]) -> None:
        """`send` takes what is for the I/O channel."""
        self._send = send
        self._offer = Offer()
        self._next: Offer | None = None
        self._was_active = False
        self.stage = Stage.CAPABILITIES
        self.capabilities: ClientCapabilities | None = None
        """What the client has said of itself last."""

    def demand(self, offer: Offer) -> None:
        """Begins: the client gets such a desktop."""
        self._offer = offer
        self.stage = Stage.CAPABILITIES
        sets = server_capability_sets(
            offer.width,
            offer.height,
            offer.colour_depth,
            unicode_input=offer.unicode_input,
            relative_mouse=offer.relative_mouse,
        )
        self._send(demand_active(SHARE_ID, sets))

    def resize(self, width: int, height: int) -> None:
        """Begins anew, at once or, where the client is being activated, as soon as it is."""
        offer = replace(self._offer, width=width, height=height)
        if self.stage is Stage.ACTIVE:
            self._send(deactivate_all(SHARE_ID))
            self.demand(offer)
        else:
            self._next = offer

    def send_data(self, pdu_type2: int, payload: bytes) -> None:
        """Sends a share data PDU."""
        self._send(share_data(SHARE_ID, pdu_type2, payload))

    def tell_error(self, error: ErrorInfo) -> None:
        """Tells the client why it is disconnected."""
        self.send_data(PduType2.SET_ERROR_INFO_PDU, set_error_info(error))

    @property
    def has_begun(self) -> bool:
        """Whether the client has been active already."""
        return self._was_active

    def receive(self, reader: Reader) -> Iterator[Event]:
        """Takes what came on the I/O channel; its events, lazily. Raises RemoteError."""
        for pdu in parse_share_control(reader):
            if pdu.pdu_type == ShareControlPduType.CONFIRM_ACTIVE:
                self._confirm(pdu.body)
            elif pdu.pdu_type == ShareControlPduType.DATA:
                data = parse_share_data(pdu.body)
                for event in self._data(data.pdu_type2, data.body):
                    # nothing is of use before the client has seen something; while its size changes it is
                    if self._was_active:
                        yield event
            else:
                raise RemoteError(Reason.UNEXPECTED, f"No client sends share control PDUs {pdu.pdu_type:#x}.")

    def _confirm(self, body: Reader) -> None:
        if self.stage is not Stage.CAPABILITIES:
            raise RemoteError(Reason.UNEXPECTED, "A Confirm Active PDU that was not demanded.")
        self.capabilities = parse_capability_sets(parse_confirm_active(body).sets)
        self.stage = Stage.FINALIZATION
        # aardwolf sends nothing more before it has these
        self.send_data(PduType2.SYNCHRONIZE, share_pdus.synchronize(mcs.USER_CHANNEL))
        self.send_data(PduType2.CONTROL, share_pdus.cooperate())

    def _data(self, pdu_type2: int, body: Reader) -> Iterator[Event]:
        match pdu_type2:
            case PduType2.INPUT:
                yield Input(slow_path.parse_input(body))
            case PduType2.SYNCHRONIZE:
                share_pdus.parse_synchronize(body)
                self._finalize()
            case PduType2.CONTROL:
                action = share_pdus.parse_control(body)
                self._finalize()
                if action == ControlAction.REQUEST_CONTROL:
                    self.send_data(PduType2.CONTROL, share_pdus.granted_control(mcs.USER_CHANNEL))
            case PduType2.FONTLIST:
                body.skip(4)
                flags = body.u16()
                body.skip(2)
                self._finalize()
                if flags != _FONTLIST_FIRST_ONLY and self.stage is Stage.FINALIZATION:
                    yield from self._activate()
            case PduType2.REFRESH_RECT:
                yield share_pdus.parse_refresh_rect(body)
            case PduType2.SUPPRESS_OUTPUT:
                yield share_pdus.parse_suppress_output(body)
            case PduType2.FRAME_ACKNOWLEDGE:
                yield share_pdus.parse_frame_acknowledge(body)
            case PduType2.SHUTDOWN_REQUEST:
                self.send_data(PduType2.SHUTDOWN_DENIED, share_pdus.shutdown_denied())
                yield ShutdownRequested()
            case _:
                # the list of the persistent bitmap cache, and what later versions have
                pass

    def _finalize(self) -> None:
        if self.stage is Stage.CAPABILITIES:
            raise RemoteError(Reason.UNEXPECTED, "The client finalizes what it has not confirmed.")

    def _activate(self) -> Iterator[Event]:
        self.send_data(PduType2.FONTMAP, share_pdus.font_map())
        self.stage = Stage.ACTIVE
        self._was_active = True
        if self._next is not None:
            offer, self._next = self._next, None
            self.resize(offer.width, offer.height)
        elif self.capabilities is not None:
            yield Activated(self.capabilities)
