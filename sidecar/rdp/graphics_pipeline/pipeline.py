"""One session's graphics pipeline, without input or output (MS-RDPEGFX 3.2)."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sidecar.encode.form import Codec, Segment
from sidecar.rdp.errors import LocalError, Reason, RemoteError
from sidecar.rdp.events import Monitor
from sidecar.rdp.graphics_pipeline import pdus, zgfx
from sidecar.rdp.graphics_pipeline.capability_sets import Chosen, choose
from sidecar.screen.rectangle import Rectangle

NAME = "Microsoft::Windows::RDS::Graphics"
"""The dynamic channel."""

MAX_MESSAGE = 1 << 17
"""Bytes of a message from the client: a full cache import offer has 65554."""

MAX_UNACKNOWLEDGED = 2
"""Frames that may be on their way or waiting in the client."""

_LAST_FRAME_ID = 0xFFFFFFFF

_ROUND_TRIP_WEIGHT = 1 / 8
"""Of a new measurement, as TCP has it (RFC 6298)."""


@dataclass(frozen=True, slots=True)
class SurfaceMapping:
    """A surface and where it is shown."""

    surface_id: int
    """0..65535, the caller's choice."""
    width: int
    height: int
    """The surface's own size, pixels, 1..32766."""
    area: Rectangle
    """In the graphics output buffer; of another size only where `Chosen.scaled_output` allows it."""


@dataclass(frozen=True, slots=True)
class CapabilitiesChosen:
    """The client is ready for `lay_out`.

    It comes again when a client starts over (after its decoder was lost, for example): all surfaces are
    gone then, on both sides.
    """

    chosen: Chosen


@dataclass(frozen=True, slots=True)
class FrameAcknowledged:
    """The client has decoded this frame, and those before it.

    `round_trip`: seconds, None for a frame that was not waited for.
    """

    frame_id: int
    round_trip: float | None


Event: TypeAlias = CapabilitiesChosen | FrameAcknowledged


