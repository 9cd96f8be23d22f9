"""Whatever bytes come, at whatever moment: events, or RemoteError and nothing else, and nothing is kept."""

import contextlib
from functools import cache

from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import rdp_client_pdus as client
from support.rdp_conversation import Conversation
from support.rdp_script import STEPS, Profile, RdpScript

from sidecar.rdp.connection import Stage
from sidecar.rdp.errors import RemoteError
from sidecar.rdp.tpkt import MAX_PDU

PROFILE = Profile(
    early=client.ERRINFO | client.AUTO_DETECT | client.DYNVC_GFX,
    message_channel=True,
    monitors=((0, 0, 1023, 767, 1),),
)

MOMENTS = st.sampled_from([*STEPS, ""])
"""In front of which step; "" for an active session."""


@cache
def script() -> tuple[RdpScript, tuple[bytes, ...]]:
    """A client that knows all that a server has told it, and what it has said."""
    conversation = Conversation(PROFILE)
    said = []
    for step in STEPS:
        said.append(conversation.peer.step(step))
        conversation.say(said[-1])
    assert conversation.stage is Stage.ACTIVE
    peer = conversation.peer
    said += [
        client.fast_path_input([client.fast_path_scancode(30), client.fast_path_mouse(0x800, 9, 9)]),
        peer.share(client.INPUT, client.slow_path_input([(4, bytes(6)), (0x8001, bytes(6))])),
        peer.share(client.REFRESH_RECT, b"\x01\0\0\0" + bytes(8)),
        peer.share(client.SUPPRESS_OUTPUT, bytes(4)),
        peer.share(client.FRAME_ACKNOWLEDGE, bytes(4)),
        peer.share(client.SHUTDOWN_REQUEST),
        peer.channel("drdynvc", bytes(3000)),
        peer.auto_detect_response(1, 0),
        client.disconnect_ultimatum(),
    ]
    return peer, tuple(said)


def at(moment: str) -> Conversation:
    conversation = Conversation(PROFILE).until(moment)
    if conversation.stage is Stage.ACTIVE:
        conversation.connection.channel("drdynvc")
    return conversation


def survives(conversation: Conversation, pieces: list[bytes]) -> None:
    """Says everything, as long as the connection listens."""
    for piece in pieces:
        try:
            conversation.say(piece)
        except RemoteError:
            assert conversation.stage is Stage.CLOSED
        assert conversation.connection.buffered <= MAX_PDU
        if conversation.stage is Stage.CLOSED:
            assert conversation.connection.buffered == 0


@given(MOMENTS, st.lists(st.binary(max_size=40), max_size=6))
@example("", [b"\x04\x04\x00\x1e", b"\x00"])
def test_any_bytes_at_any_moment(moment: str, pieces: list[bytes]) -> None:
    survives(at(moment), pieces)


@given(MOMENTS, st.lists(st.binary(max_size=60), max_size=4), st.data())
def test_any_bytes_inside_of_every_envelope(moment: str, bodies: list[bytes], data: st.DataObject) -> None:
    peer = script()[0]
    envelopes = [
        client.tpkt,
        client.x224_data,
        peer.io,
        lambda body: client.send_data(peer.user, data.draw(st.integers(1001, 1040)), body),
        lambda body: peer.share(data.draw(st.integers(0, 60)), body),
        lambda body: peer.io(client.share_control(data.draw(st.integers(0, 15)), peer.user, body)),
        lambda body: client.send_data(
            peer.user, peer.message_channel, b"\0\x20\0\0" + bytes((len(body) + 2, 1)) + body
        ),
        lambda body: client.connect_initial(client.block(data.draw(st.integers(0xC001, 0xC00A)), body)),
        lambda body: bytes((4, len(body) + 2)) + body,
    ]
    survives(at(moment), [data.draw(st.sampled_from(envelopes))(body) for body in bodies])


@given(st.lists(st.integers(0, 100), max_size=30))
def test_any_pdus_of_a_client_in_any_order(order: list[int]) -> None:
    said = script()[1]
    survives(Conversation(PROFILE), [said[number % len(said)] for number in order])


@settings(max_examples=200)
@given(
    st.integers(0, 100),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=4),
    st.lists(st.integers(1, 700), min_size=1, max_size=3),
)
def test_a_session_with_bytes_changed_in_any_pdu(
    number: int, changes: list[tuple[int, int]], sizes: list[int]
) -> None:
    said = list(script()[1])
    number %= len(said)
    changed = bytearray(said[number])
    for place, value in changes:
        changed[place % len(changed)] = value
    said[number] = bytes(changed)
    conversation = Conversation(PROFILE, pieces=sizes)
    # the client is not told: it goes on as if everything was well
    conversation.hear = lambda: conversation.connection.outgoing() and []  # type: ignore[method-assign]
    survives(conversation, said)


@given(MOMENTS, st.integers(0, 100), st.integers(1, 30))
def test_a_pdu_that_is_repeated_for_long_costs_no_more_than_its_answers(
    moment: str, number: int, count: int
) -> None:
    """A client gets little more bytes than it sends, so that what waits for it stays small."""
    said = script()[1]
    conversation = at(moment)
    pdu = said[number % len(said)]
    before = len(conversation.sent)
    with contextlib.suppress(RemoteError):
        for _ in range(count):
            conversation.say(pdu)
    assert len(conversation.sent) - before <= 1000 + 2 * count * len(pdu)
