"""One session's graphics pipeline, with a client's screen at the other end."""

import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rdp_graphics import Picture, Screen, caps_advertise, client_pdu, pdus, unwrap

from sidecar.encode.form import Codec, Segment
from sidecar.rdp.errors import LocalError, Reason, RemoteError
from sidecar.rdp.events import Monitor
from sidecar.rdp.graphics_pipeline.pdus import solid_fill, surface_to_surface
from sidecar.rdp.graphics_pipeline.pipeline import (
    CapabilitiesChosen,
    FrameAcknowledged,
    GraphicsPipeline,
    SurfaceMapping,
)
from sidecar.screen.rectangle import Rectangle

VERSION8, VERSION104, VERSION107 = 0x00080004, 0x000A0400, 0x000A0701
NO_FLAGS = bytes(4)
MONITOR = Monitor(Rectangle(0, 0, 64, 48), primary=True)
WHOLE = SurfaceMapping(1, 64, 48, MONITOR.area)


def advertised(version: int = VERSION107) -> tuple[GraphicsPipeline, Screen]:
    pipeline, screen = GraphicsPipeline(), Screen()
    (event,) = pipeline.receive(caps_advertise((version, NO_FLAGS)), 0.0)
    assert isinstance(event, CapabilitiesChosen)
    screen.receive(pipeline.outgoing())
    return pipeline, screen


def laid_out(version: int = VERSION107) -> tuple[GraphicsPipeline, Screen]:
    pipeline, screen = advertised(version)
    screen.receive(pipeline.lay_out(64, 48, [MONITOR], [WHOLE]))
    return pipeline, screen


def pixels(x: int, y: int, width: int, height: int, colour: int = 0x123456) -> Segment:
    body = struct.pack("<I", colour) * (width * height)
    return Segment(Rectangle(x, y, width, height), Codec.UNCOMPRESSED, body)


def acknowledgement(frame_id: int, queue_depth: int = 0, decoded: int = 1) -> bytes:
    return client_pdu(0x0D, struct.pack("<III", queue_depth, frame_id, decoded))


SUSPEND = 0xFFFFFFFF


def test_the_chosen_capability_set_is_confirmed_as_it_came() -> None:
    pipeline, screen = GraphicsPipeline(), Screen()
    flags = struct.pack("<I", 0x22)
    (event,) = pipeline.receive(caps_advertise((VERSION8, NO_FLAGS), (VERSION107, flags)), 0.0)
    assert isinstance(event, CapabilitiesChosen)
    assert event.chosen is pipeline.chosen
    screen.receive(pipeline.outgoing())
    assert screen.confirmed == (VERSION107, flags)
    assert pipeline.outgoing() == b""


def test_avc420_is_looked_for_only_where_this_side_has_it() -> None:
    sets = ((0x00080105, b"\x10\0\0\0"), (VERSION107, b"\x20\0\0\0"))
    for avc420 in (True, False):
        pipeline = GraphicsPipeline(avc420=avc420)
        list(pipeline.receive(caps_advertise(*sets), 0.0))
        assert pipeline.chosen is not None
        assert pipeline.chosen.avc420 is avc420


def test_a_client_without_a_known_version_is_refused() -> None:
    with pytest.raises(RemoteError) as caught:
        list(GraphicsPipeline().receive(caps_advertise((0x00770000, NO_FLAGS)), 0.0))
    assert caught.value.reason is Reason.REFUSED


def test_a_cache_import_offer_gets_an_empty_reply() -> None:
    pipeline, screen = advertised()
    list(pipeline.receive(client_pdu(0x10, struct.pack("<HQI", 1, 2, 3)), 0.0))
    screen.receive(pipeline.outgoing())
    assert screen.cache_replies == 1


def test_answers_are_not_overtaken() -> None:
    pipeline, screen = GraphicsPipeline(), Screen()
    list(pipeline.receive(caps_advertise((VERSION107, NO_FLAGS)), 0.0))
    screen.receive(pipeline.lay_out(64, 48, [MONITOR], [WHOLE]))
    assert screen.confirmed == (VERSION107, NO_FLAGS)
    assert pipeline.outgoing() == b""


def test_nothing_is_sent_before_the_client_is_ready() -> None:
    pipeline = GraphicsPipeline()
    with pytest.raises(LocalError):
        pipeline.lay_out(64, 48, [MONITOR], [WHOLE])
    assert not pipeline.may_send
    with pytest.raises(LocalError):
        pipeline.frame([], 0.0)


