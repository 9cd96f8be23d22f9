"""What an initialized session works with: the guest's consoles on one side, its client on the other."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from enum import Flag, auto
from typing import Any

from sidecar.broadcast.broadcast import Broadcasts
from sidecar.broadcast.message import Messages
from sidecar.encode.avc420 import avc_available
from sidecar.guest import Console, ConsoleChange
from sidecar.input.seat import Seats
from sidecar.input.session_input import SessionInput
from sidecar.log import get_logger
from sidecar.rdp import pointer_update
from sidecar.rdp.capabilities import ClientCapabilities
from sidecar.rdp.channel_table import ChannelHandler, ChannelTable
from sidecar.rdp.client_input import ClientInput
from sidecar.rdp.connection import ServerConnection
from sidecar.rdp.display_control import MonitorLayout
from sidecar.rdp.events import (
    ChannelMessage,
    Client,
    Event,
    FrameAcknowledged,
    Input,
    RefreshRect,
    SuppressOutput,
)
from sidecar.rdp.graphics_pipeline.capability_sets import Chosen
from sidecar.rdp.graphics_pipeline.pipeline import GraphicsPipeline
from sidecar.rdp.picture import Picture
from sidecar.rdp.pointer_follower import PointerFollower
from sidecar.rdp.pointer_update import PointerCache
from sidecar.rdp.receiver import FRAMES_IN_FLIGHT
from sidecar.rdp.session_channels import SessionChannels
from sidecar.rdp.share_data import PduType2
from sidecar.rdp.share_pdus import keyboard_indicators
from sidecar.rdp.size_wishes import SizeWishes
from sidecar.rdp.touch_channel import TouchFrame
from sidecar.session.session import Session

log = get_logger(__name__)

PIPELINE_TIME = 5.0
"""Seconds that a client has to open the graphics pipeline that it has announced; bitmaps are sent then."""


class Owed(Flag):
    """What the client is told when it reads again."""

    CURSOR = auto()
    LEDS = auto()


class Desktop:
    """One session's desktop.

    `consoles`: all that the client may see, of which it has monitors for `watched`. `size`: of the desktop
    that the client was let in to, in pixels. `flush` sends what the connection has, `queued` tells how many
    bytes have not left yet, `fail` ends the session because its picture cannot be made, `spawn` has a
    coroutine run to its end.
    """

    def __init__(
        self,
        session: Session,
        connection: ServerConnection,
        client: Client,
        capabilities: ClientCapabilities,
        size: tuple[int, int],
        *,
        consoles: Sequence[Console],
        watched: int,
        inputs: Mapping[int, SessionInput],
        seats: Seats,
        broadcasts: Broadcasts,
        table: "ChannelTable[Desktop]",
        flush: Callable[[], None],
        queued: Callable[[], int],
        fail: Callable[[BaseException], None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """`inputs`: by console number."""
        self.session = session
        self._connection = connection
        self._inputs = inputs
        self._seats = seats
        self.flush = flush
        """Sends what channel handlers have sent outside of `receive`."""
        self._loop = asyncio.get_running_loop()
        self._pointed = consoles[0]
        """The console on which the client's pointer is: its picture is shown."""
        self._input = ClientInput(inputs[self._pointed.index], self._locate)
        self._deaf = False
        self._waits = False
        self._unpaid = Owed(0)
        self._pointers = PointerCache(capabilities)
        self._wishes = SizeWishes(session.id, spawn=spawn, changed=self._wishes_changed)
        self._picture = Picture(
            session,
            connection,
            capabilities,
            size,
            consoles=consoles,
            watched=watched,
            wishes=self._wishes,
            broadcasts=broadcasts,
            send_graphics=self._send_graphics,
            flush=flush,
            queued=queued,
            fail=fail,
        )
        self._follower = PointerFollower(lambda: self._picture.layout, self._tell_position)
        self._pipeline: GraphicsPipeline | None = None
        self._pipeline_timer: asyncio.TimerHandle | None = None
        if client.graphics_pipeline:
            self._pipeline = GraphicsPipeline(
                avc420=avc_available(), max_unacknowledged=FRAMES_IN_FLIGHT * len(consoles)
            )
        # no other console is observed: one that nobody watches need not be drawn
        self._leave_pointed = self._pointed.changes.subscribe(self._console_changed)
        self._unsubscribe = session.view_only_changes.subscribe(self._view_only_changed)
        self._channels = SessionChannels(
            self,
            table,
            session_id=session.id,
            asked_for=client.channels,
            static=connection.channel,
            chunk_length=capabilities.chunk_size,
            graphics=self._pipeline,
            monitors=len(consoles),
            now=self._loop.time,
        )
        if self._pipeline is None or not self._channels.dynamic:
            self._picture.use_bitmaps()
        else:
            self._pipeline_timer = self._loop.call_later(PIPELINE_TIME, self._pipeline_timed_out)
        self._tell_cursor()
        self._tell_leds()
        self._messages = Messages(cover=self._picture.cover, screen=self._picture.covered_screen, spawn=spawn)
        session.show = self._messages.show

    def handle(self, event: Event) -> None:
        """Does what the client says."""
        match event:
            case Input(events):
                if not self._deaf:
                    self._input.handle(self._follower.meant(events))
            case ChannelMessage(channel, data):
                self._channels.receive(channel, data)
            case FrameAcknowledged(frame_id):
                self._picture.acknowledged(frame_id)
            case SuppressOutput(allowed):
                self._picture.show(allowed)
            case RefreshRect(areas):
                self._picture.refresh(areas)
            case _:
                pass

    def activated(self, capabilities: ClientCapabilities) -> None:
        """The client has gone through another activation: it shows nothing, and has new capabilities."""
        self._pointers = PointerCache(capabilities)
        self._picture.activated(capabilities)
        self._tell_cursor()
        self._tell_leds()

    @property
    def deaf(self) -> bool:
        """Whether keys and pointer events are dropped; what is held is let go of then."""
        return self._deaf

    @deaf.setter
    def deaf(self, value: bool) -> None:
        if value and not self._deaf:
            self._input.release_all()
        self._deaf = value

    @property
    def input_backlog(self) -> int:
        """Input events that wait to be taken by the guest."""
        return max(console.input_backlog for console in self._picture.consoles)

    def wait(self) -> None:
        """Tells nothing of what can wait, since the client does not read as fast, until `ready`."""
        self._waits = True

    def ready(self) -> None:
        """Goes on sending after the client has caught up."""
        self._waits = False
        unpaid, self._unpaid = self._unpaid, Owed(0)
        if unpaid & Owed.CURSOR:
            self._tell_cursor()
        if unpaid & Owed.LEDS:
            self._tell_leds()
        self.flush()
        self._picture.wake()

    def reopen(self, handler: ChannelHandler) -> None:
        """Closes the dynamic channel of a handler and asks for it anew, see `SessionChannels.reopen`."""
        self._channels.reopen(handler)
        self.flush()

    def say_goodbye(self, text: str) -> bool:
        """Writes `text` on the client's screen, the last that it is shown; False where it cannot be shown.

        To be called before `close`, which it does not replace.
        """
        return not self._waits and self._picture.say_goodbye(text, self._loop.time())

    def close(self) -> None:
        """Lets go of the keys that the client holds and of everything else."""
        self.session.show = None
        self._messages.close()
        self._leave_pointed()
        self._unsubscribe()
        self._picture.close()
        self._wishes.close()
        self._follower.close()
        self._channels.close()
        self._input.release_all()
        self._cancel_pipeline_timer()

    # Pixels

    def pipeline_ready(self, chosen: Chosen) -> None:
        """The client takes frames of the graphics pipeline, now or again after it has lost its surfaces."""
        self._cancel_pipeline_timer()
        if self._pipeline is not None:
            self._picture.use_pipeline(self._pipeline, chosen)

    def pipeline_missing(self) -> None:
        """There is no graphics pipeline with this client after all: it gets bitmaps."""
        self._cancel_pipeline_timer()
        self._pipeline = None
        self._picture.use_bitmaps()
        self._point_at(self._picture.consoles[0])

    def frame_acknowledged(self) -> None:
        """There is room for another frame."""
        self._picture.wake()

    def _pipeline_timed_out(self) -> None:
        self._pipeline_timer = None
        log.info("no graphics pipeline after all, bitmaps are sent", session=self.session.id)
        self._channels.give_graphics_up()
        self.pipeline_missing()
        self.flush()

    def _cancel_pipeline_timer(self) -> None:
        if self._pipeline_timer is not None:
            self._pipeline_timer.cancel()
            self._pipeline_timer = None

    def _send_graphics(self, message: bytes) -> None:
        self._channels.send_graphics(message)

    def layout_wished(self, layout: MonitorLayout) -> None:
        """The client wants its monitors served in these sizes."""
        if self.session.view_only:
            return
        # side by side, as the consoles are
        monitors = sorted(layout.monitors, key=lambda monitor: (monitor.area.x, monitor.area.y))
        self._picture.watch(len(monitors))
        if self._pointed not in self._picture.consoles:
            self._point_at(self._picture.consoles[0])
        self._wishes.wish(self._picture.consoles, monitors)

    def _wishes_changed(self) -> None:
        self._picture.lay_out_anew()
        self.flush()

    # Input

    def touched(self, frame: TouchFrame) -> None:
        """Fingers."""
        if not self._deaf:
            self._input.touch(frame)
            if not self.session.view_only:
                # guests may have their pointer follow a finger
                self._seats.of(self._pointed).pointed(None)

    def _locate(self, x: int, y: int) -> tuple[SessionInput, int, int]:
        view = self._picture.layout.at(x, y)
        self._point_at(view.console)
        return (self._inputs[view.console.index], *view.inside(x, y))

    def _view_only_changed(self) -> None:
        self._channels.cancel_touch()
        self._input.release_all()

    # What is told

    def _console_changed(self, change: ConsoleChange) -> None:
        console = self._pointed
        if change & ConsoleChange.CURSOR_SHAPE:
            self._tell_cursor()
        if change & ConsoleChange.CURSOR_POSITION:
            self._follower.moved(console, self._seats.of(console))
        if change & ConsoleChange.LEDS:
            self._tell_leds()
        self.flush()

    def _point_at(self, console: Console) -> None:
        """The client's pointer is on this console."""
        if console is not self._pointed:
            self._leave_pointed()
            self._leave_pointed = console.changes.subscribe(self._console_changed)
            self._pointed = console
            self._tell_cursor()
            self._tell_leds()

    def _postponed(self, what: Owed) -> bool:
        """Whether `what` is to be told later, because the client does not read or is not active now."""
        if self._waits:
            self._unpaid |= what
        # another activation tells all of it anyway
        return self._waits or not self._picture.active

    def _tell_cursor(self) -> None:
        if self._postponed(Owed.CURSOR):
            return
        console = self._pointed
        if console.cursor is not None:
            shown = console.cursor if console.cursor_visible else None
            self._connection.send_fast_path(*self._pointers.update(shown))
        else:
            # a guest that draws its own pointer leaves the client's alone
            self._connection.send_fast_path(*pointer_update.default())

    def _tell_position(self, x: int, y: int) -> None:
        """The pointer is at a place of the desktop."""
        if not self._waits and self._picture.active:
            self._connection.send_fast_path(*pointer_update.position(x, y))
            self.flush()

    def _tell_leds(self) -> None:
        keyboard = self._pointed.keyboard
        if not self._postponed(Owed.LEDS) and keyboard.leds_known:
            body = keyboard_indicators(keyboard.leds)
            self._connection.send_share_data(PduType2.SET_KEYBOARD_INDICATORS, body)
