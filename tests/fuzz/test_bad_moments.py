"""What happens at a bad moment: while an update is encoded, between two messages, before the first list."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from served_guest import ServedGuest, served, until
from support import rfb_wire
from support.rfb_wire import BGRX, RGB565, Encoding, EndOfContinuousUpdates, Update

from sidecar.encode import store
from sidecar.guest import Button, GuestState


class Gate:
    """Holds up the encoders while it is shut."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.waiting = 0


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    encode = store.encode

    def slow_encode(*arguments: object) -> object:
        gate.waiting += 1
        gate.open.wait(20)
        gate.waiting -= 1
        return encode(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "encode", slow_encode)
    yield gate
    gate.open.set()


def noise(seed: int, width: int = 320, height: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1 << 24, (height, width)).astype(np.uint32)


async def nothing_comes(client: object, seconds: float = 0.3) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.receive(), seconds)  # type: ignore[attr-defined]


async def settled(here: ServedGuest, *clients: object) -> None:
    """Has every client shown the screen, and wait for what comes next."""
    here.console.draw(0, 0, noise(99, here.console.surface.frame.width, here.console.surface.frame.height))
    for client in clients:
        await client.until_shown(here.console.surface.frame.pixels)  # type: ignore[attr-defined]
        client.request()  # type: ignore[attr-defined]
        await client.flush()  # type: ignore[attr-defined]


async def encoding(here: ServedGuest, gate: Gate, seed: int = 1) -> None:
    """Has an update under way for everybody who waits for one."""
    gate.open.clear()
    here.console.draw(0, 0, noise(seed, 64, 64))
    await until(lambda: gate.waiting > 0, "an encoder is at work")


@pytest.mark.parametrize("kind", [Encoding.EXTENDED_DESKTOP_SIZE, Encoding.DESKTOP_SIZE])
async def test_a_screen_that_changed_before_the_client_told_what_it_can_is_told_then(kind: Encoding) -> None:
    async with served() as here, await here.connect(encodings=(Encoding.RAW,)) as client:
        here.console.resize(400, 300)
        here.console.draw(0, 0, noise(1, 400, 300))
        await asyncio.sleep(0.1)
        client.set_encodings((Encoding.RAW, kind))
        await client.until_shown(here.console.surface.frame.pixels)


async def test_no_pixels_come_unasked_when_the_screen_shrinks() -> None:
    async with served() as here, await here.connect(encodings=(Encoding.ZRLE,)) as client:
        await client.refresh()
        here.console.resize(100, 100)
        await nothing_comes(client)
        shown = np.zeros((200, 320), np.uint32)
        await client.until_shown(shown)


async def test_a_whole_picture_asked_for_while_an_update_is_encoded_comes_whole(gate: Gate) -> None:
    async with served() as here, await here.connect(encodings=(Encoding.ZRLE,)) as client:
        await settled(here, client)
        await encoding(here, gate)
        client.request(incremental=False)
        await client.send(rfb_wire.pointer_event(1, 1))
        await until(lambda: here.console.pointer.log, "the request was read")
        gate.open.set()
        covered = np.zeros((200, 320), bool)
        async with asyncio.timeout(30):
            while not covered.all():
                message = await client.receive()
                assert isinstance(message, Update)
                for _, x, y, width, height in message.rectangles:
                    covered[y : y + height, x : x + width] = True


async def test_nothing_comes_behind_the_end_of_continuous_updates(gate: Gate) -> None:
    """TigerVNC changes its pixel format there."""
    encodings = (Encoding.ZRLE, Encoding.CONTINUOUS_UPDATES, Encoding.FENCE)
    async with served() as here, await here.connect(encodings=encodings) as client:
        await client.until_shown(here.console.surface.frame.pixels)
        await client.send(rfb_wire.enable_continuous_updates(True, 0, 0, 320, 200))
        await asyncio.sleep(0.1)
        while True:
            here.console.draw(0, 0, noise(3, 70, 70))
            if client.rgb[0, 0] == noise(3, 70, 70)[0, 0]:
                break
            await client.receive()
        await encoding(here, gate, 4)
        await client.send(rfb_wire.enable_continuous_updates(False, 0, 0, 0, 0))
        while not isinstance(await client.receive(), EndOfContinuousUpdates):
            pass
        gate.open.set()
        await nothing_comes(client)
        client.set_pixel_format(RGB565)
        await client.until_shown(here.console.surface.frame.pixels)


async def test_a_client_that_gives_up_fences_amid_continuous_updates_goes_on() -> None:
    encodings = (Encoding.RAW, Encoding.CONTINUOUS_UPDATES, Encoding.FENCE)
    async with served() as here, await here.connect(encodings=encodings) as client:
        await client.refresh()
        await client.send(rfb_wire.enable_continuous_updates(True, 0, 0, 320, 200))
        for seed in range(4):
            # what comes is taken, and its fences are not answered
            here.console.draw(0, 0, noise(seed, 9, 9))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    while True:
                        await client._run(client.message())
                        client.outgoing.clear()
        client.set_encodings((Encoding.RAW,))
        await client.until_shown(here.console.surface.frame.pixels)


async def test_fences_that_are_answered_by_leaps_are_not_remembered() -> None:
    encodings = (Encoding.RAW, Encoding.CONTINUOUS_UPDATES, Encoding.FENCE)
    async with served() as here, await here.connect(encodings=encodings) as client:
        await client.refresh()
        await client.send(rfb_wire.enable_continuous_updates(True, 0, 0, 320, 200))
        receivers = list(here.server._broadcasts.of(here.server.console)._receivers)
        assert len(receivers) == 1
        fences = 0
        for value in range(1, 60):
            here.console.draw(0, 0, np.full((1, 1), value, np.uint32))
            while client.rgb[0, 0] != value:
                message = await client._run(client.message())
                if isinstance(message, rfb_wire.Fence):
                    fences += 1
                    if fences % 2:
                        client.outgoing.clear()
                    await client.flush()
        assert len(receivers[0]._sent_at) <= 3


