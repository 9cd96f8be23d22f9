"""Whole handshakes without a socket."""

import struct

import pytest

from sidecar.encode.pixel_form import CANONICAL
from sidecar.vnc.connection import MAX_WAITING, ServerConnection, Stage
from sidecar.vnc.errors import LocalError, Reason, RemoteError
from sidecar.vnc.events import ClientInit, KeyEvent, PlainCredentials, StartTls, VncAuthResponse
from sidecar.vnc.handshake import Security
from sidecar.vnc.security.plain import MAX_CREDENTIAL
from sidecar.vnc.security.vnc_auth import encrypt_challenge, response_matches
from sidecar.vnc.wire import SecurityType, VeNCryptSubtype, Version

BANNER = b"RFB 003.008\n"
CHALLENGE = bytes(range(16))
ALL_SUBTYPES = (
    VeNCryptSubtype.X509_PLAIN,
    VeNCryptSubtype.X509_VNC,
    VeNCryptSubtype.X509_NONE,
    VeNCryptSubtype.PLAIN,
)
KEY_A = b"\x04\x01\x00\x00\x00\x00\x00\x61"


def connect(
    *types: SecurityType, subtypes: tuple[VeNCryptSubtype, ...] = ALL_SUBTYPES, secure: bool = False
) -> ServerConnection:
    connection = ServerConnection(Security(types, lambda size: CHALLENGE[:size], subtypes, secure))
    assert connection.outgoing() == BANNER
    return connection


def said(connection: ServerConnection, data: bytes) -> bytes:
    """What the server answers to bytes that make no event."""
    assert list(connection.receive(data)) == []
    return connection.outgoing()


def failed(text: str) -> bytes:
    return struct.pack(">II", 1, len(text)) + text.encode()


def finish(connection: ServerConnection, client_init: bytes = b"\x00") -> None:
    """Goes from ClientInit into the session and shows that messages are read there."""
    assert list(connection.receive(client_init)) == [ClientInit(shared=client_init != b"\x00")]
    connection.send_server_init(800, 600, CANONICAL, "vm - 2 viewers")
    assert connection.outgoing() == (
        struct.pack(">HH", 800, 600)
        + bytes.fromhex("20 18 00 01 00ff 00ff 00ff 10 08 00 000000")
        + struct.pack(">I", 14)
        + b"vm - 2 viewers"
    )
    assert connection.stage is Stage.SESSION
    assert list(connection.receive(KEY_A)) == [KeyEvent(True, 0x61)]


@pytest.mark.parametrize(
    ("banner", "version"),
    [
        (b"RFB 003.003\n", Version.V3_3),
        (b"RFB 003.004\n", Version.V3_3),
        (b"RFB 003.005\n", Version.V3_3),
        (b"RFB 003.006\n", Version.V3_3),
        (b"RFB 003.007\n", Version.V3_7),
        (b"RFB 003.008\n", Version.V3_8),
        (b"RFB 003.009\n", Version.V3_8),
        (b"RFB 003.889\n", Version.V3_8),
    ],
)
def test_every_minor_version_is_served_as_the_nearest_older_one(banner: bytes, version: Version) -> None:
    connection = connect(SecurityType.NONE)
    said(connection, banner)
    assert connection.version is version


@pytest.mark.parametrize(
    "banner",
    [b"RFB 003.002\n", b"RFB 004.001\n", b"RFB 003.008\r", b"GET / HTTP/1", b"RFB 003.00x\n", bytes(12)],
)
def test_an_unknown_version_is_refused_in_the_way_of_the_oldest_one(banner: bytes) -> None:
    connection = connect(SecurityType.NONE)
    with pytest.raises(RemoteError) as raised:
        list(connection.receive(banner))
    assert raised.value.reason is Reason.UNKNOWN_VERSION
    text = raised.value.text.encode()
    assert connection.outgoing() == struct.pack(">II", 0, len(text)) + text
    assert connection.stage is Stage.CLOSED
    assert list(connection.receive(BANNER)) == []


def test_none_in_3_8_has_a_security_result() -> None:
    connection = connect(SecurityType.NONE)
    assert said(connection, BANNER) == b"\x01\x01"
    assert said(connection, b"\x01") == b"\x00\x00\x00\x00"
    finish(connection, b"\x01")


