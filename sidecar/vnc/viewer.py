"""One VNC connection over a transport: reads, asks the server who may come in, and ends."""

import asyncio
import socket
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, cast

from sidecar.encode.form import Encoding, Form
from sidecar.encode.pixel_form import CANONICAL
from sidecar.log import get_logger
from sidecar.session.session import Session, Transport
from sidecar.session.state import EndReason, SessionRefused
from sidecar.vnc.access import CertificateUnusable, same
from sidecar.vnc.connection import ServerConnection, Stage
from sidecar.vnc.desktop import Desktop
from sidecar.vnc.errors import RemoteError
from sidecar.vnc.events import ClientInit, Event, PlainCredentials, StartTls, VncAuthResponse
from sidecar.vnc.receiver import QUEUE_LIMIT, Receiver
from sidecar.vnc.security.vnc_auth import response_matches

if TYPE_CHECKING:
    from sidecar.vnc.server import VncServer

log = get_logger(__name__)

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

KEEP_ALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))
"""Two minutes after its machine has vanished without a word a client is not counted any more."""

GOODBYE = 2.0
"""Seconds for the last bytes to leave before the connection is cut."""

LONGEST_USER = 64
"""Characters of a user name that are kept."""

LOGIN_FAILED = "Authentication failed"
"""The text that QEMU's server gives; some clients show it to their user."""


