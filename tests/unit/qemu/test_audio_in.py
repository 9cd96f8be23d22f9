"""What QEMU records, as its listener tells it. A real guest records in tests/qemu/test_sound_recording.py."""

import numpy as np
import pytest
from sound_side import CARD, first_voice, served
from support.waiting import eventually

from sidecar.qemu.audio_in import MAX_VOICES, QemuMicrophone
from sidecar.qemu.audio_listener import IN_LISTENER, INIT
from sidecar.qemu.errors import CallRefused
from sidecar.sound.form import AudioForm, SampleFormat

FORM = AudioForm(SampleFormat.S16, 2, 48_000)
SPEECH = np.full((480, 2), 4096, "<i2").tobytes()


async def test_it_is_wanted_while_a_voice_records() -> None:
    microphone = QemuMicrophone()
    seen: list[tuple[bool, bool]] = []
    microphone.changes.subscribe(lambda: seen.append((microphone.is_there, microphone.is_wanted)))
    async with served(microphone) as (side, _):
        qemu = await first_voice(side)
        assert await qemu.ask("GetAll", "s", IN_LISTENER, interface="org.freedesktop.DBus.Properties") == [{}]
        assert not microphone.is_wanted
        await qemu.say("Init", INIT, 1, *CARD)
        await qemu.demand("SetEnabled", "tb", 1, False)
        assert not microphone.is_wanted
        for _ in range(2):
            await qemu.say("SetEnabled", "tb", 1, True)
            await eventually(lambda: seen[-1:] == [(True, True)], "it is wanted")
            await qemu.say("SetEnabled", "tb", 1, False)
            await eventually(lambda: seen[-1:] == [(True, False)], "it is not wanted")
        await qemu.begin(2)
        await eventually(lambda: microphone.is_wanted, "it is wanted")
        qemu.close()
        await eventually(lambda: not microphone.is_wanted, "it is not wanted")
        await (await first_voice(side, 1)).begin(1)
        await eventually(lambda: microphone.is_wanted, "it is wanted")
    assert not microphone.is_there
    assert not microphone.is_wanted


async def test_a_machine_without_sound_records_nothing() -> None:
    microphone = QemuMicrophone()
    async with served(microphone, has_audio=False) as (_, is_served):
        await eventually(lambda: not is_served(), "nothing is left to do")
        microphone.speak(FORM, SPEECH)
        assert not microphone.is_there


async def test_what_is_said_is_read_and_before_it_silence() -> None:
    microphone = QemuMicrophone()
    async with served(microphone) as (side, _):
        qemu = await first_voice(side)
        await qemu.begin(1)
        await eventually(lambda: microphone.is_wanted, "it is wanted")
        while not (silence := await qemu.read(1, 1 << 16)):
            pass
        assert not silence.strip(b"\0")
        assert len(silence) % 4 == 0
        microphone.speak(FORM, SPEECH)
        assert await qemu.read(1, 400) == SPEECH[:400]
        assert (await qemu.read(1, 1 << 62)).startswith(SPEECH[400:])


async def test_volume_is_followed() -> None:
    microphone = QemuMicrophone()
    async with served(microphone) as (side, _):
        qemu = await first_voice(side)
        await qemu.begin(1)
        await qemu.demand("SetVolume", "tbay", 1, False, bytes([255, 0]))
        microphone.speak(FORM, SPEECH)
        samples = np.frombuffer((await qemu.read(1, 1 << 16))[: len(SPEECH)], "<i2").reshape(-1, 2)
        assert (samples == [4096, 0]).all()


async def test_voices_that_make_no_sense_are_answered_and_do_not_disturb_the_others() -> None:
    microphone = QemuMicrophone()
    async with served(microphone) as (side, _):
        qemu = await first_voice(side)
        assert await qemu.read(7, 1 << 20) == b""
        with pytest.raises(CallRefused):
            await qemu.demand("Init", INIT, 1, 16, True, False, 0, 2, 4, 0, False)
        assert await qemu.read(1, 100) == b""
        for voice in range(MAX_VOICES):
            await qemu.begin(voice)
        with pytest.raises(CallRefused):
            await qemu.demand("Init", INIT, 1000, *CARD)
        # the same number again is another voice, which does not record yet
        await qemu.demand("Init", INIT, 3, *CARD)
        await qemu.demand("Fini", "t", 5)
        assert await qemu.read(5, 1 << 20) == b""
        assert await qemu.read(1, 0) == b""
        assert await qemu.read(1, 3) == b""
        microphone.speak(FORM, SPEECH)
        microphone.speak(FORM, b"\1\2\3")
        assert (await qemu.read(1, 1 << 16)).startswith(SPEECH)
