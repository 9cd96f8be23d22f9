"""The server as clients with the graphics pipeline meet it, with a synthetic guest behind it."""

import asyncio

import numpy as np
import pytest
from support.rdp_house import RdpHouse, house, picture, until
from support.rdp_viewer import GRAPHICS, SUSPENDED, RdpViewer, at_depth, bitmap_profile

from sidecar.rdp import desktop
from sidecar.rdp.bitmap_receiver import BitmapReceiver


def waits_for_acknowledgements(client: RdpViewer) -> None:
    client.acknowledges = False


async def test_a_client_follows_the_screen_exactly() -> None:
    async with house() as here:
        client = await here.viewer()
        for seed in range(3):
            here.console.draw(0, 0, picture(seed))
            here.console.draw(17, 33, picture(seed + 10, 30, 40))
            await client.until_shown(here.console.surface.frame.pixels)
        assert client.screen.size == (320, 200)
        assert client.most_in_flight <= 2


async def test_the_session_counts_its_frames_and_says_how_they_are_sent() -> None:
    async with house() as here:
        client = await here.viewer()
        await client.until_shown(here.console.surface.frame.pixels)
        (session,) = here.registry
        assert (session.protocol, session.tls, session.encoding) == ("rdp", True, "clearcodec")
        before = session.frames, session.bytes_sent
        here.console.draw(0, 0, picture(1)[:64, :64])
        await client.until_shown(here.console.surface.frame.pixels)
        assert session.frames == before[0] + 1
        assert session.bytes_sent > before[1]
        assert session.bytes_received > 0


async def test_many_clients_cost_one_encode() -> None:
    async with house() as here:
        clients = [await here.viewer() for _ in range(5)]
        for client in clients:
            await client.until_shown(here.console.surface.frame.pixels)
        before = here.store.misses
        here.console.draw(0, 0, picture(1)[:64, :64])
        for client in clients:
            await client.until_shown(here.console.surface.frame.pixels)
        assert here.store.misses == before + 1


async def test_a_client_that_never_acknowledges_gets_no_third_frame_and_harms_nobody() -> None:
    async with house() as here:
        stuck = await here.viewer(prepare=waits_for_acknowledgements)
        good = await here.viewer()
        for seed in range(5):
            here.console.draw(0, 0, picture(seed))
            await good.until_shown(here.console.surface.frame.pixels)
            await stuck.listen(0.05)
        assert len(stuck.screen.frames) == 2
        assert not stuck.shows(here.console.surface.frame.pixels)
        stuck.acknowledges = True
        stuck.acknowledge_frames()
        await stuck.until_shown(here.console.surface.frame.pixels)
        assert stuck.most_in_flight == 2


async def test_a_client_that_suspends_its_acknowledgements_goes_on_being_served() -> None:
    async with house() as here:
        client = await here.viewer(prepare=waits_for_acknowledgements)
        await client.until(lambda: client.screen.frames, "a frame")
        client.acknowledge_frames(SUSPENDED)
        for seed in range(5):
            here.console.draw(0, 0, picture(seed))
            await client.until_shown(here.console.surface.frame.pixels)
        assert len(client.screen.frames) >= 5


async def test_a_client_may_begin_anew_with_its_capabilities() -> None:
    async with house() as here:
        client = await here.viewer()
        here.console.draw(0, 0, picture(1))
        await client.until_shown(here.console.surface.frame.pixels)
        for seed in range(3):
            client.screen.confirmed = None
            client.advertise()
            here.console.draw(0, 0, picture(seed + 2))
            await client.until(lambda: client.screen.confirmed, "the new beginning")
            await client.until_shown(here.console.surface.frame.pixels)


async def test_a_resize_lays_the_surface_out_anew() -> None:
    async with house() as here:
        client = await here.viewer()
        await client.until_shown(here.console.surface.frame.pixels)
        for seed, (width, height) in enumerate([(500, 333), (100, 80), (640, 480)]):
            here.console.resize(width, height)
            here.console.draw(0, 0, picture(seed, height, width))
            await client.until_shown(here.console.surface.frame.pixels)
            assert client.screen.size == (width, height)
            assert client.screen.monitors == [(0, 0, width - 1, height - 1, 1)]
        assert client.activations == 1


async def test_the_screen_may_change_its_size_while_a_frame_is_being_encoded() -> None:
    async with house() as here:
        client = await here.viewer()
        for seed in range(12):
            size = ((300, 200), (200, 300))[seed % 2]
            here.console.draw(0, 0, picture(seed))
            # whatever is under way then: the tick, the encoders, the way back from them
            await asyncio.sleep(0.003 + 0.001 * seed)
            here.console.resize(*size)
            here.console.draw(0, 0, picture(seed + 50, size[1], size[0]))
            await client.listen(0.002 * seed)
        await client.until_shown(here.console.surface.frame.pixels)


async def test_a_hidden_window_gets_nothing_and_then_only_the_latest() -> None:
    async with house() as here:
        client = await here.viewer()
        await client.until_shown(here.console.surface.frame.pixels)
        (session,) = here.registry
        client.send(client.share(35, b"\0" + bytes(3)))
        await client.listen(0.1)
        before = session.frames
        for seed in range(5):
            here.console.draw(0, 0, picture(seed))
            await client.listen(0.03)
        assert session.frames == before
        client.send(client.share(35, b"\1" + bytes(3) + bytes.fromhex("0000 0000 3f01 c700")))
        await client.until_shown(here.console.surface.frame.pixels)
        assert session.frames <= before + 2


