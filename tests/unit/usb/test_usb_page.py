"""docs/usb.md says what is so."""

import asyncio
import contextlib
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.synthetic_guest import SyntheticGuest
from support.usb_port import SyntheticSlot
from support.waiting import eventually

from sidecar.access.logins import Logins
from sidecar.access.password import Passwords
from sidecar.control.api import MOST_CONNECTIONS, ApiServer
from sidecar.control.api_access import ApiAccess
from sidecar.control.api_usb import usb_operations
from sidecar.usb.bridge import MOST_WAITING, READ_TIME
from sidecar.usb.slots import OPEN_TIME, UsbSlots
from sidecar.web.websocket import HEARTBEAT

PAGE = (Path(__file__).parents[3] / "docs" / "usb.md").read_text()


class House:
    """A slot, and the page's program before it."""

    def __init__(self, port: SyntheticSlot, tcp_port: int, said: asyncio.StreamReader) -> None:
        self.port = port
        self.tcp_port = tcp_port
        self.said = said


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    (text,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    program = tmp_path / "usb_bridge.py"
    program.write_text(text)
    guest, port = SyntheticGuest(), SyntheticSlot()
    guest.add_port(port)
    access = ApiAccess(Logins(Passwords(lambda: "secret")))
    with contextlib.closing(UsbSlots(guest)) as slots:
        async with ApiServer(usb_operations(slots), access) as server:
            url = f"ws://127.0.0.1:{await server.listen_tcp('127.0.0.1', 0)}/api/v1/usb"
            bridge = await asyncio.create_subprocess_exec(
                *(sys.executable, program, "0", url),
                env={"VM_PASSWORD": "secret"},
                stdout=asyncio.subprocess.PIPE,
            )
            assert bridge.stdout is not None
            try:
                line = (await bridge.stdout.readline()).decode()
                yield House(port, int(line.rpartition(":")[2]), bridge.stdout)
            finally:
                bridge.kill()
                await bridge.wait()


async def test_the_program_shown_joins_usbredirects_connection_to_a_slot(house: House) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.tcp_port)
    writer.write(b"to the machine")
    await eventually(lambda: house.port.written == b"to the machine", "the machine has it")
    house.port.say(b"from the machine")
    assert await reader.readexactly(16) == b"from the machine"

    other, other_writer = await asyncio.open_connection("127.0.0.1", house.tcp_port)
    assert await other.read() == b""
    other_writer.close()
    assert (await house.said.readline()).startswith(b"refused: 409")

    house.port.open(False)
    assert await reader.read() == b""
    writer.close()
    assert await house.said.readline() == b"the end: 1012\n"

    reader, writer = await asyncio.open_connection("127.0.0.1", house.tcp_port)
    await eventually(lambda: house.port.is_open, "the next one has the slot")
    writer.close()
    await eventually(lambda: not house.port.is_open, "the device is gone with its connection")


def test_the_figures_shown_are_so() -> None:
    assert MOST_WAITING == 64 * 1024
    assert f"within {OPEN_TIME:.0f} seconds" in PAGE
    assert f"for {READ_TIME:.0f} seconds" in PAGE
    assert f"{MOST_CONNECTIONS} clients" in PAGE
    assert 2 * HEARTBEAT == 60