def test_none_in_3_7_has_no_security_result() -> None:
    connection = connect(SecurityType.NONE)
    assert said(connection, b"RFB 003.007\n") == b"\x01\x01"
    assert said(connection, b"\x01") == b""
    finish(connection)


def test_none_in_3_3_is_dictated_and_has_no_security_result() -> None:
    connection = connect(SecurityType.NONE)
    assert said(connection, b"RFB 003.003\n") == b"\x00\x00\x00\x01"
    finish(connection)


@pytest.mark.parametrize(
    ("banner", "offer", "choice"),
    [
        (b"RFB 003.003\n", b"\x00\x00\x00\x02", b""),
        (b"RFB 003.007\n", b"\x01\x02", b"\x02"),
        (b"RFB 003.008\n", b"\x01\x02", b"\x02"),
    ],
)
def test_vnc_authentication_lets_the_right_response_in(banner: bytes, offer: bytes, choice: bytes) -> None:
    connection = connect(SecurityType.VNC_AUTHENTICATION)
    assert said(connection, banner) == offer + (b"" if choice else CHALLENGE)
    if choice:
        assert said(connection, choice) == CHALLENGE
    [event] = connection.receive(encrypt_challenge(CHALLENGE, "secret"))
    assert isinstance(event, VncAuthResponse)
    assert response_matches(event, "secret")
    assert not response_matches(event, "Secret")
    connection.authenticated()
    assert connection.outgoing() == b"\x00\x00\x00\x00"
    finish(connection)


@pytest.mark.parametrize(
    ("banner", "choice", "answer"),
    [
        (b"RFB 003.003\n", b"", b"\x00\x00\x00\x01"),
        (b"RFB 003.007\n", b"\x02", b"\x00\x00\x00\x01"),
        (b"RFB 003.008\n", b"\x02", failed("Authentication failed")),
    ],
)
def test_a_wrong_response_is_refused_with_the_reason_where_the_version_has_one(
    banner: bytes, choice: bytes, answer: bytes
) -> None:
    connection = connect(SecurityType.VNC_AUTHENTICATION)
    said(connection, banner + choice)
    [event] = connection.receive(bytes(16))
    assert isinstance(event, VncAuthResponse)
    assert not response_matches(event, "secret")
    connection.authentication_failed("Authentication failed")
    assert connection.outgoing() == answer
    assert connection.stage is Stage.CLOSED
    assert list(connection.receive(b"\x01" + KEY_A)) == []


def test_every_attempt_gets_a_challenge_of_its_own() -> None:
    sizes = []

    def random(size: int) -> bytes:
        sizes.append(size)
        return bytes([len(sizes)]) * size

    security = Security((SecurityType.VNC_AUTHENTICATION,), random)
    for attempt in (1, 2):
        connection = ServerConnection(security)
        connection.outgoing()
        assert said(connection, BANNER + b"\x02") == b"\x01\x02" + bytes([attempt]) * 16
    assert sizes == [16, 16]


def negotiate(connection: ServerConnection, subtype: VeNCryptSubtype, offered: list[int]) -> None:
    assert said(connection, BANNER) == b"\x01\x13"
    assert said(connection, b"\x13") == b"\x00\x02"
    assert said(connection, b"\x00\x02") == b"\x00" + struct.pack(
        f">B{len(offered)}I", len(offered), *offered
    )
    if subtype is VeNCryptSubtype.PLAIN:
        assert said(connection, struct.pack(">I", subtype)) == b""
    else:
        assert list(connection.receive(struct.pack(">I", subtype))) == [StartTls()]
        assert connection.outgoing() == b"\x01"
        connection.tls_started()
    assert (connection.security_type, connection.subtype) == (SecurityType.VENCRYPT, subtype)


