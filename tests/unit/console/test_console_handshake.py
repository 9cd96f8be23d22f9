"""Whole handshakes of the console's client, with our own server's core or with what other servers send."""

import struct

import pytest

from sidecar.console.connection import ClientConnection
from sidecar.console.errors import NotTrusted, NoVncServer, Refused
from sidecar.console.events import CredentialsWanted, Initialized, StartTls
from sidecar.console.handshake import MAX_CREDENTIAL, MAX_NAME, ClientSecurity
from sidecar.encode.pixel_form import CANONICAL
from sidecar.errors import SidecarError
from sidecar.vnc import events as server_events
from sidecar.vnc.connection import ServerConnection, Stage
from sidecar.vnc.errors import LocalError, Reason, RemoteError
from sidecar.vnc.handshake import Security
from sidecar.vnc.security.vnc_auth import encrypt_challenge, response_matches
from sidecar.vnc.wire import SecurityType, VeNCryptSubtype

PASSWORD = "s\u00e9cret"
CHALLENGE = bytes(range(16))
OK = struct.pack(">I", 0)
SERVER_INIT = struct.pack(">HHB15xI", 800, 600, 32, 2) + b"vm"
SET_ENCODINGS = struct.pack(">BxHii", 2, 2, 0x56445301, -312)

NONE, VNC, VENCRYPT = SecurityType.NONE, SecurityType.VNC_AUTHENTICATION, SecurityType.VENCRYPT


def meet(client: ClientConnection, server: ServerConnection) -> list[object]:
    """Carries bytes between the two until neither has more to say; what the client was asked, and told."""
    said: list[object] = []
    while True:
        to_client, to_server = server.outgoing(), client.outgoing()
        if not to_client and not to_server:
            return said
        for asked in client.receive(to_client):
            said.append(asked)
            if isinstance(asked, StartTls):
                client.tls_started()
                server.tls_started()
            elif isinstance(asked, CredentialsWanted):
                client.authenticate("ann", PASSWORD)
        for event in server.receive(to_server):
            match event:
                case server_events.VncAuthResponse():
                    assert response_matches(event, PASSWORD)
                    server.authenticated()
                case server_events.PlainCredentials():
                    assert (event.user, event.password) == ("ann", PASSWORD)
                    server.authenticated()
                case server_events.ClientInit():
                    assert event.shared
                    server.send_server_init(640, 480, CANONICAL, "vm\x1b[2J")


@pytest.mark.parametrize(
    ("types", "subtypes", "secure", "asked"),
    [
        ((NONE,), (), False, []),
        ((VNC,), (), False, [CredentialsWanted(False)]),
        ((VENCRYPT, NONE), (VeNCryptSubtype.X509_NONE,), False, [StartTls()]),
        ((VENCRYPT,), (VeNCryptSubtype.X509_VNC,), False, [StartTls(), CredentialsWanted(False)]),
        (
            (VENCRYPT, VNC),
            (VeNCryptSubtype.X509_VNC, VeNCryptSubtype.X509_PLAIN),
            False,
            [StartTls(), CredentialsWanted(True)],
        ),
        ((VENCRYPT, VNC), (VeNCryptSubtype.PLAIN,), True, [CredentialsWanted(True)]),
    ],
)
def test_our_server_lets_it_in(
    types: tuple[SecurityType, ...],
    subtypes: tuple[VeNCryptSubtype, ...],
    secure: bool,
    asked: list[object],
) -> None:
    server = ServerConnection(Security(types, lambda size: CHALLENGE[:size], subtypes, secure))
    client = ClientConnection(ClientSecurity(plain=secure))
    assert meet(client, server) == [*asked, Initialized("vm?[2J")]
    assert server.stage is Stage.SESSION


def replies(client: ClientConnection, data: bytes) -> bytes:
    """What the client answers to bytes that make no event, in portions of one byte."""
    for index in range(len(data)):
        assert list(client.receive(data[index : index + 1])) == []
    return client.outgoing()


