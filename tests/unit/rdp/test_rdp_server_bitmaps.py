"""The server as clients without the graphics pipeline meet it: bitmaps, and activations for every size."""

import asyncio

import numpy as np
import pytest
from support.rdp_house import RdpHouse, house, picture
from support.rdp_script import Profile
from support.rdp_viewer import NOT_DRAWN, RdpViewer, at_depth, bitmap_profile

COMPRESSED, NO_HEADER = 1, 0x400


def shown_of(here: RdpHouse, depth: int = 32) -> np.ndarray:
    return at_depth(here.console.surface.frame.pixels, depth)


@pytest.mark.parametrize("fast_path", [True, False])
@pytest.mark.parametrize("depth", [32, 24, 16, 15, 8])
async def test_a_client_follows_the_screen_in_its_colours(depth: int, fast_path: bool) -> None:
    # what wants fewer colours than there are direct ones gets 16 bits per pixel
    sent = max(depth, 16) if depth != 15 else 15
    async with house() as here:
        client = await here.viewer(bitmap_profile(colour_depth=depth, fast_path=fast_path))
        for seed in range(2):
            here.console.draw(0, 0, picture(seed)[:130, :150])
            await client.until_shown(shown_of(here, sent))
        assert {bits for bits, _ in client.depths} == {sent}
        assert any(flags & COMPRESSED for _, flags in client.depths)
        assert all(flags & NO_HEADER for _, flags in client.depths if flags & COMPRESSED)


@pytest.mark.parametrize("depth", [32, 16])
async def test_a_client_that_wants_compression_headers_gets_them(depth: int) -> None:
    async with house() as here:
        client = await here.viewer(bitmap_profile(colour_depth=depth, compression_header=True))
        await client.until_shown(shown_of(here, depth))
        assert (depth, COMPRESSED) in client.depths
        assert not any(flags & NO_HEADER for _, flags in client.depths)


async def test_a_client_that_cannot_do_without_an_alpha_plane_gets_one() -> None:
    async with house() as here:
        client = await here.viewer(bitmap_profile(planar=False))
        await client.until_shown(shown_of(here))
        here.console.resize(150, 100)
        here.console.draw(0, 0, picture(2, 100, 150))
        await client.until_shown(shown_of(here))
        assert client.depths == {(32, COMPRESSED | NO_HEADER)}


async def test_frames_that_are_acknowledged_are_at_most_two_at_a_time() -> None:
    async with house() as here:
        client = await here.viewer(bitmap_profile(acknowledges=True))
        good = await here.viewer(bitmap_profile())
        await client.until_shown(shown_of(here))
        client.acknowledges = False
        for seed in range(6):
            here.console.draw(0, 0, picture(seed)[:64, :64])
            await good.until_shown(shown_of(here))
            await client.listen(0.03)
        assert len(client.frames) == 2
        client.acknowledges = True
        client.acknowledge_bitmaps()
        await client.until_shown(shown_of(here))
        assert client.most_in_flight == 2


async def test_many_clients_of_one_form_cost_one_encode() -> None:
    async with house() as here:
        clients = [await here.viewer(bitmap_profile(colour_depth=16)) for _ in range(4)]
        for client in clients:
            await client.until_shown(shown_of(here, 16))
        before = here.store.misses
        here.console.draw(0, 0, picture(1)[:64, :64])
        for client in clients:
            await client.until_shown(shown_of(here, 16))
        assert here.store.misses == before + 1


@pytest.mark.parametrize("fast_path", [True, False])
async def test_a_client_that_can_goes_through_another_activation_for_another_size(fast_path: bool) -> None:
    async with house() as here:
        client = await here.viewer(bitmap_profile(fast_path=fast_path))
        await client.until_shown(shown_of(here))
        for seed, (width, height) in enumerate([(200, 333), (400, 100)]):
            here.console.resize(width, height)
            here.console.draw(0, 0, picture(seed, height, width))
            await client.until_shown(shown_of(here))
            assert client.desktop == (width, height)
        assert client.activations == 3


