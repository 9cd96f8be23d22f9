"""A listener on a peer connection whose other end the test holds."""

import asyncio
from dataclasses import dataclass, field

from qemu_side import QemuSide

from sidecar.guest import ConsoleChange
from sidecar.qemu.display import Display
from sidecar.qemu.listener import Listener
from sidecar.screen.surface import Pixels


@dataclass
class Listening:
    """A listener, what it writes to, and QEMU's end."""

    listener: Listener
    display: Display
    qemu: QemuSide
    changes: list[ConsoleChange] = field(default_factory=list)

    @property
    def pixels(self) -> Pixels:
        return self.display.surface.frame.pixels

    async def settle(self) -> None:
        """Returns when the listener has taken everything that was sent, and the observers have heard."""
        await self.qemu.request(None, "/", "org.freedesktop.DBus.Peer", "Ping", timeout=30)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
