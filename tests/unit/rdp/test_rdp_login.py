"""Whole conversations without a socket, from the first byte to the login."""

import struct

import pytest
from support import rdp_client_pdus as client
from support import rdp_server_pdus as server
from support.rdp_conversation import Conversation
from support.rdp_script import STEPS, Profile

from sidecar.rdp.authenticator import Identity
from sidecar.rdp.connection import MAX_HANDSHAKE_PDU, MAX_WAITING, Security, ServerConnection, Stage
from sidecar.rdp.error_info import ErrorInfo
from sidecar.rdp.errors import LocalError, Reason, RemoteError
from sidecar.rdp.events import Client, Disconnected, Login, Monitor, StartTls
from sidecar.rdp.handshake import Nla
from sidecar.screen.rectangle import Rectangle

OFFERED = Security(Nla.OFFERED)
REQUIRED = Security(Nla.REQUIRED)

TOKEN = b"<three tokens>"


class StandIn:
    """An authenticator that takes a fixed text for proof. The real ones need a TLS connection below them."""

    def __init__(self, *, succeeds: bool = True) -> None:
        self.identity: Identity | None = None
        self._succeeds = succeeds
        self._taken = b""
        self._outgoing = b""

    def receive(self, data: bytes) -> bytes:
        assert data, "it is asked only when there is something to read"
        assert self.identity is None, "it is done"
        self._taken += data
        if len(self._taken) < len(TOKEN):
            self._outgoing += b"more"
            return b""
        if not self._succeeds:
            self._outgoing += b"wrong"
            raise RemoteError(Reason.LOGIN_FAILED, "A wrong password.")
        self.identity = Identity("nla-user", "NLA", "nla-password")
        self._outgoing += b"done"
        return self._taken[len(TOKEN) :]

    def outgoing(self) -> bytes:
        data, self._outgoing = self._outgoing, b""
        return data


def waiting(connection: ServerConnection, login: Login) -> None:
    """Leaves a login unanswered."""


def error_of(conversation: Conversation, data: bytes) -> RemoteError:
    """What the connection says to bytes that end it."""
    with pytest.raises(RemoteError) as caught:
        conversation.say(data)
    assert conversation.stage is Stage.CLOSED
    assert list(conversation.connection.receive(b"anything")) == []
    return caught.value


def test_a_client_that_wants_in_is_known_by_what_it_says() -> None:
    profile = Profile(
        width=1920,
        height=1080,
        early=client.ERRINFO | client.WANT_32BPP | client.DYNVC_GFX,
        user="somebody",
        password="secret",
        domain="WORK",
        monitors=((0, 0, 1279, 1079, 1), (1280, 0, 1919, 1079, 0)),
    )
    conversation = Conversation(profile, answer_login=waiting)
    events = conversation.steps(STEPS[:6])
    assert events == [
        StartTls(nla=False),
        Login(
            Client(
                name="PEER",
                build=2600,
                width=1920,
                height=1080,
                colour_depth=32,
                keyboard_layout=0x409,
                keyboard_type=4,
                version=0x80004,
                graphics_pipeline=True,
                channels=("rdpdr", "cliprdr", "drdynvc"),
                monitors=(
                    Monitor(Rectangle(0, 0, 1280, 1080), primary=True),
                    Monitor(Rectangle(1280, 0, 640, 1080), primary=False),
                ),
                error_info=True,
                auto_detect=False,
            ),
            "somebody",
            "WORK",
            "secret",
            None,
        ),
    ]
    assert conversation.stage is Stage.LOGIN
    assert "secret" not in repr(events)


def test_the_server_s_answers_up_to_the_login() -> None:
    conversation = Conversation(answer_login=waiting)
    conversation.steps(STEPS[:6])
    peer = conversation.peer
    kinds = [type(pdu) for pdu in peer.inbox]
    assert kinds == [
        server.ConnectionConfirm,
        server.ConnectResponse,
        server.AttachUserConfirm,
        *[server.JoinConfirm] * 5,
    ]
    assert peer.inbox[0] == server.ConnectionConfirm(2, 3, client.SSL)
    assert peer.joined == {peer.user, 1003, 1004, 1005, 1006}


def test_every_client_has_the_same_user_channel() -> None:
    users = set()
    for channels in ((), ("one",), tuple(f"c{number}" for number in range(31))):
        conversation = Conversation(Profile(channels=channels, message_channel=True))
        conversation.until("confirm_active")
        users.add(conversation.peer.user)
        assert conversation.stage is Stage.CAPABILITIES
    assert len(users) == 1


@pytest.mark.parametrize("step", STEPS[:6])
def test_the_server_says_the_same_however_the_bytes_are_cut(step: str) -> None:
    whole = Conversation(answer_login=waiting)
    cut = Conversation(answer_login=waiting, pieces=(1,))
    for conversation in (whole, cut):
        conversation.until(step)
        conversation.step(step)
    assert (cut.sent, cut.events, cut.stage) == (whole.sent, whole.events, whole.stage)


