"""One RDP connection over a transport: asks the server who may come in, and opens a desktop for them."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sidecar.access.certificate import CertificateUnusable, ServerCertificate
from sidecar.access.grant import Attempt, Grant, LoginRefused, LoginThrottled
from sidecar.guest import Console
from sidecar.log import get_logger
from sidecar.rdp.connection import ServerConnection
from sidecar.rdp.desktop import Desktop
from sidecar.rdp.error_info import ErrorInfo, error_info_of
from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.events import Activated, Disconnected, Event, Login, RoundTripMeasured, StartTls
from sidecar.rdp.handshake import Stage
from sidecar.rdp.round_trips import RoundTrips
from sidecar.session.session import Transport
from sidecar.session.state import EndReason, SessionRefused
from sidecar.transport.connection import Connection
from sidecar.transport.peer import presentable
from sidecar.transport.sides import PeerFault

if TYPE_CHECKING:
    from sidecar.rdp.server import RdpServer

log = get_logger(__name__)


class Viewer(Connection):
    """The driver of one connection; one is made for each by the server's protocol factory."""

    session_protocol = "rdp"
    fault = RemoteError

    def __init__(self, server: "RdpServer", kind: Transport) -> None:
        super().__init__(server, kind)
        self._server = server
        self._connection = ServerConnection(server.access.security)
        self._certificate: ServerCertificate | None = None
        self._nla = False
        self._login: Login | None = None
        self._auth = "none"
        self._grant = Grant()
        """What the client may do, once it has logged in."""
        self._size = (0, 0)
        """Of the desktop that the client was let in to."""
        self._refusal = EndReason.CLOSED
        """Why the connection ends when the protocol has ended it."""
        self._round_trips: RoundTrips | None = None
        self.desktop: Desktop | None = None
        """What the client sees, once it is initialized."""
        self.consoles: Sequence[Console] = ()
        """The consoles that are its monitors, or can be."""

    def _opened(self) -> None:
        """The client speaks first."""

    def _receive(self, data: bytes) -> Iterator[Event]:
        return self._connection.receive(data)

    def _handle(self, event: Event) -> None:
        match event:
            case StartTls(nla):
                self._secure(nla)
            case Login():
                self._judge(event)
            case Activated():
                self._activate(event)
            case Disconnected():
                self.end(EndReason.CLOSED)
            case RoundTripMeasured(sequence) if self._round_trips is not None:
                self._round_trips.answered(sequence)
            case _ if self.desktop is not None:
                self.desktop.handle(event)

    def _received(self) -> None:
        self._flush()
        if self._connection.stage is Stage.CLOSED:
            self.end(self._refusal)

    def _say_goodbye(self, reason: EndReason) -> bool:
        if reason is EndReason.GONE and self.desktop is not None:
            # no goodbye in the protocol's words: clients come again by themselves only after a broken line
            return self.desktop.say_goodbye(reason.text)
        self._connection.disconnect(error_info_of(reason))
        self._flush()
        return False

    def _flush(self) -> None:
        parts = self._connection.outgoing()
        if parts:
            self._write_all(parts)

    def _fail(self, error: PeerFault) -> None:
        if error.reason not in (Reason.LOGIN_FAILED, Reason.LOGIN_THROTTLED):
            super()._fail(error)
            return
        # NLA has told the client
        self._flush()
        if error.reason is Reason.LOGIN_FAILED:
            self._server.access.logins.failed(self._attempt)
        self.end(EndReason.LOGIN_FAILED)

    def _finish(self, reason: EndReason) -> None:
        if self._round_trips is not None:
            self._round_trips.close()
        super()._finish(reason)

    def _secure(self, nla: bool) -> None:
        try:
            self._certificate = self._server.access.certificate()
        except CertificateUnusable as error:
            self._no_certificate(error)
            return
        self._nla = nla
        self._start_tls(self._certificate.context)

    def _tls_started(self) -> None:
        authenticator = None
        if self._nla and self._certificate is not None:
            try:
                authenticator = self._server.access.authenticator(self._certificate, self._attempt)
            except CertificateUnusable as error:
                self._no_certificate(error)
                return
        self._connection.tls_started(authenticator)

    @property
    def _attempt(self) -> Attempt:
        return Attempt("rdp", self._peer, self._session.id)

    def _judge(self, login: Login) -> None:
        """What NLA has proven is not asked again: a password for one session comes twice."""
        identity = login.identity
        self._session.user = presentable(identity.user if identity is not None else login.user)
        if not self._server.access.logins.asked:
            self._admit(login, Grant())
        elif identity is not None:
            self._auth = "nla"
            self._admit(login, identity.grant)
        else:
            self._auth = "password"
            self._server.spawn(self._judge_password(login))

    async def _judge_password(self, login: Login) -> None:
        """May take its time: what the client sends meanwhile waits, and its time to log in goes on."""
        try:
            grant = await self._server.access.logins.verify(self._attempt, login.user, login.password)
        except LoginRefused as error:
            if not self._closing:
                self._turn_away(error)
        else:
            if not self._closing:
                self._admit(login, grant)
        if not self._closing:
            self._read(b"")

    def _admit(self, login: Login, grant: Grant) -> None:
        """Lets the client in if there is room; only who has logged in is told why not."""
        server, logins = self._server, self._server.access.logins
        reason = server.registry.would_refuse()
        if reason is not None:
            self._log_refused_login(reason)
            self._refuse(reason)
            return
        if logins.asked:
            try:
                logins.use(self._attempt, grant)
            except LoginRefused as error:
                self._turn_away(error)
                return
        self._grant = grant
        self._login = login
        console = server.consoles(login.client, grant.consoles)[0]
        frame = console.surface.frame
        self._size = (frame.width, frame.height)
        self._connection.accept(
            *self._size, login.client.colour_depth, relative_mouse=not console.pointer.is_absolute
        )

    def _turn_away(self, error: LoginRefused) -> None:
        """Tells the client as far as the protocol has a word for it."""
        throttled = isinstance(error, LoginThrottled)
        self._refusal = EndReason.LOGIN_FAILED
        self._connection.refuse(
            ErrorInfo.SERVER_DENIED_CONNECTION if throttled else ErrorInfo.SERVER_INSUFFICIENT_PRIVILEGES
        )

    def _refuse(self, reason: EndReason) -> None:
        self._refusal = reason
        self._connection.refuse(error_info_of(reason) or ErrorInfo.SERVER_DENIED_CONNECTION)

    def _activate(self, event: Activated) -> None:
        if self.desktop is not None:
            self.desktop.activated(event.capabilities)
            return
        if self._login is None:
            return
        try:
            self._server.registry.initialize(
                self._session,
                user=self._grant.user or self._session.user,
                auth=self._auth,
                view_only=self._grant.view_only,
                ticket=self._grant.ticket,
                consoles=self._grant.consoles,
            )
        except SessionRefused as refusal:
            log.info("session refused", session=self._session.id, cause=refusal.reason.code)
            self.end(refusal.reason)
            return
        self._initialized()
        self.consoles = self._server.consoles(self._login.client, self._session.consoles)
        self.desktop = self._server.open_desktop(
            self._session,
            self._connection,
            self._login.client,
            event.capabilities,
            self._size,
            consoles=self.consoles,
            flush=self._flush,
            queued=self._transport.get_write_buffer_size,
            fail=lambda error: self.end(EndReason.SERVER_ERROR),
        )
        self._desk = self.desktop
        self._round_trips = RoundTrips(self._connection, self._session, self._flush)