async def test_a_client_that_cannot_sees_what_fits_and_black_beside_it() -> None:
    async with house() as here:
        client = await here.viewer(bitmap_profile(resizable=False))
        await client.until_shown(shown_of(here))
        here.console.resize(100, 333)
        here.console.draw(0, 0, picture(2, 333, 100))
        shown = np.zeros((200, 320), np.uint32)
        shown[:, :100] = shown_of(here)[:200]
        await client.until_shown(shown)
        client.bitmaps[:] = NOT_DRAWN
        client.send(client.share(33, b"\1" + bytes(3) + bytes.fromhex("9600 0000 9600 0000")))
        await client.until_shown(shown)
        here.console.resize(640, 480)
        here.console.draw(0, 0, picture(3, 480, 640))
        await client.until_shown(shown_of(here)[:200, :320])
        assert client.activations == 1


async def test_the_guest_may_change_its_size_again_and_again_while_the_client_is_activated() -> None:
    async with house() as here:
        client = await here.viewer(bitmap_profile())
        client.answers_demand = False
        await client.until_shown(shown_of(here))
        here.console.resize(300, 200)
        await client.until(lambda: client.desktop == (300, 200), "the demand")
        for width in (280, 260, 240):
            here.console.resize(width, 222)
            here.console.draw(0, 0, picture(1, 222, width))
            await client.listen(0.05)
        # nothing of it is said before the client is active again
        assert client.desktop == (300, 200)
        assert (client.bitmaps == NOT_DRAWN).all()
        client.answers_demand = True
        client.reactivate()
        await client.until_shown(shown_of(here))
        assert client.desktop == (240, 222)


async def test_the_guest_may_change_its_size_between_login_and_activation() -> None:
    async with house() as here:
        client = await here.stranger(bitmap_profile())
        await client.negotiate()
        await client.log_in()
        here.console.resize(222, 111)
        here.console.draw(0, 0, picture(1, 111, 222))
        await client.activate()
        await client.until_shown(shown_of(here))
        assert client.desktop == (222, 111)


async def test_nothing_is_sent_while_a_client_is_being_activated() -> None:
    async with house() as here:
        client = await here.viewer(bitmap_profile())
        await client.until_shown(shown_of(here))
        client.answers_demand = False
        here.console.resize(300, 200)
        await client.until(lambda: client.desktop == (300, 200), "the demand")
        heard = len(client.inbox)
        here.console.draw(0, 0, picture(1, 200, 300))
        here.console.set_leds(here.console.keyboard.leds.CAPS)
        client.send(client.share(35, b"\0" + bytes(3)) + client.share(35, b"\1" + bytes(3) + bytes(8)))
        client.send(client.share(33, b"\1" + bytes(3) + bytes(4) + b"\x20\0\x20\0"))
        await client.listen(0.2)
        assert len(client.inbox) == heard
        client.answers_demand = True
        client.reactivate()
        await client.until_shown(shown_of(here))
        await client.until(lambda: client.leds == 4, "the lights")


async def test_a_hidden_window_stays_hidden_through_an_activation() -> None:
    async with house() as here:
        client = await here.viewer(bitmap_profile())
        await client.until_shown(shown_of(here))
        client.send(client.share(35, b"\0" + bytes(3)))
        here.console.resize(300, 200)
        await client.until(lambda: client.activations == 2, "the activation")
        await client.listen(0.1)
        assert (client.bitmaps == NOT_DRAWN).all()
        client.send(client.share(35, b"\1" + bytes(3) + bytes(8)))
        await client.until_shown(shown_of(here))


async def test_clients_of_all_kinds_see_the_same_guest_together() -> None:
    profiles: list[Profile] = [
        bitmap_profile(),
        bitmap_profile(colour_depth=24, fast_path=False),
        bitmap_profile(resizable=False, acknowledges=True),
    ]
    async with house() as here:
        clients: list[RdpViewer] = [await here.viewer(profile) for profile in profiles]
        clients.append(await here.viewer())
        vnc = await here.vnc()
        for seed in range(2):
            here.console.draw(0, 0, picture(seed))
            await asyncio.gather(*(client.until_shown(shown_of(here)) for client in clients))
            await vnc.until_shown(here.console.surface.frame.pixels)
        assert (here.registry.count("rdp"), here.registry.count("vnc")) == (4, 1)
