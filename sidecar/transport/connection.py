"""One connection over a transport, whatever protocol it speaks: reads at the guest's pace, and ends.

A `Connection` owns the transport and the session; its subclasses know the protocol.
"""

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, cast

from sidecar.errors import SidecarError
from sidecar.log import get_logger
from sidecar.session.session import Session, SessionProtocol, Transport
from sidecar.session.state import EndReason, SessionRefused
from sidecar.transport.peer import address, host_and_port, keep_alive
from sidecar.transport.sides import Desk, PeerFault, TellingTransport

if TYPE_CHECKING:
    from sidecar.transport.server import Server

log = get_logger(__name__)

QUEUE_LIMIT = 64 * 1024
"""Bytes still unsent in the client's transport above which it gets no further update. It must be the
transport's high-water mark: only then does the transport say when there is room again."""

STALLED_CHECK = 10.0
STALLED_CHECKS = 3
"""A client whose unsent bytes do not become fewer for so many checks in a row is ended."""

MAX_BACKLOG = 256
"""Input events that wait for the guest above which nothing more is read from a client."""

BACKLOG_CHECK = 0.02

PATIENCE = 10.0
"""Seconds for which a client may be ahead of the guest; its input is dropped then until it is all read, lest
one that has left long ago go on typing, and be counted."""

CAUGHT_UP = 4096
"""Bytes read at once below which no more wait in the system's buffers."""

MAX_ANSWERS = 64 * 1024
"""Bytes of answers that wait for a client that does not read, above which nothing more is read from it."""

TURN = 0.005
"""Seconds that the messages of one client may take at a time, so that others get their turn."""

GOODBYE = 2.0
"""Seconds for the last bytes to leave before the connection is cut."""

READING_TIME = 1.5
"""Seconds for which the connection stays after a goodbye that stands on the screen, so that it can be read:
many viewers close their window together with the connection."""