def client_of(banner: bytes = b"RFB 003.008\n", **security: bool) -> ClientConnection:
    client = ClientConnection(ClientSecurity(**security))
    replies(client, banner)
    return client


def refusal(client: ClientConnection, data: bytes) -> SidecarError:
    with pytest.raises(SidecarError) as caught:
        list(client.receive(data))
    return caught.value


@pytest.mark.parametrize(
    ("banner", "answer"),
    [
        (b"RFB 003.003\n", b"RFB 003.003\n"),
        (b"RFB 003.005\n", b"RFB 003.003\n"),
        (b"RFB 003.007\n", b"RFB 003.007\n"),
        (b"RFB 003.889\n", b"RFB 003.008\n"),
        (b"RFB 005.000\n", b"RFB 003.008\n"),
    ],
)
def test_it_speaks_the_servers_version(banner: bytes, answer: bytes) -> None:
    assert replies(ClientConnection(ClientSecurity()), banner) == answer


def test_a_server_of_rfb_3_3_dictates() -> None:
    client = client_of(b"RFB 003.003\n")
    assert replies(client, struct.pack(">I", NONE)) == b"\x01"
    assert list(client.receive(SERVER_INIT)) == [Initialized("vm")]
    assert client.outgoing() == SET_ENCODINGS

    client = client_of(b"RFB 003.003\n")
    assert list(client.receive(struct.pack(">I", VNC) + CHALLENGE)) == [CredentialsWanted(False)]
    client.authenticate("", PASSWORD)
    assert client.outgoing() == encrypt_challenge(CHALLENGE, PASSWORD)
    assert replies(client, OK) == b"\x01"


def test_a_server_of_rfb_3_7_gives_no_result_after_none() -> None:
    client = client_of(b"RFB 003.007\n")
    assert replies(client, b"\x02\x02\x01") == b"\x01\x01"
    assert list(client.receive(SERVER_INIT)) == [Initialized("vm")]


@pytest.mark.parametrize(
    "banner", [b"SSH-2.0-Open", b"HTTP/1.1 400", b"RFB 003.002\n", b"\x16\x03\x01\x02\x00\x01" * 2]
)
def test_what_is_no_vnc_server_is_named(banner: bytes) -> None:
    with pytest.raises(NoVncServer):
        list(ClientConnection(ClientSecurity()).receive(banner))


@pytest.mark.parametrize(
    ("banner", "nothing"),
    [(b"RFB 003.008\n", b"\0"), (b"RFB 003.007\n", b"\0"), (b"RFB 003.003\n", b"\0\0\0\0")],
)
def test_a_reason_is_handed_on_without_what_a_terminal_obeys(banner: bytes, nothing: bytes) -> None:
    error = refusal(client_of(banner), nothing + struct.pack(">I", 9) + b"too\nmany\0")
    assert isinstance(error, Refused)
    assert "too?many" in str(error)


def test_an_endless_reason_is_cut() -> None:
    client = client_of()
    replies(client, b"\0" + struct.pack(">I", 0xFFFFFFFF))
    assert "x" * 4096 in str(refusal(client, b"x" * 5000))


def test_a_wrong_password_is_told_with_the_servers_words() -> None:
    client = client_of()
    assert list(client.receive(b"\x01\x02" + CHALLENGE)) == [CredentialsWanted(False)]
    client.authenticate("", "wrong")
    error = refusal(client, struct.pack(">II", 1, 21) + b"Authentication failed")
    assert "Authentication failed" in str(error)
    assert "password" in str(error)


def test_rfb_3_7_tells_no_reason_for_a_wrong_password() -> None:
    client = client_of(b"RFB 003.007\n")
    assert list(client.receive(b"\x01\x02" + CHALLENGE)) == [CredentialsWanted(False)]
    client.authenticate("", "wrong")
    assert "password" in str(refusal(client, struct.pack(">I", 1)))


def vencrypt(client: ClientConnection, *subtypes: int) -> bytes:
    assert replies(client, b"\x01\x13") == b"RFB 003.008\n\x13"
    assert replies(client, b"\x00\x02") == b"\x00\x02"
    return b"\0" + struct.pack(f">B{len(subtypes)}I", len(subtypes), *subtypes)


