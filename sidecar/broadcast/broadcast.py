"""One console's picture, sent to all who watch it: encoded once for each form, at one pace.

A tick serves every receiver that is ready. Receivers that miss the same tiles in the same form make a
group, for which one message is encoded and assembled; its bytes go to each of them. What moves goes to those
who take H.264 as the next picture of a stream that they share.
"""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np

from sidecar.broadcast.canvas import TileMask, tiles_of
from sidecar.broadcast.groups import Group, Missing, Shot
from sidecar.broadcast.receiver import Receiver, Update
from sidecar.broadcast.timed_encoder import timed
from sidecar.broadcast.video import IDLE, OpenEncoder, Picture, VideoStream, remainder, worthwhile
from sidecar.encode.avc420 import Avc420Encoder, avc_fits
from sidecar.encode.form import Form, Segment
from sidecar.encode.store import SegmentStore
from sidecar.guest import Console, ConsoleChange
from sidecar.log import get_logger
from sidecar.screen.activity import Activity
from sidecar.screen.damage import clip, rectangles
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import Frame, Versions

log = get_logger(__name__)

GATHER = 0.003
"""Seconds between damage and the tick: QEMU tells one repaint in many small messages."""

INTERVAL = 0.015
"""Fewest seconds between two ticks: half of QEMU's own refresh interval."""

REFINE = 0.1
"""Seconds between looks for lossy tiles that have come to rest."""


