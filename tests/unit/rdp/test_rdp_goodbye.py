"""How an RDP session ends whose machine is gone: in words on the screen, and none of the protocol's.

A client that is told that the server shuts down stays away; one whose line breaks comes again by itself.
"""

from typing import Any

import numpy as np
import pytest
from support.rdp_house import house
from support.rdp_script import Profile, Received
from support.rdp_server_pdus import Ultimatum
from support.rdp_viewer import RdpViewer, at_depth, bitmap_profile, graphics_profile

from sidecar.broadcast.last_words import last_words
from sidecar.rdp.receiver import FRAMES_IN_FLIGHT
from sidecar.session.state import EndReason
from sidecar.transport import connection


@pytest.fixture(autouse=True)
def quick_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "READING_TIME", 0.1)


class Listener(RdpViewer):
    """A client that remembers whether it was told goodbye."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.goodbyes: list[Received] = []

    def receive(self, data: bytes) -> list[Received]:
        heard = super().receive(data)
        self.goodbyes += [pdu for pdu in heard if isinstance(pdu, Ultimatum)]
        return heard


@pytest.mark.parametrize(
    ("profile", "depth"),
    [
        (graphics_profile(), 32),
        (bitmap_profile(), 32),
        (bitmap_profile(acknowledges=True), 32),
        (bitmap_profile(colour_depth=16), 16),
    ],
    ids=["graphics", "bitmaps", "acknowledged", "16 bits"],
)
async def test_it_stands_over_the_last_picture_and_then_the_line_breaks(profile: Profile, depth: int) -> None:
    async with house() as here:
        client = await here.viewer(profile, Listener)
        assert isinstance(client, Listener)
        frame = here.console.surface.frame
        await client.until(lambda: client.picture.shape == frame.pixels.shape, "the desktop")
        (session,) = here.registry
        await client.until(lambda: session.frames > 0, "a frame")
        here.registry.close(EndReason.GONE)
        await client.ended()
        assert client.errors == []
        assert client.goodbyes == []
        area, pixels = last_words(frame.width, frame.height, EndReason.GONE.text)
        shown = client.picture[area.y : area.bottom, area.x : area.right]
        assert np.array_equal(shown, at_depth(pixels, depth))


@pytest.mark.parametrize(
    "profile", [graphics_profile(), bitmap_profile(acknowledges=True)], ids=["graphics", "bitmaps"]
)
async def test_it_comes_although_frames_before_it_are_not_acknowledged(profile: Profile) -> None:
    async with house() as here:
        client = await here.viewer(profile)
        client.acknowledges = False
        surface = here.console.surface
        await client.until(lambda: client.picture.shape == surface.frame.pixels.shape, "the desktop")
        (session,) = here.registry
        for shade in range(1, 2 + FRAMES_IN_FLIGHT):
            before = session.frames
            here.console.draw(0, 0, np.full((8, 8), shade, np.uint32))
            if shade <= FRAMES_IN_FLIGHT:
                await client.until(lambda: session.frames > before, "a frame")  # noqa: B023 - awaited at once
        here.registry.close(EndReason.GONE)
        await client.ended()
        assert client.errors == []
        area, pixels = last_words(surface.frame.width, surface.frame.height, EndReason.GONE.text)
        assert np.array_equal(client.picture[area.y : area.bottom, area.x : area.right], pixels)


async def test_one_that_is_logging_in_is_just_turned_away() -> None:
    async with house() as here:
        client = await here.stranger(graphics_profile())
        await client.negotiate()
        here.registry.close(EndReason.GONE)
        await client.ended()
        assert client.errors == []
