"""A real guest records with its sound card what is said, and plays it, so that it can be heard again."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from attached_guest import attached
from sound_ear import STEREO, Ear, has_sound
from support.bus import Bus
from support.tone import measure, tone_qemu
from support.waiting import eventually

from sidecar.qemu.attach import BusAttach
from sidecar.qemu.guest import QemuGuest
from sidecar.sound.form import AudioForm, SampleFormat

PHONE = AudioForm(SampleFormat.S16, 1, 16_000)
PIECE = 320
"""Frames: 20 ms."""


@asynccontextmanager
async def somebody_speaks(guest: QemuGuest, hertz: int) -> AsyncIterator[None]:
    """A sine, as fast as the clock goes, in pieces of 20 ms."""

    async def speak() -> None:
        loop = asyncio.get_running_loop()
        begun, spoken = loop.time(), 0
        while True:
            times = np.arange(spoken, spoken + PIECE) / PHONE.rate
            wave = 8192 * np.sin(2 * np.pi * hertz * times)
            guest.microphone.speak(PHONE, wave.astype("<i2").tobytes())
            spoken += PIECE
            await asyncio.sleep(max(0, begun + spoken / PHONE.rate - loop.time()))

    task = asyncio.create_task(speak())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_what_is_said_is_recorded_and_silence_takes_its_time(short_dir: Path, bus: Bus) -> None:
    with tone_qemu(short_dir, bus.address) as tone:
        async with attached(BusAttach(bus.address)) as guest:
            await has_sound(guest)
            ear = Ear(guest)
            assert not guest.microphone.is_wanted
            async with somebody_speaks(guest, 600):
                tone.record(2)
                await eventually(lambda: guest.microphone.is_wanted, "the guest records")
                await asyncio.to_thread(tone.wait_recorded)
            await eventually(lambda: not guest.microphone.is_wanted, "the guest does not record any more")
            tone.play_recording(2)
            await asyncio.to_thread(tone.wait)
            await ear.hears_to_the_end(1)
            heard = measure(ear.heard, STEREO.rate)
            assert heard.frequency == pytest.approx(600, rel=0.01)
            # on a machine that stands still in between there may be silence in it
            assert heard.duration > 1

            # no faster than the clock, but for what a recorder may be late; QEMU may have had a last piece of
            # what was said
            ear.forget()
            began = time.monotonic()
            tone.record(1)
            await asyncio.to_thread(tone.wait_recorded)
            assert time.monotonic() - began > 0.7
            tone.play_recording(1)
            await asyncio.to_thread(tone.wait)
            assert measure(ear.heard, STEREO.rate).duration < 0.2