class Broadcast:
    """Keeps the canvases of `receivers` up to date with one console. Belongs to the main loop."""

    def __init__(
        self,
        console: Console,
        store: SegmentStore,
        open_encoder: OpenEncoder = Avc420Encoder,
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """`open_encoder`: begins a stream of pictures of what moves.

        `clock`: seconds, never going back, by which it is judged what moves and what rests; by default the
        loop's.
        """
        self._console = console
        self._store = store
        self._open_encoder = open_encoder
        self._damaged_at: float | None = None
        """When the first change since the last tick was told."""
        self._loop = asyncio.get_running_loop()
        self._clock = clock or self._loop.time
        self._receivers: dict[Receiver, None] = {}
        self._tick_handle: asyncio.TimerHandle | None = None
        self._refine_handle: asyncio.TimerHandle | None = None
        self._encoding: set[asyncio.Task[Any]] = set()
        self._streams: dict[Form, VideoStream[Receiver]] = {}
        self._idle_handle: asyncio.TimerHandle | None = None
        self._unusable: set[Form] = set()
        """Forms of video whose encoder has failed: what moves goes exactly then."""
        self._last_tick = 0.0
        self._activity = Activity(console.surface.frame, self._clock())
        self._activity_frame = console.surface.frame
        self._unsubscribe: Callable[[], None] | None = None

    def add(self, receiver: Receiver) -> None:
        """Has `receiver` served from now on."""
        self._receivers[receiver] = None
        if self._unsubscribe is None:
            self._unsubscribe = self._console.changes.subscribe(self._console_changed)
        self.wake()

    def remove(self, receiver: Receiver) -> None:
        """Leaves `receiver` alone from now on; one that is not there is no error.

        It may go to another broadcast at once: what is being encoded for it here is not sent.
        """
        if receiver in self._receivers:
            del self._receivers[receiver]
            receiver.job = None
        if not self._receivers:
            self._ignore_console()
        self.restart_video(receiver)

    def restart_video(self, receiver: Receiver) -> None:
        """Takes note that `receiver` can follow no picture but a key frame: its decoder is another."""
        for stream in self._streams.values():
            stream.drop(receiver)

    def close(self) -> None:
        """Ends for good; no timer and no task is left."""
        self._ignore_console()
        self._receivers.clear()
        for handle in (self._tick_handle, self._refine_handle, self._idle_handle):
            if handle:
                handle.cancel()
        self._tick_handle = self._refine_handle = self._idle_handle = None
        for task in self._encoding:
            task.cancel()
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()

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

    def _ignore_console(self) -> None:
        """Lets the console know that nobody watches: one that draws itself need not then."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def _console_changed(self, change: ConsoleChange) -> None:
        if change & (ConsoleChange.DAMAGE | ConsoleChange.RESIZE):
            if self._damaged_at is None:
                self._damaged_at = self._loop.time()
            self.wake()

    def _tick(self) -> None:
        self._tick_handle = None
        now = self._last_tick = self._loop.time()
        frame = self._console.surface.frame
        # the order matters: versions first, pixels later (sidecar.screen.surface)
        versions = frame.versions.copy()
        seen_at = self._clock()
        if self._activity_frame is not frame:
            self._activity, self._activity_frame = Activity(frame, seen_at), frame
        self._activity.observe(versions, seen_at)
        damaged_at, self._damaged_at = self._damaged_at, None
        for group in self._groups(frame, versions, now):
            group.damaged_at = damaged_at
            self._encode(group, frame, versions)
        if self._refine_handle is None and any(receiver.canvas.lossy.any() for receiver in self._receivers):
            self._refine_handle = self._loop.call_later(REFINE, self._refine)

    def _refine(self) -> None:
        self._refine_handle = None
        self.wake()

    def _close_idle_streams(self) -> None:
        now = self._loop.time()
        for form, stream in list(self._streams.items()):
            if stream.idle(now):
                stream.close()
                del self._streams[form]
        self._idle_handle = self._loop.call_later(IDLE, self._close_idle_streams) if self._streams else None

    def _groups(self, frame: Frame, versions: Versions, now: float) -> list[Group]:
        """The ready receivers that miss something, by what they miss; their canvases count it as sent."""
        all_missing = self._missing(frame, versions)
        if any(
            each.receiver.lossy is not None and each.receiver.lossy.encoding.is_video for each in all_missing
        ):
            self._take_shots(frame, all_missing, now)
        groups: dict[tuple[object, ...], Group] = {}
        nothing = bytes(versions.size)
        for each in all_missing:
            receiver, exact, lossy = each.receiver, each.exact, each.lossy
            canvas = receiver.canvas
            exact_bytes = exact.tobytes()
            lossy_bytes = nothing if lossy is None else lossy.tobytes()
            if exact_bytes == nothing and lossy_bytes == nothing:
                continue
            if lossy_bytes == nothing:
                lossy = None
            visible = canvas.visible
            lossy_form = None if lossy is None else receiver.lossy
            key = (exact_bytes, lossy_bytes, receiver.exact, lossy_form, each.shot, visible)
            group = groups.get(key)
            if group is None:
                group = groups[key] = Group(exact, lossy, visible, receiver.exact, lossy_form, each.shot)
            group.receivers.append(receiver)
            receiver.job = group
            np.copyto(canvas.sent, versions, where=exact if lossy is None else exact | lossy)
        return list(groups.values())

    def _missing(self, frame: Frame, versions: Versions) -> list[Missing]:
        """What each of the ready receivers misses, which may be nothing."""
        found = []
        moving: TileMask | None = None
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
                    moving = self._activity.moving(self._clock())
                exact |= canvas.lossy & ~moving
                if receiver.lossy is not None:
                    lossy = exact & moving
                    exact &= ~moving
            found.append(Missing(receiver, exact, lossy))
        return found

    def _take_shots(self, frame: Frame, all_missing: list[Missing], now: float) -> None:
        """Has what moves made into pictures, one for each form of video, and says who gets which."""
        by_form: dict[Form, list[Missing]] = {}
        for each in all_missing:
            form = each.receiver.lossy
            if form is not None and form.encoding.is_video:
                by_form.setdefault(form, []).append(each)
        for form, watching in by_form.items():
            mask = np.zeros(frame.versions.shape, np.bool_)
            for each in watching:
                if each.lossy is not None:
                    mask |= each.lossy
            if form in self._unusable or not worthwhile(mask) or not avc_fits(frame.width, frame.height):
                for each in watching:
                    if each.lossy is not None:
                        each.exact |= each.lossy
                        each.lossy = None
                continue
            stream = self._stream(form, frame)
            wanting = {
                each.receiver
                for each in watching
                if each.receiver in stream.members or (each.lossy is not None and each.lossy.any())
            }
            picture, again = stream.plan(now, wanting)
            if again != inf:
                self._wake_at(again)
            shot = None if picture is None else self._shoot(stream, picture, mask)
            for each in watching:
                if shot is not None and picture is not None and each.receiver in picture.watchers:
                    each.lossy, each.shot = mask, shot
                    each.exact &= ~mask
                else:
                    # it waits for a later picture
                    each.lossy = None

    def _stream(self, form: Form, frame: Frame) -> VideoStream[Receiver]:
        stream = self._streams.get(form)
        if stream is not None and stream.frame is not frame:
            stream.close()
            stream = None
        if stream is None:
            stream = self._streams[form] = VideoStream(
                frame,
                form,
                self._store.executor,
                open_encoder=timed(self._open_encoder, form, self._picture_taken),
            )
            if self._idle_handle is None:
                self._idle_handle = self._loop.call_later(IDLE, self._close_idle_streams)
        return stream

    def _shoot(self, stream: VideoStream[Receiver], picture: Picture[Receiver], mask: TileMask) -> Shot:
        task = self._loop.create_task(stream.encode(picture, mask))
        self._encoding.add(task)
        task.add_done_callback(self._shot)
        return Shot(stream, mask, task)

    def _shot(self, task: asyncio.Task[Segment]) -> None:
        self._encoding.discard(task)
        # asking also says that the failure was seen, if all who waited have gone
        if not task.cancelled():
            task.exception()
        # some may have waited for the stream, whose own watchers may be gone
        self.wake()

    def _picture_taken(self, form: Form, seconds: float, size: int) -> None:
        # on an encoder's thread
        measures = self._store.measures
        if measures is not None:
            self._loop.call_soon_threadsafe(measures.encoded, form.encoding, seconds, size)

    def _wake_at(self, when: float) -> None:
        """Has a tick come at `when` at the latest."""
        if self._tick_handle is not None:
            if self._tick_handle.when() <= when:
                return
            self._tick_handle.cancel()
        self._tick_handle = self._loop.call_at(max(when, self._last_tick + INTERVAL), self._tick)

    def _encode(self, group: Group, frame: Frame, versions: Versions) -> None:
        """Has the group's tiles encoded and delivers them, at once when all of it is in the store."""
        wanted: list[tuple[list[Rectangle], Form]] = []
        lossy = group.lossy if group.shot is None else None
        for mask, form in ((group.exact, group.exact_form), (lossy, group.lossy_form)):
            if mask is None or form is None:
                continue
            areas = rectangles(mask, frame, form.encoding.max_tiles)
            if group.visible != frame.bounds:
                areas = clip(areas, group.visible)
            wanted.append((areas, form))
        if group.shot is not None:
            rest = remainder(frame, group.shot.mask)
            if rest:
                wanted.append((rest, group.exact_form))
        segments: list[Segment] = []
        for areas, form in wanted:
            found = None
            if group.shot is None:
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
        if group.shot is not None:
            try:
                segments.append(await asyncio.shield(group.shot.segment))
            except Exception:
                log.exception("no more video", console=self._console.index)
                self._unusable.add(group.shot.stream.form)
        try:
            for areas, form in wanted:
                segments += await self._store.segments(self._console.index, frame, versions, areas, form)
        except Exception as error:
            # a fault of an encoder: those who wait for its bytes cannot go on, everybody else can
            log.exception("encoding failed", console=self._console.index)
            for receiver in group.receivers:
                if receiver.job is group:
                    receiver.fail(error)
            return
        self._deliver(group, frame, segments)

    def _deliver(self, group: Group, frame: Frame, segments: list[Segment]) -> None:
        now = self._loop.time()
        lossy = [segment.rectangle for segment in segments if segment.lossy and not segment.encoding.is_video]
        mask = group.exact if group.lossy is None else group.exact | group.lossy
        update = Update(segments)
        measures = self._store.measures
        for receiver in group.receivers:
            if receiver.job is not group:
                # it has gone, or waits for something else by now
                continue
            receiver.job = None
            canvas = receiver.canvas
            if canvas.frame is not frame:
                self._missed(group, receiver)
                self.wake()
                continue
            if (
                receiver.area is None
                or receiver.exact != group.exact_form
                or (group.lossy is not None and receiver.lossy != group.lossy_form)
                or (group.shot is not None and receiver not in group.shot.stream.members)
            ):
                # while this was encoded the client changed its pixel format or encodings, has been told that
                # continuous updates end here, or has lost what the picture builds on
                canvas.sent[mask] = 0
                self._missed(group, receiver)
                self.wake()
                continue
            if lossy or group.lossy is not None or receiver.lossy is not None:
                canvas.lossy[mask] = False
                for area in lossy:
                    canvas.lossy[tiles_of(area)] = True
                if group.shot is not None:
                    canvas.lossy |= group.shot.mask
            if segments:
                try:
                    receiver.update(update, now)
                except Exception as error:
                    # a fault of one frontend must not keep the others from their pictures
                    log.exception("an update cannot be sent", session=receiver.session.id)
                    receiver.fail(error)
                    continue
                if measures is not None and group.damaged_at is not None:
                    measures.sent(now - group.damaged_at)
            if receiver.area is not None:
                # ticks went by it meanwhile
                self.wake_for(receiver)

    def _missed(self, group: Group, receiver: Receiver) -> None:
        """Takes note that `receiver` did not get the group's picture."""
        if group.shot is not None:
            group.shot.stream.drop(receiver)


class Broadcasts:
    """The broadcasts of a guest's consoles, one for each, for all frontends together."""

    def __init__(self, store: SegmentStore, *, clock: Callable[[], float] | None = None) -> None:
        """`clock`: see `Broadcast`."""
        self._store = store
        self._clock = clock
        self._broadcasts: dict[int, Broadcast] = {}

    def of(self, console: Console) -> Broadcast:
        """The broadcast of a console; always the same object."""
        broadcast = self._broadcasts.get(console.index)
        if broadcast is None:
            broadcast = self._broadcasts[console.index] = Broadcast(console, self._store, clock=self._clock)
        return broadcast

    def close(self) -> None:
        """Ends all of them for good."""
        for broadcast in self._broadcasts.values():
            broadcast.close()
        self._broadcasts.clear()