def fresh(**security: bool) -> ClientConnection:
    client = ClientConnection(ClientSecurity(**security))
    assert list(client.receive(b"RFB 003.008\n")) == []
    return client


def test_a_password_never_goes_in_the_clear_unasked() -> None:
    client = fresh()
    assert "--insecure-plain" in str(refusal(client, vencrypt(client, VeNCryptSubtype.PLAIN)))
    assert client.outgoing() == b""


def test_tls_is_preferred_to_a_password_in_the_clear() -> None:
    client = fresh(plain=True)
    offered = vencrypt(client, VeNCryptSubtype.PLAIN, VeNCryptSubtype.X509_PLAIN)
    assert replies(client, offered) == struct.pack(">I", VeNCryptSubtype.X509_PLAIN)


@pytest.mark.parametrize("offered", [b"\x01\x01", b"\x02\x01\x02"])
def test_who_asks_for_tls_gets_it_or_nothing(offered: bytes) -> None:
    client = client_of(tls_only=True)
    assert isinstance(refusal(client, offered), NotTrusted)


def test_who_asks_for_tls_gets_no_plain_inside_of_vencrypt() -> None:
    client = fresh(tls_only=True, plain=True)
    assert isinstance(refusal(client, vencrypt(client, VeNCryptSubtype.PLAIN)), NotTrusted)


def test_tls_without_certificates_is_refused() -> None:
    client = fresh()
    assert isinstance(refusal(client, vencrypt(client, 257, 258)), NotTrusted)


def test_unknown_logins_are_named_by_their_numbers() -> None:
    assert "5, 30" in str(refusal(client_of(), b"\x02\x05\x1e"))


@pytest.mark.parametrize("after", [b"\x00\x01", b"\x00\x02\x01", b"\x00\x02\x00\x01\x00\x00\x01\x04\x00"])
def test_a_server_that_breaks_vencrypt_off_is_told_so(after: bytes) -> None:
    assert isinstance(refusal(client_of(), b"\x01\x13" + after), NoVncServer)


@pytest.mark.parametrize("together", [True, False])
def test_nothing_that_came_in_the_clear_is_read_as_if_out_of_tls(together: bool) -> None:
    client = fresh()
    offered = vencrypt(client, VeNCryptSubtype.X509_NONE)
    if together:
        with pytest.raises(RemoteError) as caught:
            list(client.receive(offered + b"\x01" + OK))
    else:
        assert list(client.receive(offered + b"\x01")) == [StartTls()]
        with pytest.raises(RemoteError) as caught:
            client.receive(OK)
    assert caught.value.reason is Reason.UNEXPECTED_DATA


def test_a_server_that_talks_on_while_it_waits_is_bounded() -> None:
    client = client_of()
    assert list(client.receive(b"\x01\x02" + CHALLENGE)) == [CredentialsWanted(False)]
    assert list(client.receive(b"x" * 4096)) == []
    with pytest.raises(RemoteError):
        client.receive(b"x")


def test_an_endless_name_is_refused_before_it_comes() -> None:
    client = client_of()
    with pytest.raises(RemoteError) as caught:
        list(client.receive(b"\x01\x01" + OK + struct.pack(">HHB15xI", 1, 1, 32, MAX_NAME + 1)))
    assert caught.value.reason is Reason.OVERSIZED


def test_a_credential_that_no_server_takes_is_not_sent() -> None:
    client = fresh(plain=True)
    assert list(client.receive(vencrypt(client, VeNCryptSubtype.PLAIN))) == [CredentialsWanted(True)]
    client.outgoing()
    with pytest.raises(Refused):
        client.authenticate("", "x" * (MAX_CREDENTIAL + 1))
    assert client.outgoing() == b""


def test_answers_to_what_was_not_asked_are_a_fault_of_ours() -> None:
    client = client_of()
    with pytest.raises(LocalError):
        client.tls_started()
    with pytest.raises(LocalError):
        client.authenticate("", "")
