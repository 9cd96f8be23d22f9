"""A message as people see it: TigerVNC and FreeRDP show the box, and then the picture as it was."""

import asyncio
from functools import partial

import numpy as np
from support.freerdp import FreeRdp, Settings
from support.rdp_house import house
from support.viewers import TigerVnc, XServer, XWindow
from support.waiting import wait_until

from sidecar.screen.notice import notice_box
from sidecar.session.messages import show_message_to_all

SIZE = 640, 400
TEXT = "The machine restarts at noon: save your work."


async def test_real_viewers_show_a_message_and_then_the_picture_again(x_server: XServer) -> None:
    async with house(sizes=(SIZE,)) as here:
        picture = here.console.surface.frame.pixels.copy()
        with_message = picture.copy()
        area, box = notice_box(*SIZE, TEXT)
        with_message[area.y : area.bottom, area.x : area.right] = box

        async def each_shows(expected: np.ndarray, *viewers: XWindow) -> None:
            for viewer in viewers:
                what = f"{type(viewer).__name__} shows it"
                await asyncio.to_thread(wait_until, partial(viewer.shows, expected), what)

        tiger = await asyncio.to_thread(TigerVnc, x_server, f"127.0.0.1::{here.vnc_port}")
        try:
            await asyncio.to_thread(tiger.move, 0, 0)
            free = await asyncio.to_thread(FreeRdp, x_server, Settings(("127.0.0.1", here.port)))
            try:
                await asyncio.to_thread(free.move, 0, 500)
                await asyncio.to_thread(x_server.put_pointer_aside)
                await each_shows(picture, tiger, free)
                assert show_message_to_all(here.registry, TEXT, 60) == 2
                await each_shows(with_message, tiger, free)
                show_message_to_all(here.registry, "Over.", 1)
                await each_shows(picture, tiger, free)
            finally:
                await asyncio.to_thread(free.close)
        finally:
            await asyncio.to_thread(tiger.close)
