"""The mouse or tablet of one console."""

from sidecar.guest import Button
from sidecar.qemu.input_queue import Click, InputQueue, Motion, Position
from sidecar.qemu.link import Properties


class QemuPointer:
    """org.qemu.Display1.Mouse; see `sidecar.guest.Pointer`."""

    def __init__(self, queue: InputQueue) -> None:
        self._queue = queue
        self._is_absolute = False

    @property
    def is_absolute(self) -> bool:
        """Whether the guest's pointer device takes positions or only motion."""
        return self._is_absolute

    def move_to(self, x: int, y: int) -> None:
        """Puts the pointer at a pixel; ignored while the device is relative."""
        if self._is_absolute:
            self._queue.put(Position(x, y))

    def move_by(self, dx: int, dy: int) -> None:
        """Moves the pointer; ignored while the device is absolute."""
        if not self._is_absolute:
            self._queue.put(Motion(dx, dy))

    def press(self, button: Button) -> None:
        """Presses a button."""
        self._queue.put(Click(Button(button), True))

    def release(self, button: Button) -> None:
        """Lets go of a button."""
        self._queue.put(Click(Button(button), False))

    def changed(self, properties: Properties) -> bool:
        """Properties were read or have changed; whether the kind of device is another one now."""
        before = self._is_absolute
        self._is_absolute = bool(properties.get("IsAbsolute", before))
        return self._is_absolute != before

    def detached(self) -> None:
        """The machine is gone."""
        self._is_absolute = False
