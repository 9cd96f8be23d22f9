"""One console's picture, sent to all who watch it: encoded once for each form, at one pace.

A tick serves every receiver that is ready. Receivers that miss the same tiles in the same form make a
group, for which one message is encoded and assembled; its bytes go to each of them.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from sidecar.encode.form import Form, Segment
from sidecar.encode.store import SegmentStore
from sidecar.guest import Console, ConsoleChange
from sidecar.log import get_logger
from sidecar.screen.activity import Activity
from sidecar.screen.damage import clip, rectangles
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import Frame, Versions
from sidecar.vnc.canvas import TileMask, tiles_of
from sidecar.vnc.messages import update_message
from sidecar.vnc.receiver import Receiver

log = get_logger(__name__)

GATHER = 0.003
"""Seconds between damage and the tick: QEMU tells one repaint in many small messages."""

INTERVAL = 0.015
"""Fewest seconds between two ticks: half of QEMU's own refresh interval."""

REFINE = 0.1
"""Seconds between looks for lossy tiles that have come to rest."""


@dataclass(slots=True, eq=False)
class Group:
    """Receivers that get the same update."""

    exact: TileMask
    lossy: TileMask | None
    visible: Rectangle
    exact_form: Form
    lossy_form: Form | None
    receivers: list[Receiver] = field(default_factory=list)


