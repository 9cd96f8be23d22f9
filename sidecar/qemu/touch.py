"""The touch screen of one console."""

from typing import Any, Final

from sidecar.log import get_logger
from sidecar.qemu.errors import ConnectionLost, QmpRefused
from sidecar.qemu.input_queue import Finger, FingerChange, InputQueue
from sidecar.qemu.link import Properties
from sidecar.qemu.qmp import Qmp

log = get_logger(__name__)

MULTI_TOUCH: Final = "org.qemu.Display1.MultiTouch"
"""On every console since QEMU 8.1, also of a guest that has no touch screen."""

MAX_SLOTS: Final = 64
"""More than QEMU has (10); a larger number is not believed."""

EVENT_KINDS: Final = {FingerChange.DOWN: 0, FingerChange.MOVED: 1, FingerChange.UP: 2}
"""QEMU's InputMultiTouchType. Its `cancel`, 3, is never sent: it lifts no finger, only `end` does (QEMU's
console_handle_touch_event)."""

DEVICE: Final = "virtio-multitouch"
"""What the types of QEMU's touch screens begin with: -pci, -device."""


class QemuTouch:
    """org.qemu.Display1.MultiTouch; see `sidecar.guest.Touch`."""

    def __init__(self, queue: InputQueue, max_slots: int) -> None:
        self._queue = queue
        self._max_slots = max_slots

    @property
    def max_slots(self) -> int:
        """Fingers at a time. All consoles share these slots."""
        return self._max_slots

    def begin(self, slot: int, x: float, y: float) -> None:
        """A finger is put down; ValueError unless 0 <= `slot` < `max_slots`."""
        self._put(slot, FingerChange.DOWN, x, y)

    def update(self, slot: int, x: float, y: float) -> None:
        """A finger that is down moves."""
        self._put(slot, FingerChange.MOVED, x, y)

    def end(self, slot: int, x: float, y: float) -> None:
        """A finger is lifted."""
        self._put(slot, FingerChange.UP, x, y)

    def cancel(self, slot: int, x: float, y: float) -> None:
        """A finger is gone; QEMU knows no better than to lift it."""
        self._put(slot, FingerChange.UP, x, y)

    def _put(self, slot: int, change: FingerChange, x: float, y: float) -> None:
        if not 0 <= slot < self._max_slots:
            raise ValueError(f"no finger has the slot {slot}")
        self._queue.put(Finger(slot, change, x, y))


def max_slots(properties: Properties) -> int:
    """How many fingers the interface takes; 0 where there is none (QEMU before 8.1)."""
    count = properties.get("MaxSlots", 0)
    return count if isinstance(count, int) and 0 < count <= MAX_SLOTS else 0


async def has_touch_screen(qmp: Qmp | None) -> bool:
    """Whether the guest has a touch screen. Only QEMU's monitor tells; without one: no.

    Events for a touch screen that is not there are lost, so who cannot know had better use the mouse.
    """
    if qmp is None:
        return False
    try:
        for path in ("/machine/peripheral", "/machine/peripheral-anon"):
            children: list[dict[str, Any]] = await qmp.execute("qom-list", {"path": path})
            if any(f"<{DEVICE}" in str(child.get("type")) for child in children):
                return True
    except (QmpRefused, ConnectionLost) as error:
        log.debug("the monitor does not tell of a touch screen", cause=str(error))
    return False