def test_there_is_no_frame_before_there_is_a_surface() -> None:
    pipeline, _ = advertised()
    assert not pipeline.may_send
    with pytest.raises(LocalError):
        pipeline.frame([], 0.0)


def test_a_frame_shows_its_segments() -> None:
    pipeline, screen = laid_out()
    screen.receive(pipeline.frame([(1, pixels(0, 0, 64, 48, 0)), (1, pixels(8, 4, 2, 3))], 0.0))
    expected = np.zeros((48, 64), np.uint32)
    expected[4:7, 8:10] = 0x123456
    np.testing.assert_array_equal(screen.picture(), expected)
    assert screen.frames == [1]


def test_every_console_has_a_surface_of_its_own() -> None:
    pipeline, screen = advertised()
    monitors = [
        Monitor(Rectangle(0, 0, 8, 4), primary=True),
        Monitor(Rectangle(8, 0, 6, 4), primary=False),
    ]
    surfaces = [
        SurfaceMapping(5, 8, 4, monitors[0].area),
        SurfaceMapping(9, 6, 4, monitors[1].area),
    ]
    screen.receive(pipeline.lay_out(14, 4, monitors, surfaces))
    screen.receive(pipeline.frame([(9, pixels(0, 0, 6, 4, 0xFF)), (5, pixels(0, 0, 8, 4, 0xFF00))], 0.0))
    np.testing.assert_array_equal(screen.picture()[0], [0xFF00] * 8 + [0xFF] * 6)
    assert screen.monitors == [(0, 0, 7, 3, 1), (8, 0, 13, 3, 0)]


def test_another_size_replaces_all_surfaces() -> None:
    pipeline, screen = laid_out()
    screen.receive(pipeline.frame([(1, pixels(0, 0, 64, 48))], 0.0))
    larger = Monitor(Rectangle(0, 0, 100, 50), primary=True)
    screen.receive(pipeline.lay_out(100, 50, [larger], [SurfaceMapping(1, 100, 50, larger.area)]))
    assert screen.size == (100, 50)
    assert {number: surface.shape for number, surface in screen.surfaces.items()} == {1: (50, 100)}


def test_a_surface_may_be_shown_in_another_size() -> None:
    pipeline, screen = advertised()
    half = SurfaceMapping(1, 2, 1, Rectangle(0, 0, 4, 2))
    screen.receive(pipeline.lay_out(4, 2, [Monitor(half.area, primary=True)], [half]))
    screen.receive(pipeline.frame([(1, pixels(0, 0, 1, 1, 1)), (1, pixels(1, 0, 1, 1, 2))], 0.0))
    np.testing.assert_array_equal(screen.picture(), [[1, 1, 2, 2]] * 2)


def test_a_client_that_does_not_scale_is_not_asked_to() -> None:
    pipeline, _ = advertised(VERSION104)
    half = SurfaceMapping(1, 2, 1, Rectangle(0, 0, 4, 2))
    with pytest.raises(LocalError):
        pipeline.lay_out(4, 2, [Monitor(half.area, primary=True)], [half])


def test_drawings_go_before_the_segments() -> None:
    pipeline, screen = laid_out()
    drawings = [
        solid_fill(1, (1, 2, 3), [Rectangle(0, 0, 64, 48)]),
        surface_to_surface(1, Rectangle(0, 0, 1, 1), 1, [(63, 47)]),
    ]
    screen.receive(pipeline.frame([(1, pixels(0, 0, 1, 1, 7))], 0.0, drawings))
    assert screen.picture()[0, 0] == 7
    assert (screen.picture().ravel()[1:] == 0x010203).all()


def clear_codec_frames(pipeline: GraphicsPipeline, count: int) -> list[bytes]:
    body = b"shared between sessions"
    segments = [(1, Segment(Rectangle(0, 0, 1, 1), Codec.CLEARCODEC, body))] * count
    frame = list(pdus(unwrap(pipeline.frame(segments, 0.0))))
    bodies = [pdu[17:] for command, pdu in frame if command == 0x01]
    assert all(pdu[2:] == body for pdu in bodies)
    return [pdu[:2] for pdu in bodies]


