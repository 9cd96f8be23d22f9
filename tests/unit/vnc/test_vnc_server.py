"""The server as clients meet it, over real sockets, with a synthetic guest behind it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.film import FilmTime
from support.rfb_client import AsyncRfbClient
from support.rfb_session import SECURITY_VENCRYPT, Refused
from support.rfb_wire import ALL_PSEUDO, BGRX, Encoding, Update, jpeg_quality
from support.synthetic_guest import SyntheticGuest

from sidecar.access.logins import Logins
from sidecar.access.password import Passwords
from sidecar.broadcast.broadcast import Broadcasts
from sidecar.encode.store import SegmentStore
from sidecar.guest import Led
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.screen.cursor import Cursor
from sidecar.session.registry import Policy, Registry, SharePolicy
from sidecar.transport.server import CannotListen
from sidecar.vnc.access import Access
from sidecar.vnc.server import VncServer

EXACT_ENCODINGS = (Encoding.RAW, Encoding.HEXTILE, Encoding.ZLIB, Encoding.ZRLE, Encoding.TIGHT)


class House:
    """A server with its guest, registry and store, listening on a loopback port."""

    def __init__(
        self,
        guest: SyntheticGuest,
        registry: Registry,
        store: SegmentStore,
        server: VncServer,
        port: int,
        film: FilmTime,
    ) -> None:
        self.server = server
        self.guest = guest
        self.console = guest.console
        self.registry = registry
        self.store = store
        self.port = port
        self.film = film
        """The time by which it is judged what moves."""

    def connect(self, **options: Any) -> Any:
        return AsyncRfbClient.connect(("127.0.0.1", self.port), **options)


@contextlib.asynccontextmanager
async def house(policy: Policy | None = None, **options: Any) -> AsyncIterator[House]:
    guest = SyntheticGuest()
    registry = Registry(policy)
    with ThreadPoolExecutor(2) as pool:
        store = SegmentStore(pool)
        seats = Seats(guest)
        layout = Layout("us")
        film = FilmTime()
        with contextlib.closing(Broadcasts(store, clock=film)) as broadcasts:
            async with VncServer(guest, registry, broadcasts, seats, layout=layout, **options) as server:
                port = await server.listen_tcp("127.0.0.1", 0)
                yield House(guest, registry, store, server, port, film)
    assert registry.count() == 0
    assert registry.waiting == 0


def picture(seed: int, height: int = 200, width: int = 320) -> np.ndarray:
    """Text-like, photo-like and flat parts."""
    random = np.random.default_rng(seed)
    pixels = np.full((height, width), 0x204060, np.uint32)
    pixels[: height // 2] = random.choice(np.array([0, 0xFFFFFF], np.uint32), (height // 2, width))
    pixels[height // 2 :, : width // 3] = random.integers(0, 1 << 24, (height - height // 2, width // 3))
    return pixels


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def until_ended(client: Any) -> None:
    """Takes what comes until the server has closed the connection."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        async with asyncio.timeout(30):
            while True:
                await client.receive()
    assert client.reader.at_eof()


@pytest.mark.parametrize("encoding", EXACT_ENCODINGS)
async def test_a_client_follows_the_screen_exactly(encoding: Encoding) -> None:
    async with house() as here, await here.connect(encodings=(encoding,)) as client:
        for seed in range(3):
            here.console.draw(0, 0, picture(seed))
            here.console.draw(17, 33, picture(seed + 10, 30, 40))
            await client.until_shown(here.console.surface.frame.pixels)


async def test_many_clients_of_one_form_cost_one_encode() -> None:
    async with house() as here, contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(await here.connect(encodings=(Encoding.TIGHT,))) for _ in range(8)
        ]
        for client in clients:
            await client.until_shown(here.console.surface.frame.pixels)
        for client in clients:
            client.request()
            await client.flush()
        await asyncio.sleep(0.05)
        before = here.store.misses
        here.console.draw(0, 0, picture(1)[:64, :64])
        for client in clients:
            await client.until_shown(here.console.surface.frame.pixels)
        assert here.store.misses == before + 1


