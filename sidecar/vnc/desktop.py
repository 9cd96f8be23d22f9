"""One initialized client's desktop: what it says is carried to the guest, what changes is told to it."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from sidecar.broadcast.last_words import encoded_last_words
from sidecar.broadcast.message import Message, Messages
from sidecar.encode.form import Encoding, Form
from sidecar.encode.pixel_form import CANONICAL
from sidecar.guest import Console, ConsoleChange, Power
from sidecar.input.console_keys import PASSED, TAKEN, ConsoleKeys
from sidecar.log import get_logger
from sidecar.screen.surface import Frame
from sidecar.session.session import Session
from sidecar.vnc import messages
from sidecar.vnc.blanking import BAND, Blanking
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
    SetDesktopSize,
    SetEncodings,
    SetPixelFormat,
    Xvp,
)
from sidecar.vnc.power_switch import PowerSwitch
from sidecar.vnc.receiver import UpdateReceiver
from sidecar.vnc.resizing import Resizing
from sidecar.vnc.tunnel import Line, TunnelFactory
from sidecar.vnc.views import Views
from sidecar.vnc.wire import FenceFlag, PseudoEncoding, XvpCode

log = get_logger(__name__)


class Desktop:
    """The conversation after the handshake. `close` ends it; nothing is sent or typed afterwards."""

    def __init__(
        self,
        session: Session,
        receiver: UpdateReceiver,
        *,
        console: Console,
        views: Views,
        power: Power,
        title: Callable[[], str],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        tunnels: Sequence[TunnelFactory] = (),
    ) -> None:
        """`console`: what the client sees first, of `views`. `spawn` has a coroutine run to its end."""
        self._session = session
        self._views = views
        self._view = views.of(console)
        self._console_keys = ConsoleKeys(lambda: views.count)
        self._receiver = receiver
        self._blanking = Blanking(receiver)
        self._messages = Messages(
            cover=self._cover, screen=lambda: (receiver.canvas.visible, receiver.exact), spawn=spawn
        )
        self._write = receiver.write
        self._title = title
        self._loop = asyncio.get_running_loop()
        self._pixel_form = CANONICAL
        self._capabilities = ClientCapabilities()
        self._resizing = Resizing(session, receiver.canvas, console, write=receiver.write, spawn=spawn)
        self._power = PowerSwitch(session, power, receiver.write, spawn)
        self._has_cursor = False
        """Whether the client was told of a pointer's picture."""
        self._told_title = ""
        self._waits = False
        self._unpaid = Owed(0)
        """What is told when the client reads again; told once, whatever happens until then."""
        self._deaf = False
        self._closed = False
        self._handlers: dict[type, Callable[[Any], None]] = {
            FramebufferUpdateRequest: self._requested,
            PointerEvent: self._pointer,
            QemuKeyEvent: self._qemu_key,
            KeyEvent: self._key,
            ClientFence: self._fenced,
            EnableContinuousUpdates: self._continuous,
            SetPixelFormat: self._set_pixel_format,
            SetEncodings: self._set_encodings,
            SetDesktopSize: self._resizing.wish,
            Xvp: self._power.handle,
        }
        line = Line(session, receiver.write, receiver.queued)
        self._tunnels = [make(line) for make in tunnels]
        for tunnel in self._tunnels:
            self._handlers.update(tunnel.handlers)
        receiver.adopt_frame = self._adopt_frame
        self._unsubscribe_session = session.view_only_changes.subscribe(self._view_only_changed)
        self._unsubscribe_console = console.changes.subscribe(self._console_changed)
        self._view.broadcast.add(receiver)

    def handle(self, event: Event) -> None:
        """Does what the client says. What nothing stands behind is left alone. Raises RemoteError."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    @property
    def console(self) -> Console:
        """What the client sees now."""
        return self._view.console

    def show(self, console: Console) -> None:
        """Goes over to another console, of which the client is told everything anew."""
        if console is self.console or self._closed:
            return
        receiver = self._receiver
        self._leave_console()
        view = self._view = self._views.of(console)
        log.debug("console switched", session=self._session.id, console=console.index)
        view.input.follows_leds = self._capabilities.leds is not None
        self._resizing.turn_to(console)
        self._adopt_frame(console.surface.frame)
        self._unsubscribe_console = console.changes.subscribe(self._console_changed)
        view.broadcast.add(receiver)
        self._tell_cursor()
        self._tell_leds()
        self._tell_pointer_mode()
        self._views.shown(console)

    def _leave_console(self) -> None:
        """Lets go of what is held, and has nothing more sent."""
        self._unsubscribe_console()
        self._view.broadcast.remove(self._receiver)
        self._view.input.release_all()

    @property
    def deaf(self) -> bool:
        """Whether keys and pointer events are dropped; what is held is let go of then."""
        return self._deaf

    @deaf.setter
    def deaf(self, value: bool) -> None:
        if value and not self._deaf:
            self._view.input.release_all()
            self._console_keys.forget()
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
        self._view.broadcast.wake_for(self._receiver)

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

    def _cover(self, message: Message | None) -> None:
        if message is not None and not self._waits:
            self._write(messages.bell())
        self._receiver.cover(message)
        self._view.broadcast.wake_for(self._receiver)

    def close(self) -> None:
        """Lets go of the keys that the client holds and of everything else."""
        self._closed = True
        self._session.show = None
        self._messages.close()
        self._unsubscribe_session()
        self._leave_console()
        for tunnel in self._tunnels:
            tunnel.close()
        self._resizing.close()

    # Pixels

    def _requested(self, event: FramebufferUpdateRequest) -> None:
        receiver = self._receiver
        # one that asks for no pixels has nobody who could read a message
        self._session.show = self._messages.show
        if not event.incremental:
            if Extension.EXTENDED_DESKTOP_SIZE in self._capabilities.extensions:
                self._resizing.tell()
            self._blanking.due()
        receiver.request(event.area, incremental=event.incremental)
        self._view.broadcast.wake_for(receiver)

    def _continuous(self, event: EnableContinuousUpdates) -> None:
        receiver = self._receiver
        if event.enable:
            self._session.show = self._messages.show
            receiver.continuous = event.area.intersect(receiver.canvas.bounds)
            self._view.broadcast.wake_for(receiver)
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
            self._view.broadcast.wake_for(self._receiver)

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
        self._view.input.follows_leds = capabilities.leds is not None
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
        self._blanking.due()
        if not can_follow or canvas.bounds == before:
            return
        # who wanted the whole screen goes on wanting it
        if receiver.requested == before:
            receiver.requested = canvas.bounds
        if receiver.continuous == before:
            receiver.continuous = canvas.bounds
        self._resizing.resized(extensions)
        if Extension.POINTER_MODE in extensions:
            self._tell_pointer_mode()

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
            self._resizing.tell()
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
        # a guest that draws its own pointer leaves the viewer's alone, but not the one of another console
        has_news = cursor is not None or self._has_cursor
        if kind is not None and has_news and not self._postponed(Owed.CURSOR):
            self._has_cursor = True
            shown = cursor if self.console.cursor_visible else None
            self._write(cursor_update(kind, shown, self._pixel_form))

    def _tell_leds(self) -> None:
        if self._capabilities.leds is not None and not self._postponed(Owed.LEDS):
            self._write(messages.leds(self._capabilities.leds, self.console.keyboard.leds))

    def _tell_pointer_mode(self) -> None:
        if Extension.POINTER_MODE in self._capabilities.extensions and not self._postponed(Owed.POINTER_MODE):
            is_absolute = self.console.pointer.is_absolute
            canvas = self._receiver.canvas
            self._view.input.sends_motion = not is_absolute
            self._write(
                messages.pointer_mode(is_absolute=is_absolute, width=canvas.width, height=canvas.height)
            )

    # Input

    def _key(self, event: KeyEvent) -> None:
        if not self._deaf and not self._chooses_console(event.down, event.keysym):
            self._view.input.key_event(event.down, event.keysym)

    def _qemu_key(self, event: QemuKeyEvent) -> None:
        if not self._deaf and not self._chooses_console(event.down, event.keysym, event.keycode):
            self._view.input.qemu_key_event(event.down, event.keysym, event.keycode)

    def _chooses_console(self, down: bool, keysym: int, keycode: int = 0) -> bool:
        """Whether a key is no key for the guest; shows the console that it stands for."""
        number = self._console_keys.key(down, keysym, keycode)
        if number > TAKEN:
            self.show(self._views.numbered(number))
        return number != PASSED

    def _pointer(self, event: PointerEvent) -> None:
        if not self._deaf:
            self._view.input.pointer_event(event.buttons, event.x, event.y)

    def _view_only_changed(self) -> None:
        self._view.input.release_all()


def _pacing_fence(payload: bytes) -> bytes:
    """A fence whose answer tells that the client has taken all that was sent before it."""
    return messages.fence(FenceFlag.REQUEST | FenceFlag.BLOCK_BEFORE, payload)