def test_clear_codec_counts_for_each_session() -> None:
    one, _ = laid_out()
    other, _ = laid_out()
    assert clear_codec_frames(one, 300) == [bytes((0, number % 256)) for number in range(300)]
    assert clear_codec_frames(other, 2) == [b"\0\0", b"\0\1"]
    assert clear_codec_frames(one, 1) == [b"\0\x2c"]


def test_clear_codec_goes_on_counting_after_a_reset() -> None:
    pipeline, _ = laid_out()
    clear_codec_frames(pipeline, 3)
    pipeline.lay_out(64, 48, [MONITOR], [WHOLE])
    assert clear_codec_frames(pipeline, 1) == [b"\0\3"]


def test_other_codecs_stand_alone() -> None:
    def paint(data: bytes, surface: Picture, area: tuple[int, int, int, int]) -> None:
        seen.append((data, surface.shape, area))

    pipeline, screen = laid_out()
    screen.decoders.update({10: paint, 11: paint})
    seen: list[tuple[bytes, tuple[int, ...], tuple[int, int, int, int]]] = []
    segments = [
        (1, Segment(Rectangle(0, 0, 64, 48), Codec.AVC420, b"avc")),
        (1, Segment(Rectangle(1, 2, 3, 4), Codec.PLANAR, b"planar")),
    ]
    screen.receive(pipeline.frame(segments, 0.0))
    assert seen == [(b"avc", (48, 64), (0, 0, 64, 48)), (b"planar", (48, 64), (1, 2, 4, 6))]


def test_at_most_two_frames_wait_for_the_client() -> None:
    pipeline, screen = laid_out()
    for _ in range(2):
        assert pipeline.may_send
        screen.receive(pipeline.frame([(1, pixels(0, 0, 1, 1))], 0.0))
    assert pipeline.unacknowledged == 2
    assert not pipeline.may_send
    with pytest.raises(LocalError):
        pipeline.frame([], 0.0)
    assert len(list(pipeline.receive(screen.acknowledge(), 1.0))) == 2
    assert pipeline.unacknowledged == 0
    assert pipeline.may_send


def test_the_round_trip_is_measured_and_smoothed() -> None:
    pipeline, _ = laid_out()
    assert pipeline.round_trip is None
    pipeline.frame([], 10.0)
    assert list(pipeline.receive(acknowledgement(1), 10.5)) == [FrameAcknowledged(1, 0.5)]
    assert pipeline.round_trip == 0.5
    pipeline.frame([], 20.0)
    assert list(pipeline.receive(acknowledgement(2), 21.25)) == [FrameAcknowledged(2, 1.25)]
    assert pipeline.round_trip == pytest.approx(0.5 + 0.75 / 8)


def test_it_is_told_how_long_the_client_has_been_silent() -> None:
    pipeline, _ = laid_out()
    assert pipeline.waiting_since is None
    pipeline.frame([], 10.0)
    pipeline.frame([], 11.0)
    assert pipeline.waiting_since == 10.0
    list(pipeline.receive(acknowledgement(1), 12.0))
    assert pipeline.waiting_since == 11.0
    list(pipeline.receive(acknowledgement(2), 12.0))
    assert pipeline.waiting_since is None


def test_an_acknowledgement_stands_for_earlier_ones_that_were_left_out() -> None:
    pipeline, _ = laid_out()
    pipeline.frame([], 1.0)
    pipeline.frame([], 2.0)
    assert list(pipeline.receive(acknowledgement(2), 2.5)) == [FrameAcknowledged(2, 0.5)]
    assert pipeline.unacknowledged == 0


@pytest.mark.parametrize("frame_id", [0, 2, 77, 0xFFFFFFFF])
def test_acknowledgements_of_unknown_frames_are_tolerated(frame_id: int) -> None:
    pipeline, _ = laid_out()
    pipeline.frame([], 0.0)
    assert list(pipeline.receive(acknowledgement(frame_id), 1.0)) == [FrameAcknowledged(frame_id, None)]
    assert pipeline.unacknowledged == 1
    assert pipeline.round_trip is None


def test_repeated_acknowledgements_are_tolerated() -> None:
    pipeline, _ = laid_out()
    pipeline.frame([], 0.0)
    events = list(pipeline.receive(acknowledgement(1) * 2, 1.0))
    assert events == [FrameAcknowledged(1, 1.0), FrameAcknowledged(1, None)]


