"""What an administrator sees of a real machine, and tells its viewers: judged by QEMU's own screendump."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from attached_guest import attached, shows_what_qemu_shows
from PIL import Image
from support.bus import Bus
from support.guest_image import Mode
from support.pictures import from_rgb_bytes
from support.qemu import Qemu, dbus_display
from support.rdp_viewer import GRAPHICS_PROFILE, RdpViewer
from support.rfb_client import AsyncRfbClient
from support.rfb_wire import Encoding

from sidecar.config.address import TcpAddress
from sidecar.config.options import DaemonOptions
from sidecar.control.screenshots import Screenshots
from sidecar.daemon import frontends
from sidecar.qemu.attach import BusAttach
from sidecar.screen.notice import notice_box
from sidecar.session.messages import show_message_to_all

TEXT = "The machine restarts at noon: save your work."

ANYWHERE = TcpAddress("127.0.0.1", 0)


async def test_screenshots_and_messages_are_of_what_qemu_shows(
    start_qemu: Callable[..., Qemu], bus: Bus, short_dir: Path
) -> None:
    qemu = start_qemu(dbus_display(bus.address))
    qemu.show(Mode.DESKTOP)
    options = DaemonOptions(run_dir=short_dir / "run", vnc=(ANYWHERE,), rdp=(ANYWHERE,))
    async with attached(BusAttach(bus.address)) as guest, frontends(options, guest) as daemon:
        await shows_what_qemu_shows(guest, qemu)
        truth = qemu.screendump()
        taken = await Screenshots(guest, daemon.registry).take(0)
        with Image.open(io.BytesIO(taken.png)) as picture:
            assert np.array_equal(from_rgb_bytes(np.asarray(picture)), truth)

        with_message = truth.copy()
        area, box = notice_box(taken.width, taken.height, TEXT)
        with_message[area.y : area.bottom, area.x : area.right] = box
        vnc_port, rdp_port = (int(address.rpartition(":")[2]) for address in daemon.addresses)
        rdp = await RdpViewer.open("127.0.0.1", rdp_port, GRAPHICS_PROFILE)
        try:
            await rdp.negotiate()
            await rdp.log_in()
            await rdp.activate()
            await rdp.until_shown(truth)
            async with await AsyncRfbClient.connect(
                ("127.0.0.1", vnc_port), encodings=(Encoding.TIGHT,)
            ) as vnc:
                await vnc.until_shown(truth)
                assert show_message_to_all(daemon.registry, TEXT, 60) == 2
                await vnc.until_shown(with_message)
                await rdp.until_shown(with_message)
                show_message_to_all(daemon.registry, "Over.", 1)
                await vnc.until_shown(truth)
                await rdp.until_shown(truth)
                assert np.array_equal(qemu.screendump(), truth)
        finally:
            await rdp.close()
