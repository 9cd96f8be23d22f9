"""A WebSocket that looks like any other transport to an asyncio protocol."""

import asyncio
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from sidecar.log import get_logger
from sidecar.session.state import EndReason
from sidecar.web.frames import (
    Close,
    CloseCode,
    FrameReader,
    Opcode,
    Payload,
    Ping,
    WebSocketViolation,
    close_frame,
    frame_header,
)

log = get_logger(__name__)

CLOSE_TIME = 2.0
"""Seconds for the peer to take what is unsent and to answer a close frame."""

HEARTBEAT = 30.0
"""Seconds of silence after which the peer is pinged, and again for it to say anything at all."""

_JOINED = 4096
"""Bytes of payload up to which it is copied behind its header, so that both go in one packet."""

_DEFAULT_HIGH_WATER = 64 * 1024

_CODES: Mapping[EndReason, CloseCode] = MappingProxyType(
    {
        EndReason.OCCUPIED: CloseCode.TRY_AGAIN_LATER,
        EndReason.FULL: CloseCode.TRY_AGAIN_LATER,
        EndReason.CROWDED_OUT: CloseCode.TRY_AGAIN_LATER,
        EndReason.PROTOCOL_ERROR: CloseCode.PROTOCOL_ERROR,
        EndReason.SERVER_ERROR: CloseCode.INTERNAL_ERROR,
        EndReason.SHUTDOWN: CloseCode.GOING_AWAY,
        EndReason.GONE: CloseCode.SERVICE_RESTART,
    }
)
"""Every other reason ends the connection normally."""