def test_what_the_client_tells_of_itself_is_kept() -> None:
    pipeline, _ = laid_out()
    list(pipeline.receive(acknowledgement(1, queue_depth=5000, decoded=42), 1.0))
    assert (pipeline.queue_depth, pipeline.frames_decoded) == (5000, 42)


def test_a_client_may_stop_acknowledging() -> None:
    pipeline, _ = laid_out()
    pipeline.frame([], 0.0)
    pipeline.frame([], 0.0)
    list(pipeline.receive(acknowledgement(1, SUSPEND), 1.0))
    assert pipeline.suspended
    assert pipeline.queue_depth == 0
    for _ in range(10):
        assert pipeline.may_send
        pipeline.frame([], 1.0)
    assert (pipeline.unacknowledged, pipeline.waiting_since) == (0, None)


def test_a_client_may_begin_to_acknowledge_again() -> None:
    pipeline, _ = laid_out()
    pipeline.frame([], 0.0)
    list(pipeline.receive(acknowledgement(1, SUSPEND), 1.0))
    pipeline.frame([], 2.0)
    assert list(pipeline.receive(acknowledgement(2), 3.0)) == [FrameAcknowledged(2, None)]
    assert not pipeline.suspended
    pipeline.frame([], 3.0)
    assert pipeline.unacknowledged == 1


def test_a_client_may_start_over() -> None:
    pipeline, screen = laid_out()
    clear_codec_frames(pipeline, 1)
    list(pipeline.receive(acknowledgement(1, SUSPEND), 0.0))
    (event,) = pipeline.receive(caps_advertise((VERSION8, NO_FLAGS)), 1.0)
    assert isinstance(event, CapabilitiesChosen)
    assert not pipeline.suspended
    assert not pipeline.may_send
    screen.receive(pipeline.outgoing())
    screen.receive(pipeline.lay_out(64, 48, [MONITOR], [WHOLE]))
    assert clear_codec_frames(pipeline, 1) == [b"\0\0"]
    assert list(pipeline.receive(acknowledgement(1), 2.0)) == [FrameAcknowledged(1, None)]
    assert pipeline.unacknowledged == 1


@pytest.mark.parametrize("length", [700_000, 3_000_000])
def test_large_frames_arrive(length: int) -> None:
    pipeline, screen = advertised()
    width, height = 1000, length // 4000
    area = Rectangle(0, 0, width, height)
    screen.receive(
        pipeline.lay_out(width, height, [Monitor(area, True)], [SurfaceMapping(1, *area[2:], area)])
    )
    expected = np.arange(width * height, dtype="<u4").reshape(height, width)
    rows = range(0, height, 25)
    segments = [
        (1, Segment(Rectangle(0, y, width, 25), Codec.UNCOMPRESSED, expected[y : y + 25].tobytes()))
        for y in rows
    ]
    screen.receive(pipeline.frame(segments, 0.0))
    np.testing.assert_array_equal(screen.picture(), expected)


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.builds(client_pdu, st.sampled_from([0x0D, 0x10, 0x12, 0x16, 0x99]), st.binary(max_size=30)),
            st.builds(
                acknowledgement,
                st.integers(0, 4),
                st.sampled_from([0, 1, SUSPEND]),
                st.integers(0, 0xFFFFFFFF),
            ),
            st.just(caps_advertise((VERSION8, NO_FLAGS))),
            st.just(None),
        ),
        max_size=12,
    )
)
def test_whatever_a_client_sends_frames_in_flight_stay_bounded(messages: list[bytes | None]) -> None:
    pipeline, _ = laid_out()
    with suppress(RemoteError):
        for message in messages:
            if message is not None:
                list(pipeline.receive(message, 1.0))
            elif pipeline.may_send:
                pipeline.frame([], 0.0)
            assert pipeline.unacknowledged <= 2


def test_a_client_starts_over_once_in_a_message_at_most() -> None:
    pipeline, _ = laid_out()
    again = caps_advertise((VERSION8, NO_FLAGS))
    assert len(list(pipeline.receive(again, 1.0))) == 1
    events = pipeline.receive(again * 5000, 1.0)
    assert isinstance(next(events), CapabilitiesChosen)
    with pytest.raises(RemoteError, match="twice"):
        next(events)
