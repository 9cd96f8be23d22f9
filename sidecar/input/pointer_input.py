"""One session's mouse: positions, motion and buttons in, pointer events of the guest out."""

from sidecar.guest import Button
from sidecar.input.seat import Seat

RFB_BUTTONS: tuple[Button, ...] = (
    Button.LEFT,
    Button.MIDDLE,
    Button.RIGHT,
    Button.WHEEL_UP,
    Button.WHEEL_DOWN,
    Button.WHEEL_LEFT,
    Button.WHEEL_RIGHT,
    Button.SIDE,
    Button.EXTRA,
)
"""Bit of RFB's button mask -> button; the last two by extended mouse buttons: back and forward."""

WHEEL = frozenset({Button.WHEEL_UP, Button.WHEEL_DOWN, Button.WHEEL_LEFT, Button.WHEEL_RIGHT})

WHEEL_STEP = 120
"""Units of rotation in one step of a wheel that has steps; others turn by parts of it."""

RELATIVE_BIAS = 0x7FFF
"""What stands for no motion in a pointer event of a client in relative mode (rfbproto, pointer motion)."""


class PointerInput:
    """The mouse of one session."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._mask = 0
        self._horizontal = _Wheel(Button.WHEEL_RIGHT, Button.WHEEL_LEFT)
        self._vertical = _Wheel(Button.WHEEL_UP, Button.WHEEL_DOWN)
        self._position: tuple[int, int] | None = None
        """Where the client's pointer was last; None: it has not said, or counts from elsewhere."""
        self.sends_motion = False
        """Whether the client has been told that the guest's mouse is relative, and sends biased motion."""

    def rfb_event(self, mask: int, x: int, y: int) -> None:
        """A pointer event of RFB: moves, then presses and releases what the mask says."""
        if self.sends_motion:
            self.move_by(x - RELATIVE_BIAS, y - RELATIVE_BIAS)
        else:
            self.move_to(x, y)
        changed = mask ^ self._mask
        self._mask = mask
        for bit, button in enumerate(RFB_BUTTONS):
            if changed >> bit & 1:
                self.button(bool(mask >> bit & 1), button)

    def move_to(self, x: int, y: int) -> None:
        """The client's pointer is at a pixel of the screen; outside counts as the edge.

        A guest with a relative mouse gets the way from the last position.
        """
        x, y = self.clamped(x, y)
        last, self._position = self._position, (x, y)
        pointer = self._seat.console.pointer
        if pointer.is_absolute:
            # even to where this session was last: another one may have moved the pointer since
            self._seat.pointed((x, y))
            pointer.move_to(x, y)
        elif last is not None:
            self._move_by(x - last[0], y - last[1])

    def clamped(self, x: int, y: int) -> tuple[int, int]:
        """The pixel of the screen that is nearest."""
        frame = self._seat.console.surface.frame
        return min(max(x, 0), frame.width - 1), min(max(y, 0), frame.height - 1)

    def move_by(self, dx: int, dy: int) -> None:
        """The client's mouse moved. A guest with an absolute pointer ignores it."""
        self._position = None
        if not self._seat.console.pointer.is_absolute:
            self._move_by(dx, dy)

    def button(self, down: bool, button: Button) -> None:
        """A button; a wheel's step is done at once when it goes down."""
        if button in WHEEL:
            if down:
                self._seat.console.pointer.press(button)
                self._seat.console.pointer.release(button)
        elif down:
            self._seat.press_button(self, button)
        else:
            self._seat.release_button(self, button)

    def scroll(self, right: int, up: int) -> None:
        """Turns the wheels by so many parts of WHEEL_STEP; the guest gets whole steps, the rest is kept."""
        for wheel, rotation in ((self._horizontal, right), (self._vertical, up)):
            for button in wheel.turn(rotation):
                self.button(True, button)

    def forget(self) -> None:
        """Takes note that all buttons of this session were let go of."""
        self._mask = 0
        self._position = None
        self._horizontal.rest = self._vertical.rest = 0

    def _move_by(self, dx: int, dy: int) -> None:
        if dx or dy:
            self._seat.pointed(None)
            self._seat.console.pointer.move_by(dx, dy)


class _Wheel:
    """A wheel's rotation that makes no whole step yet."""

    def __init__(self, forward: Button, back: Button) -> None:
        self._buttons = {True: forward, False: back}
        self.rest = 0

    def turn(self, rotation: int) -> list[Button]:
        """The steps that are complete now."""
        if rotation * self.rest < 0:
            # who turns back means to go back at once
            self.rest = 0
        self.rest += rotation
        steps = abs(self.rest) // WHEEL_STEP
        forward = self.rest > 0
        self.rest -= steps * WHEEL_STEP * (1 if forward else -1)
        return [self._buttons[forward]] * steps
