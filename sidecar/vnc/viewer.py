"""One VNC connection over a transport: asks the server who may come in, and opens a desktop for them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sidecar.access.certificate import CertificateUnusable
from sidecar.access.grant import Attempt, Grant, LoginFailed, LoginRefused, LoginThrottled
from sidecar.access.logins import matching
from sidecar.encode.form import Encoding, Form
from sidecar.encode.pixel_form import CANONICAL
from sidecar.log import get_logger
from sidecar.session.session import Transport
from sidecar.session.state import EndReason, SessionRefused
from sidecar.transport.connection import Connection
from sidecar.transport.peer import presentable
from sidecar.vnc.connection import ServerConnection, Stage
from sidecar.vnc.desktop import Desktop
from sidecar.vnc.errors import RemoteError
from sidecar.vnc.events import ClientInit, Event, PlainCredentials, StartTls, VncAuthResponse
from sidecar.vnc.receiver import UpdateReceiver
from sidecar.vnc.security.vnc_auth import response_matches

if TYPE_CHECKING:
    from sidecar.vnc.server import VncServer

log = get_logger(__name__)

_WORTH_READING = frozenset(
    {
        EndReason.DISCONNECTED,
        EndReason.TICKET_OVER,
        EndReason.REPLACED,
        EndReason.SERVER_ERROR,
        EndReason.SHUTDOWN,
        EndReason.GONE,
    }
)
"""What is not the client's own doing. RFB has no way to tell it but the picture."""


class Viewer(Connection):
    """The driver of one connection; one is made for each by the server's protocol factory."""

    session_protocol = "vnc"
    fault = RemoteError

    def __init__(self, server: "VncServer", kind: Transport) -> None:
        super().__init__(server, kind)
        self._server = server
        self._connection: ServerConnection
        self.desktop: Desktop | None = None
        """What the client sees, once it is initialized."""
        self._refusal = EndReason.LOGIN_FAILED
        """Why the handshake is broken off, when it is."""
        self._grant = Grant()
        """What the client may do, once it is authenticated."""

    def _opened(self) -> None:
        secure = self._kind == "unix" or self._session.tls
        self._connection = ServerConnection(
            self._server.access.security(secure=secure), offered=self._server.offered
        )
        logins = self._server.access.logins
        if logins.asked:
            try:
                logins.check(self._attempt)
            except LoginThrottled as error:
                # before anything is computed for it
                self._connection.refuse(str(error))
        else:
            # without a login there is no later moment at which the protocol could say why not
            reason = self._server.registry.would_refuse()
            if reason is not None:
                self._refusal = reason
                self._connection.refuse(reason.text)
        self._flush()

    def _receive(self, data: bytes) -> Iterator[Event]:
        return self._connection.receive(data)

    def _handle(self, event: Event) -> None:
        if self.desktop is not None:
            self.desktop.handle(event)
        else:
            self._shake_hands(event)

    def _received(self) -> None:
        if self._connection.stage is not Stage.SESSION:
            self._flush()
            if self._connection.stage is Stage.CLOSED:
                self.end(self._refusal)

    def _say_goodbye(self, reason: EndReason) -> bool:
        if self.desktop is not None:
            return reason in _WORTH_READING and self.desktop.say_goodbye(reason.text)
        self._connection.refuse(reason.text)
        self._flush()
        return False

    def _tls_started(self) -> None:
        self._connection.tls_started()

    def _flush(self) -> None:
        data = self._connection.outgoing()
        if data:
            self._write(data)

    def _shake_hands(self, event: Event) -> None:
        match event:
            case StartTls():
                try:
                    context = self._server.access.tls_context()
                except CertificateUnusable as error:
                    self._no_certificate(error)
                else:
                    self._start_tls(context)
            case VncAuthResponse():
                self._judge_response(event)
            case PlainCredentials():
                self._session.user = presentable(event.user)
                self._server.spawn(self._judge_credentials(event))
            case ClientInit():
                self._initialize(event)

    @property
    def _attempt(self) -> Attempt:
        return Attempt("web" if self._kind == "websocket" else "vnc", self._peer, self._session.id)

    def _judge_response(self, event: VncAuthResponse) -> None:
        logins, attempt = self._server.access.logins, self._attempt
        try:
            grant = matching(logins.candidates(attempt), lambda password: response_matches(event, password))
            if grant is None:
                logins.failed(attempt)
                raise LoginFailed
        except LoginRefused as error:
            self._turn_away(error)
        else:
            self._admit(grant)

    async def _judge_credentials(self, event: PlainCredentials) -> None:
        """May take its time: what the client sends meanwhile waits, and its time to log in goes on."""
        try:
            grant = await self._server.access.logins.verify(self._attempt, event.user, event.password)
        except LoginRefused as error:
            if not self._closing:
                self._turn_away(error)
        else:
            if not self._closing:
                self._admit(grant)
        if not self._closing:
            self._read(b"")

    def _admit(self, grant: Grant) -> None:
        """Lets the client in if there is room; only who has logged in is told why not."""
        server = self._server
        reason = server.registry.would_refuse()
        if reason is not None:
            self._log_refused_login(reason)
            self._refusal = reason
            self._connection.authentication_failed(reason.text)
            return
        try:
            server.access.logins.use(self._attempt, grant)
        except LoginRefused as error:
            self._turn_away(error)
            return
        self._grant = grant
        self._connection.authenticated()

    def _turn_away(self, error: LoginRefused) -> None:
        self._connection.authentication_failed(str(error))

    def _initialize(self, event: ClientInit) -> None:
        server, session, grant = self._server, self._session, self._grant
        try:
            server.registry.initialize(
                session,
                user=grant.user or session.user,
                auth=self._auth_method(),
                shared=event.shared,
                view_only=grant.view_only,
                ticket=grant.ticket,
                consoles=grant.consoles,
            )
        except SessionRefused as refusal:
            log.info("session refused", session=session.id, cause=refusal.reason.code)
            self.end(refusal.reason)
            return
        self._initialized()
        console = server.console_for(session)
        frame = console.surface.frame
        self._connection.send_server_init(frame.width, frame.height, CANONICAL, server.title)
        self._flush()
        receiver = UpdateReceiver(
            session,
            frame,
            Form.of(Encoding.RAW),
            write=self._write,
            queued=self._transport.get_write_buffer_size,
            fail=lambda error: self.end(EndReason.SERVER_ERROR),
        )
        self._desk = self.desktop = server.open_desktop(session, receiver, console)

    def _auth_method(self) -> str:
        security_type, subtype = self._connection.security_type, self._connection.subtype
        chosen = subtype if subtype is not None else security_type
        return chosen.name.lower().replace("_", "-") if chosen is not None else ""