async def test_a_format_that_changes_back_and_forth_while_an_update_is_encoded(gate: Gate) -> None:
    async with served() as here, await here.connect(encodings=(Encoding.ZRLE,)) as client:
        await client.until_shown(here.console.surface.frame.pixels)
        for other in (RGB565, BGRX):
            client.request()
            await client.flush()
            await encoding(here, gate, 7 if other is RGB565 else 8)
            client.set_pixel_format(RGB565)
            client.set_encodings((Encoding.HEXTILE,))
            client.set_encodings((Encoding.ZRLE,))
            client.set_pixel_format(other)
            await client.flush()
            await asyncio.sleep(0.05)
            gate.open.set()
            await client.until_shown(here.console.surface.frame.pixels)


async def test_a_screen_that_changes_its_size_while_an_update_is_encoded(gate: Gate) -> None:
    encodings = (Encoding.ZRLE, Encoding.EXTENDED_DESKTOP_SIZE)
    async with (
        served() as here,
        await here.connect(encodings=encodings) as follows,
        await here.connect(encodings=(Encoding.ZRLE,)) as stays,
    ):
        await settled(here, follows, stays)
        await encoding(here, gate)
        here.console.resize(100, 100)
        await asyncio.sleep(0.05)
        here.console.resize(640, 480)
        here.console.draw(0, 0, noise(9, 640, 480))
        await asyncio.sleep(0.05)
        gate.open.set()
        await follows.until_shown(here.console.surface.frame.pixels)
        await stays.until_shown(here.console.surface.frame.pixels[:200, :320])


async def test_viewers_that_leave_while_their_update_is_encoded(gate: Gate) -> None:
    async with served() as here, await here.connect(encodings=(Encoding.ZRLE,)) as stays:
        leaves = await here.connect(encodings=(Encoding.ZRLE,))
        await settled(here, stays, leaves)
        await encoding(here, gate)
        here.registry.end(next(iter(here.registry)).id)
        await leaves.close()
        await until(lambda: here.registry.count() == 0)
        gate.open.set()
        async with await here.connect(encodings=(Encoding.ZRLE,)) as late:
            await late.until_shown(here.console.surface.frame.pixels)


async def test_the_server_ends_while_an_update_is_encoded(gate: Gate) -> None:
    async with served() as here:
        client = await here.connect(encodings=(Encoding.ZRLE,))
        await settled(here, client)
        await encoding(here, gate)
        # the pool's end waits for its threads, on the loop's thread
        opener = threading.Timer(0.2, gate.open.set)
        opener.start()
    opener.join()
    await client.close()


async def test_an_encoder_that_fails_ends_those_who_wait_for_it_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with (
        served() as here,
        await here.connect(encodings=(Encoding.RAW,)) as good,
        await here.connect(encodings=(Encoding.ZRLE,)) as bad,
    ):
        for client in (good, bad):
            await client.until_shown(here.console.surface.frame.pixels)
        encode = store.encode

        def broken(area: object, pixels: object, form: object) -> object:
            if form.encoding == Encoding.ZRLE:  # type: ignore[attr-defined]
                raise RuntimeError("a fault")
            return encode(area, pixels, form)  # type: ignore[arg-type]

        monkeypatch.setattr(store, "encode", broken)
        for client in (good, bad):
            client.request()
            await client.flush()
        here.console.draw(0, 0, noise(1))
        await good.until_shown(here.console.surface.frame.pixels)
        await until(lambda: here.registry.count() == 1)


async def test_keys_held_when_the_machine_is_lost_do_not_stick_in_the_next_one() -> None:
    async with served() as here, await here.connect() as client:
        await client.send(rfb_wire.key_event(ord("a"), True) + rfb_wire.pointer_event(1, 1, 1))
        await until(lambda: ("press", Button.LEFT) in here.console.pointer.log)
        here.guest.state = GuestState.LOST
        here.guest.lifecycle.notify(GuestState.LOST)
        here.guest.state = GuestState.ATTACHED
        here.guest.lifecycle.notify(GuestState.ATTACHED)
        here.console.keyboard.log.clear()
        here.console.pointer.log.clear()
        await client.send(rfb_wire.key_event(ord("a"), False) + rfb_wire.pointer_event(1, 1, 0))
        await client.send(rfb_wire.key_event(ord("a"), True) + rfb_wire.pointer_event(1, 1, 1))
        await client.send(rfb_wire.key_event(ord("a"), False) + rfb_wire.pointer_event(2, 2, 0))
        await until(lambda: ("to", 2, 2) in here.console.pointer.log)
        assert here.console.keyboard.log == [("press", 0x1E), ("release", 0x1E)]


@pytest.mark.parametrize(
    "area", [(0, 0, 0, 0), (65535, 65535, 65535, 65535), (319, 199, 65535, 65535), (400, 0, 1, 1)]
)
async def test_a_request_for_what_is_not_on_the_screen_does_no_harm(area: tuple[int, int, int, int]) -> None:
    async with served() as here, await here.connect() as client:
        await client.refresh()
        for incremental in (True, False):
            await client.send(rfb_wire.update_request(incremental, *area))
        here.console.draw(0, 0, noise(1))
        await client.until_shown(here.console.surface.frame.pixels)
