"""Whole conversations without a socket, from Demand Active on."""

import struct

import pytest
from support import rdp_client_pdus as client
from support import rdp_server_pdus as server
from support.rdp_conversation import Conversation
from support.rdp_script import ACTIVATION, STEPS, Profile

from sidecar.rdp.connection import MAX_CHANNEL_MESSAGE, Stage
from sidecar.rdp.error_info import ErrorInfo
from sidecar.rdp.errors import LocalError, Reason, RemoteError
from sidecar.rdp.events import (
    Activated,
    BandwidthMeasured,
    ChannelMessage,
    Disconnected,
    FrameAcknowledged,
    Input,
    RefreshRect,
    RoundTripMeasured,
    ShutdownRequested,
    SuppressOutput,
)
from sidecar.rdp.fast_path import MAX_FRAGMENT, UpdateCode
from sidecar.rdp.input_events import MouseEvent, ScancodeEvent
from sidecar.rdp.share_data import PduType2
from sidecar.screen.rectangle import Rectangle

KEY = client.fast_path_input([client.fast_path_scancode(30)])
PRESSED = Input((ScancodeEvent(30),))

AUTO_DETECTING = Profile(early=client.AUTO_DETECT, message_channel=True)


def active(profile: Profile | None = None) -> Conversation:
    return Conversation(profile).until("")


def error_of(conversation: Conversation, data: bytes) -> RemoteError:
    """What the connection says to bytes that end it."""
    with pytest.raises(RemoteError) as caught:
        conversation.say(data)
    assert conversation.stage is Stage.CLOSED
    assert list(conversation.connection.receive(KEY)) == []
    assert conversation.connection.outgoing() == []
    return caught.value


def is_control(action: int) -> server.ShareData:
    user = 1036 if action == server.GRANTED_CONTROL else 0
    return server.ShareData(
        server.CONTROL, struct.pack("<HHI", action, user, 1002 if action == server.GRANTED_CONTROL else 0)
    )


def test_an_activation_goes_as_all_clients_take_it() -> None:
    conversation = Conversation(size=(1280, 800)).until("confirm_active")
    peer = conversation.peer
    licence, demand = peer.inbox[-2:]
    assert licence == server.Licence(7, 2)
    assert isinstance(demand, server.DemandActive)
    assert peer.desktop == (1280, 800)
    said: dict[str, list[object]] = {}
    for step in ACTIVATION:
        before = len(peer.inbox)
        conversation.step(step)
        said[step] = peer.inbox[before:]
    synchronize = server.ShareData(server.SYNCHRONIZE, struct.pack("<HH", 1, peer.user))
    assert said == {
        # at once: there are clients that wait for these
        "confirm_active": [synchronize, is_control(server.COOPERATE)],
        "synchronize": [],
        "cooperate": [],
        "request_control": [is_control(server.GRANTED_CONTROL)],
        "font_list": [server.ShareData(server.FONT_MAP, struct.pack("<4H", 0, 0, 3, 4))],
    }
    (activated,) = [event for event in conversation.events if isinstance(event, Activated)]
    capabilities = activated.capabilities
    assert (capabilities.width, capabilities.height, capabilities.colour_depth) == (1280, 800, 32)
    assert conversation.connection.capabilities == capabilities
    assert conversation.stage is Stage.ACTIVE


def test_the_stages_come_one_after_the_other() -> None:
    conversation, stages = Conversation(), []
    for step in STEPS:
        stages.append(conversation.stage)
        conversation.step(step)
    assert stages == [
        Stage.NEGOTIATION,
        Stage.BASIC_SETTINGS,
        *[Stage.CHANNEL_CONNECTION] * 4,
        Stage.CAPABILITIES,
        *[Stage.FINALIZATION] * 4,
    ]
    assert conversation.stage is Stage.ACTIVE