@pytest.mark.parametrize(
    ("security", "protocols", "selected", "nla"),
    [
        (Security(), client.SSL, client.SSL, False),
        (Security(), client.SSL | client.HYBRID | client.HYBRID_EX, client.SSL, False),
        (OFFERED, client.SSL, client.SSL, False),
        (OFFERED, client.SSL | client.HYBRID, client.HYBRID, True),
        (OFFERED, client.HYBRID, client.HYBRID, True),
        # FreeRDP 2 does not know what to do with HYBRID_EX, although it asks for it
        (OFFERED, client.SSL | client.HYBRID | client.HYBRID_EX, client.HYBRID, True),
        (REQUIRED, client.SSL | client.HYBRID, client.HYBRID, True),
        (REQUIRED, client.HYBRID_EX, client.HYBRID_EX, True),
        (OFFERED, 0x15, client.SSL, False),
    ],
)
def test_the_best_protocol_that_both_take_is_chosen(
    security: Security, protocols: int, selected: int, nla: bool
) -> None:
    connection = ServerConnection(security)
    assert list(connection.receive(client.connection_request(protocols))) == [StartTls(nla)]
    confirm = server.parse_connection_confirm(b"".join(connection.outgoing())[4:])
    assert (confirm.kind, confirm.value) == (2, selected)
    assert connection.stage is Stage.TLS


SSL_REQUIRED, HYBRID_REQUIRED = 1, 5


@pytest.mark.parametrize(
    ("security", "protocols", "code"),
    [
        (Security(), 0, SSL_REQUIRED),
        (Security(), None, SSL_REQUIRED),
        (Security(), client.HYBRID, SSL_REQUIRED),
        (Security(), 0x14, SSL_REQUIRED),
        (OFFERED, 0, SSL_REQUIRED),
        (OFFERED, None, SSL_REQUIRED),
        (REQUIRED, client.SSL, HYBRID_REQUIRED),
        (REQUIRED, 0, HYBRID_REQUIRED),
        (REQUIRED, None, HYBRID_REQUIRED),
    ],
)
def test_a_client_that_offers_nothing_good_is_told_what_is_required(
    security: Security, protocols: int | None, code: int
) -> None:
    conversation = Conversation(Profile(protocols=protocols), security)
    error = error_of(conversation, conversation.peer.connection_request())
    assert error.reason is Reason.REFUSED
    assert conversation.peer.inbox == [server.ConnectionConfirm(3, 0, code)]


def test_what_was_sent_in_the_clear_is_never_read_as_if_it_had_come_out_of_tls() -> None:
    connection = ServerConnection(Security())
    peer = Conversation().peer
    with pytest.raises(RemoteError) as caught:
        list(connection.receive(peer.connection_request() + b"\x03"))
    assert caught.value.reason is Reason.UNEXPECTED
    connection = ServerConnection(Security())
    list(connection.receive(peer.connection_request()))
    assert list(connection.receive(b"")) == []
    with pytest.raises(RemoteError) as caught:
        connection.receive(b"\x03")
    assert caught.value.reason is Reason.UNEXPECTED
    assert connection.stage is Stage.CLOSED


@pytest.mark.parametrize("pieces", [(1,), (5,), (1 << 20,)])
@pytest.mark.parametrize("protocols", [client.HYBRID, client.HYBRID_EX])
def test_nla_comes_between_tls_and_mcs(protocols: int, pieces: tuple[int, ...]) -> None:
    conversation = Conversation(
        Profile(protocols=protocols), REQUIRED, authenticator=StandIn(), pieces=pieces, answer_login=waiting
    )
    connection, peer = conversation.connection, conversation.peer
    assert conversation.step("connection_request") == [StartTls(nla=True)]
    assert conversation.stage is Stage.AUTHENTICATION
    said = b""
    for at in range(0, len(TOKEN), pieces[0]):
        assert list(connection.receive(TOKEN[at : at + pieces[0]])) == []
        said += b"".join(connection.outgoing())
    authorized = bytes(4) if protocols == client.HYBRID_EX else b""
    assert said == b"more" * (len(range(0, len(TOKEN), pieces[0])) - 1) + b"done" + authorized
    assert conversation.stage is Stage.BASIC_SETTINGS
    (login,) = conversation.steps(STEPS[1:6])
    assert isinstance(login, Login)
    assert login.identity == Identity("nla-user", "NLA", "nla-password")
    assert login.user == "user"
    assert peer.inbox[0] == server.ConnectionConfirm(2, 3, protocols)