@pytest.mark.parametrize("banner", [b"RFB 003.007\n", b"RFB 003.008\n"])
def test_x509_none_has_a_security_result_in_every_version(banner: bytes) -> None:
    connection = connect(SecurityType.VENCRYPT)
    assert said(connection, banner + b"\x13\x00\x02") == b"\x01\x13\x00\x02\x00\x03" + struct.pack(
        ">3I", 262, 261, 260
    )
    assert list(connection.receive(struct.pack(">I", 260))) == [StartTls()]
    assert connection.outgoing() == b"\x01"
    connection.tls_started()
    assert connection.outgoing() == b"\x00\x00\x00\x00"
    finish(connection)


def test_x509_vnc_sends_its_challenge_inside_tls() -> None:
    connection = connect(SecurityType.VENCRYPT)
    negotiate(connection, VeNCryptSubtype.X509_VNC, [262, 261, 260])
    assert connection.outgoing() == CHALLENGE
    [event] = connection.receive(encrypt_challenge(CHALLENGE, "secret"))
    assert isinstance(event, VncAuthResponse)
    connection.authenticated()
    assert connection.outgoing() == b"\x00\x00\x00\x00"
    finish(connection)


@pytest.mark.parametrize(
    ("subtype", "secure", "offered"),
    [(VeNCryptSubtype.X509_PLAIN, False, [262, 261, 260]), (VeNCryptSubtype.PLAIN, True, [256])],
)
def test_plain_takes_a_name_and_a_password(
    subtype: VeNCryptSubtype, secure: bool, offered: list[int]
) -> None:
    connection = connect(SecurityType.VENCRYPT, secure=secure)
    negotiate(connection, subtype, offered)
    password = "geheim\u00fc"
    wire = password.encode()
    assert list(connection.receive(struct.pack(">II", 5, len(wire)) + b"alice" + wire)) == [
        PlainCredentials("alice", password)
    ]
    connection.authenticated()
    assert connection.outgoing() == b"\x00\x00\x00\x00"
    finish(connection)


def test_plain_is_never_offered_in_the_clear() -> None:
    connection = connect(
        SecurityType.VENCRYPT, SecurityType.VNC_AUTHENTICATION, subtypes=(VeNCryptSubtype.PLAIN,)
    )
    assert said(connection, BANNER) == b"\x01\x02"


def test_tls_is_not_offered_inside_tls() -> None:
    connection = connect(
        SecurityType.VENCRYPT,
        SecurityType.VNC_AUTHENTICATION,
        subtypes=(VeNCryptSubtype.X509_VNC,),
        secure=True,
    )
    assert said(connection, BANNER) == b"\x01\x02"


def test_a_plain_choice_that_was_not_offered_is_refused() -> None:
    connection = connect(SecurityType.VENCRYPT)
    said(connection, BANNER + b"\x13\x00\x02")
    with pytest.raises(RemoteError) as raised:
        list(connection.receive(struct.pack(">I", 256)))
    assert raised.value.reason is Reason.UNKNOWN_SECURITY
    assert connection.outgoing() == b"\x00"


def test_another_version_of_vencrypt_is_refused() -> None:
    connection = connect(SecurityType.VENCRYPT)
    said(connection, BANNER + b"\x13")
    with pytest.raises(RemoteError) as raised:
        list(connection.receive(b"\x00\x01"))
    assert raised.value.reason is Reason.UNKNOWN_SECURITY
    assert connection.outgoing() == b"\x01"


def test_a_security_type_that_was_not_offered_is_refused_with_a_reason() -> None:
    connection = connect(SecurityType.VNC_AUTHENTICATION)
    said(connection, BANNER)
    with pytest.raises(RemoteError) as raised:
        list(connection.receive(b"\x01"))
    assert raised.value.reason is Reason.UNKNOWN_SECURITY
    assert connection.outgoing() == failed(raised.value.text)


def test_a_3_3_viewer_is_told_when_only_vencrypt_is_served() -> None:
    connection = connect(SecurityType.VENCRYPT)
    with pytest.raises(RemoteError) as raised:
        list(connection.receive(b"RFB 003.003\n"))
    assert raised.value.reason is Reason.REFUSED
    text = raised.value.text.encode()
    assert connection.outgoing() == struct.pack(">II", 0, len(text)) + text


