"""A message over the picture of one RDP session: there, then gone without a trace, and nobody else's."""

import numpy as np
import pytest
from support.rdp_house import RdpHouse, house, picture
from support.rdp_script import Profile
from support.rdp_viewer import (
    AVC420,
    DISPLAY_CONTROL,
    GRAPHICS_PROFILE,
    RdpViewer,
    at_depth,
    bitmap_profile,
    graphics_profile,
)
from support.waiting import eventually

from sidecar.screen.notice import notice_box
from sidecar.session.messages import show_message, show_message_to_all

TEXT = "The machine restarts at noon: save your work."
LONG, SHORT = 60, 1
SIZE = 640, 361
VIDEO = 0x0B


class VideoViewer(RdpViewer):
    graphics_sets = AVC420


def with_message(here: RdpHouse, text: str = TEXT, depth: int = 32) -> np.ndarray:
    """What the first console shows, with a message over it."""
    pixels = here.console.surface.frame.pixels.copy()
    area, box = notice_box(pixels.shape[1], pixels.shape[0], text)
    pixels[area.y : area.bottom, area.x : area.right] = box
    return at_depth(pixels, depth)


def plain(here: RdpHouse, depth: int = 32) -> np.ndarray:
    return at_depth(here.console.surface.frame.pixels, depth)


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
async def test_it_stands_over_the_picture_and_then_the_picture_is_exact_again(
    profile: Profile, depth: int
) -> None:
    async with house() as here:
        client = await here.viewer(profile)
        await client.until_shown(plain(here, depth))
        (session,) = here.registry
        show_message(here.registry, session.id, TEXT, SHORT)
        await client.until_shown(with_message(here, depth=depth))
        await client.until_shown(plain(here, depth))


@pytest.mark.parametrize("profile", [graphics_profile(), bitmap_profile()], ids=["graphics", "bitmaps"])
async def test_the_picture_goes_on_under_it_and_for_others_without_it(profile: Profile) -> None:
    async with house() as here:
        told = await here.viewer(profile)
        await told.until_shown(plain(here))
        (session,) = here.registry
        other = await here.viewer(profile)
        await other.until_shown(plain(here))
        show_message(here.registry, session.id, TEXT, LONG)
        await told.until_shown(with_message(here))
        for seed in range(1, 4):
            here.console.draw(0, 0, picture(seed))
            await told.until_shown(with_message(here))
            await other.until_shown(plain(here))
        show_message_to_all(here.registry, "Over.", SHORT)
        await told.until_shown(plain(here))
        await other.until_shown(plain(here))


async def test_it_stays_over_a_film_and_the_film_is_exact_when_both_are_over() -> None:
    async with house(sizes=(SIZE,)) as here:
        client = await here.viewer(kind=VideoViewer)
        await client.until_shown(plain(here))
        show_message_to_all(here.registry, TEXT, LONG)
        area, box = notice_box(*SIZE, TEXT)

        def box_stands() -> bool:
            return np.array_equal(client.picture[area.y : area.bottom, area.x : area.right], box)

        await client.until(box_stands, "the message")
        number = 0

        def play() -> bool:
            nonlocal number
            number += 1
            here.film.picture()
            here.console.draw(0, 0, np.full(SIZE[::-1], number * 0x030201 & 0xFFFFFF, np.uint32))
            assert box_stands()
            return client.screen.codecs.count(VIDEO) >= 6

        await client.until(play, "a film under the message")
        here.film.end()
        await client.until_shown(with_message(here))
        show_message_to_all(here.registry, "Over.", SHORT)
        await client.until_shown(plain(here))


async def test_it_stays_where_the_screen_becomes_another_size() -> None:
    async with house() as here:
        clients = [await here.viewer(graphics_profile()), await here.viewer(bitmap_profile())]
        for client in clients:
            await client.until_shown(plain(here))
        show_message_to_all(here.registry, TEXT, LONG)
        for client in clients:
            await client.until_shown(with_message(here))
        here.console.resize(500, 300)
        here.console.draw(0, 0, picture(3, 300, 500))
        for client in clients:
            await client.until_shown(with_message(here))
        show_message_to_all(here.registry, "Over.", SHORT)
        for client in clients:
            await client.until_shown(plain(here))


async def test_it_is_on_the_first_of_several_monitors() -> None:
    sizes = ((320, 200), (200, 100))
    async with house(sizes=sizes) as here:
        client = await here.viewer(GRAPHICS_PROFILE)
        await client.until(lambda: DISPLAY_CONTROL in client.numbers, "the channel")
        client.wish(*sizes)
        both = (520, 200)
        await client.until(lambda: client.picture.shape == both[::-1], "both monitors")
        show_message_to_all(here.registry, TEXT, LONG)
        await client.until(lambda: np.array_equal(client.picture[:, :320], with_message(here)), "the message")


async def test_a_session_that_has_ended_shows_nothing() -> None:
    async with house() as here:
        client = await here.viewer(graphics_profile())
        await client.until_shown(plain(here))
        (session,) = here.registry
        assert session.show is not None
        show_message(here.registry, session.id, TEXT, SHORT)
        await client.close()
        await eventually(lambda: here.registry.count() == 0, "it is gone")
        assert session.show is None