class Broadcast:
    """Keeps the canvases of `receivers` up to date with one console. Belongs to the main loop."""

    def __init__(self, console: Console, store: SegmentStore) -> None:
        self._console = console
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._receivers: dict[Receiver, None] = {}
        self._tick_handle: asyncio.TimerHandle | None = None
        self._refine_handle: asyncio.TimerHandle | None = None
        self._encoding: set[asyncio.Task[None]] = set()
        self._last_tick = 0.0
        self._activity = Activity(console.surface.frame, self._loop.time())
        self._activity_frame = console.surface.frame
        self._unsubscribe = console.changes.subscribe(self._console_changed)

    def add(self, receiver: Receiver) -> None:
        """Has `receiver` served from now on."""
        self._receivers[receiver] = None
        self.wake()

    def remove(self, receiver: Receiver) -> None:
        """Leaves `receiver` alone from now on; one that is not there is no error."""
        self._receivers.pop(receiver, None)

    def close(self) -> None:
        """Ends for good; no timer and no task is left."""
        self._unsubscribe()
        self._receivers.clear()
        for handle in (self._tick_handle, self._refine_handle):
            if handle:
                handle.cancel()
        self._tick_handle = self._refine_handle = None
        for task in self._encoding:
            task.cancel()

    def wake(self) -> None:
        """Has a tick come soon."""
        if self._tick_handle is None and self._receivers:
            now = self._loop.time()
            when = max(now + GATHER, self._last_tick + INTERVAL)
            self._tick_handle = self._loop.call_at(when, self._tick)

    def wake_for(self, receiver: Receiver) -> None:
        """Has a tick come soon if there is anything to send to `receiver`."""
        canvas = receiver.canvas
        if self._tick_handle is None and (
            canvas.frame is not self._console.surface.frame
            or (canvas.frame.versions != canvas.sent).any()
            or canvas.lossy.any()
        ):
            self.wake()

    def _console_changed(self, change: ConsoleChange) -> None:
        if change & (ConsoleChange.DAMAGE | ConsoleChange.RESIZE):
            self.wake()

    def _tick(self) -> None:
        self._tick_handle = None
        now = self._last_tick = self._loop.time()
        frame = self._console.surface.frame
        # the order matters: versions first, pixels later (sidecar.screen.surface)
        versions = frame.versions.copy()
        if self._activity_frame is not frame:
            self._activity, self._activity_frame = Activity(frame, now), frame
        self._activity.observe(versions, now)
        for group in self._groups(frame, versions, now):
            self._encode(group, frame, versions)
        if self._refine_handle is None and any(receiver.canvas.lossy.any() for receiver in self._receivers):
            self._refine_handle = self._loop.call_later(REFINE, self._refine)

    def _refine(self) -> None:
        self._refine_handle = None
        self.wake()

    def _groups(self, frame: Frame, versions: Versions, now: float) -> list[Group]:
        """The ready receivers that miss something, by what they miss; their canvases count it as sent."""
        groups: dict[tuple[object, ...], Group] = {}
        moving: TileMask | None = None
        nothing = bytes(versions.size)
        for receiver in self._receivers:
            if receiver.canvas.frame is not frame:
                receiver.adopt_frame(frame)
            area = receiver.area
            if area is None or not receiver.ready:
                continue
            canvas = receiver.canvas
            exact = canvas.dirty(versions, area)
            lossy: TileMask | None = None
            if receiver.lossy is not None or canvas.lossy.any():
                if moving is None:
                    moving = self._activity.moving(now)
                exact |= canvas.lossy & ~moving
                if receiver.lossy is not None:
                    lossy = exact & moving
                    exact &= ~moving
            exact_bytes = exact.tobytes()
            lossy_bytes = nothing if lossy is None else lossy.tobytes()
            if exact_bytes == nothing and lossy_bytes == nothing:
                continue
            if lossy_bytes == nothing:
                lossy = None
            visible = canvas.visible
            lossy_form = None if lossy is None else receiver.lossy
            key = (exact_bytes, lossy_bytes, receiver.exact, lossy_form, visible)
            group = groups.get(key)
            if group is None:
                group = groups[key] = Group(exact, lossy, visible, receiver.exact, lossy_form)
            group.receivers.append(receiver)
            receiver.job = True
            np.copyto(canvas.sent, versions, where=exact if lossy is None else exact | lossy)
        return list(groups.values())

    def _encode(self, group: Group, frame: Frame, versions: Versions) -> None:
        """Has the group's tiles encoded and delivers them, at once when all of it is in the store."""
        wanted: list[tuple[list[Rectangle], Form]] = []
        for mask, form in ((group.exact, group.exact_form), (group.lossy, group.lossy_form)):
            if mask is None or form is None:
                continue
            areas = rectangles(mask, frame)
            if group.visible != frame.bounds:
                areas = clip(areas, group.visible)
            wanted.append((areas, form))
        segments: list[Segment] = []
        for areas, form in wanted:
            found = self._store.at_hand(self._console.index, versions, areas, form)
            if found is None:
                task = self._loop.create_task(self._encode_late(group, frame, versions, wanted))
                self._encoding.add(task)
                task.add_done_callback(self._encoding.discard)
                return
            segments += found
        self._deliver(group, frame, segments)

    async def _encode_late(
        self, group: Group, frame: Frame, versions: Versions, wanted: list[tuple[list[Rectangle], Form]]
    ) -> None:
        segments: list[Segment] = []
        try:
            for areas, form in wanted:
                segments += await self._store.segments(self._console.index, frame, versions, areas, form)
        except Exception as error:
            # a fault of an encoder: those who wait for its bytes cannot go on, everybody else can
            log.exception("encoding failed", console=self._console.index)
            for receiver in group.receivers:
                receiver.fail(error)
            return
        self._deliver(group, frame, segments)

    def _deliver(self, group: Group, frame: Frame, segments: list[Segment]) -> None:
        now = self._loop.time()
        lossy = [segment.rectangle for segment in segments if segment.lossy]
        mask = group.exact if group.lossy is None else group.exact | group.lossy
        message: Callable[[bool], bytes] = _Assembled(segments)
        for receiver in group.receivers:
            receiver.job = False
            if receiver not in self._receivers:
                continue
            canvas = receiver.canvas
            if canvas.frame is not frame:
                self.wake()
                continue
            if (
                receiver.area is None
                or receiver.exact != group.exact_form
                or (group.lossy is not None and receiver.lossy != group.lossy_form)
            ):
                # while this was encoded the client changed its pixel format or encodings, or has been told
                # that continuous updates end here
                canvas.sent[mask] = 0
                self.wake()
                continue
            if lossy or group.lossy is not None or receiver.lossy is not None:
                canvas.lossy[mask] = False
                for area in lossy:
                    canvas.lossy[tiles_of(area)] = True
            if receiver.before_update is not None:
                receiver.before_update()
            receiver.update(message(receiver.stream_begun), now)
            if group.exact_form.encoding.is_streamed:
                receiver.stream_begun = True
            if receiver.area is not None:
                # ticks went by it meanwhile
                self.wake_for(receiver)


class _Assembled:
    """The bytes of one update, put together once for each of the two states a zlib stream can be in."""

    __slots__ = ("_messages", "_segments")

    def __init__(self, segments: list[Segment]) -> None:
        self._segments = segments
        self._messages: dict[bool, bytes] = {}

    def __call__(self, stream_begun: bool) -> bytes:
        message = self._messages.get(stream_begun)
        if message is None:
            message = self._messages[stream_begun] = update_message(self._segments, stream_begun=stream_begun)
        return message