@pytest.mark.parametrize("pieces", [(1,), (2, 7), (1000,)])
def test_a_whole_session_is_the_same_however_the_bytes_are_cut(pieces: tuple[int, ...]) -> None:
    def talk(conversation: Conversation) -> Conversation:
        conversation.until("")
        conversation.connection.channel("drdynvc")
        conversation.say(KEY + conversation.peer.channel("drdynvc", bytes(5000)))
        conversation.say(conversation.peer.share(client.SHUTDOWN_REQUEST) + client.disconnect_ultimatum())
        return conversation

    whole, cut = talk(Conversation()), talk(Conversation(pieces=pieces))
    assert (cut.sent, cut.events, cut.stage) == (whole.sent, whole.events, whole.stage)


def test_all_that_a_client_says_may_come_at_once() -> None:
    conversation = Conversation().until("confirm_active")
    data = b"".join(conversation.peer.step(step) for step in ACTIVATION)
    events = conversation.say(data + KEY + KEY + client.disconnect_ultimatum())
    assert [type(event) for event in events] == [Activated, Input, Input, Disconnected]


def test_events_wait_for_a_driver_that_stops_asking() -> None:
    """Several share control PDUs in one MCS PDU make several events."""
    conversation = active()
    peer = conversation.peer
    pdus = [
        client.share_data(peer.user, peer.share_id, client.FRAME_ACKNOWLEDGE, struct.pack("<I", number))
        for number in range(3)
    ]
    connection = conversation.connection
    assert next(connection.receive(peer.io(b"".join(pdus)) + KEY)) == FrameAcknowledged(0)
    assert next(connection.receive(b"")) == FrameAcknowledged(1)
    assert list(connection.receive(KEY)) == [FrameAcknowledged(2), PRESSED, PRESSED]


def test_nothing_comes_from_a_connection_that_was_closed_meanwhile() -> None:
    conversation = active()
    events = conversation.connection.receive(KEY * 3)
    assert next(events) == PRESSED
    conversation.connection.disconnect()
    assert list(events) == []


def test_what_a_client_leaves_out_of_its_finalization_is_not_missed() -> None:
    conversation = Conversation().until("confirm_active")
    assert [type(event) for event in conversation.steps(("confirm_active", "font_list"))] == [Activated]


def test_the_font_map_answers_the_last_of_several_font_lists() -> None:
    conversation = Conversation().until("font_list")
    assert conversation.say(conversation.peer.font_list(flags=1)) == []
    assert conversation.stage is Stage.FINALIZATION
    assert [type(event) for event in conversation.say(conversation.peer.font_list(flags=2))] == [Activated]


def test_finalization_that_is_repeated_changes_nothing() -> None:
    conversation = active()
    before = len(conversation.peer.inbox)
    assert conversation.steps(("synchronize", "cooperate", "request_control", "font_list") * 3) == []
    assert conversation.peer.inbox[before:] == [is_control(server.GRANTED_CONTROL)] * 3


@pytest.mark.parametrize(
    ("before", "step"),
    [
        ("confirm_active", "synchronize"),
        ("confirm_active", "request_control"),
        ("confirm_active", "font_list"),
        ("confirm_active", "erect_domain"),
        ("confirm_active", "attach_user"),
        ("confirm_active", "joins"),
        ("confirm_active", "connection_request"),
        ("confirm_active", "client_info"),
        ("synchronize", "confirm_active"),
        ("font_list", "confirm_active"),
        ("", "confirm_active"),
        ("", "attach_user"),
        ("", "connect_initial"),
    ],
)
def test_steps_out_of_their_order_are_refused(before: str, step: str) -> None:
    conversation = Conversation().until(before)
    error = error_of(conversation, conversation.peer.step(step))
    assert error.reason in {Reason.UNEXPECTED, Reason.MALFORMED, Reason.TRUNCATED}


