"""What a machine records: speech as it comes, and silence by the clock."""

import numpy as np
import pytest
from ear import CARD, STEREO, blocks, tone
from support.tone import measure

from sidecar.sound.form import AudioForm, SampleFormat
from sidecar.sound.supply import Supply, heard
from sidecar.sound.voice_form import VoiceForm, decode, encode, voice_form

PHONE = AudioForm(SampleFormat.S16, 1, 16_000)
ALL = 1 << 40
"""Bytes of room: more than there ever are."""


def enabled(form: VoiceForm = CARD, now: float = 0.0) -> Supply:
    supply = Supply(form)
    supply.enable(now, enabled=True)
    return supply


def say(supply: Supply, data: bytes, now: float, form: AudioForm = STEREO) -> None:
    supply.put(form, heard(form, data), now)


def test_what_is_said_is_recorded_as_it_is() -> None:
    supply = enabled()
    pieces = blocks(tone(440, 0.1))
    for index, piece in enumerate(pieces):
        say(supply, piece, index / 100)
    assert supply.take(ALL, 0.1) == b"".join(pieces)


@pytest.mark.parametrize(
    "form", [CARD, VoiceForm(8, False, False, 11_025, 1), VoiceForm(32, True, True, 44_100, 6)]
)
def test_what_is_said_in_any_form_is_recorded_in_the_machines(form: VoiceForm) -> None:
    supply = enabled(form)
    recorded = b""
    said = voice_form(PHONE)
    for index, piece in enumerate(blocks(tone(440, 2, said), said)):
        say(supply, piece, index / 100, PHONE)
        recorded += supply.take(ALL, index / 100)
    frames = decode(recorded, form)
    heard = measure(frames[:, 0], form.rate)
    assert heard.frequency == pytest.approx(440, rel=0.001)
    assert heard.duration == pytest.approx(2, rel=0.02)
    assert heard.gaps == ()


def test_silence_has_as_many_frames_as_the_clock_says() -> None:
    supply = enabled(now=5)
    assert supply.take(ALL, 5) == b""
    assert supply.take(ALL, 5.125) == bytes(6000 * 4)
    assert supply.take(ALL, 5.125) == b""
    assert supply.take(400, 5.25) == bytes(400)
    assert supply.take(ALL, 5.25) == bytes(6000 * 4 - 400)


def test_silence_of_unsigned_samples_is_in_the_middle() -> None:
    supply = enabled(VoiceForm(8, False, False, 8000, 1))
    assert supply.take(ALL, 0.01) == b"\x80" * 80


def test_a_machine_that_did_not_ask_for_long_gets_no_more_than_200_ms() -> None:
    supply = enabled()
    assert len(supply.take(ALL, 3600)) == 9600 * 4
    assert supply.take(ALL, 3600) == b""


def test_speech_that_comes_late_is_waited_for() -> None:
    supply = enabled()
    pieces = blocks(tone(440, 1))
    recorded, now = b"", 0.0
    for index in range(0, 100, 4):
        # forty milliseconds at once, and the machine asks every ten
        say(supply, b"".join(pieces[index : index + 4]), now)
        for _ in range(4):
            recorded += supply.take(960, now)
            recorded += supply.take(960, now)
            now += 0.01
    assert recorded == b"".join(pieces)


def test_where_speech_stops_there_is_silence_again() -> None:
    supply = enabled()
    say(supply, encode(tone(440, 0.02), CARD), 0)
    recorded = b"".join(supply.take(ALL, index / 100) for index in range(101))
    frames = decode(recorded, CARD)
    assert len(frames) == pytest.approx(48_000, abs=480)
    assert measure(frames, 48_000).duration == pytest.approx(0.02, rel=0.1)


def test_what_is_not_taken_in_time_is_dropped_from_its_old_end() -> None:
    supply = enabled()
    pieces = blocks(tone(440, 0.5))
    for piece in pieces:
        say(supply, piece, 0)
    assert supply.take(ALL, 0.5)[: 9600 * 4] == b"".join(pieces[-20:])
    assert supply.dropped == 30 * 480


def test_nothing_is_kept_for_a_voice_that_does_not_record() -> None:
    supply = enabled()
    say(supply, encode(tone(440, 0.1), CARD), 0)
    supply.enable(1, enabled=False)
    say(supply, encode(tone(440, 0.1), CARD), 1)
    supply.enable(2, enabled=True)
    assert supply.take(ALL, 2) == b""


def test_volume_and_mute_are_followed() -> None:
    supply = enabled()
    supply.set_volume(bytes([255, 0]), mute=False)
    say(supply, encode(tone(440, 0.1), CARD), 0)
    left, right = decode(supply.take(ALL, 0.1), CARD).T
    assert left.any()
    assert not right.any()
    supply.set_volume(b"", mute=True)
    say(supply, encode(tone(440, 0.1), CARD), 0.2)
    assert not np.any(decode(supply.take(ALL, 0.2), CARD))


def test_only_whole_frames_are_given_and_taken() -> None:
    supply = enabled()
    say(supply, bytes(range(1, 8)), 0)
    assert supply.take(3, 0) == b""
    assert supply.take(7, 0) == bytes(range(1, 5))


def test_of_far_too_much_at_once_the_last_200_ms_are_heard() -> None:
    data = bytes(10 * STEREO.byte_rate) + encode(tone(440, 0.2), CARD)
    assert np.array_equal(heard(STEREO, data + b"\1"), decode(data[-9600 * 4 :], CARD))
