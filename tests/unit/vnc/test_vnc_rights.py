"""What a VNC session sees and may do whose login does not let it see everything."""

import contextlib
from typing import Any

import pytest
from support.logins import Desk
from support.rfb_wire import ALL_PSEUDO, Encoding, key_event
from support.synthetic_guest import SyntheticConsole, SyntheticGuest, SyntheticPort
from support.vnc_house import VncHouse, vnc_house
from support.waiting import eventually

from sidecar.broadcast.vacancy import vacancy
from sidecar.clipboard.shared import ClipboardDirection, SharedClipboard
from sidecar.guest import Console, Guest, GuestState
from sidecar.serial.line import SerialLines, WritePolicy
from sidecar.session.session import Session
from sidecar.vnc.audio import AudioTunnel, audio_tunnel
from sidecar.vnc.capabilities import ClientCapabilities, Extension, Owed
from sidecar.vnc.cut_text import ClipboardTunnel, clipboard_tunnel
from sidecar.vnc.errors import RemoteError
from sidecar.vnc.stream_messages import HEADER, Open
from sidecar.vnc.streams import streams_tunnel
from sidecar.vnc.tunnel import Line, NoTunnel
from sidecar.vnc.wire import StreamFlag

THREE = ((320, 200), (400, 300), (200, 100))
FOLLOWING = (Encoding.ZRLE, *ALL_PSEUDO)
SECRET = "aticket0"


@contextlib.asynccontextmanager
async def house(*names: str, **options: Any) -> Any:
    """Three screens, of which those with the ticket may see the ones that are named."""
    desk = Desk("sesame")
    desk.ticket(SECRET, consoles=frozenset(names))
    async with vnc_house(desk.logins, THREE, **options) as here:
        yield here


def limited(here: VncHouse) -> Any:
    return here.connect(password=SECRET, encodings=FOLLOWING)


async def until_it_sees(client: Any, console: Console) -> None:
    await client.until_shown(console.surface.frame.pixels)


def choose(number: int) -> bytes:
    keys = (0xFFE3, 0xFFE9, ord("0") + number)
    return b"".join(key_event(key, down) for down in (True, False) for key in keys)


@pytest.mark.parametrize(("names", "first"), [(("1",), 1), (("head2", "1"), 1), (("0", "head2"), 0)])
async def test_a_newcomer_sees_the_first_of_its_own_consoles(names: tuple[str, ...], first: int) -> None:
    async with house(*names) as here, await limited(here) as client:
        await until_it_sees(client, here.consoles[first])
        assert here.session.console == first


async def test_it_chooses_among_its_own_consoles_alone() -> None:
    async with house("head1", "2") as here, await limited(here) as client:
        _, second, third = here.consoles
        await until_it_sees(client, second)
        await client.send(choose(2))
        await until_it_sees(client, third)
        # there is no third one: the digit is the guest's
        await client.send(choose(3))
        await client.send(choose(1))
        await until_it_sees(client, second)
        assert [qnum for what, qnum in third.keyboard.log if what == "press" and qnum == 4] == [4]


async def test_who_may_see_one_console_types_there_whatever_it_chooses() -> None:
    async with house("1") as here, await limited(here) as client:
        first, second, third = here.consoles
        for number in (1, 2, 3):
            await client.send(choose(number))
        await client.refresh()
        assert {qnum for _, qnum in second.keyboard.log} >= {2, 3, 4}
        assert first.keyboard.log == third.keyboard.log == []
        assert here.session.console == 1


async def test_a_server_that_shows_another_console_first_does_not_show_it_to_those_who_may_not() -> None:
    def third(guest: Guest) -> Console | None:
        return guest.consoles.get(2)

    async with house("1", console=third) as here, await limited(here) as client:
        await until_it_sees(client, here.consoles[1])
        async with await here.connect(password="sesame", encodings=FOLLOWING) as other:
            await until_it_sees(other, here.consoles[2])


@pytest.mark.parametrize("names", [("7",), ("nothing", "-1")])
async def test_whose_consoles_are_not_there_sees_a_notice_and_types_nowhere(names: tuple[str, ...]) -> None:
    async with house(*names) as here, await limited(here) as client:
        await until_it_sees(client, vacancy())
        await client.send(choose(1))
        await client.send(key_event(ord("a"), True) + key_event(ord("a"), False))
        await client.send(b"\x05\x01\0\x05\0\x06")
        await client.refresh()
        assert here.session.console == vacancy().index
        assert not any(console.keyboard.log or console.pointer.log for console in here.consoles)


async def test_a_console_that_comes_later_takes_the_place_of_the_notice() -> None:
    async with house("3") as here, await limited(here) as client:
        await until_it_sees(client, vacancy())
        late = SyntheticConsole(3, 240, 100)
        here.guest.consoles[3] = late
        here.machine_is(GuestState.ATTACHED)
        await until_it_sees(client, late)
        del here.guest.consoles[3]
        here.machine_is(GuestState.ATTACHED)
        await until_it_sees(client, vacancy())
    assert len(vacancy().changes) == 0