def test_input_of_a_client_that_has_seen_nothing_is_dropped() -> None:
    for step in ACTIVATION:
        conversation = Conversation().until(step)
        peer = conversation.peer
        assert conversation.say(KEY + peer.share(client.SUPPRESS_OUTPUT, bytes(4))) == []
        assert [type(event) for event in conversation.steps(ACTIVATION[ACTIVATION.index(step) :])] == [
            Activated
        ]


@pytest.mark.parametrize(
    ("kind", "body", "event"),
    [
        (
            client.INPUT,
            client.slow_path_input(
                [(4, struct.pack("<HHH", 0, 30, 0)), (0x8001, struct.pack("<HHH", 0x800, 5, 6))]
            ),
            Input((ScancodeEvent(30), MouseEvent(0x800, 5, 6))),
        ),
        (
            client.REFRESH_RECT,
            b"\x01\0\0\0" + struct.pack("<4H", 1, 2, 10, 20),
            RefreshRect((Rectangle(1, 2, 10, 19),)),
        ),
        (client.SUPPRESS_OUTPUT, b"\0\0\0\0", SuppressOutput(allowed=False)),
        (client.SUPPRESS_OUTPUT, b"\1\0\0\0" + bytes(8), SuppressOutput(allowed=True)),
        (client.FRAME_ACKNOWLEDGE, struct.pack("<I", 77), FrameAcknowledged(77)),
        (client.SHUTDOWN_REQUEST, b"", ShutdownRequested()),
    ],
)
def test_what_a_client_says_in_a_session(kind: int, body: bytes, event: object) -> None:
    conversation = active()
    assert conversation.say(conversation.peer.share(kind, body)) == [event]


def test_a_shutdown_is_denied() -> None:
    conversation = active()
    conversation.say(conversation.peer.share(client.SHUTDOWN_REQUEST))
    assert conversation.peer.inbox[-1] == server.ShareData(server.SHUTDOWN_DENIED, b"")
    assert conversation.stage is Stage.ACTIVE


@pytest.mark.parametrize("kind", [0, 43, 99, 255])
def test_pdus_of_no_interest_are_left_alone(kind: int) -> None:
    conversation = active()
    before = len(conversation.sent)
    assert conversation.say(conversation.peer.share(kind, b"anything")) == []
    assert len(conversation.sent) == before


@pytest.mark.parametrize("kind", [1, 2, 6, 10])
def test_share_control_pdus_that_only_a_server_sends_are_refused(kind: int) -> None:
    conversation = active()
    pdu = conversation.peer.io(client.share_control(kind, conversation.peer.user, bytes(12)))
    assert error_of(conversation, pdu).reason is Reason.UNEXPECTED


def test_a_desktop_of_another_size_needs_another_activation() -> None:
    conversation = active()
    peer, connection = conversation.peer, conversation.connection
    connection.reactivate(800, 600)
    assert [type(pdu) for pdu in conversation.hear()] == [server.DeactivateAll, server.DemandActive]
    assert peer.desktop == (800, 600)
    assert conversation.stage is Stage.CAPABILITIES
    # what was on its way counts
    assert conversation.say(KEY) == [PRESSED]
    acknowledgement = peer.share(client.FRAME_ACKNOWLEDGE, struct.pack("<I", 1))
    assert conversation.say(acknowledgement) == [FrameAcknowledged(1)]
    connection.channel("cliprdr")
    assert conversation.say(peer.channel("cliprdr", b"text")) == [ChannelMessage("cliprdr", b"text")]
    (activated,) = conversation.activate()
    assert isinstance(activated, Activated)
    assert (activated.capabilities.width, activated.capabilities.height) == (800, 600)
    assert conversation.stage is Stage.ACTIVE


def test_nothing_is_shown_to_a_client_between_its_activations() -> None:
    conversation = active()
    connection = conversation.connection
    connection.reactivate(800, 600)
    conversation.hear()
    connection.send([b"update"])
    connection.send_fast_path(UpdateCode.BITMAP, b"picture")
    connection.send_share_data(PduType2.PLAY_SOUND, bytes(8))
    assert connection.outgoing() == []


