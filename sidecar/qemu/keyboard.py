"""The keyboard of one console."""

from sidecar.guest import Led
from sidecar.qemu.input_queue import InputQueue, Key
from sidecar.qemu.link import Properties

_ALL_LEDS = Led.SCROLL | Led.NUM | Led.CAPS


class QemuKeyboard:
    """org.qemu.Display1.Keyboard; see `sidecar.guest.Keyboard`."""

    def __init__(self, queue: InputQueue) -> None:
        self._queue = queue
        self._leds = Led(0)
        self._leds_known = False

    @property
    def leds(self) -> Led:
        """The lights as the guest last set them."""
        return self._leds

    @property
    def leds_known(self) -> bool:
        """Whether the guest has ever set its lights since it was attached."""
        return self._leds_known

    def press(self, qnum: int) -> None:
        """Presses a key; ValueError unless 1 <= `qnum` <= 255."""
        self._queue.put(Key(_valid(qnum), True))

    def release(self, qnum: int) -> None:
        """Lets go of a key; ValueError unless 1 <= `qnum` <= 255."""
        self._queue.put(Key(_valid(qnum), False))

    def attached(self, properties: Properties) -> None:
        """A machine is there with these properties. It says 0 before its guest has set any light."""
        self._leds = _leds(properties)
        self._leds_known = bool(self._leds)

    def changed(self, properties: Properties) -> bool:
        """Properties have changed; whether the lights are among them."""
        if "Modifiers" not in properties:
            return False
        self._leds = _leds(properties)
        self._leds_known = True
        return True

    def detached(self) -> None:
        """The machine is gone."""
        self._leds = Led(0)
        self._leds_known = False


def _valid(qnum: int) -> int:
    if not 1 <= qnum <= 255:
        raise ValueError(f"no key has the number {qnum}")
    return qnum


def _leds(properties: Properties) -> Led:
    modifiers = properties.get("Modifiers", 0)
    return Led(modifiers & _ALL_LEDS.value if isinstance(modifiers, int) else 0)