def test_a_3_3_viewer_gets_vnc_authentication_where_vencrypt_is_preferred() -> None:
    connection = connect(SecurityType.VENCRYPT, SecurityType.VNC_AUTHENTICATION)
    assert said(connection, b"RFB 003.003\n") == b"\x00\x00\x00\x02" + CHALLENGE


def test_bytes_in_the_same_packet_behind_the_choice_of_tls_end_the_connection() -> None:
    connection = connect(SecurityType.VENCRYPT)
    said(connection, BANNER + b"\x13\x00\x02")
    with pytest.raises(RemoteError) as raised:
        list(connection.receive(struct.pack(">I", 260) + b"\x01" + KEY_A))
    assert raised.value.reason is Reason.UNEXPECTED_DATA
    assert connection.buffered == 0


def test_bytes_between_the_choice_of_tls_and_its_start_end_the_connection() -> None:
    connection = connect(SecurityType.VENCRYPT)
    said(connection, BANNER + b"\x13\x00\x02")
    assert list(connection.receive(struct.pack(">I", 260))) == [StartTls()]
    with pytest.raises(RemoteError) as raised:
        connection.receive(b"\x01")
    assert raised.value.reason is Reason.UNEXPECTED_DATA
    with pytest.raises(LocalError):
        connection.tls_started()


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [((MAX_CREDENTIAL + 1, 0), Reason.OVERSIZED), ((0, 0xFFFFFFFF), Reason.OVERSIZED)],
)
def test_long_credentials_are_refused_before_they_come(sizes: tuple[int, int], reason: Reason) -> None:
    connection = connect(SecurityType.VENCRYPT, secure=True)
    said(connection, BANNER + b"\x13\x00\x02" + struct.pack(">I", 256))
    with pytest.raises(RemoteError) as raised:
        list(connection.receive(struct.pack(">II", *sizes)))
    assert raised.value.reason is reason
    assert connection.outgoing() == failed(raised.value.text)


def test_credentials_that_are_not_utf_8_are_refused() -> None:
    connection = connect(SecurityType.VENCRYPT, secure=True)
    said(connection, BANNER + b"\x13\x00\x02" + struct.pack(">I", 256))
    with pytest.raises(RemoteError) as raised:
        list(connection.receive(struct.pack(">II", 1, 1) + b"a\xff"))
    assert raised.value.reason is Reason.MALFORMED
    assert connection.outgoing() == failed(raised.value.text)


def test_secrets_do_not_show_in_events() -> None:
    assert "hunter2" not in repr(PlainCredentials("alice", "hunter2"))
    assert "alice" in repr(PlainCredentials("alice", "hunter2"))
    assert repr(VncAuthResponse(b"c" * 16, b"r" * 16)) == "VncAuthResponse()"


@pytest.mark.parametrize(
    ("banner", "answer"),
    [
        (b"RFB 003.003\n", b"\x00\x00\x00\x00\x00\x00\x00\x04full"),
        (b"RFB 003.007\n", b"\x00\x00\x00\x00\x04full"),
        (b"RFB 003.008\n", b"\x00\x00\x00\x00\x04full"),
    ],
)
def test_a_refusal_from_the_start_comes_in_place_of_the_security_types(banner: bytes, answer: bytes) -> None:
    connection = connect(SecurityType.NONE)
    connection.refuse("full")
    assert connection.stage is Stage.HANDSHAKE
    assert said(connection, banner) == answer
    assert connection.stage is Stage.CLOSED


@pytest.mark.parametrize(("banner", "answer"), [(b"RFB 003.007\n", b""), (b"RFB 003.008\n", failed("full"))])
def test_a_refusal_after_the_offer_comes_as_the_security_result(banner: bytes, answer: bytes) -> None:
    connection = connect(SecurityType.NONE)
    said(connection, banner)
    connection.refuse("full")
    assert said(connection, b"\x01") == answer
    assert connection.stage is Stage.CLOSED


def test_a_refusal_while_the_driver_decides_is_a_failed_security_result() -> None:
    connection = connect(SecurityType.VNC_AUTHENTICATION)
    said(connection, BANNER + b"\x02")
    assert len(list(connection.receive(bytes(16)))) == 1
    connection.refuse("full")
    assert connection.outgoing() == failed("full")
    assert connection.stage is Stage.CLOSED