async def test_a_machine_that_comes_back_with_other_displays_shows_nobody_what_is_not_theirs() -> None:
    async with house("head0") as here, await limited(here) as client:
        first, second, _ = here.consoles
        await until_it_sees(client, first)
        here.machine_is(GuestState.LOST)
        await until_it_sees(client, vacancy())
        first.label, second.label = "other", "head0"
        here.machine_is(GuestState.ATTACHED)
        await until_it_sees(client, second)
        second.label = "another"
        here.machine_is(GuestState.ATTACHED)
        await until_it_sees(client, vacancy())


async def test_a_console_that_is_named_by_its_number_stays_over_the_machines_end() -> None:
    async with house("1") as here, await limited(here) as client:
        await until_it_sees(client, here.consoles[1])
        for state in (GuestState.LOST, GuestState.ATTACHED):
            here.machine_is(state)
            await client.refresh()
            assert here.session.console == 1


async def test_a_view_only_ticket_is_given_input_by_an_administrator_alone() -> None:
    desk = Desk()
    desk.ticket(SECRET, view_only=True)
    async with vnc_house(desk.logins) as here, await limited(here) as client:
        stroke = key_event(ord("a"), True) + key_event(ord("a"), False)
        await client.send(stroke)
        await client.refresh()
        assert here.consoles[0].keyboard.log == []
        here.registry.set_view_only(here.session.id, False)
        await client.send(stroke)
        await eventually(lambda: len(here.consoles[0].keyboard.log) == 2, "it types")


@pytest.mark.parametrize(("names", "reset"), [(("0", "1"), ["reset"]), (("head0", "1"), [])])
async def test_the_switches_go_with_the_number_of_the_first_screen(
    names: tuple[str, ...], reset: list[str]
) -> None:
    async with house(*names, allow_power=True) as here, await limited(here) as client:
        await client.refresh()
        await client.send(b"\xfa\0\x01\x04")
        await client.refresh()
        if reset:
            await eventually(lambda: here.guest.power.log == reset, "it is reset")
        assert here.guest.power.log == reset


def line(*names: str) -> tuple[Line, list[bytes]]:
    session = Session(
        "v1", protocol="vnc", transport="tcp", address="", tls=False, connected_at=0, end=lambda _: None
    )
    session.consoles = frozenset(names)
    written: list[bytes] = []
    return Line(session, written.append, lambda: 0), written


def test_sound_and_clipboard_go_with_the_number_of_the_first_screen() -> None:
    guest = SyntheticGuest()
    with contextlib.closing(SharedClipboard(guest.clipboard, direction=ClipboardDirection.BOTH)) as shared:
        sound, texts = audio_tunnel(guest.audio), clipboard_tunnel(shared)
        for names, (audio, clipboard) in (
            (("0", "5"), (AudioTunnel, ClipboardTunnel)),
            (("1", "synthetic"), (NoTunnel, NoTunnel)),
        ):
            there, _ = line(*names)
            assert type(sound(there)) is audio
            tunnel = texts(there)
            assert type(tunnel) is clipboard
            tunnel.close()
        denied, written = line("1")
        for make in (sound, texts):
            tunnel = make(denied)
            tunnel.agreed(
                ClientCapabilities(extensions=Extension.QEMU_AUDIO | Extension.EXTENDED_CLIPBOARD),
                Owed.QEMU_AUDIO_ACK | Owed.CLIPBOARD_CAPS,
            )
            tunnel.wait()
            tunnel.ready()
            assert not tunnel.handlers
            tunnel.close()
        assert written == []


def test_only_ports_that_are_named_are_announced_and_can_be_opened() -> None:
    guest = SyntheticGuest()
    first, second, third = (SyntheticPort(f"org.qemu.console.serial.{number}") for number in range(3))
    for port, label in ((first, "serial0"), (second, "serial1"), (third, "2")):
        port.label = label
        guest.add_port(port)
    with contextlib.closing(SerialLines(guest, write=WritePolicy.EVERYBODY)) as lines:
        for names, seen in (((second.name,), [second]), (("serial0",), [first]), (("0", "2", "16"), [])):
            there, written = line(*names)
            tunnel = streams_tunnel(lines)(there)
            tunnel.agreed(ClientCapabilities(extensions=Extension.STREAMS), Owed.STREAMS_ACK)
            # the first message acknowledges the extension
            announced = [message[HEADER.size :] for message in written[1:]]
            assert len(announced) == len(seen)
            assert all(port.name.encode() in message for port, message in zip(seen, announced, strict=True))
            with pytest.raises(RemoteError):
                tunnel.handlers[Open](Open(len(seen), StreamFlag(0), 1))
            tunnel.close()