class Connection(asyncio.Protocol, ABC):
    """The driver of one connection; one is made for each by the server's protocol factory.

    Subclasses set `session_protocol` and `fault`, the exception for a fault of the peer (it has what
    `PeerFault` tells), and `_desk` once the session is initialized.
    """

    session_protocol: ClassVar[SessionProtocol]
    fault: ClassVar[type[Exception]]

    def __init__(self, server: "Server[Any]", kind: Transport) -> None:
        self._host = server
        self._kind: Transport = kind
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._session: Session
        self._desk: Desk | None = None
        self.gone = asyncio.Event()
        """Set when the connection is gone."""
        self._closing = False
        self._upgrading = False
        self._early = b""
        self._login_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._held = False
        """What the client sends waits until it, the guest and the other clients have caught up."""
        self._ahead_since: float | None = None
        """Since when the client has sent more than the guest takes."""
        self._hold_timer: asyncio.TimerHandle | None = None
        self._congested = False
        self._answers = 0
        """Bytes written since the client is congested: it gets no pixels then, only answers."""
        self._goodbye_timer: asyncio.TimerHandle | None = None

    @abstractmethod
    def _opened(self) -> None:
        """The transport and the session are there."""

    @abstractmethod
    def _receive(self, data: bytes) -> Iterator[Any]:
        """Takes bytes for the protocol; its events, lazily. Without bytes it goes on with what waits."""

    @abstractmethod
    def _handle(self, event: Any) -> None:
        """Does what an event asks for."""

    @abstractmethod
    def _received(self) -> None:
        """All events of the bytes that have come are handled."""

    @abstractmethod
    def _tls_started(self) -> None:
        """The handshake that `_start_tls` began is over."""

    @abstractmethod
    def _say_goodbye(self, reason: EndReason) -> bool:
        """Tells the client why the connection ends, as far as the protocol can now.

        Returns whether it stands on the client's screen, where somebody should have time to read it.
        """

    @abstractmethod
    def _flush(self) -> None:
        """Sends what the protocol has to say."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=QUEUE_LIMIT)
        server = self._host
        try:
            self._session = server.registry.connect(
                self.session_protocol,
                self._kind,
                address(self._transport),
                self._transport.get_extra_info("sslcontext") is not None,
                end=self.end,
            )
        except SessionRefused as refusal:
            log.info("connection refused", cause=refusal.reason.code)
            self._closing = True
            self._transport.abort()
            return
        server.viewers.add(self)
        if self._kind == "tcp":
            keep_alive(self._transport)
        self._login_timer = self._loop.call_later(server.auth_timeout, self._login_timed_out)
        self._opened()

    def data_received(self, data: bytes) -> None:
        """Takes bytes of the client."""
        if self._closing:
            return
        self._session.bytes_received += len(data)
        if self._upgrading:
            # out of TLS already, while the end of its handshake is on its way to `_upgrade`; reading was
            # paused before, so nothing of this was sent in the clear
            self._early += data
            return
        if self._ahead_since is not None and not self._held and len(data) < CAUGHT_UP:
            self._ahead_since = None
            if self._desk is not None:
                self._desk.deaf = False
        self._read(data)

    def pause_writing(self) -> None:
        """The client does not read as fast as it is sent to."""
        self._congested = True
        if self._desk is not None:
            self._desk.wait()
        if self._stall_timer is None and not self._closing:
            self._watch(self._transport.get_write_buffer_size(), 0)

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._congested = False
        self._answers = 0
        self._cancel("_stall_timer")
        if self._closing:
            return
        if self._desk is not None:
            self._desk.ready()
        if self._held and self._hold_timer is None:
            self._hold_timer = self._loop.call_later(0, self._go_on)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; may be repeated."""
        self._finish(EndReason.CLOSED)
        self._cancel("_goodbye_timer")
        self._host.viewers.discard(self)
        self.gone.set()

    def end(self, reason: EndReason) -> None:
        """Says goodbye as far as the protocol can and closes; what is left after a while is cut off.

        The session has ended when this returns, the connection GOODBYE seconds later at the latest, and
        READING_TIME after that where the goodbye is there to be read.
        """
        if self._closing:
            return
        if isinstance(self._transport, TellingTransport):
            self._transport.ends_for(reason)
        is_shown = self._say_goodbye(reason)
        self._finish(reason)
        if is_shown:
            self._goodbye_timer = self._loop.call_later(READING_TIME, self._hang_up)
        else:
            self._hang_up()

    def shut_down(self) -> None:
        """Ends because the server does."""
        self.end(EndReason.SHUTDOWN)

    def _read(self, data: bytes) -> None:
        turn_ends = monotonic() + TURN
        try:
            events = self._receive(data)
            if self._held:
                return
            for event in events:
                self._handle(event)
                if self._closing:
                    return
                desk = self._desk
                # reading must not be resumed amid a TLS handshake
                if not self._upgrading and (
                    self._answers > MAX_ANSWERS
                    or (desk is not None and desk.input_backlog > MAX_BACKLOG and not desk.deaf)
                    or monotonic() > turn_ends
                ):
                    self._hold()
                    return
        except self.fault as error:
            self._fail(cast("PeerFault", error))
            return
        self._received()
        if self._answers > MAX_ANSWERS and not self._closing:
            # what is answered need not be an event
            self._hold()

    def _hang_up(self) -> None:
        self._goodbye_timer = self._loop.call_later(GOODBYE, self._transport.abort)
        self._transport.close()

    def _initialized(self) -> None:
        """The session is logged in: it has all the time that it wants."""
        self._cancel("_login_timer")

    def _start_tls(self, context: ssl.SSLContext) -> None:
        """Begins the handshake; `_tls_started` is called at its end, before any byte that comes after."""
        self._flush()
        self._upgrading = True
        self._transport.pause_reading()
        self._host.spawn(self._upgrade(context))

    async def _upgrade(self, context: ssl.SSLContext) -> None:
        lower, transport = self._transport, None
        try:
            transport = await self._loop.start_tls(
                lower,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=self._host.auth_timeout,
            )
        except (OSError, EOFError) as error:
            # ssl.SSLError and time-outs are OSErrors
            cause = str(error) or "the client has hung up"
            log.info("TLS handshake failed", session=self._session.id, cause=cause)
            self._finish(EndReason.LOGIN_FAILED)
        finally:
            self._upgrading = False
            if transport is None or self._closing:
                # a transport that is lost amid its handshake does not tell the protocol above TLS
                lower.abort()
                self.connection_lost(None)
        if transport is None or self._closing:
            return
        self._transport = transport
        transport.set_write_buffer_limits(high=QUEUE_LIMIT)
        self._session.tls = True
        self._tls_started()
        early, self._early = self._early, b""
        self._read(early)

    def _no_certificate(self, error: SidecarError) -> None:
        """Ends a connection that cannot be made safe."""
        self._flush()
        log.warning("TLS cannot be offered", session=self._session.id, cause=str(error))
        self._finish(EndReason.LOGIN_FAILED)
        self._transport.abort()

    @property
    def session(self) -> Session:
        """The record of what is connected."""
        return self._session

    @property
    def unsent(self) -> int:
        """Bytes that wait for the client to read them."""
        return 0 if self._closing else self._transport.get_write_buffer_size()

    @property
    def _peer(self) -> str:
        """The client's address without its port; empty for a unix socket."""
        return host_and_port(self._transport)[0]

    def _write(self, data: bytes) -> None:
        if not self._closing:
            self._session.bytes_sent += len(data)
            if self._congested:
                self._answers += len(data)
            self._transport.write(data)

    def _write_all(self, parts: Sequence[bytes | memoryview]) -> None:
        if not self._closing:
            size = sum(map(len, parts))
            self._session.bytes_sent += size
            if self._congested:
                self._answers += size
            self._transport.writelines(parts)

    def _fail(self, error: PeerFault) -> None:
        self._flush()
        log.info(
            "connection ended by a fault of the client",
            session=self._session.id,
            cause=error.reason.value,
            detail=error.text,
        )
        self.end(EndReason.PROTOCOL_ERROR)

    def _log_refused_login(self, reason: EndReason) -> None:
        """The login was right, and there is no room; one that was wrong is logged by who judges it."""
        log.info("login refused", session=self._session.id, address=self._session.address, cause=reason.code)

    def _login_timed_out(self) -> None:
        self._login_timer = None
        log.info("login timed out", session=self._session.id, address=self._session.address)
        self.end(EndReason.LOGIN_TIMEOUT)

    def _watch(self, unsent: int, strikes: int) -> None:
        self._stall_timer = self._loop.call_later(STALLED_CHECK, self._check_stall, unsent, strikes)

    def _check_stall(self, unsent: int, strikes: int) -> None:
        now = self._transport.get_write_buffer_size()
        strikes = strikes + 1 if now >= unsent else 0
        if strikes < STALLED_CHECKS:
            self._watch(now, strikes)
            return
        self._stall_timer = None
        log.info("client does not read", session=self._session.id, unsent=now)
        self._finish(EndReason.TOO_SLOW)
        self._transport.abort()

    def _hold(self) -> None:
        self._held = True
        self._flush()
        self._transport.pause_reading()
        self._hold_timer = self._loop.call_later(0, self._go_on)

    def _go_on(self) -> None:
        """Reads on, first what waits already, if there is room for it."""
        self._hold_timer = None
        if self._closing or self._answers > MAX_ANSWERS:
            # the client takes its answers first: `resume_writing` comes back to this
            return
        desk = self._desk
        if desk is not None and desk.input_backlog > MAX_BACKLOG // 2 and not self._is_too_far_ahead(desk):
            self._hold_timer = self._loop.call_later(BACKLOG_CHECK, self._go_on)
            return
        self._held = False
        self._read(b"")
        if not self._held and not self._closing:
            self._transport.resume_reading()

    def _is_too_far_ahead(self, desk: Desk) -> bool:
        now = monotonic()
        if self._ahead_since is None:
            self._ahead_since = now
        if not desk.deaf and now - self._ahead_since > PATIENCE:
            log.warning("input dropped, a client sends more than the machine takes", session=self._session.id)
            desk.deaf = True
        return desk.deaf

    def _finish(self, reason: EndReason) -> None:
        """Leaves the registry and lets go of everything but the transport; may be repeated."""
        if self._closing:
            return
        self._closing = True
        for timer in ("_login_timer", "_stall_timer", "_hold_timer"):
            self._cancel(timer)
        if self._desk is not None:
            self._desk.close()
        self._host.registry.disconnected(self._session, reason)

    def _cancel(self, timer: str) -> None:
        handle: asyncio.TimerHandle | None = getattr(self, timer)
        if handle is not None:
            handle.cancel()
            setattr(self, timer, None)
