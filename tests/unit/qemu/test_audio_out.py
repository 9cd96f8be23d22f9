"""What QEMU says of its sound: as it should, and as it never does."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
from sound_side import CARD, VoiceSide, first_voice, served
from support.waiting import eventually

from sidecar.qemu.audio_listener import INIT, OUT_LISTENER
from sidecar.qemu.audio_news import MOST_MESSAGES, MOST_SOUND, NewsQueue, Played
from sidecar.qemu.audio_out import QemuAudio
from sidecar.qemu.errors import CallRefused, ConnectionLost
from sidecar.sound import mixer
from sidecar.sound.form import AudioForm, SampleFormat

FORM = AudioForm(SampleFormat.S16, 2, 48_000)
LOUD = np.full((480, 2), 8192, "<i2").tobytes()


class Ear:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.data = b""

    def audio_began(self) -> None:
        self.log.append("began")

    def audio_played(self, data: bytes) -> None:
        self.data += data

    def audio_ended(self) -> None:
        self.log.append("ended")


@pytest.fixture(autouse=True)
def _sound_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    # whatever the machine of the tests does meanwhile
    monkeypatch.setattr(mixer, "SILENCE", 600.0)


@pytest.fixture
async def audio() -> QemuAudio:
    return QemuAudio()


@pytest.fixture
async def qemu(audio: QemuAudio) -> AsyncIterator[VoiceSide]:
    async with served(audio) as (side, _):
        yield await first_voice(side)


@pytest.fixture
async def ear(audio: QemuAudio, qemu: VoiceSide) -> Ear:
    ear = Ear()
    audio.listen(FORM, ear)
    return ear


async def still_heard(qemu: VoiceSide, ear: Ear, voice: int = 99) -> None:
    """Fails unless a voice that does all as it should is heard."""
    await qemu.begin(voice)
    ear.data = b""
    await qemu.write(voice, LOUD)
    await eventually(lambda: ear.data == LOUD, "the next voice is heard")


# as it should


async def test_qemu_is_answered_that_the_listener_has_no_properties(qemu: VoiceSide) -> None:
    answer = await qemu.ask("GetAll", "s", OUT_LISTENER, interface="org.freedesktop.DBus.Properties")
    assert answer == [{}]


async def test_a_machine_without_sound_is_not_listened_to() -> None:
    audio = QemuAudio()
    async with served(audio, has_audio=False) as (side, is_served):
        await eventually(lambda: not is_served(), "nothing is left to do")
        assert not audio.is_there
        assert side.voices == []


async def test_a_qemu_that_would_crash_is_not_listened_to(caplog: pytest.LogCaptureFixture) -> None:
    audio = QemuAudio()
    async with served(audio, about={}) as (side, is_served):
        await eventually(lambda: not is_served(), "nothing is left to do")
        assert not audio.is_there
        assert side.voices == []
    assert "by a bus" in caplog.text


async def test_sound_is_there_while_the_machine_is() -> None:
    audio = QemuAudio()
    seen: list[bool] = []
    audio.changes.subscribe(lambda: seen.append(audio.is_there))
    async with served(audio) as (side, _):
        await first_voice(side)
        assert audio.is_there
    assert seen == [True, False]


async def test_a_voice_is_heard_until_it_pauses(qemu: VoiceSide, ear: Ear) -> None:
    await qemu.begin(1)
    await qemu.write(1, LOUD)
    await eventually(lambda: ear.data == LOUD, "the voice is heard")
    assert ear.log == ["began"]
    await qemu.say("SetEnabled", "tb", 1, False)
    await eventually(lambda: ear.log == ["began", "ended"], "it has ended")


async def test_a_voice_that_says_nothing_more_ends_by_the_clock(
    qemu: VoiceSide, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixer, "SILENCE", 0.1)
    await qemu.begin(1)
    await qemu.write(1, LOUD)
    await eventually(lambda: ear.log == ["began", "ended"], "it has ended")
    assert ear.data == LOUD


async def test_a_volume_set_before_anybody_listened_counts(audio: QemuAudio, qemu: VoiceSide) -> None:
    await qemu.begin(1)
    await qemu.say("SetVolume", "tbay", 1, False, bytes([255, 0]))
    await qemu.write(1, LOUD)
    await qemu.settle()
    ear = Ear()
    audio.listen(FORM, ear)
    await qemu.write(1, LOUD)
    await eventually(lambda: ear.data, "the voice is heard")
    assert ear.data == np.tile(np.array([8192, 0], "<i2"), 480).tobytes()


async def test_calls_that_want_an_answer_get_one(qemu: VoiceSide, ear: Ear) -> None:
    assert await qemu.demand("Init", INIT, 1, *CARD) == []
    assert await qemu.demand("SetEnabled", "tb", 1, True) == []
    assert await qemu.demand("Write", "tay", 1, LOUD) == []
    assert await qemu.demand("Fini", "t", 1) == []
    await eventually(lambda: ear.log == ["began", "ended"], "it has ended")


async def test_when_the_connection_ends_there_is_another_and_its_voices_are_heard(
    audio: QemuAudio,
) -> None:
    ear = Ear()
    audio.listen(FORM, ear)
    async with served(audio) as (side, _):
        for number in range(3):
            qemu = await first_voice(side, number)
            await qemu.begin(1)
            await qemu.write(1, LOUD)
            await eventually(lambda: ear.log[-1:] == ["began"], "the voice is heard")
            qemu.close()
            await eventually(lambda: ear.log[-1:] == ["ended"], "it has ended")
        assert audio.is_there
    assert ear.data == 3 * LOUD


async def test_where_another_listens_already_it_is_tried_again() -> None:
    audio = QemuAudio()
    async with served(audio, refuses=2) as (side, _):
        await first_voice(side)
        assert audio.is_there


async def test_listeners_outlive_the_machine(audio: QemuAudio) -> None:
    ear = Ear()
    leave = audio.listen(FORM, ear)
    for _ in range(2):
        async with served(audio) as (side, _):
            qemu = await first_voice(side)
            await qemu.begin(1)
            await qemu.write(1, LOUD)
            await eventually(lambda: ear.log[-1:] == ["began"], "the voice is heard")
        assert ear.log[-1] == "ended"
    leave()


# as it never does


@pytest.mark.parametrize(
    "about",
    [
        (16, True, False, 0, 2, 4, 0, False),
        (16, True, False, 48_000, 0, 0, 0, False),
        (16, True, False, 48_000, 255, 510, 24_480_000, False),
        (16, True, False, 2**32 - 1, 2, 4, 2**32 - 4, False),
        (16, True, False, 48_000, 2, 2**32 - 1, 192_000, False),
        (16, True, False, 48_000, 2, 0, 0, False),
        (12, True, False, 48_000, 2, 3, 144_000, False),
        (0, False, True, 48_000, 2, 4, 192_000, True),
    ],
)
async def test_forms_that_make_no_sense_are_not_heard(
    qemu: VoiceSide, ear: Ear, about: tuple[object, ...]
) -> None:
    await qemu.begin(1, about)
    with pytest.raises(CallRefused):
        await qemu.demand("Init", INIT, 1, *about)
    await qemu.write(1, LOUD)
    await qemu.settle()
    assert ear.log == []
    await still_heard(qemu, ear)


async def test_messages_that_make_no_sense_do_not_end_the_connection(qemu: VoiceSide, ear: Ear) -> None:
    await qemu.say("Write", "tay", 5, LOUD)
    await qemu.say("Fini", "t", 2**64 - 1)
    await qemu.say("SetVolume", "tbay", 5, True, b"")
    await qemu.say("Write", "s", "loud")
    await qemu.say("Write", "iu", -1, 1)
    await qemu.say("Sing", "")
    with pytest.raises(CallRefused):
        await qemu.demand("Sing", "")
    with pytest.raises(CallRefused):
        await qemu.demand("SetEnabled", "b", True)
    await qemu.begin(1)
    for data in (b"", b"\1", b"\1\2\3", bytes(3), bytes(1 << 20)):
        await qemu.write(1, data)
    await qemu.say("Fini", "t", 1)
    await qemu.settle()
    assert ear.log == []
    await still_heard(qemu, ear)


async def test_of_a_thousand_voices_the_first_are_heard_and_one_line_is_logged(
    qemu: VoiceSide, ear: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    for voice in range(1000):
        await qemu.begin(voice)
    await qemu.settle()
    await eventually(lambda: "not heard" in caplog.text, "it is logged")
    await still_heard(qemu, ear, voice=0)
    assert caplog.text.count("not heard") == 1


async def test_what_is_wrong_is_logged_once(
    qemu: VoiceSide, ear: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(20):
        await qemu.say("Init", INIT, 1, 16, True, False, 0, 2, 4, 0, False)
    await qemu.settle()
    assert caplog.text.count("what cannot be") == 1


# the way to the main loop


async def test_sound_that_waits_for_a_busy_main_loop_is_bounded() -> None:
    queue = NewsQueue(lambda: None)
    done: list[int] = []
    queue.put(lambda: done.append(1))
    for _ in range(5):
        queue.put(Played(1, bytes(MOST_SOUND // 2), 0.0))
    queue.put(lambda: done.append(2))
    news = queue.take()
    sound = [one for one in news if isinstance(one, Played)]
    assert sum(len(one.data) for one in sound) <= MOST_SOUND
    assert queue.dropped == 3 * (MOST_SOUND // 2)
    for one in news:
        if not isinstance(one, Played):
            one()
    assert done == [1, 2]


async def test_a_flood_of_messages_is_an_error() -> None:
    queue = NewsQueue(lambda: None)
    for _ in range(MOST_MESSAGES):
        queue.put(lambda: None)
    with pytest.raises(OverflowError):
        queue.put(lambda: None)


async def test_the_main_loop_is_woken_once_for_all_and_again_for_the_next() -> None:
    woken: list[int] = []
    queue = NewsQueue(lambda: woken.append(len(queue.take())))
    for _ in range(3):
        queue.put(Played(1, LOUD, 0.0))
    await asyncio.sleep(0)
    queue.put(Played(1, LOUD, 0.0))
    await asyncio.sleep(0)
    assert woken == [3, 1]
    queue.close()
    queue.put(Played(1, LOUD, 0.0))
    await asyncio.sleep(0)
    assert woken == [3, 1]


async def test_a_machine_that_says_too_much_is_cut_off_and_heard_again(
    monkeypatch: pytest.MonkeyPatch, audio: QemuAudio
) -> None:
    ear = Ear()
    audio.listen(FORM, ear)
    async with served(audio) as (side, _):
        qemu = await first_voice(side)
        monkeypatch.setattr("sidecar.qemu.audio_news.MOST_MESSAGES", 0)
        with pytest.raises(ConnectionLost):
            await qemu.demand("SetEnabled", "tb", 1, True)
        monkeypatch.undo()
        await still_heard(await first_voice(side, 1), ear)
