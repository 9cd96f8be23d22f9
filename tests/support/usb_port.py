"""A slot of a guest without QEMU: a port that opens when somebody wants it, as QEMU's do."""

import asyncio
from collections.abc import Callable

from support.synthetic_guest import SyntheticPort

from sidecar.guest import PortKind
from sidecar.observers import Observers


class SyntheticSlot(SyntheticPort):
    """Opens and closes a turn of the loop after somebody has come or left. `refuses`: it does not open."""

    def __init__(self, name: str = "org.qemu.usbredir", label: str = "usbredir0") -> None:
        super().__init__(name, PortKind.USB_REDIRECTION)
        self.label = label
        self.is_open = False
        self.refuses = False
        self.output: Observers[[bytes]] = _Output(self._listeners_changed)

    def _listeners_changed(self) -> None:
        asyncio.get_running_loop().call_soon(self._follow)

    def _follow(self) -> None:
        wanted = bool(len(self.output)) and not self.refuses
        if wanted != self.is_open:
            self.held = False
            self.open(wanted)


class _Output(Observers[[bytes]]):
    __slots__ = ("_changed",)

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self._changed = changed

    def subscribe(self, callback: Callable[[bytes], None]) -> Callable[[], None]:
        unsubscribe = super().subscribe(callback)
        self._changed()

        def end() -> None:
            unsubscribe()
            self._changed()

        return end
