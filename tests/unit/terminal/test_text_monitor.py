"""An RDP client with two monitors has the serial port on the second one, without RDP knowing of it."""

import contextlib
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from support.certificate import write_certificate
from support.rdp_house import picture
from support.rdp_viewer import RdpViewer, graphics_profile
from support.synthetic_guest import SyntheticPort
from support.waiting import eventually
from terminal_lines import terminal_guest

from sidecar.broadcast.broadcast import Broadcasts
from sidecar.encode.store import SegmentStore
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.rdp.access import Access
from sidecar.rdp.server import RdpServer
from sidecar.session.registry import Registry
from sidecar.terminal.guest import TerminalGuest

TWO_MONITORS = graphics_profile(monitors=((0, 0, 1023, 767, 1), (1024, 0, 2047, 767, 0)))
A = 0x1E


def desktop_of(guest: TerminalGuest) -> np.ndarray:
    """The screen and the text console side by side."""
    screen, text = (console.surface.frame for console in guest.consoles.values())
    shown = np.zeros((text.height, screen.width + text.width), np.uint32)
    shown[: screen.height, : screen.width] = screen.pixels
    shown[:, screen.width :] = text.pixels
    return shown


async def test_a_serial_port_is_a_further_monitor_on_which_one_types() -> None:
    port = SyntheticPort()
    with (
        tempfile.TemporaryDirectory() as directory,
        ThreadPoolExecutor(2) as pool,
        terminal_guest(port) as (inner, guest),
        contextlib.closing(Seats(guest)) as seats,
        contextlib.closing(Broadcasts(SegmentStore(pool))) as broadcasts,
    ):
        inner.console.draw(0, 0, picture(1))
        tls = Path(directory) / "tls"
        write_certificate(tls)
        access = Access(tls)
        registry = Registry()
        async with RdpServer(
            guest, registry, broadcasts, seats, access=access, layout=Layout("us")
        ) as server:
            client = await RdpViewer.open("127.0.0.1", await server.listen_tcp("127.0.0.1", 0), TWO_MONITORS)
            async with contextlib.AsyncExitStack() as stack:
                stack.push_async_callback(client.close)
                await client.negotiate()
                await client.log_in()
                await client.activate()
                port.say(b"\x1b[1;32mlogin:\x1b[m ")
                text = guest.consoles[16]
                await client.until(
                    lambda: text.surface.frame.pixels.any() and client.shows(desktop_of(guest)),
                    "the screen and the prompt",
                )
                assert client.screen.monitors == [(0, 0, 319, 199, 1), (320, 0, 959, 399, 0)]
                client.point(10, 20)
                client.type(A)
                await eventually(lambda: inner.console.keyboard.held == {A}, "the screen's keyboard")
                client.type(A, 1)
                client.point(330, 20)
                client.type(A)
                client.type(A, 1)
                await eventually(lambda: port.written == b"a", "the text console's keyboard")
                assert ("press", A) in inner.console.keyboard.log
                assert inner.console.keyboard.log.count(("press", A)) == 1
        assert len(guest.consoles[16].changes) == 0
