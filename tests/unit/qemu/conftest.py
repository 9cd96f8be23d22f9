"""A listener on a peer connection whose other end the test holds."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from listening import Listening
from qemu_side import QemuSide

from sidecar.qemu.display import Display
from sidecar.qemu.listener import Listener


@pytest.fixture
async def listening() -> AsyncIterator[Listening]:
    ours, theirs = socket.socketpair()
    display = Display()
    ended = asyncio.Event()
    listener = Listener(display, ended.set)
    qemu = QemuSide(theirs)
    await asyncio.gather(listener.open(ours), qemu.open())
    scene = Listening(listener, display, qemu)
    display.changes.subscribe(scene.changes.append)
    yield scene
    listener.close()
    await asyncio.wait_for(ended.wait(), 5)
    qemu.close()