async def test_what_a_client_wants_to_see_again_is_sent_again() -> None:
    async with house() as here:
        client = await here.viewer()
        here.console.draw(0, 0, picture(1))
        await client.until_shown(here.console.surface.frame.pixels)
        client.screen.surfaces[0][:] = 0x123456
        client.send(client.share(33, b"\1" + bytes(3) + bytes.fromhex("0000 0000 3f01 c700")))
        await client.until_shown(here.console.surface.frame.pixels)


class TestWithoutPipeline:
    """The client has announced the graphics pipeline, and then it does not come about."""

    async def test_a_client_that_refuses_the_channel_gets_bitmaps(self) -> None:
        async with house() as here:
            client = await here.viewer(prepare=lambda client: client.dynamic.discard(GRAPHICS))
            await self.follows(here, client)

    async def test_a_client_that_never_answers_gets_bitmaps_after_a_while(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(desktop, "PIPELINE_TIME", 0.2)
        async with house() as here:
            client = await here.viewer(kind=SilentViewer)
            here.console.resize(400, 300)
            await self.follows(here, client)

    async def test_a_client_that_comes_too_late_keeps_its_bitmaps(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(desktop, "PIPELINE_TIME", 0.1)
        async with house() as here:
            client = await here.viewer(kind=HesitantViewer)
            await self.follows(here, client)
            RdpViewer.advertise(client)
            await self.follows(here, client)
            assert client.screen.confirmed is None

    async def test_a_client_of_an_unknown_version_gets_bitmaps(self) -> None:
        async with house() as here:
            client = await here.viewer(kind=FutureViewer)
            await self.follows(here, client)

    async def test_a_client_that_closes_the_channel_gets_bitmaps(self) -> None:
        async with house() as here:
            client = await here.viewer()
            here.console.resize(400, 300)
            await client.until_shown(here.console.surface.frame.pixels)
            client.send(client.channel("drdynvc", bytes((0x40, client.numbers[GRAPHICS]))))
            client.screen.size = None
            here.console.resize(500, 200)
            await self.follows(here, client)

    async def test_a_client_without_dynamic_channels_gets_bitmaps(self) -> None:
        async with house() as here:
            client = await here.viewer(bitmap_profile())
            await self.follows(here, client)

    async def follows(self, here: RdpHouse, client: RdpViewer) -> None:
        for seed in range(2):
            here.console.draw(0, 0, picture(seed)[:64, :200])
            await client.until_shown(at_depth(here.console.surface.frame.pixels, 32))
        (session,) = here.registry
        assert session.encoding.startswith("bitmap")


class SilentViewer(RdpViewer):
    """Has dynamic channels, and never says anything about them."""

    def _dynamic_pdu(self, data: bytes) -> None:
        pass


class HesitantViewer(RdpViewer):
    """Opens the graphics pipeline, and does not say what it can do."""

    def advertise(self) -> None:
        pass


class FutureViewer(RdpViewer):
    graphics_sets = ((0x000F0000, bytes(4)),)


async def test_an_encoder_that_fails_ends_the_sessions_that_need_it_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with house() as here:
        client = await here.viewer()
        await client.until_shown(here.console.surface.frame.pixels)

        def fail(*_: object) -> None:
            raise RuntimeError("a fault of an encoder")

        monkeypatch.setattr("sidecar.encode.store._encode_all", fail)
        here.console.draw(0, 0, picture(1))
        await client.ended()
        assert client.errors == [0x12]
        monkeypatch.undo()
        other = await here.viewer()
        await other.until_shown(here.console.surface.frame.pixels)


async def test_an_update_that_cannot_be_sent_ends_that_session_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async with house() as here:
        bitmaps = await here.viewer(bitmap_profile())
        client = await here.viewer()
        for each in (bitmaps, client):
            await each.until_shown(here.console.surface.frame.pixels)

        def fail(*_: object) -> None:
            raise RuntimeError("a fault of the connection")

        monkeypatch.setattr(BitmapReceiver, "update", fail)
        here.console.draw(0, 0, picture(1))
        await bitmaps.ended()
        await client.until_shown(here.console.surface.frame.pixels)
        assert here.registry.count() == 1


async def test_a_client_that_does_not_read_is_bounded_and_gets_the_latest_when_it_reads_again() -> None:
    async with house(sizes=((640, 480),)) as here:
        stuck = await here.viewer()
        good = await here.viewer()
        stuck._writer.transport.pause_reading()
        for seed in range(30):
            noise = np.random.default_rng(seed).integers(0, 1 << 24, (480, 640)).astype(np.uint32)
            here.console.draw(0, 0, noise)
            await good.until(lambda: not good.screen.frames, "acknowledged")
            await good.listen(0.02)
        sent = sorted(session.bytes_sent for session in here.registry)
        assert sent[0] < 6 * 640 * 480 * 4
        await until(lambda: here.registry.count() == 2)
        stuck._writer.transport.resume_reading()
        await stuck.until_shown(here.console.surface.frame.pixels)
