"""What one session types and points at, gated by whether it may."""

from collections.abc import Callable, Iterable

from sidecar.guest import Button, Led
from sidecar.input.key_input import KeyInput
from sidecar.input.layout import Layout
from sidecar.input.pointer_input import PointerInput
from sidecar.input.qnum import VALID
from sidecar.input.seat import Seat
from sidecar.input.touch_input import Contact, TouchInput
from sidecar.log import get_logger

log = get_logger(__name__)


class SessionInput:
    """The keyboard, mouse and touch screen of one session at one console.

    While `view_only()` is true every event is dropped, and what the session still held is let go of at the
    first one. The owner calls `release_all` when the session ends, turns view-only or loses the focus.
    """

    def __init__(self, seat: Seat, layout: Layout, view_only: Callable[[], bool]) -> None:
        self._seat = seat
        self._layout = layout
        self._view_only = view_only
        self._keys = KeyInput(seat, layout)
        self._pointer = PointerInput(seat)
        self._touch = TouchInput(seat, self._pointer)
        self._told_unknown_character = False

    @property
    def follows_leds(self) -> bool:
        """Whether the client is told of the guest's lights (RFB's LED state); then its locks are its own
        business, else the guest's are set to what its keysyms mean."""
        return self._keys.follows_leds

    @follows_leds.setter
    def follows_leds(self, value: bool) -> None:
        self._keys.follows_leds = value

    @property
    def sends_motion(self) -> bool:
        """Whether the client's pointer events carry biased motion in place of positions."""
        return self._pointer.sends_motion

    @sends_motion.setter
    def sends_motion(self, value: bool) -> None:
        self._pointer.sends_motion = value

    def key_event(self, down: bool, keysym: int) -> None:
        """RFB KeyEvent. `keysym`: any U32; unknown ones are ignored."""
        if self._may_act():
            self._keys.keysym(down, keysym)

    def qemu_key_event(self, down: bool, keysym: int, keycode: int) -> None:
        """RFB QEMU Extended Key Event. `keycode`: any U32; where it names no key `keysym` counts."""
        if self._may_act():
            self._keys.qemu_key(down, keysym, keycode)

    def pointer_event(self, mask: int, x: int, y: int) -> None:
        """RFB PointerEvent. `x`, `y`: U16, pixels or biased motion; `mask`: bits 0..8 (left, middle, right,
        wheel up, wheel down, wheel left, wheel right, back, forward)."""
        if self._may_act():
            self._pointer.rfb_event(mask, x, y)

    def key(self, down: bool, qnum: int) -> None:
        """A key by QEMU's number; numbers without a key are ignored."""
        if qnum in VALID and self._may_act():
            self._keys.key(down, qnum)

    def character(self, text: str) -> None:
        """Types a text through the guest's layout, each character by keys that are let go of at once.

        Return, Tab, Backspace, Escape and Delete are keys; what the layout cannot make is left out.
        """
        if not self._may_act():
            return
        for character in text:
            if not self._keys.character(character) and not self._told_unknown_character:
                self._told_unknown_character = True
                log.debug("a character is not on the keyboard layout", layout=self._layout.name)

    def set_locks(self, lit: Led) -> None:
        """The client's lock states: the guest's are turned where they differ."""
        if self._may_act():
            self._keys.set_locks(lit)

    @property
    def takes_positions(self) -> bool:
        """Whether the guest's pointer stands where it is put, or only moves."""
        return self._seat.console.pointer.is_absolute

    def clamped(self, x: int, y: int) -> tuple[int, int]:
        """The pixel of the screen that is nearest to a position."""
        return self._pointer.clamped(x, y)

    def move_to(self, x: int, y: int) -> None:
        """The pointer's position in pixels; outside the screen counts as the edge."""
        if self._may_act():
            self._pointer.move_to(x, y)

    def move_by(self, dx: int, dy: int) -> None:
        """The mouse's motion in pixels, for a guest with a relative mouse."""
        if self._may_act():
            self._pointer.move_by(dx, dy)

    def button(self, down: bool, button: Button) -> None:
        """A button; a wheel's step is its going down."""
        if self._may_act():
            self._pointer.button(down, button)

    def scroll(self, right: int, up: int) -> None:
        """The wheels turned by so many 120ths of a step; negative: left, down."""
        if self._may_act():
            self._pointer.scroll(right, up)

    def touch(self, contacts: Iterable[Contact]) -> None:
        """Fingers, all that changed at one time. Without a touch screen the first one is the left button."""
        if self._may_act():
            self._touch.handle(contacts)

    def release_keys(self) -> None:
        """Lets go of every key that this session holds."""
        self._seat.release_all(self._keys)
        self._keys.forget()

    def release_all(self) -> None:
        """Lets go of every key, button and finger of this session. May be called at any time, again too."""
        self.release_keys()
        self._touch.release_all()
        self._seat.release_all(self._pointer)
        self._pointer.forget()

    def _may_act(self) -> bool:
        if not self._view_only():
            return True
        self.release_all()
        return False