def test_a_refusal_before_tls_is_told_inside_it() -> None:
    connection = connect(SecurityType.VENCRYPT)
    said(connection, BANNER + b"\x13\x00\x02")
    assert list(connection.receive(struct.pack(">I", 260))) == [StartTls()]
    connection.refuse("full")
    assert connection.outgoing() == b"\x01"
    connection.tls_started()
    assert connection.outgoing() == failed("full")
    assert connection.stage is Stage.CLOSED


@pytest.mark.parametrize("client_init", [b"", b"\x01"])
def test_a_refusal_after_the_security_result_is_a_silent_end(client_init: bytes) -> None:
    connection = connect(SecurityType.NONE)
    list(connection.receive(BANNER + b"\x01" + client_init))
    connection.outgoing()
    connection.refuse("full")
    assert connection.outgoing() == b""
    assert connection.stage is Stage.CLOSED


def test_what_a_client_sends_ahead_is_read_once_it_may_be() -> None:
    connection = connect(SecurityType.VNC_AUTHENTICATION)
    [event] = connection.receive(BANNER + b"\x02" + bytes(16) + b"\x01" + KEY_A)
    assert isinstance(event, VncAuthResponse)
    connection.authenticated()
    assert list(connection.receive(b"")) == [ClientInit(True)]
    connection.send_server_init(1, 1, CANONICAL, "")
    assert list(connection.receive(b"")) == [KeyEvent(True, 0x61)]


def test_answers_inside_the_loop_let_it_go_on() -> None:
    connection = connect(SecurityType.NONE)
    events = []
    for event in connection.receive(BANNER + b"\x01\x01" + KEY_A):
        events.append(event)
        if isinstance(event, ClientInit):
            connection.send_server_init(1, 1, CANONICAL, "")
    assert events == [ClientInit(True), KeyEvent(True, 0x61)]


def test_a_client_that_sends_too_much_ahead_is_ended() -> None:
    connection = connect(SecurityType.VNC_AUTHENTICATION)
    list(connection.receive(BANNER + b"\x02" + bytes(16)))
    for _ in range(MAX_WAITING):
        connection.receive(b"x")
    with pytest.raises(RemoteError) as raised:
        connection.receive(b"x")
    assert raised.value.reason is Reason.UNEXPECTED_DATA
    assert connection.buffered == 0


def test_an_answer_out_of_turn_is_this_sides_fault() -> None:
    connection = connect(SecurityType.NONE)
    for answer in (connection.authenticated, connection.tls_started):
        with pytest.raises(LocalError):
            answer()
    with pytest.raises(LocalError):
        connection.authentication_failed("no")
    with pytest.raises(LocalError):
        connection.send_server_init(1, 1, CANONICAL, "")


def test_a_handshake_in_single_bytes_is_the_same() -> None:
    connection = connect(SecurityType.NONE)
    events = [event for byte in BANNER + b"\x01\x01" for event in connection.receive(bytes([byte]))]
    assert events == [ClientInit(True)]


@pytest.mark.parametrize(
    "conversation",
    [
        [],
        [BANNER[:5]],
        [BANNER],
        [BANNER, b"\x13"],
        [BANNER, b"\x13\x00\x02"],
        [BANNER, b"\x13\x00\x02" + struct.pack(">I", 260)],
        [BANNER, b"\x02"],
        [BANNER, b"\x02" + bytes(16)],
        [BANNER, b"\x01"],
        [BANNER, b"\x01\x01"],
    ],
)
def test_a_client_may_be_refused_twice_at_every_stage(conversation: list[bytes]) -> None:
    # QEMU's CVE-2023-3354 was a client dropped a second time in the middle of its handshake
    connection = connect(SecurityType.VENCRYPT, SecurityType.VNC_AUTHENTICATION, SecurityType.NONE)
    for data in conversation:
        list(connection.receive(data))
    connection.refuse("full")
    said_once = connection.outgoing()
    connection.refuse("full")
    assert b"full" not in connection.outgoing() or b"full" not in said_once
    if connection.stage is Stage.CLOSED:
        with pytest.raises(LocalError):
            connection.authenticated()