async def test_the_session_counts_its_updates_and_bytes() -> None:
    async with house() as here, await here.connect(encodings=(Encoding.ZRLE,)) as client:
        await client.until_shown(here.console.surface.frame.pixels)
        here.console.draw(0, 0, picture(1))
        await client.until_shown(here.console.surface.frame.pixels)
        (session,) = here.registry
        assert session.frames == client.updates
        assert session.bytes_sent == client.bytes_received
        assert session.encoding == "zrle"


async def test_a_client_that_does_not_ask_gets_nothing_and_then_only_the_latest() -> None:
    async with house() as here, await here.connect(encodings=(Encoding.RAW,)) as client:
        await client.until_shown(here.console.surface.frame.pixels)
        for value in range(1, 50):
            here.console.draw(0, 0, np.full((1, 1), value, np.uint32))
        updates = client.updates
        await client.until_shown(here.console.surface.frame.pixels)
        assert client.updates - updates <= 2


async def test_a_client_with_extended_desktop_size_follows_a_resize() -> None:
    encodings = (Encoding.ZRLE, Encoding.EXTENDED_DESKTOP_SIZE)
    async with house() as here, await here.connect(encodings=encodings) as client:
        await client.until_shown(here.console.surface.frame.pixels)
        here.console.resize(500, 333)
        here.console.draw(0, 0, picture(2, 333, 500))
        await client.until_shown(here.console.surface.frame.pixels)
        assert (client.width, client.height) == (500, 333)
        assert client.desktop_sizes[-1] == (0, 0, 500, 333)


async def test_a_client_with_desktop_size_follows_a_resize() -> None:
    encodings = (Encoding.ZRLE, Encoding.DESKTOP_SIZE)
    async with house() as here, await here.connect(encodings=encodings) as client:
        await client.until_shown(here.console.surface.frame.pixels)
        here.console.resize(100, 333)
        here.console.draw(0, 0, picture(2, 333, 100))
        await client.until_shown(here.console.surface.frame.pixels)


@pytest.mark.parametrize("encoding", EXACT_ENCODINGS)
async def test_a_client_that_cannot_resize_sees_what_fits_and_black_beside_it(encoding: Encoding) -> None:
    async with house() as here, await here.connect(encodings=(encoding,)) as client:
        here.console.draw(0, 0, picture(1))
        await client.until_shown(here.console.surface.frame.pixels)
        here.console.resize(100, 333)
        here.console.draw(0, 0, picture(2, 333, 100))
        shown = np.zeros((200, 320), np.uint32)
        shown[:, :100] = here.console.surface.frame.pixels[:200]
        await client.until_shown(shown)


async def test_clients_of_other_sizes_get_only_what_they_have_room_for() -> None:
    encodings = (Encoding.TIGHT, Encoding.DESKTOP_SIZE)
    async with (
        house() as here,
        await here.connect(encodings=encodings) as follows,
        await here.connect(encodings=(Encoding.TIGHT,)) as stays,
    ):
        for client in (follows, stays):
            await client.until_shown(here.console.surface.frame.pixels)
        here.console.resize(400, 250)
        for seed in range(3):
            here.console.draw(0, 0, picture(seed, 250, 400))
            await follows.until_shown(here.console.surface.frame.pixels)
            await stays.until_shown(here.console.surface.frame.pixels[:200, :320])


async def test_a_client_may_choose_the_size_and_others_follow() -> None:
    encodings = (Encoding.RAW, Encoding.EXTENDED_DESKTOP_SIZE)
    async with (
        house() as here,
        await here.connect(encodings=encodings) as one,
        await here.connect(encodings=encodings) as other,
    ):
        await one.refresh()
        await other.refresh()
        await one.send(set_desktop_size(640, 480))
        await one.until(lambda: (1, 0, 640, 480) in one.desktop_sizes, "the wish is granted")
        await other.until(lambda: (other.width, other.height) == (640, 480), "the other follows")


async def test_a_wish_for_a_size_that_the_guest_refuses_is_prohibited() -> None:
    encodings = (Encoding.RAW, Encoding.EXTENDED_DESKTOP_SIZE)
    async with house() as here, await here.connect(encodings=encodings) as client:
        here.console.resizable = False
        await client.refresh()
        await client.send(set_desktop_size(640, 480))
        await client.until(lambda: (1, 1, 320, 200) in client.desktop_sizes, "the wish is refused")


