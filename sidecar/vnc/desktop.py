"""One initialized client's desktop: what it says is carried to the guest, what changes is told to it."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import numpy as np

from sidecar.broadcast.broadcast import Broadcast
from sidecar.broadcast.last_words import encoded_last_words
from sidecar.encode.encoders import encode
from sidecar.encode.form import Encoding, Form
from sidecar.encode.pixel_form import CANONICAL
from sidecar.guest import Console, ConsoleChange, Power, PowerRefused, ResizeRefused
from sidecar.input.session_input import SessionInput
from sidecar.log import get_logger
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import Frame
from sidecar.session.session import Session
from sidecar.vnc import messages
from sidecar.vnc.capabilities import ClientCapabilities, Extension, Owed
from sidecar.vnc.cursor import cursor_update
from sidecar.vnc.events import (
    ClientFence,
    EnableContinuousUpdates,
    Event,
    FramebufferUpdateRequest,
    KeyEvent,
    PointerEvent,
    QemuKeyEvent,
    Screen,
    SetDesktopSize,
    SetEncodings,
    SetPixelFormat,
    Xvp,
)
from sidecar.vnc.receiver import UpdateReceiver
from sidecar.vnc.tunnel import Line, TunnelFactory
from sidecar.vnc.wire import FenceFlag, PseudoEncoding, ResizeReason, ResizeStatus, XvpCode

log = get_logger(__name__)

RESIZE_TIME = 2.0
"""Seconds in which a guest that took a resize request shows the new size; later it is "forwarded"."""

MAX_RESIZE_EDGE = 8192

BAND = 2048, 256
"""Tight carries no wider rectangle, and no larger one than this (facts: RFB section 4.2)."""


class Desktop:
    """The conversation after the handshake. `close` ends it; nothing is sent or typed afterwards."""

    def __init__(
        self,
        session: Session,
        receiver: UpdateReceiver,
        *,
        console: Console,
        power: Power,
        broadcast: Broadcast,
        session_input: SessionInput,
        title: Callable[[], str],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        tunnels: Sequence[TunnelFactory] = (),
    ) -> None:
        self.console = console
        self._session = session
        self._power = power
        self._broadcast = broadcast
        self._input = session_input
        self._receiver = receiver
        self._write = receiver.write
        self._title = title
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._pixel_form = CANONICAL
        self._capabilities = ClientCapabilities()
        self._screens: tuple[Screen, ...] = (Screen(0, receiver.canvas.bounds),)
        self._wanted: SetDesktopSize | None = None
        self._wanted_timer: asyncio.TimerHandle | None = None
        self._told_title = ""
        self._waits = False
        self._unpaid = Owed(0)
        """What is told when the client reads again; told once, whatever happens until then."""
        self._switching = False
        self._deaf = False
        self._handlers: dict[type, Callable[[Any], None]] = {
            FramebufferUpdateRequest: self._requested,
            PointerEvent: self._pointer,
            QemuKeyEvent: self._qemu_key,
            KeyEvent: self._key,
            ClientFence: self._fenced,
            EnableContinuousUpdates: self._continuous,
            SetPixelFormat: self._set_pixel_format,
            SetEncodings: self._set_encodings,
            SetDesktopSize: self._set_desktop_size,
            Xvp: self._xvp,
        }
        line = Line(session, receiver.write, receiver.queued)
        self._tunnels = [make(line) for make in tunnels]
        for tunnel in self._tunnels:
            self._handlers.update(tunnel.handlers)
        receiver.adopt_frame = self._adopt_frame
        self._unsubscribe = (
            console.changes.subscribe(self._console_changed),
            session.view_only_changes.subscribe(self._view_only_changed),
        )
        broadcast.add(receiver)

    def handle(self, event: Event) -> None:
        """Does what the client says. What nothing stands behind is left alone. Raises RemoteError."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

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
        return self.console.input_backlog

    def wait(self) -> None:
        """Tells nothing of what can wait, since the client does not read as fast, until `ready`."""
        self._waits = True
        for tunnel in self._tunnels:
            tunnel.wait()

    def ready(self) -> None:
        """Goes on sending after the client has caught up."""
        self._waits = False
        unpaid, self._unpaid = self._unpaid, Owed(0)
        self._pay(unpaid)
        for tunnel in self._tunnels:
            tunnel.ready()
        self._broadcast.wake_for(self._receiver)

    def rename(self) -> None:
        """Tells the client the desktop's name if it is another now."""
        title = self._title()
        if (
            Extension.DESKTOP_NAME in self._capabilities.extensions
            and title != self._told_title
            and not self._postponed(Owed.DESKTOP_NAME)
        ):
            self._told_title = title
            self._write(messages.desktop_name(title))

    def say_goodbye(self, text: str) -> bool:
        """Writes `text` on the client's screen and into its desktop's name; False where it does not read.

        To be called before `close`, which it does not replace: an update that is being encoded is not sent.
        """
        if self._waits:
            return False
        receiver = self._receiver
        canvas = receiver.canvas
        segments = encoded_last_words(canvas.width, canvas.height, text, form=receiver.exact, piece=BAND)
        # perhaps unasked: clients show what comes
        self._write(messages.update_message(segments, stream_begun=receiver.stream_begun))
        if Extension.DESKTOP_NAME in self._capabilities.extensions:
            self._write(messages.desktop_name(f"{self._title()} - {text}"))
        return True

    def close(self) -> None:
        """Lets go of the keys that the client holds and of everything else."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._broadcast.remove(self._receiver)
        for tunnel in self._tunnels:
            tunnel.close()
        self._input.release_all()
        self._forget_wish()

    # Pixels

    def _requested(self, event: FramebufferUpdateRequest) -> None:
        receiver = self._receiver
        if not event.incremental:
            if Extension.EXTENDED_DESKTOP_SIZE in self._capabilities.extensions:
                self._tell_size()
            self._blacken_later()
        receiver.request(event.area, incremental=event.incremental)
        self._broadcast.wake_for(receiver)

    def _continuous(self, event: EnableContinuousUpdates) -> None:
        receiver = self._receiver
        if event.enable:
            receiver.continuous = event.area.intersect(receiver.canvas.bounds)
            self._broadcast.wake_for(receiver)
        else:
            receiver.end_continuous()
            # told even when it was off already: the client counts these (facts: RFB section 3)
            self._write(messages.end_of_continuous_updates())

    def _fenced(self, event: ClientFence) -> None:
        if event.flags & FenceFlag.REQUEST:
            # messages are handled one after the other, so every order that a fence can ask for is kept
            self._write(messages.fence(event.flags & ~FenceFlag.REQUEST, event.payload))
        else:
            self._receiver.fence_answered(event.payload, self._loop.time())
            self._broadcast.wake_for(self._receiver)

    def _set_pixel_format(self, event: SetPixelFormat) -> None:
        self._pixel_form = event.pixel_form
        if not event.pixel_form.true_colour:
            self._write(messages.set_colour_map_entries(event.pixel_form))
        self._choose_forms()
        canvas = self._receiver.canvas
        canvas.forget(canvas.frame.bounds)
        if self._capabilities.cursor is not None:
            self._tell_cursor()

    def _set_encodings(self, event: SetEncodings) -> None:
        capabilities = self._capabilities = event.capabilities
        self._session.encoding = capabilities.encoding.name.lower()
        self._choose_forms()
        self._input.follows_leds = capabilities.leds is not None
        self._receiver.fence = _pacing_fence if Extension.FENCE in capabilities.extensions else None
        owed, canvas = event.owed, self._receiver.canvas
        if self._can_follow and canvas.bounds != canvas.frame.bounds:
            # the screen changed before the client said that it can follow
            self._adopt_frame(canvas.frame)
            owed &= ~(Owed.EXTENDED_DESKTOP_SIZE | Owed.POINTER_MODE)
        self._pay(owed)
        for tunnel in self._tunnels:
            tunnel.agreed(capabilities, event.owed)

    def _choose_forms(self) -> None:
        capabilities = self._capabilities
        encoding, compression = Encoding(capabilities.encoding), capabilities.compression
        receiver = self._receiver
        receiver.exact = Form.of(encoding, self._pixel_form, compress_level=compression)
        lossy = Form.of(
            encoding, self._pixel_form, quality_level=capabilities.quality, compress_level=compression
        )
        receiver.lossy = lossy if lossy != receiver.exact else None

    @property
    def _can_follow(self) -> bool:
        """Whether the client can be told of another size."""
        return bool(
            self._capabilities.extensions & (Extension.EXTENDED_DESKTOP_SIZE | Extension.DESKTOP_SIZE)
        )

    def _adopt_frame(self, frame: Frame) -> None:
        """Goes over to a frame of another size, with the client where it can follow."""
        receiver = self._receiver
        canvas, extensions = receiver.canvas, self._capabilities.extensions
        before = canvas.bounds
        can_follow = self._can_follow
        canvas.adopt(frame, resize=can_follow)
        self._blacken_later()
        if not can_follow:
            return
        # who wanted the whole screen goes on wanting it
        if receiver.requested == before:
            receiver.requested = canvas.bounds
        if receiver.continuous == before:
            receiver.continuous = canvas.bounds
        self._screens = (Screen(self._screens[0].id, canvas.bounds),)
        wish = self._wanted
        if wish is not None and (wish.width, wish.height) == (frame.width, frame.height):
            self._grant(wish)
        elif Extension.EXTENDED_DESKTOP_SIZE in extensions:
            self._tell_size()
        else:
            self._write(messages.desktop_size(frame.width, frame.height))
        if Extension.POINTER_MODE in extensions:
            self._tell_pointer_mode()

    def _blacken_later(self) -> None:
        """Has what the screen does not reach blanked with the next update."""
        receiver = self._receiver
        receiver.before_update = self._blacken if receiver.canvas.uncovered() else None

    def _blacken(self) -> None:
        """Blanks what a smaller screen leaves uncovered on a client that cannot shrink."""
        receiver = self._receiver
        receiver.before_update = None
        areas = receiver.canvas.uncovered()
        segments = [
            encode(part, np.zeros((part.height, part.width), np.uint32), receiver.exact)
            for area in areas
            for part in area.pieces(*BAND)
        ]
        if segments:
            self._write(messages.update_message(segments, stream_begun=receiver.stream_begun))
            receiver.stream_begun |= receiver.exact.encoding.is_streamed

    # What is told

    def _pay(self, owed: Owed) -> None:
        """Sends what a new list of encodings calls for."""
        if owed & Owed.QEMU_KEYS_ACK:
            self._write(messages.acknowledgement(PseudoEncoding.QEMU_EXTENDED_KEY_EVENT))
        if owed & Owed.EXTENDED_MOUSE_BUTTONS_ACK:
            self._write(messages.acknowledgement(PseudoEncoding.EXTENDED_MOUSE_BUTTONS))
        if owed & Owed.FENCE:
            self._write(messages.fence(FenceFlag.REQUEST))
        if owed & Owed.END_OF_CONTINUOUS_UPDATES:
            self._write(messages.end_of_continuous_updates())
        if owed & Owed.XVP_INIT:
            self._write(messages.xvp(XvpCode.INIT))
        if owed & Owed.EXTENDED_DESKTOP_SIZE:
            self._tell_size()
        if owed & Owed.POINTER_MODE:
            self._tell_pointer_mode()
        if owed & Owed.CURSOR:
            self._tell_cursor()
        if owed & Owed.LEDS:
            self._tell_leds()
        if owed & Owed.DESKTOP_NAME:
            self.rename()

    def _postponed(self, what: Owed) -> bool:
        """Whether `what` is to be told later, because the client does not read now."""
        if self._waits:
            self._unpaid |= what
        return self._waits

    def _console_changed(self, change: ConsoleChange) -> None:
        if change & ConsoleChange.CURSOR_SHAPE:
            self._tell_cursor()
        if change & ConsoleChange.LEDS:
            self._tell_leds()
        if change & ConsoleChange.POINTER_MODE:
            self._tell_pointer_mode()

    def _tell_cursor(self) -> None:
        kind, cursor = self._capabilities.cursor, self.console.cursor
        # a guest that draws its own pointer leaves the viewer's alone
        if kind is not None and cursor is not None and not self._postponed(Owed.CURSOR):
            shown = cursor if self.console.cursor_visible else None
            self._write(cursor_update(kind, shown, self._pixel_form))

    def _tell_leds(self) -> None:
        if self._capabilities.leds is not None and not self._postponed(Owed.LEDS):
            self._write(messages.leds(self._capabilities.leds, self.console.keyboard.leds))

    def _tell_pointer_mode(self) -> None:
        if Extension.POINTER_MODE in self._capabilities.extensions and not self._postponed(Owed.POINTER_MODE):
            is_absolute = self.console.pointer.is_absolute
            canvas = self._receiver.canvas
            self._input.sends_motion = not is_absolute
            self._write(
                messages.pointer_mode(is_absolute=is_absolute, width=canvas.width, height=canvas.height)
            )

    # Size

    def _tell_size(
        self,
        reason: ResizeReason = ResizeReason.SERVER,
        status: ResizeStatus = ResizeStatus.NO_ERROR,
    ) -> None:
        canvas = self._receiver.canvas
        self._write(
            messages.extended_desktop_size(canvas.width, canvas.height, self._screens, reason, status)
        )

    def _set_desktop_size(self, event: SetDesktopSize) -> None:
        canvas = self._receiver.canvas
        whole = Rectangle(0, 0, event.width, event.height)
        if self._session.view_only:
            self._refuse_size(ResizeStatus.PROHIBITED)
        elif len(event.screens) != 1 or event.screens[0].area != whole:
            # one console is one screen
            self._refuse_size(ResizeStatus.INVALID_LAYOUT)
        elif not (1 <= event.width <= MAX_RESIZE_EDGE and 1 <= event.height <= MAX_RESIZE_EDGE):
            self._refuse_size(ResizeStatus.OUT_OF_RESOURCES)
        elif self._wanted is not None:
            # the guest still works on the wish before
            self._refuse_size(ResizeStatus.REQUEST_FORWARDED)
        elif (event.width, event.height) == (canvas.width, canvas.height):
            self._grant(event)
        else:
            self._wanted = event
            self._spawn(self._resize(event))

    async def _resize(self, wish: SetDesktopSize) -> None:
        try:
            await self.console.request_size(wish.width, wish.height)
        except ResizeRefused as refusal:
            log.debug("resize refused", session=self._session.id, cause=str(refusal))
            if self._wanted is wish:
                self._forget_wish()
                self._refuse_size(ResizeStatus.PROHIBITED)
            return
        if self._wanted is wish:
            self._wanted_timer = self._loop.call_later(RESIZE_TIME, self._resize_timed_out)

    def _resize_timed_out(self) -> None:
        self._forget_wish()
        self._refuse_size(ResizeStatus.REQUEST_FORWARDED)

    def _grant(self, wish: SetDesktopSize) -> None:
        self._screens = wish.screens
        self._forget_wish()
        self._tell_size(ResizeReason.THIS_CLIENT)

    def _refuse_size(self, status: ResizeStatus) -> None:
        self._tell_size(ResizeReason.THIS_CLIENT, status)

    def _forget_wish(self) -> None:
        self._wanted = None
        if self._wanted_timer is not None:
            self._wanted_timer.cancel()
            self._wanted_timer = None

    # Input

    def _key(self, event: KeyEvent) -> None:
        if not self._deaf:
            self._input.key_event(event.down, event.keysym)

    def _qemu_key(self, event: QemuKeyEvent) -> None:
        if not self._deaf:
            self._input.qemu_key_event(event.down, event.keysym, event.keycode)

    def _pointer(self, event: PointerEvent) -> None:
        if not self._deaf:
            self._input.pointer_event(event.buttons, event.x, event.y)

    def _view_only_changed(self) -> None:
        self._input.release_all()

    def _xvp(self, event: Xvp) -> None:
        known = event.code in (XvpCode.SHUTDOWN, XvpCode.REBOOT, XvpCode.RESET)
        if self._session.view_only or self._switching or not known:
            self._write(messages.xvp(XvpCode.FAIL))
        else:
            self._switching = True
            self._spawn(self._switch(XvpCode(event.code)))

    async def _switch(self, code: XvpCode) -> None:
        log.info("power switched by a viewer", session=self._session.id, switch=code.name.lower())
        try:
            if code is XvpCode.SHUTDOWN:
                await self._power.shut_down()
            elif code is XvpCode.RESET:
                await self._power.reset()
            else:
                # a reboot in good order is for the guest itself to do; QEMU answers the same
                self._write(messages.xvp(XvpCode.FAIL))
        except PowerRefused as refusal:
            log.info("power switch refused", session=self._session.id, cause=str(refusal))
            self._write(messages.xvp(XvpCode.FAIL))
        finally:
            self._switching = False


def _pacing_fence(payload: bytes) -> bytes:
    """A fence whose answer tells that the client has taken all that was sent before it."""
    return messages.fence(FenceFlag.REQUEST | FenceFlag.BLOCK_BEFORE, payload)