class GraphicsPipeline:
    """What one client has been told, and what it has acknowledged.

    Every method that returns bytes returns one message for the graphics channel, to be sent at once and in
    this order. `avc420`: whether this side would send AVC420. Times are seconds of one clock, any origin.
    """

    def __init__(self, *, avc420: bool = True, max_unacknowledged: int = MAX_UNACKNOWLEDGED) -> None:
        self._avc420 = avc420
        self._max_unacknowledged = max_unacknowledged
        self._chosen: Chosen | None = None
        self._pending: list[bytes] = []
        self._surface_ids: tuple[int, ...] = ()
        self._frame_id = 0
        self._in_flight: deque[tuple[int, float]] = deque()
        self._suspended = False
        self._round_trip: float | None = None
        self._queue_depth = 0
        self._frames_decoded = 0
        self._clear_codec_sequence = 0

    @property
    def chosen(self) -> Chosen | None:
        """What both sides can do; None before the client has advertised its capabilities."""
        return self._chosen

    @property
    def unacknowledged(self) -> int:
        """Frames that the client has not acknowledged; 0 while it acknowledges none."""
        return len(self._in_flight)

    @property
    def waiting_since(self) -> float | None:
        """When the oldest unacknowledged frame was sent; None where there is none."""
        return self._in_flight[0][1] if self._in_flight else None

    @property
    def suspended(self) -> bool:
        """Whether the client said that it acknowledges no more frames: only the transport paces it then."""
        return self._suspended

    @property
    def may_send(self) -> bool:
        """Whether `frame` may be called: surfaces are laid out, and fewer than the most frames wait."""
        return bool(self._surface_ids) and len(self._in_flight) < self._max_unacknowledged

    def expect_no_acknowledgement(self) -> None:
        """Waits for none of those that have not come: the connection is about to end."""
        self._in_flight.clear()

    @property
    def round_trip(self) -> float | None:
        """Seconds from a frame to its acknowledgement, smoothed; None before the first one."""
        return self._round_trip

    @property
    def queue_depth(self) -> int:
        """Bytes that waited in the client at its last acknowledgement; 0 where it does not tell."""
        return self._queue_depth

    @property
    def frames_decoded(self) -> int:
        """totalFramesDecoded of the last acknowledgement."""
        return self._frames_decoded

    def receive(self, message: bytes, now: float) -> Iterator[Event]:
        """Takes one message of the channel; send `outgoing()` afterwards.

        Raises RemoteError while iterating; REFUSED where the client speaks no version that is known.
        """
        starts_over = False
        for pdu in pdus.read_client_pdus(message):
            if isinstance(pdu, pdus.FrameAcknowledge):
                yield self._acknowledged(pdu, now)
            elif isinstance(pdu, pdus.CapsAdvertise):
                if starts_over:
                    # each makes all surfaces anew
                    raise RemoteError(Reason.UNEXPECTED, "capabilities are advertised twice in one message")
                starts_over = True
                yield self._advertised(pdu)
            else:
                self._pending.append(pdus.empty_cache_import_reply())

    def outgoing(self) -> bytes:
        """What answers the client's messages, once; empty where nothing does."""
        if not self._pending:
            return b""
        return zgfx.wrap(self._take_pending())

    def lay_out(
        self, width: int, height: int, monitors: Sequence[Monitor], surfaces: Sequence[SurfaceMapping]
    ) -> bytes:
        """Resets the graphics output buffer and replaces all surfaces; their pixels are undefined then.

        `width`, `height`: of the output, 1..32766. `monitors`: 1..16, for the client's window layout.
        Raises LocalError before `CapabilitiesChosen`, and for a scaled surface that the client cannot take.
        """
        if self._chosen is None:
            raise LocalError("surfaces are laid out before the client has advertised its capabilities")
        parts = self._take_pending()
        parts += map(pdus.delete_surface, self._surface_ids)
        parts.append(pdus.reset_graphics(width, height, monitors))
        for surface in surfaces:
            parts.append(pdus.create_surface(surface.surface_id, surface.width, surface.height))
            if (surface.width, surface.height) == surface.area[2:]:
                parts.append(pdus.map_surface_to_output(surface.surface_id, *surface.area[:2]))
            elif self._chosen.scaled_output:
                parts.append(pdus.map_surface_to_scaled_output(surface.surface_id, surface.area))
            else:
                raise LocalError("a surface is scaled for a client that cannot do it")
        self._surface_ids = tuple(surface.surface_id for surface in surfaces)
        return zgfx.wrap(parts)

    def frame(
        self, segments: Sequence[tuple[int, Segment]], now: float, drawings: Sequence[bytes] = ()
    ) -> bytes:
        """One frame: each segment goes to the surface with the number beside it, in this order.

        `drawings`: PDUs that go before them (`pdus.solid_fill`, `pdus.surface_to_surface`). Bodies are copied
        once, into the result. Raises LocalError unless `may_send`.
        """
        if not self.may_send:
            raise LocalError("a frame is sent to a client that has no surface or no room for it")
        self._frame_id = self._frame_id % _LAST_FRAME_ID + 1
        parts = self._take_pending()
        parts.append(pdus.start_frame(self._frame_id))
        parts += drawings
        for surface_id, segment in segments:
            codec, length = segment.encoding, len(segment.body)
            if codec is Codec.CLEARCODEC:
                header = pdus.wire_to_surface_1(surface_id, codec, segment.rectangle, 2 + length)
                # no flags: neither glyphs nor a reset of the caches, which no body makes use of
                parts.append(header + bytes((0, self._clear_codec_sequence)))
                self._clear_codec_sequence = (self._clear_codec_sequence + 1) & 0xFF
            else:
                parts.append(pdus.wire_to_surface_1(surface_id, codec, segment.rectangle, length))
            parts.append(segment.body)
        parts.append(pdus.end_frame(self._frame_id))
        if not self._suspended:
            self._in_flight.append((self._frame_id, now))
        return zgfx.wrap(parts)

    def _take_pending(self) -> list[bytes]:
        pending, self._pending = self._pending, []
        return pending

    def _advertised(self, advertise: pdus.CapsAdvertise) -> CapabilitiesChosen:
        chosen = choose(advertise.capability_sets, want_avc420=self._avc420)
        if chosen is None:
            raise RemoteError(Reason.REFUSED, "the client has no version of the graphics pipeline in common")
        self._chosen = chosen
        self._surface_ids = ()
        self._in_flight.clear()
        self._suspended = False
        self._clear_codec_sequence = 0
        self._pending.append(pdus.caps_confirm(chosen.capability_set))
        return CapabilitiesChosen(chosen)

    def _acknowledged(self, pdu: pdus.FrameAcknowledge, now: float) -> FrameAcknowledged:
        self._frames_decoded = pdu.total_frames_decoded
        self._suspended = pdu.queue_depth == pdus.SUSPEND_FRAME_ACKNOWLEDGEMENT
        self._queue_depth = 0 if self._suspended else pdu.queue_depth
        round_trip = None
        if any(frame_id == pdu.frame_id for frame_id, _ in self._in_flight):
            # frames are decoded in order, and some clients leave acknowledgements out
            frame_id, sent = self._in_flight.popleft()
            while frame_id != pdu.frame_id:
                frame_id, sent = self._in_flight.popleft()
            round_trip = now - sent
            if self._round_trip is None:
                self._round_trip = round_trip
            else:
                self._round_trip += (round_trip - self._round_trip) * _ROUND_TRIP_WEIGHT
        if self._suspended:
            self._in_flight.clear()
        return FrameAcknowledged(pdu.frame_id, round_trip)