def set_desktop_size(width: int, height: int) -> bytes:
    return (
        b"\xfb\0"
        + width.to_bytes(2, "big")
        + height.to_bytes(2, "big")
        + b"\x01\0"
        + bytes(8)
        + width.to_bytes(2, "big")
        + height.to_bytes(2, "big")
        + bytes(4)
    )


async def test_the_name_tells_how_many_watch() -> None:
    encodings = (Encoding.RAW, Encoding.DESKTOP_NAME)
    async with house(name="myvm") as here, await here.connect(encodings=encodings) as one:
        await one.until(lambda: one.name == "myvm - 1 viewer", "one viewer is told")
        async with await here.connect(encodings=encodings):
            await one.until(lambda: one.name == "myvm - 2 viewers", "the second is told")
        await one.until(lambda: one.name == "myvm - 1 viewer", "that it left is told")


async def test_what_moves_goes_lossy_and_what_rests_becomes_exact() -> None:
    encodings = (Encoding.TIGHT, jpeg_quality(5))
    async with house() as here, await here.connect(encodings=encodings) as client:
        await client.until_shown(here.console.surface.frame.pixels)
        was_lossy = False
        for seed in range(25):
            noise = np.random.default_rng(seed).integers(0, 1 << 24, (200, 320)).astype(np.uint32)
            here.film.picture()
            here.console.draw(0, 0, noise)
            await client.refresh(incremental=True)
            was_lossy |= not np.array_equal(client.rgb, noise)
        assert was_lossy
        here.film.end()
        await client.until_shown(here.console.surface.frame.pixels)


async def test_leds_are_told_at_once_and_at_every_change() -> None:
    async with house() as here:
        here.console.keyboard.leds = Led.NUM
        async with await here.connect(encodings=(Encoding.RAW, Encoding.QEMU_LED)) as client:
            await client.until(lambda: client.leds == 2, "the lights of now")
            here.console.set_leds(Led.CAPS | Led.NUM)
            await client.until(lambda: client.leds == 6, "the change")


@pytest.mark.parametrize("kind", [Encoding.CURSOR, Encoding.ALPHA_CURSOR, Encoding.VMWARE_CURSOR])
async def test_a_red_and_blue_cursor_keeps_its_colours(kind: Encoding) -> None:
    pixels = np.zeros((8, 9), np.uint32)
    pixels[:, :4], pixels[:, 5:] = 0xFFFF0000, 0xFF0000FF
    async with house() as here, await here.connect(encodings=(Encoding.RAW, kind)) as client:
        await client.refresh()
        here.console.show_cursor(Cursor(pixels, 3, 2))
        await client.until(lambda: client.cursor is not None, "a cursor")
        assert client.cursor is not None
        opaque = pixels >> 24 == 255
        assert (client.cursor[opaque] == pixels[opaque]).all()
        assert not (client.cursor[~opaque] >> 24).any()
        assert client.cursor_hot_spot == (3, 2)


async def test_continuous_updates_come_without_asking_and_stop_when_told() -> None:
    encodings = (Encoding.RAW, Encoding.CONTINUOUS_UPDATES, Encoding.FENCE)
    async with house() as here, await here.connect(encodings=encodings) as client:
        await client.refresh()
        await client.send(b"\x96\x01" + bytes(4) + (320).to_bytes(2, "big") + (200).to_bytes(2, "big"))
        for value in range(1, 40):
            here.console.draw(5, 5, np.full((1, 1), value, np.uint32))
            while client.rgb[5, 5] != value:
                await client.receive()
        await client.send(b"\x96\x00" + bytes(8))
        while type(await client.receive()).__name__ != "EndOfContinuousUpdates":
            pass
        here.console.draw(5, 5, np.full((1, 1), 999, np.uint32))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.receive()


async def test_keys_and_buttons_reach_the_guest_and_are_let_go_when_the_client_leaves() -> None:
    async with house() as here:
        async with await here.connect() as client:
            await client.send(b"\x04\x01\0\0" + (0x61).to_bytes(4, "big"))
            await client.send(b"\x05\x01\0\x05\0\x06")
            await until(lambda: ("press", 0x1E) in here.console.keyboard.log)
            await until(lambda: ("press", 0) in here.console.pointer.log)
            assert here.console.pointer.log[0] == ("to", 5, 6)
        await until(lambda: ("release", 0x1E) in here.console.keyboard.log)
        await until(lambda: ("release", 0) in here.console.pointer.log)