def test_what_follows_the_last_token_in_the_same_bytes_is_read() -> None:
    conversation = Conversation(Profile(protocols=client.HYBRID), OFFERED, authenticator=StandIn())
    conversation.step("connection_request")
    list(conversation.connection.receive(TOKEN + conversation.peer.connect_initial()))
    answers = b"".join(conversation.connection.outgoing())
    assert answers.startswith(b"done")
    assert isinstance(conversation.peer.receive(answers[4:])[0], server.ConnectResponse)


def test_a_client_that_fails_nla_is_told_so_and_closed() -> None:
    conversation = Conversation(
        Profile(protocols=client.HYBRID), REQUIRED, authenticator=StandIn(succeeds=False)
    )
    conversation.step("connection_request")
    connection = conversation.connection
    with pytest.raises(RemoteError) as caught:
        list(connection.receive(TOKEN))
    assert caught.value.reason is Reason.LOGIN_FAILED
    assert b"".join(connection.outgoing()) == b"wrong"
    assert connection.stage is Stage.CLOSED


@pytest.mark.parametrize("early", [client.ERRINFO, 0])
def test_a_refused_login_is_told_why_if_the_client_takes_it(early: int) -> None:
    conversation = Conversation(
        Profile(early=early),
        answer_login=lambda connection, _: connection.refuse(ErrorInfo.SERVER_DENIED_CONNECTION),
    )
    conversation.steps(STEPS[:6])
    assert conversation.stage is Stage.CLOSED
    licence, *rest = conversation.peer.inbox[-3 if early else -2 :]
    assert licence == server.Licence(7, 2)
    told = struct.pack("<I", ErrorInfo.SERVER_DENIED_CONNECTION)
    error_info = [server.ShareData(server.SET_ERROR_INFO, told)] if early else []
    assert rest == [*error_info, server.Ultimatum(1)]


def test_a_login_may_be_answered_later() -> None:
    conversation = Conversation(answer_login=waiting)
    conversation.steps(STEPS[:6])
    assert conversation.say(b"") == []
    conversation.connection.accept(640, 480)
    assert conversation.stage is Stage.CAPABILITIES
    assert isinstance(conversation.hear()[-1], server.DemandActive)


def test_what_comes_while_a_login_waits_is_kept_up_to_a_bound_and_read_later() -> None:
    conversation = Conversation(answer_login=waiting)
    conversation.steps(STEPS[:6])
    assert conversation.say(conversation.peer.io(b"x" * 1000)) == []
    assert conversation.connection.buffered > 1000
    error = error_of(conversation, bytes(MAX_WAITING))
    assert error.reason is Reason.UNEXPECTED
    assert conversation.connection.buffered == 0


def test_a_client_may_use_channels_unasked_where_it_knows_how() -> None:
    conversation = Conversation(
        Profile(early=client.SKIP_CHANNEL_JOIN, message_channel=True), answer_login=waiting
    )
    conversation.until("joins")
    response = conversation.peer.heard(server.ConnectResponse)[0]
    assert isinstance(response, server.ConnectResponse)
    assert struct.unpack("<III", response.blocks[0x0C01])[2] == 8
    (login,) = conversation.step("client_info")
    assert isinstance(login, Login)
    assert login.client.channels == ("rdpdr", "cliprdr", "drdynvc")


def test_a_client_that_may_skip_joins_may_join_nevertheless() -> None:
    conversation = Conversation(Profile(early=client.SKIP_CHANNEL_JOIN)).until("confirm_active")
    assert conversation.peer.joined == set(conversation.peer.channels_to_join())


def test_channels_that_were_not_joined_are_not_the_client_s() -> None:
    conversation = Conversation(answer_login=waiting).until("joins")
    peer = conversation.peer
    for channel in (peer.user, 1003, peer.channels["drdynvc"]):
        conversation.say(client.join(peer.user, channel))
    (login,) = conversation.step("client_info")
    assert isinstance(login, Login)
    assert login.client.channels == ("drdynvc",)


def test_the_erect_domain_request_may_be_missing() -> None:
    conversation = Conversation().until("erect_domain")
    conversation.steps(STEPS[3:6])
    assert conversation.stage is Stage.CAPABILITIES


@pytest.mark.parametrize(
    ("before", "step"),
    [
        ("connection_request", "connect_initial"),
        ("connect_initial", "connection_request"),
        ("connect_initial", "erect_domain"),
        ("connect_initial", "client_info"),
        ("erect_domain", "connect_initial"),
        ("erect_domain", "joins"),
        ("attach_user", "erect_domain"),
        ("attach_user", "joins"),
        ("joins", "attach_user"),
        ("joins", "erect_domain"),
        ("joins", "client_info"),
        ("client_info", "joins"),
        ("client_info", "attach_user"),
        ("client_info", "connection_request"),
        ("client_info", "connect_initial"),
        ("client_info", "confirm_active"),
    ],
)
def test_steps_out_of_their_order_are_refused(before: str, step: str) -> None:
    conversation = Conversation().until(before)
    error = error_of(conversation, conversation.peer.step(step))
    assert error.reason in {Reason.UNEXPECTED, Reason.MALFORMED, Reason.OVERSIZED}