@pytest.mark.parametrize("step", ACTIVATION)
def test_a_size_that_changes_during_an_activation_comes_behind_it(step: str) -> None:
    conversation = Conversation().until(step)
    conversation.connection.reactivate(800, 600)
    conversation.connection.reactivate(640, 480)
    assert conversation.hear() == []
    assert conversation.steps(ACTIVATION[ACTIVATION.index(step) :]) == []
    assert conversation.peer.desktop == (640, 480)
    assert conversation.stage is Stage.CAPABILITIES
    assert [type(event) for event in conversation.activate()] == [Activated]
    assert conversation.peer.desktop == (640, 480)


def test_the_colour_depth_and_kinds_of_input_stay_with_a_new_size() -> None:
    conversation = Conversation(
        answer_login=lambda connection, _: connection.accept(
            640, 480, 16, unicode_input=False, relative_mouse=True
        )
    ).until("")
    conversation.connection.reactivate(800, 600)
    conversation.hear()
    first, second = conversation.peer.heard(server.DemandActive)
    assert isinstance(first, server.DemandActive)
    assert isinstance(second, server.DemandActive)
    assert first.sets[2][0] == second.sets[2][0] == 16
    flags = struct.unpack_from("<H", first.sets[13])[0]
    assert (flags & 0x10, flags & 0x80) == (0, 0x80)
    assert {kind for kind in first.sets if first.sets[kind] != second.sets[kind]} == {2}


def test_updates_go_out_as_they_are_and_long_ones_in_fragments() -> None:
    conversation = active()
    connection, peer = conversation.connection, conversation.peer
    connection.send([b"\x00\x05\x03", b"\x00\x00"])
    picture = bytes(at % 251 for at in range(3 * MAX_FRAGMENT + 5))
    connection.send_fast_path(UpdateCode.BITMAP, picture)
    connection.send_fast_path(UpdateCode.SURFCMDS, b"short")
    assert conversation.hear() == [
        server.FastPathUpdate(3, b""),
        server.FastPathUpdate(1, picture),
        server.FastPathUpdate(4, b"short"),
    ]
    connection.send_share_data(PduType2.PLAY_SOUND, bytes(8))
    assert conversation.hear() == [server.ShareData(34, bytes(8))]
    assert peer.share_id


def test_updates_go_by_the_slow_path_to_a_client_that_takes_no_other() -> None:
    conversation = active(Profile(capability_sets=client.capability_sets(1024, 768, fast_path=False)))
    conversation.connection.send_fast_path(UpdateCode.BITMAP, b"\x01\x00picture")
    conversation.connection.send_fast_path(UpdateCode.PTR_NULL, b"")
    assert conversation.hear() == [
        server.ShareData(2, b"\x01\x00picture"),
        server.ShareData(27, struct.pack("<HHI", 1, 0, 0)),
    ]


def test_what_was_taken_is_sent_once() -> None:
    conversation = active()
    conversation.connection.send([b"one"])
    assert conversation.connection.outgoing() == [b"one"]
    assert conversation.connection.outgoing() == []


@pytest.mark.parametrize("size", [0, 1, 1600, 1601, 100_000])
def test_messages_of_a_channel_go_both_ways(size: int) -> None:
    conversation = active()
    sender = conversation.connection.channel("cliprdr")
    assert conversation.connection.channel("cliprdr") is sender
    message = bytes(at % 249 for at in range(size))
    assert conversation.say(conversation.peer.channel("cliprdr", message)) == [
        ChannelMessage("cliprdr", message)
    ]
    sender.send(message)
    (heard,) = conversation.hear()
    assert isinstance(heard, server.ChannelData)
    assert (heard.channel, heard.data) == ("cliprdr", message)