async def test_a_view_only_client_moves_nothing() -> None:
    encodings = (Encoding.RAW, Encoding.EXTENDED_DESKTOP_SIZE, Encoding.XVP)
    async with (
        house(Policy(view_only=True), allow_power=True) as here,
        await here.connect(encodings=encodings) as client,
    ):
        await client.refresh()
        await client.send(b"\x04\x01\0\0" + (0x61).to_bytes(4, "big"))
        await client.send(b"\x05\x01\0\x05\0\x06")
        await client.send(b"\xfa\0\x01\x04")
        await client.send(set_desktop_size(640, 480))
        await client.until(lambda: (1, 1, 320, 200) in client.desktop_sizes, "the wish is refused")
        assert here.console.keyboard.log == []
        assert here.console.pointer.log == []
        assert here.guest.power.log == []


async def test_power_is_offered_only_when_allowed() -> None:
    async with house() as here, await here.connect(encodings=(Encoding.RAW, Encoding.XVP)) as client:
        await client.refresh()
        await client.send(b"\xfa\0\x01\x04")
        await until_ended(client)
        assert here.guest.power.log == []


async def test_an_allowed_reset_reaches_the_guest() -> None:
    async with (
        house(allow_power=True) as here,
        await here.connect(encodings=(Encoding.RAW, Encoding.XVP)) as client,
    ):
        await client.refresh()
        await client.send(b"\xfa\0\x01\x04")
        await until(lambda: here.guest.power.log == ["reset"])


class TestLogin:
    @pytest.mark.parametrize("version", [b"003.003", b"003.007", b"003.008", b"003.889"])
    async def test_the_right_password_lets_in(self, version: bytes) -> None:
        async with (
            house(access=Access(Logins(Passwords(lambda: "right")))) as here,
            await here.connect(version=version, password="right") as client,
        ):
            await client.refresh()
            assert here.registry.count("vnc") == 1

    @pytest.mark.parametrize("version", [b"003.003", b"003.008"])
    async def test_a_wrong_password_is_not_counted(self, version: bytes) -> None:
        async with house(access=Access(Logins(Passwords(lambda: "right")))) as here:
            # RFB 3.3 has no place for the reason
            with pytest.raises((Refused, asyncio.IncompleteReadError)):
                await here.connect(version=version, password="wrong")
            await until(lambda: here.registry.waiting == 0)
            assert here.registry.count() == 0

    async def test_a_claimed_user_is_recorded_short_and_without_control_characters(
        self, short_dir: Path
    ) -> None:
        async with house(access=Access(Logins(Passwords(lambda: "right")))) as here:
            await here.server.listen_unix(short_dir / "vnc")
            user = "eve\x1b[2J\n" + "x" * 1000
            options = {"user": user, "password": "right", "security": SECURITY_VENCRYPT}
            async with await AsyncRfbClient.connect(str(short_dir / "vnc"), **options) as client:
                await client.refresh()
                (session,) = here.registry
                assert session.auth == "plain"
                assert session.user == "eve?[2J?" + "x" * 56

    async def test_the_password_in_force_is_the_one_of_now(self) -> None:
        passwords = ["first"]
        async with house(access=Access(Logins(Passwords(lambda: passwords[-1])))) as here:
            async with await here.connect(password="first"):
                passwords.append("second")
                async with await here.connect(password="second"):
                    assert here.registry.count() == 2

    async def test_who_says_nothing_is_sent_away(self) -> None:
        async with house(auth_timeout=0.2) as here:
            reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
            async with asyncio.timeout(30):
                assert (await reader.read()).startswith(b"RFB 003.008\n")
            writer.close()
            await writer.wait_closed()

    async def test_two_hundred_silent_connections_keep_nobody_out(self) -> None:
        async with house() as here, contextlib.AsyncExitStack() as stack:
            for _ in range(200):
                _, writer = await asyncio.open_connection("127.0.0.1", here.port)
                stack.callback(writer.close)
            async with await here.connect() as client:
                await client.refresh()
                assert here.registry.count() == 1
            assert here.registry.waiting <= here.registry.policy.max_waiting


