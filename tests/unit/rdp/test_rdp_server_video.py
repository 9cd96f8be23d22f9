"""What moves goes as H.264 to clients that decode it, and is exact when it rests."""

import time
from collections.abc import Callable, Sequence

import numpy as np
from support.pictures import psnr
from support.rdp_house import RdpHouse, house
from support.rdp_viewer import AVC420, RdpViewer
from support.waiting import DEADLINE

VIDEO, CLEARCODEC = 0x0B, 0x08

SIZE = (640, 361)
"""An odd height: H.264 holds all but the last row."""


class VideoViewer(RdpViewer):
    graphics_sets = AVC420


def moment(number: int) -> np.ndarray:
    """A soft picture that moves."""
    width, height = SIZE
    x, y = np.arange(width)[None, :], np.arange(height)[:, None]
    red = (127 + 120 * np.sin((x + 9 * number) / 40)).astype(np.uint32)
    green = (127 + 120 * np.cos((y + 5 * number) / 30)).astype(np.uint32)
    return np.asarray((red << 16) | (green << 8) | ((x + y + number) // 8 & 255), np.uint32)


def videos(client: RdpViewer) -> int:
    return client.screen.codecs.count(VIDEO)


async def play(here: RdpHouse, clients: Sequence[RdpViewer], seen: Callable[[], bool]) -> None:
    """Plays the film until `seen`. It goes on: see `rest`."""
    end, number = time.monotonic() + DEADLINE, 0
    while not seen():
        assert time.monotonic() < end, "what the film is to show does not come"
        here.film.picture()
        here.console.draw(0, 0, moment(number))
        for client in clients:
            await client.listen(0.03 / len(clients))
        number += 1


async def rest(here: RdpHouse, *clients: RdpViewer) -> None:
    """Ends the film: each of them is shown exactly what it ended with."""
    here.film.end()
    for client in clients:
        await client.until_shown(here.console.surface.frame.pixels)


async def test_what_moves_is_video_close_to_the_truth_and_exact_when_it_rests() -> None:
    async with house(sizes=(SIZE,)) as here:
        client = await here.viewer(kind=VideoViewer)
        await client.until_shown(here.console.surface.frame.pixels)
        (session,) = here.registry
        assert session.encoding == "clearcodec+avc420"
        await play(here, [client], lambda: videos(client) >= 8)
        last, before = moment(1000), videos(client)
        here.film.picture()
        here.console.draw(0, 0, last)
        # those before it may still be on their way
        await client.until(lambda: psnr(client.picture, last) >= 30, "the last picture")
        assert videos(client) > before
        await rest(here, client)
        assert client.shows(last)


async def test_a_second_viewer_joins_by_a_key_frame_and_both_get_the_same_stream() -> None:
    async with house(sizes=(SIZE,)) as here:
        one = await here.viewer(kind=VideoViewer)
        await play(here, [one], lambda: videos(one) >= 4)
        other = await here.viewer(kind=VideoViewer)
        await play(here, [one, other], lambda: videos(other) >= 4)
        await rest(here, one, other)


async def test_one_that_stops_acknowledging_is_left_out_and_comes_back() -> None:
    async with house(sizes=(SIZE,)) as here:
        good, stuck = await here.viewer(kind=VideoViewer), await here.viewer(kind=VideoViewer)
        await play(here, [good, stuck], lambda: videos(good) >= 3 and videos(stuck) >= 3)
        stuck.acknowledges = False
        # while it keeps the others waiting, and after that
        before = videos(good)
        await play(here, [good, stuck], lambda: videos(good) >= before + 6)
        assert len(stuck.screen.frames) == 2
        stuck.acknowledges = True
        stuck.acknowledge_frames()
        before = videos(stuck)
        await play(here, [good, stuck], lambda: videos(stuck) >= before + 3)
        await rest(here, good, stuck)


async def test_one_that_leaves_amid_a_film_keeps_nobody_waiting() -> None:
    async with house(sizes=(SIZE,)) as here:
        one, other = await here.viewer(kind=VideoViewer), await here.viewer(kind=VideoViewer)
        await play(here, [one, other], lambda: videos(one) >= 3 and videos(other) >= 3)
        one.abort()
        before = videos(other)
        await play(here, [other], lambda: videos(other) >= before + 3)
        await rest(here, other)


async def test_a_film_goes_on_through_another_size_and_through_lost_surfaces() -> None:
    async with house(sizes=(SIZE,)) as here:
        client = await here.viewer(kind=VideoViewer)
        await play(here, [client], lambda: videos(client) >= 3)
        here.console.resize(512, 300)
        await client.until(lambda: client.screen.size == (512, 300), "the other size")
        before = videos(client)
        await play(here, [client], lambda: videos(client) >= before + 3)
        before = videos(client)
        client.decoders.clear()
        client.advertise()
        await play(here, [client], lambda: videos(client) >= before + 5)
        await rest(here, client)


async def test_who_takes_no_video_sees_the_same_film_exactly_coded() -> None:
    async with house(sizes=(SIZE,)) as here:
        one, exact = await here.viewer(kind=VideoViewer), await here.viewer()
        await play(here, [one, exact], lambda: videos(one) >= 3)
        await rest(here, one, exact)
        assert set(exact.screen.codecs) == {CLEARCODEC}


async def test_what_is_small_goes_exactly_even_while_it_moves() -> None:
    async with house(sizes=(SIZE,)) as here:
        client = await here.viewer(kind=VideoViewer)
        await client.until_shown(here.console.surface.frame.pixels)
        for number in range(25):
            here.film.picture()
            here.console.draw(70, 70, moment(number)[:40, :40])
            await client.until_shown(here.console.surface.frame.pixels)
        assert videos(client) == 0