def test_messages_of_several_channels_may_come_in_turns() -> None:
    conversation = active()
    peer = conversation.peer
    for name in ("cliprdr", "drdynvc"):
        conversation.connection.channel(name)
    pdus = [
        [client.send_data(peer.user, peer.channels[name], chunk) for chunk in client.channel_chunks(data)]
        for name, data in (("cliprdr", b"a" * 4000), ("drdynvc", b"b" * 4000))
    ]
    events = conversation.say(b"".join(first + second for first, second in zip(*pdus, strict=True)))
    assert events == [ChannelMessage("cliprdr", b"a" * 4000), ChannelMessage("drdynvc", b"b" * 4000)]


def test_slices_become_messages_of_the_channel() -> None:
    conversation = active()
    payload = bytes(at % 247 for at in range(4000))
    conversation.connection.channel("drdynvc").send_slices(b"\x30\x07", payload, 1590)
    heard = [b"\x30\x07" + payload[at : at + 1590] for at in range(0, 4000, 1590)]
    conversation.peer.reader.asked[7] = "ECHO"
    assert [pdu.data for pdu in conversation.hear() if isinstance(pdu, server.ChannelData)] == heard


def test_what_comes_on_channels_that_nobody_opened_is_dropped() -> None:
    conversation = active()
    assert conversation.say(conversation.peer.channel("rdpdr", bytes(10_000))) == []
    assert conversation.stage is Stage.ACTIVE


def test_a_channel_that_is_not_joined_is_not_opened() -> None:
    with pytest.raises(LocalError):
        active().connection.channel("rdpsnd")


def test_data_for_channels_that_never_joined_end_the_session() -> None:
    conversation = Conversation().until("joins")
    peer = conversation.peer
    for channel in (peer.user, 1003, peer.channels["drdynvc"]):
        conversation.say(client.join(peer.user, channel))
    conversation.steps(STEPS[5:])
    for channel in (peer.channels["cliprdr"], 1035, 1050, 0):
        other = active()
        chunk = client.channel_chunks(b"data")[0]
        if channel == peer.channels["cliprdr"]:
            other = conversation
        error = error_of(other, client.send_data(peer.user, channel, chunk))
        assert error.reason is Reason.UNKNOWN_CHANNEL


@pytest.mark.parametrize(
    ("chunk", "reason"),
    [
        (
            struct.pack("<II", 4, client.FIRST_CHUNK | client.LAST_CHUNK | client.COMPRESSED_CHUNK) + b"data",
            None,
        ),
        (struct.pack("<II", MAX_CHANNEL_MESSAGE + 1, client.FIRST_CHUNK), Reason.OVERSIZED),
        (struct.pack("<II", 0xFFFFFFFF, client.FIRST_CHUNK) + b"data", Reason.OVERSIZED),
        (struct.pack("<II", 3, client.FIRST_CHUNK | client.LAST_CHUNK) + b"data", None),
        (struct.pack("<II", 5, client.FIRST_CHUNK | client.LAST_CHUNK) + b"data", None),
        (struct.pack("<II", 4, client.LAST_CHUNK) + b"data", None),
        (b"\x04\0\0\0\x03\0\0", Reason.TRUNCATED),
    ],
)
def test_broken_chunks_end_the_session(chunk: bytes, reason: Reason | None) -> None:
    conversation = active()
    conversation.connection.channel("drdynvc")
    peer = conversation.peer
    error = error_of(conversation, client.send_data(peer.user, peer.channels["drdynvc"], chunk))
    assert error.reason is (reason or Reason.MALFORMED)


def test_the_longest_message_is_what_the_channel_was_opened_for() -> None:
    conversation = active()
    conversation.connection.channel("drdynvc", 100)
    assert len(conversation.say(conversation.peer.channel("drdynvc", bytes(100)))) == 1
    error = error_of(conversation, conversation.peer.channel("drdynvc", bytes(101)))
    assert error.reason is Reason.OVERSIZED