class WebSocketTransport(asyncio.Transport):
    """Carries a byte stream in binary messages over a transport whose opening handshake is done.

    The owner of the lower transport hands received bytes to `feed_data` and calls `feed_eof` once it is gone.
    When `over_high_water` is set the owner waits until the lower transport's queue has drained, and calls
    `drained`.
    """

    def __init__(
        self,
        lower: asyncio.Transport,
        protocol: asyncio.Protocol,
        *,
        subprotocol: str = "",
        heartbeat: float = HEARTBEAT,
    ) -> None:
        super().__init__({"websocket": subprotocol or "none"})
        self._loop = asyncio.get_running_loop()
        self._lower = lower
        self._protocol = protocol
        self._frames = FrameReader()
        self._high, self._low = _DEFAULT_HIGH_WATER, _DEFAULT_HIGH_WATER // 4
        self._reading = True
        self._writing_paused = False
        self._closing = False
        self._is_over = False
        """Nothing that the peer may still send has a meaning."""
        self._is_lost = False
        self._owed_pong: bytes | None = None
        self._fault: WebSocketViolation | None = None
        self._end: EndReason | None = None
        self._close_timer: asyncio.TimerHandle | None = None
        self._heartbeat = heartbeat
        self._heard = True
        self._pinged = False
        self._heartbeat_timer = self._loop.call_later(heartbeat, self._beat)
        self.over_high_water = asyncio.Event()
        """Set while the protocol has been told to pause its writing, and at the end."""
        self.gone = asyncio.Event()
        """Set when the connection is lost."""

    def open(self) -> None:
        """Tells the protocol that it is connected."""
        self._lower.set_write_buffer_limits(self._high, self._low)
        self._protocol.connection_made(self)

    # what the owner calls

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Takes bytes from the lower transport. Returns (False, b""), as aiohttp's parsers do."""
        self._heard = True
        if not self._is_over:
            self._frames.feed(data)
            self._deliver()
        return False, b""

    def feed_eof(self) -> None:
        """The lower transport is gone: the protocol's connection is lost. May be repeated."""
        if self._is_lost:
            return
        self._is_lost = self._is_over = self._closing = True
        self._heartbeat_timer.cancel()
        if self._close_timer is not None:
            self._close_timer.cancel()
        self.gone.set()
        self.over_high_water.set()
        self._protocol.connection_lost(self._fault)

    def drained(self) -> None:
        """The lower transport's queue is below its low-water mark again."""
        if self._is_lost or not self._writing_paused:
            return
        self._writing_paused = False
        self.over_high_water.clear()
        self._pay_pong()
        self._protocol.resume_writing()

    # asyncio.Transport: reading

    def is_reading(self) -> bool:
        """Whether received bytes are passed on."""
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        """Passes nothing on until `resume_reading`; the peer is soon held up too."""
        if self._reading and not self._closing:
            self._reading = False
            self._lower.pause_reading()

    def resume_reading(self) -> None:
        """Passes bytes on again, first those that came meanwhile, from a later turn of the loop."""
        if not self._reading and not self._closing:
            self._reading = True
            self._lower.resume_reading()
            self._loop.call_soon(self._deliver)

    # asyncio.Transport: writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Sends `data` as one binary message. After `close` it is dropped."""
        length = len(data) if not isinstance(data, memoryview) else data.nbytes
        if not length or self._closing or self._lower.is_closing():
            return
        header = frame_header(Opcode.BINARY, length)
        if length <= _JOINED:
            self._lower.write(header + data)
        else:
            self._lower.write(header)
            self._lower.write(data)
        self._check_high_water()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Sends all of it as one binary message."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """Never: a WebSocket ends both ways at once."""
        return False

    def get_write_buffer_size(self) -> int:
        """Bytes that the system has not taken yet."""
        return self._lower.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Low and high-water mark in bytes."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Sets the marks at which the protocol's writing is paused and resumed; as in asyncio."""
        if high is None:
            high = _DEFAULT_HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high}) must be >= low ({low}), and low not below 0")
        self._high, self._low = high, low
        self._lower.set_write_buffer_limits(high, low)

    # asyncio.Transport: the rest

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known of the connection. "websocket": the subprotocol or "none"; the rest: the lower's."""
        own = super().get_extra_info(name)
        return self._lower.get_extra_info(name, default) if own is None else own

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that is served."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Serves another protocol from now on, which must be an asyncio.Protocol."""
        if not isinstance(protocol, asyncio.Protocol):
            raise TypeError(f"a WebSocket serves no {type(protocol).__name__}")
        self._protocol = protocol

    def is_closing(self) -> bool:
        """Whether nothing more is read or written."""
        return self._closing

    @property
    def is_ending(self) -> bool:
        """Whether the protocol is about to close, and is to be left to it."""
        return self._end is not None

    def ends_for(self, reason: EndReason) -> None:
        """The protocol is about to close: the close frame tells why."""
        self._end = reason

    def close(self) -> None:
        """Sends what is unsent and a close frame; the protocol hears `connection_lost` when that is done."""
        if self._end is None:
            self.close_with(CloseCode.NORMAL_CLOSURE)
        else:
            self.close_with(_CODES.get(self._end, CloseCode.NORMAL_CLOSURE), self._end.text)

    def close_with(self, code: CloseCode, reason: str = "") -> None:
        """Closes with a code of one's own."""
        if not self._closing:
            self._send_close(code, reason)
            if not self._lower.is_closing():
                # the peer's answer has to be read even if the protocol wanted to hear no more
                self._lower.resume_reading()

    def abort(self) -> None:
        """Ends the connection at once."""
        self._closing = self._is_over = True
        self._lower.abort()

    def _deliver(self) -> None:
        try:
            while (self._reading or self._closing) and not self._is_over:
                event = self._frames.next_event()
                if event is None:
                    break
                if isinstance(event, Payload):
                    if not self._closing:
                        self._protocol.data_received(event.data)
                elif isinstance(event, Ping):
                    self._owed_pong = event.data
                elif isinstance(event, Close):
                    self._closed_by_peer(event)
                    break
        except WebSocketViolation as fault:
            self._fail(fault)
        self._pay_pong()

    def _pay_pong(self) -> None:
        # the last of many pings is the one to answer (RFC 6455 section 5.5.3), once the peer reads
        if self._owed_pong is not None and not self._closing and not self._writing_paused:
            pong, self._owed_pong = self._owed_pong, None
            self._lower.write(frame_header(Opcode.PONG, len(pong)) + pong)
            self._check_high_water()

    def _check_high_water(self) -> None:
        if not self._writing_paused and self._lower.get_write_buffer_size() > self._high:
            self._writing_paused = True
            self.over_high_water.set()
            self._protocol.pause_writing()

    def _closed_by_peer(self, event: Close) -> None:
        self._is_over = True
        self._send_close(event.code)
        self._lower.close()

    def _fail(self, fault: WebSocketViolation) -> None:
        log.info("WebSocket ended by a fault of the client", address=_peer(self._lower), cause=str(fault))
        self._is_over = True
        self._fault = fault
        self._send_close(fault.code, str(fault))
        self._lower.close()

    def _send_close(self, code: int | None, reason: str = "") -> None:
        self._closing = True
        if self._close_timer is None and not self._is_lost:
            self._close_timer = self._loop.call_later(CLOSE_TIME, self._lower.abort)
            if not self._lower.is_closing():
                self._lower.write(close_frame(code, reason))

    def _beat(self) -> None:
        if self._heard or not self._reading:
            # a peer that is not read from cannot show that it is alive
            self._heard = self._pinged = False
        elif self._pinged:
            log.info("WebSocket is silent", address=_peer(self._lower), seconds=2 * self._heartbeat)
            self.abort()
            return
        elif not self._closing:
            self._pinged = True
            self._lower.write(frame_header(Opcode.PING, 0))
        self._heartbeat_timer = self._loop.call_later(self._heartbeat, self._beat)


def _peer(lower: asyncio.Transport) -> str:
    """The client's address, as its session is logged with it; empty for a unix socket."""
    name = lower.get_extra_info("peername")
    if not isinstance(name, tuple) or len(name) < 2:
        return ""
    return f"[{name[0]}]:{name[1]}" if ":" in str(name[0]) else f"{name[0]}:{name[1]}"
