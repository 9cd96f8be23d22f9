"""Text goes both ways between a machine's clipboard, a synthetic one, and that of FreeRDP's X display."""

import asyncio
from contextlib import ExitStack

from support.freerdp import program
from support.freerdp_clipboard import copied, freerdp_with_clipboard, paste
from support.rdp_house import house
from support.synthetic_guest import SyntheticClipboard
from support.viewers import XServer
from support.waiting import eventually

from sidecar.clipboard.shared import ClipboardDirection, SharedClipboard
from sidecar.rdp import clipboard_pdus
from sidecar.rdp.channel_table import ChannelTable
from sidecar.rdp.clipboard_channel import clipboard_channels
from sidecar.rdp.desktop import Desktop

TEXTS: tuple[str, ...] = (
    "Grüße,\n\tÑandú, 世界 🙂",
    "one line",
    "".join(f"{number}: Zeile ß\n" for number in range(20_000)),
)
"""The last one is in many pieces on its way, either way."""
if program()[1] > 2:
    # FreeRDP 3.15 gives no such text to programs beside it, and puts its length before one of theirs
    TEXTS = TEXTS[:-1]


async def pasted(x_server: XServer, expected: str) -> None:
    """Returns when a program beside FreeRDP pastes this."""
    text = ""
    async with asyncio.timeout(60):
        while text != expected:
            await asyncio.sleep(0.02)
            text = await asyncio.to_thread(paste, x_server)


async def test_text_goes_both_ways_between_the_machine_and_freerdp(x_server: XServer) -> None:
    clipboard = SyntheticClipboard()
    with ExitStack() as stack:
        shared = SharedClipboard(clipboard, direction=ClipboardDirection.BOTH)
        stack.callback(shared.close)
        table: ChannelTable[Desktop] = ChannelTable()
        table.add_static(clipboard_pdus.NAME, clipboard_channels(shared))
        async with house(channels=table) as here:
            # what stands on a clipboard when somebody comes goes to the machine
            with copied(x_server, "before"):
                address = ("127.0.0.1", here.port)
                viewer = await asyncio.to_thread(freerdp_with_clipboard, x_server, address)
                stack.callback(viewer.close)
                # FreeRDP 3 tells of what is copied from then on
                if program()[1] == 2:
                    await eventually(
                        lambda: clipboard.offered[-1:] == ["before"], "the machine has the first text"
                    )
            for text in TEXTS:
                clipboard.copy(text)
                await pasted(x_server, text)
                answer = text[::-1]
                with copied(x_server, answer):
                    await eventually(
                        lambda answer=answer: clipboard.offered[-1:] == [answer], "the machine has the text"
                    )
                assert clipboard.text is None
            (session,) = here.registry
            session.view_only = True
            session.view_only_changes.notify()
            clipboard.copy("once it may again")
            session.view_only = False
            session.view_only_changes.notify()
            await pasted(x_server, "once it may again")
            assert here.registry.count() == 1, "the same session as at first"
            await asyncio.to_thread(viewer.close)