def test_the_network_is_measured_where_the_client_can() -> None:
    conversation = active(AUTO_DETECTING)
    connection, peer = conversation.connection, conversation.peer
    assert connection.measure_round_trip(5)
    assert connection.start_bandwidth_measure(6)
    assert connection.stop_bandwidth_measure(7)
    assert conversation.hear() == [
        server.AutoDetect(5, 0x0001, b""),
        server.AutoDetect(6, 0x0014, b""),
        server.AutoDetect(7, 0x0429, b""),
    ]
    assert conversation.say(peer.auto_detect_response(5, 0)) == [RoundTripMeasured(5)]
    measured = peer.auto_detect_response(7, 0x0B, struct.pack("<II", 20, 5000))
    assert conversation.say(measured) == [BandwidthMeasured(byte_count=5000, milliseconds=20)]


@pytest.mark.parametrize(
    "profile", [Profile(), Profile(early=client.AUTO_DETECT), Profile(message_channel=True)]
)
def test_the_network_is_not_measured_where_the_client_cannot(profile: Profile) -> None:
    conversation = active(profile)
    connection = conversation.connection
    assert not connection.measure_round_trip(5)
    assert not connection.start_bandwidth_measure(6)
    assert not connection.stop_bandwidth_measure(7)
    assert connection.outgoing() == []


def test_other_messages_on_the_message_channel_are_left_alone() -> None:
    conversation = active(AUTO_DETECTING)
    peer = conversation.peer
    heartbeat = struct.pack("<HHBBBB", 0x4000, 0, 0, 5, 1, 2)
    assert conversation.say(client.send_data(peer.user, peer.message_channel, heartbeat)) == []


@pytest.mark.parametrize("early", [client.ERRINFO, 0])
@pytest.mark.parametrize("step", ["confirm_active", "font_list", ""])
def test_a_client_is_told_why_it_is_disconnected(step: str, early: int) -> None:
    conversation = Conversation(Profile(early=early)).until(step)
    conversation.connection.disconnect(ErrorInfo.RPC_INITIATED_DISCONNECT)
    said = conversation.hear()
    error_info = server.ShareData(server.SET_ERROR_INFO, struct.pack("<I", 1))
    assert said == ([error_info] if early else []) + [server.Ultimatum(1)]
    assert conversation.stage is Stage.CLOSED


def test_a_client_is_disconnected_without_a_reason_too() -> None:
    conversation = active()
    conversation.connection.disconnect()
    assert conversation.hear() == [server.Ultimatum(1)]


@pytest.mark.parametrize("goodbye", [client.disconnect_ultimatum(), client.disconnect_request()])
@pytest.mark.parametrize("step", [*ACTIVATION, ""])
def test_a_client_may_say_goodbye_at_any_time(step: str, goodbye: bytes) -> None:
    conversation = Conversation().until(step)
    assert conversation.say(goodbye + KEY) == [Disconnected()]
    assert conversation.stage is Stage.CLOSED


@pytest.mark.parametrize("step", ACTIVATION)
def test_a_pdu_that_is_cut_off_is_an_error_or_waited_for(step: str) -> None:
    """The bytes that are missing are taken out of its end, and its TPKT header agrees."""
    whole = Conversation().until(step).peer.step(step)
    for size in range(5, len(whole)):
        conversation = Conversation().until(step)
        error = error_of(conversation, whole[:2] + struct.pack(">H", size) + whole[4:size])
        assert error.reason in {Reason.TRUNCATED, Reason.MALFORMED, Reason.UNEXPECTED}
        waits = Conversation().until(step)
        assert waits.say(whole[:size]) == []
        assert waits.connection.buffered == size


def test_encrypted_fast_path_input_is_refused() -> None:
    for flags in (0x40, 0x80, 0xC0):
        assert error_of(active(), bytes((KEY[0] | flags,)) + KEY[1:]).reason is Reason.MALFORMED


def test_a_session_may_be_very_long_and_keeps_nothing() -> None:
    conversation = active()
    connection = conversation.connection
    for _ in range(2000):
        assert len(list(connection.receive(KEY * 10))) == 10
        assert connection.buffered == 0
