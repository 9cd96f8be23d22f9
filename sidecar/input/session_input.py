"""What one session types and points at, gated by whether it may."""

from collections.abc import Callable

from sidecar.guest import Button
from sidecar.input.key_input import KeyInput
from sidecar.input.layout import Layout
from sidecar.input.pointer_input import PointerInput
from sidecar.input.qnum import VALID
from sidecar.input.seat import Seat


class SessionInput:
    """The keyboard and mouse of one session.

    While `view_only()` is true every event is dropped, and what the session still held is let go of at the
    first one. The owner calls `release_all` when the session ends, turns view-only or loses the focus.
    """

    def __init__(self, seat: Seat, layout: Layout, view_only: Callable[[], bool]) -> None:
        self._seat = seat
        self._view_only = view_only
        self._keys = KeyInput(seat, layout)
        self._pointer = PointerInput(seat)

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

    def release_all(self) -> None:
        """Lets go of every key and button that this session holds. May be called at any time, again too."""
        self._seat.release_all(self._keys)
        self._seat.release_all(self._pointer)
        self._keys.forget()
        self._pointer.forget()

    def _may_act(self) -> bool:
        if not self._view_only():
            return True
        self.release_all()
        return False
