"""A USB device in a real QEMU, through the management API.

No test machine has a USB device to redirect, nor usbredirect to do it with: `support.usbredir_peer` plays
a USB stick and its host. QEMU's end, usb-redir, is real.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from attached_guest import attached, becomes
from support.bus import Bus
from support.qemu import Qemu, dbus_display
from support.usbredir_peer import CONTROL, DEVICE_DISCONNECT_ACK, HELLO, SET_CONFIGURATION, UsbStick
from support.waiting import eventually

from sidecar.control.api import ApiServer
from sidecar.control.api_access import ApiAccess
from sidecar.control.api_status import status_operations
from sidecar.control.api_usb import usb_operations
from sidecar.guest import GuestState
from sidecar.qemu.attach import BusAttach
from sidecar.qemu.guest import QemuGuest
from sidecar.session.feed import StatusFeed
from sidecar.session.registry import Registry
from sidecar.usb.slots import UsbSlots

SLOT = "org.qemu.usbredir"
USB = (
    *("-device", "qemu-xhci"),
    *("-chardev", f"dbus,id=usbredir0,name={SLOT}"),
    *("-device", "usb-redir,chardev=usbredir0,id=redir0"),
)
STICK = {
    "slot": SLOT,
    "vendor": "0951",
    "product": "1666",
    "kind": "mass storage",
    "speed": "high",
}


@pytest.fixture
def qemu(start_qemu: Callable[..., Qemu], bus: Bus) -> Qemu:
    """QEMU with one slot for a USB device."""
    return start_qemu(dbus_display(bus.address), image=None, extra=USB)


class House:
    """The API before a QEMU."""

    def __init__(self, guest: QemuGuest, client: aiohttp.ClientSession) -> None:
        self.guest = guest
        self.client = client

    async def status(self) -> dict[str, Any]:
        async with self.client.get("/api/v1/status") as answer:
            document: dict[str, Any] = await answer.json()
            return document

    async def shows(self, *devices: dict[str, str]) -> None:
        """Returns when the status has just these devices."""
        async with asyncio.timeout(60):
            while True:
                status = await self.status()
                told = [{k: v for k, v in each.items() if k != "address"} for each in status["usb"]]
                assert status["service"]["usb"]["devices"] == len(told)
                if told == list(devices):
                    return
                await asyncio.sleep(0.02)

    @contextlib.asynccontextmanager
    async def stick(self, path: str) -> AsyncIterator[tuple[UsbStick, aiohttp.ClientWebSocketResponse]]:
        """A stick that has heard the machine's hello, and answers it until the end of the connection."""
        async with self.client.ws_connect(path) as websocket:
            stick = UsbStick(websocket.send_bytes)
            await stick.begin()

            async def serve() -> None:
                async for message in websocket:
                    await stick.receive(message.data)

            serving = asyncio.create_task(serve())
            try:
                await eventually(lambda: HELLO in stick.heard, "QEMU says hello")
                yield stick, websocket
            finally:
                serving.cancel()
                await asyncio.wait([serving])
            assert serving.cancelled() or serving.exception() is None


@contextlib.asynccontextmanager
async def house(bus: Bus) -> AsyncIterator[House]:
    async with attached(BusAttach(bus.address)) as guest:
        with contextlib.closing(UsbSlots(guest)) as slots:
            feed = StatusFeed(Registry(), guest, usb=slots)
            async with ApiServer([*status_operations(feed), *usb_operations(slots)], ApiAccess()) as server:
                port = await server.listen_tcp("127.0.0.1", 0)
                async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
                    await eventually(lambda: SLOT in slots.by_name, "the slot is there")
                    yield House(guest, client)
            feed.close()


async def in_machine(qemu: Qemu, present: bool) -> None:
    """Returns when QEMU itself says that the stick is, or is not, there."""
    loop = asyncio.get_running_loop()

    def listed() -> str:
        return str(qemu.qmp("human-monitor-command", **{"command-line": "info usb"}))

    async with asyncio.timeout(60):
        while True:
            # QEMU may wait for us meanwhile
            text = await loop.run_in_executor(None, listed)
            if ("480 Mb/s" in text) == present:
                return
            await asyncio.sleep(0.02)


async def test_a_stick_is_plugged_in_counted_pulled_out_and_outlives_no_qemu(qemu: Qemu, bus: Bus) -> None:
    async with house(bus) as served:
        await served.shows()
        async with served.stick("/api/v1/usb") as (stick, first):
            assert "qemu" in stick.guest_says.lower()
            await served.shows()
            await stick.plug_in()
            await served.shows(STICK)
            await in_machine(qemu, True)

            for path in ("/api/v1/usb", f"/api/v1/usb/{SLOT}", "/api/v1/usb/usbredir0"):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await served.client.ws_connect(path)
                assert refused.value.status == 409
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await served.client.ws_connect("/api/v1/usb/nowhere")
            assert refused.value.status == 404

            await stick.pull_out()
            await served.shows()
            await in_machine(qemu, False)
            await eventually(lambda: DEVICE_DISCONNECT_ACK in stick.heard, "QEMU has let go of it")

            # another one through the same connection
            await stick.plug_in()
            await served.shows(STICK)
            await in_machine(qemu, True)

            # the firmware finds out what it is, and means to start from it
            await asyncio.get_running_loop().run_in_executor(None, lambda: qemu.qmp("system_reset"))
            await eventually(lambda: SET_CONFIGURATION in stick.heard, "the firmware configures it", 60)
            assert CONTROL in stick.heard
            await served.shows(STICK)
        # the connection's end is the stick's
        await in_machine(qemu, False)
        await served.shows()

        # the slot is free at once, by its label too
        async with served.stick("/api/v1/usb/usbredir0") as (stick, second):
            await stick.plug_in()
            await in_machine(qemu, True)
            await asyncio.get_running_loop().run_in_executor(None, qemu.kill)
            await eventually(lambda: second.closed, "the connection ends with the machine")
            assert second.close_code == aiohttp.WSCloseCode.SERVICE_RESTART
            await served.shows()
        await becomes(served.guest, GuestState.LOST)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await served.client.ws_connect("/api/v1/usb")
        assert refused.value.status == 503

        await asyncio.get_running_loop().run_in_executor(None, qemu.start)
        await becomes(served.guest, GuestState.ATTACHED)
        async with served.stick(f"/api/v1/usb/{SLOT}") as (stick, _):
            await stick.plug_in()
            await served.shows(STICK)
            await in_machine(qemu, True)
        assert first.closed