class Viewer(asyncio.Protocol):
    """The driver of one connection; one is made for each by the server's protocol factory."""

    def __init__(self, server: "VncServer", kind: Transport) -> None:
        self._server = server
        self._kind: Transport = kind
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._connection: ServerConnection
        self._session: Session
        self._desktop: Desktop | None = None
        self.gone = asyncio.Event()
        """Set when the connection is gone."""
        self._refusal = EndReason.LOGIN_FAILED
        """Why the handshake is broken off, when it is."""
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

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=QUEUE_LIMIT)
        secure = self._kind == "unix" or self._transport.get_extra_info("sslcontext") is not None
        self._connection = ServerConnection(
            self._server.access.security(secure=secure), offered=self._server.offered
        )
        try:
            self._session = self._server.registry.connect(
                "vnc",
                self._kind,
                _address(self._transport),
                self._transport.get_extra_info("sslcontext") is not None,
                end=self.end,
            )
        except SessionRefused as refusal:
            log.info("connection refused", cause=refusal.reason.code)
            self._closing = True
            self._transport.abort()
            return
        self._server.viewers.add(self)
        if self._kind == "tcp":
            _keep_alive(self._transport)
        self._login_timer = self._loop.call_later(self._server.auth_timeout, self._login_timed_out)
        if not self._server.access.asks:
            # without a login there is no later moment at which the protocol could say why not
            reason = self._server.registry.would_refuse()
            if reason is not None:
                self._refusal = reason
                self._connection.refuse(reason.text)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Takes bytes of the client."""
        if self._closing:
            return
        self._session.bytes_received += len(data)
        if self._upgrading:
            # out of TLS already, while the end of its handshake is on its way to `_start_tls`; reading was
            # paused before, so nothing of this was sent in the clear
            self._early += data
            return
        if self._ahead_since is not None and not self._held and len(data) < CAUGHT_UP:
            self._ahead_since = None
            if self._desktop is not None:
                self._desktop.deaf = False
        self._read(data)

    def pause_writing(self) -> None:
        """The client does not read as fast as it is sent to."""
        self._congested = True
        if self._desktop is not None:
            self._desktop.wait()
        if self._stall_timer is None and not self._closing:
            self._watch(self._transport.get_write_buffer_size(), 0)

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._congested = False
        self._answers = 0
        self._cancel("_stall_timer")
        if self._closing or self._desktop is None:
            return
        self._desktop.ready()
        if self._held and self._hold_timer is None:
            self._hold_timer = self._loop.call_later(0, self._go_on)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; may be repeated."""
        self._finish(EndReason.CLOSED)
        self._cancel("_goodbye_timer")
        self._server.viewers.discard(self)
        self.gone.set()

    def end(self, reason: EndReason) -> None:
        """Says goodbye as far as the protocol can and closes; what is left after a while is cut off."""
        if self._closing:
            return
        if self._desktop is None:
            self._connection.refuse(reason.text)
            self._flush()
        self._finish(reason)
        self._goodbye_timer = self._loop.call_later(GOODBYE, self._transport.abort)
        self._transport.close()

    def shut_down(self) -> None:
        """Ends because the server does."""
        self.end(EndReason.SHUTDOWN)

    @property
    def desktop(self) -> Desktop | None:
        """What the client sees, once it is initialized."""
        return self._desktop

    def _read(self, data: bytes) -> None:
        turn_ends = monotonic() + TURN
        desktop = self._desktop
        try:
            events = self._connection.receive(data)
            if self._held:
                return
            for event in events:
                if desktop is not None:
                    desktop.handle(event)
                else:
                    self._shake_hands(event)
                    desktop = self._desktop
                if self._closing:
                    return
                if desktop is not None and (
                    self._answers > MAX_ANSWERS
                    or (desktop.console.input_backlog > MAX_BACKLOG and not desktop.deaf)
                    or monotonic() > turn_ends
                ):
                    self._hold()
                    return
        except RemoteError as error:
            self._fail(error)
            return
        if self._connection.stage is not Stage.SESSION:
            self._flush()
            if self._connection.stage is Stage.CLOSED:
                self.end(self._refusal)

    def _shake_hands(self, event: Event) -> None:
        match event:
            case StartTls():
                self._flush()
                self._upgrading = True
                self._transport.pause_reading()
                self._server.spawn(self._start_tls())
            case VncAuthResponse():
                self._judge(lambda password: response_matches(event, password))
            case PlainCredentials():
                self._session.user = _presentable(event.user)
                self._judge(lambda password: same(event.password, password))
            case ClientInit():
                self._initialize(event)

    def _judge(self, matches: Callable[[str], bool]) -> None:
        """Lets the client in if its password is right and there is room; the reason is told only then."""
        if not self._server.access.password_matches(matches):
            log.warning("login failed", session=self._session.id, address=self._session.address)
            self._connection.authentication_failed(LOGIN_FAILED)
        elif (reason := self._server.registry.would_refuse()) is not None:
            log.info("login refused", session=self._session.id, cause=reason.code)
            self._refusal = reason
            self._connection.authentication_failed(reason.text)
        else:
            self._connection.authenticated()

    def _initialize(self, event: ClientInit) -> None:
        server, session = self._server, self._session
        try:
            server.registry.initialize(
                session, user=session.user, auth=self._auth_method(), shared=event.shared
            )
        except SessionRefused as refusal:
            log.info("session refused", session=session.id, cause=refusal.reason.code)
            self.end(refusal.reason)
            return
        self._cancel("_login_timer")
        frame = server.console.surface.frame
        self._connection.send_server_init(frame.width, frame.height, CANONICAL, server.title)
        self._flush()
        receiver = Receiver(
            session,
            frame,
            Form.of(Encoding.RAW),
            write=self._write,
            queued=self._transport.get_write_buffer_size,
            fail=lambda error: self.end(EndReason.SERVER_ERROR),
        )
        self._desktop = server.open_desktop(session, receiver)

    def _auth_method(self) -> str:
        security_type, subtype = self._connection.security_type, self._connection.subtype
        chosen = subtype if subtype is not None else security_type
        return chosen.name.lower().replace("_", "-") if chosen is not None else ""

    async def _start_tls(self) -> None:
        lower, transport = self._transport, None
        try:
            context = self._server.access.tls_context()
            transport = await self._loop.start_tls(
                lower,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=self._server.auth_timeout,
            )
        except (OSError, EOFError, CertificateUnusable) as error:
            # ssl.SSLError and time-outs are OSErrors
            log.info("TLS handshake failed", session=self._session.id, cause=str(error))
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
        self._connection.tls_started()
        early, self._early = self._early, b""
        self._read(early)

    def _flush(self) -> None:
        data = self._connection.outgoing()
        if data:
            self._write(data)

    def _write(self, data: bytes) -> None:
        if not self._closing:
            self._session.bytes_sent += len(data)
            if self._congested:
                self._answers += len(data)
            self._transport.write(data)

    def _fail(self, error: RemoteError) -> None:
        self._flush()
        log.info(
            "connection ended by a fault of the client",
            session=self._session.id,
            cause=error.reason.value,
            detail=error.text,
        )
        self.end(EndReason.PROTOCOL_ERROR)

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
        self._transport.pause_reading()
        self._hold_timer = self._loop.call_later(0, self._go_on)

    def _go_on(self) -> None:
        """Reads on, first what waits already, if there is room for it."""
        self._hold_timer = None
        if self._closing or self._desktop is None or self._answers > MAX_ANSWERS:
            # the client takes its answers first: `resume_writing` comes back to this
            return
        if self._desktop.console.input_backlog > MAX_BACKLOG // 2 and not self._is_too_far_ahead(
            self._desktop
        ):
            self._hold_timer = self._loop.call_later(BACKLOG_CHECK, self._go_on)
            return
        self._held = False
        self._read(b"")
        if not self._held and not self._closing:
            self._transport.resume_reading()

    def _is_too_far_ahead(self, desktop: Desktop) -> bool:
        now = monotonic()
        if self._ahead_since is None:
            self._ahead_since = now
        if not desktop.deaf and now - self._ahead_since > PATIENCE:
            log.warning("input dropped, a client sends more than the machine takes", session=self._session.id)
            desktop.deaf = True
        return desktop.deaf

    def _finish(self, reason: EndReason) -> None:
        """Leaves the registry and lets go of everything but the transport; may be repeated."""
        if self._closing:
            return
        self._closing = True
        for timer in ("_login_timer", "_stall_timer", "_hold_timer"):
            self._cancel(timer)
        if self._desktop is not None:
            self._desktop.close()
        self._server.registry.disconnected(self._session, reason)

    def _cancel(self, timer: str) -> None:
        handle: asyncio.TimerHandle | None = getattr(self, timer)
        if handle is not None:
            handle.cancel()
            setattr(self, timer, None)


def _address(transport: asyncio.Transport) -> str:
    """The peer's address for people; empty for a unix socket."""
    peer = transport.get_extra_info("peername")
    if not isinstance(peer, tuple) or len(peer) < 2:
        return ""
    host, port = peer[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def _presentable(user: str) -> str:
    """A name that somebody claims, as it may stand in logs, tables and on an administrator's terminal."""
    return "".join(character if character.isprintable() else "?" for character in user[:LONGEST_USER])


def _keep_alive(transport: asyncio.Transport) -> None:
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEP_ALIVE:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