def test_fast_path_input_is_refused_before_the_login() -> None:
    for step in STEPS[:6]:
        conversation = Conversation().until(step)
        error = error_of(conversation, client.fast_path_input([client.fast_path_scancode(30)]))
        assert error.reason is Reason.UNEXPECTED


def test_a_channel_that_nobody_told_of_is_not_joined() -> None:
    conversation = Conversation().until("joins")
    error = error_of(conversation, client.join(conversation.peer.user, 1007))
    assert error.reason is Reason.UNKNOWN_CHANNEL
    conversation = Conversation().until("joins")
    # the message channel is for clients that have asked for one
    error = error_of(conversation, client.join(conversation.peer.user, 1035))
    assert error.reason is Reason.UNKNOWN_CHANNEL


WITH_FIELDS = [step for step in STEPS[:6] if step != "erect_domain"]
"""All but the Erect Domain Request, in which rdesktop has its fields wrong, so that nobody reads them."""


@pytest.mark.parametrize("step", WITH_FIELDS)
def test_a_pdu_that_is_cut_off_is_an_error_or_waited_for(step: str) -> None:
    """The bytes that are missing are taken out of its end, and its TPKT header agrees."""
    whole = Conversation(answer_login=waiting).until(step).peer.step(step)
    length = struct.unpack_from(">H", whole, 2)[0]
    for size in range(5, length):
        conversation = Conversation(answer_login=waiting).until(step)
        error = error_of(conversation, whole[:2] + struct.pack(">H", size) + whole[4:size])
        assert error.reason in {Reason.TRUNCATED, Reason.MALFORMED, Reason.UNEXPECTED}
        waits = Conversation(answer_login=waiting).until(step)
        assert waits.say(whole[:size]) == []
        assert waits.connection.buffered == size


@pytest.mark.parametrize("step", WITH_FIELDS[:-1])
def test_a_pdu_with_more_behind_its_last_field_is_an_error(step: str) -> None:
    conversation = Conversation().until(step)
    whole = conversation.peer.step(step)
    length = struct.unpack_from(">H", whole, 2)[0]
    error = error_of(conversation, whole[:2] + struct.pack(">H", length + 1) + whole[4:length] + b"\0")
    assert error.reason in {Reason.TRAILING, Reason.MALFORMED}


@pytest.mark.parametrize("step", STEPS[:6])
def test_a_large_pdu_is_refused_by_its_header(step: str) -> None:
    conversation = Conversation().until(step)
    error = error_of(conversation, b"\x03\x00" + struct.pack(">H", MAX_HANDSHAKE_PDU + 1))
    assert error.reason is Reason.OVERSIZED


@pytest.mark.parametrize("step", ["joins", "client_info"])
@pytest.mark.parametrize("goodbye", [client.disconnect_ultimatum(), client.disconnect_request()])
def test_a_client_may_go_while_channels_are_joined(step: str, goodbye: bytes) -> None:
    conversation = Conversation().until(step)
    assert conversation.say(goodbye) == [Disconnected()]
    assert conversation.stage is Stage.CLOSED


def test_methods_out_of_turn_are_a_fault_on_this_side() -> None:
    connection = ServerConnection(Security())
    for call in (
        connection.tls_started,
        lambda: connection.accept(640, 480),
        lambda: connection.refuse(ErrorInfo.SERVER_DENIED_CONNECTION),
        lambda: connection.reactivate(640, 480),
        lambda: connection.channel("drdynvc"),
        lambda: connection.measure_round_trip(1),
    ):
        with pytest.raises(LocalError):
            call()
    list(connection.receive(client.connection_request(client.SSL)))
    with pytest.raises(LocalError):
        connection.tls_started(StandIn())
    connection.tls_started()
    with pytest.raises(LocalError):
        connection.tls_started()


def test_nla_needs_an_authenticator() -> None:
    connection = ServerConnection(OFFERED)
    list(connection.receive(client.connection_request(client.HYBRID)))
    with pytest.raises(LocalError):
        connection.tls_started()


def test_ending_a_connection_says_only_what_the_client_can_understand() -> None:
    for step, said in (
        ("connection_request", []),
        ("connect_initial", []),
        ("joins", [server.Ultimatum(1)]),
        ("client_info", [server.Ultimatum(1)]),
    ):
        conversation = Conversation().until(step)
        conversation.connection.disconnect(ErrorInfo.SERVER_DENIED_CONNECTION)
        assert conversation.hear() == said
        assert conversation.stage is Stage.CLOSED
        conversation.connection.disconnect()
        assert conversation.connection.outgoing() == []