class TestSharing:
    async def test_single_refuses_the_second_with_the_reason(self) -> None:
        async with house(Policy(share=SharePolicy.SINGLE)) as here, await here.connect():
            with pytest.raises(Refused, match="somebody else is connected"):
                await here.connect()

    async def test_exclusive_lets_the_newcomer_take_over(self) -> None:
        async with house(Policy(share=SharePolicy.EXCLUSIVE)) as here, await here.connect() as first:
            async with await here.connect():
                await until_ended(first)
                assert here.registry.count() == 1

    async def test_one_above_the_limit_is_refused_with_the_reason(self) -> None:
        async with house(Policy(max_sessions=1)) as here, await here.connect():
            with pytest.raises(Refused, match="as many sessions as it may have"):
                await here.connect()


async def test_it_listens_on_ipv6() -> None:
    async with house() as here:
        port = await here.server.listen_tcp("::1", 0)
        async with await AsyncRfbClient.connect(("::1", port)) as client:
            await client.until_shown(here.console.surface.frame.pixels)
            (session,) = here.registry
            assert session.address.startswith("[::1]:")


async def test_a_unix_socket_takes_the_place_of_a_dead_one_and_goes_with_the_server(short_dir: Path) -> None:
    path = short_dir / "vnc"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with house() as here:
        await here.server.listen_unix(path)
        async with await AsyncRfbClient.connect(str(path)) as client:
            await client.until_shown(here.console.surface.frame.pixels)
            assert [session.transport for session in here.registry] == ["unix"]
    assert not path.exists()


async def test_an_address_that_is_taken_is_a_clear_error(short_dir: Path) -> None:
    async with house() as here:
        with pytest.raises(CannotListen, match="address already in use"):
            await here.server.listen_tcp("127.0.0.1", here.port)
        await here.server.listen_unix(short_dir / "vnc")
        with pytest.raises(CannotListen, match="somebody listens there already"):
            await here.server.listen_unix(short_dir / "vnc")


async def test_a_broken_message_ends_that_client_only() -> None:
    async with house() as here, await here.connect() as good, await here.connect() as bad:
        await bad.send(b"\xee" * 40)
        await until_ended(bad)
        here.console.draw(0, 0, picture(4))
        await good.until_shown(here.console.surface.frame.pixels)
        assert here.registry.count() == 1


async def test_a_client_that_never_reads_is_bounded_and_others_go_on() -> None:
    async with house() as here, await here.connect() as good, await here.connect() as stuck:
        stuck.writer.transport.pause_reading()
        for seed in range(30):
            stuck.request(incremental=False)
            await stuck.flush()
            here.console.draw(0, 0, picture(seed))
            await good.until_shown(here.console.surface.frame.pixels)
        assert here.registry.count() == 2
        sent = max(session.bytes_sent for session in here.registry)
        # the kernel's buffers of both ends, the transport's, and one update on top of it
        assert sent < 16 * 320 * 200 * 4 * 4


async def test_what_changes_while_an_update_waits_in_the_queue_is_sent_when_the_queue_is_empty() -> None:
    """TigerVNC asks for the next update when one begins to arrive, not when it has arrived."""
    async with house() as here, await here.connect(encodings=(Encoding.RAW,)) as client:
        await client.refresh()
        (viewer,) = here.server.viewers
        for transport, buffer in ((client.writer.transport, "SO_RCVBUF"), (viewer._transport, "SO_SNDBUF")):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, getattr(socket, buffer), 32768)
        client.writer.transport.pause_reading()
        client.request()
        client.request()
        await client.flush()
        here.console.draw(0, 0, picture(7))
        await until(lambda: viewer._transport.get_write_buffer_size() > 150_000)
        client.request()
        await client.flush()
        await asyncio.sleep(0.05)
        here.console.draw(0, 0, np.full((200, 320), 0x123456, np.uint32))
        await asyncio.sleep(0.05)
        client.writer.transport.resume_reading()
        async with asyncio.timeout(30):
            while not client.shows(here.console.surface.frame.pixels):
                await client.receive()


async def test_a_pixel_format_changed_amid_updates_is_followed_by_pixels_of_that_format() -> None:
    encodings = (Encoding.ZRLE, *ALL_PSEUDO)
    async with house() as here, await here.connect(encodings=encodings) as client:
        for seed in range(4):
            here.console.draw(0, 0, picture(seed))
            await client.until_shown(here.console.surface.frame.pixels)
            client.set_pixel_format(BGRX)
            assert isinstance(await client.refresh(), Update)
