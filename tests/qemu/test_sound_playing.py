"""A real QEMU plays tones; what listeners hear has the right frequency and duration, and no gaps."""

import asyncio
from pathlib import Path

import pytest
from attached_guest import attached, becomes, nothing_is_left_behind
from sound_ear import FINE, STEREO, TELEPHONE, Ear, has_sound
from support.bus import Bus
from support.qemu import version
from support.tone import MASTER_VOLUME, OWN_VOICES, PEER_TO_PEER, Tone, level, measure, tone_qemu
from support.waiting import eventually

from sidecar.guest import GuestState
from sidecar.qemu.attach import BusAttach, QmpAttach


def is_the_tone(ear: Ear, hertz: int, seconds: float) -> None:
    heard = measure(ear.heard, ear.form.rate)
    assert heard.frequency == pytest.approx(hertz, rel=0.01)
    assert heard.duration == pytest.approx(seconds, rel=0.01)
    assert heard.gaps == ()


async def plays(tone: Tone, hertz: int, seconds: float) -> None:
    tone.play(hertz, seconds)
    await asyncio.to_thread(tone.wait)


async def test_every_listener_hears_every_tone_whole(short_dir: Path, bus: Bus) -> None:
    with tone_qemu(short_dir, bus.address) as tone:
        async with nothing_is_left_behind(), attached(BusAttach(bus.address)) as guest:
            await has_sound(guest)
            stereo, telephone = Ear(guest), Ear(guest, TELEPHONE)
            for hertz in (440, 1000):
                await plays(tone, hertz, 2)
                for ear in (stereo, telephone):
                    await ear.hears_to_the_end(2)
                    is_the_tone(ear, hertz, 2)
                    assert ear.log[0] == "began"
                    ear.forget()

            # the PC speaker; for how long is a matter of two clocks
            telephone.leave()
            tone.beep(880, 1)
            await asyncio.to_thread(tone.wait_beep)
            await stereo.hears_to_the_end(0.5)
            assert measure(stereo.heard, STEREO.rate).frequency == pytest.approx(880, rel=0.01)
            assert telephone.log == []
            stereo.forget()

            # the guest's own volume
            tone.set_mixer(MASTER_VOLUME, 0x8000)
            await plays(tone, 440, 0.5)
            # half of the attenuation on the left, none on the right
            tone.set_mixer(MASTER_VOLUME, 0x2000)
            await plays(tone, 600, 1)
            await stereo.hears_to_the_end(1)
            left, right = stereo.heard.T
            is_the_tone(stereo, 600, 1)
            assert level(right, STEREO.rate, 600) > 1.5 * level(left, STEREO.rate, 600) > 0.1


async def test_voices_of_their_own_forms_are_heard_together(short_dir: Path, bus: Bus) -> None:
    with tone_qemu(short_dir, bus.address, OWN_VOICES) as tone:
        async with attached(BusAttach(bus.address)) as guest:
            await has_sound(guest)
            ear = Ear(guest, FINE)
            tone.beep(1500, 2)
            await plays(tone, 440, 2)
            await ear.hears_to_the_end(2)
            assert level(ear.heard, FINE.rate, 440) > 0.05
            assert level(ear.heard, FINE.rate, 1500) > 0.05
            assert level(ear.heard, FINE.rate, 900) < 0.01


async def test_listeners_outlive_the_machine(short_dir: Path, bus: Bus) -> None:
    with tone_qemu(short_dir, bus.address) as tone:
        async with attached(BusAttach(bus.address)) as guest:
            await has_sound(guest)
            ear, other = Ear(guest), Ear(guest, TELEPHONE)
            tone.play(440, 20)
            await eventually(lambda: len(ear.heard) > 4410, "it is heard")
            tone.kill()
            await becomes(guest, GuestState.LOST)
            for one in (ear, other):
                assert one.log[-1] == "ended"
                one.forget()
            assert not guest.audio.is_there
            await asyncio.to_thread(tone.start)
            await becomes(guest, GuestState.ATTACHED)
            await has_sound(guest)
            await plays(tone, 700, 1)
            for one in (ear, other):
                await one.hears_to_the_end(1)
                heard = measure(one.heard, one.form.rate)
                assert heard.frequency == pytest.approx(700, rel=0.01)


async def test_over_a_peer_connection_it_is_heard_where_that_does_not_crash_qemu(short_dir: Path) -> None:
    monitor = short_dir / "display-qmp"
    extra = ("-qmp", f"unix:{monitor},server=on,wait=off")
    with tone_qemu(short_dir, PEER_TO_PEER, extra=extra) as tone:
        async with attached(QmpAttach(monitor)) as guest:
            if version() >= (8, 1):
                await has_sound(guest)
                ear = Ear(guest)
                await plays(tone, 440, 1)
                await ear.hears_to_the_end(1)
                is_the_tone(ear, 440, 1)
            else:
                await plays(tone, 440, 0.1)
                assert not guest.audio.is_there
                assert not guest.microphone.is_there
            assert guest.state is GuestState.ATTACHED
            assert tone.process.is_running


async def test_a_machine_whose_sound_does_not_come_here_says_so(short_dir: Path, bus: Bus) -> None:
    with tone_qemu(short_dir, bus.address, listed=False):
        async with attached(BusAttach(bus.address)) as guest:
            ear = Ear(guest)
            # asked for in the same order as the sound
            await eventually(lambda: guest.consoles[0].label == "VGA", "the console is there")
            assert not guest.audio.is_there
            assert not guest.microphone.is_there
            assert guest.state is GuestState.ATTACHED
            assert ear.log == []
