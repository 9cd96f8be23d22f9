"""The mixer: voices in, one sound for each form out. The time is the tests'."""

import gc
from collections.abc import Sequence

import numpy as np
import pytest
from ear import BLOCK, CARD, STEREO, Ear, blocks, tone
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tone import level, measure

from sidecar.sound.form import AudioForm, SampleFormat
from sidecar.sound.mixer import MAX_VOICES, Mixer
from sidecar.sound.voice_form import VoiceForm, encode

SPEAKER = VoiceForm(8, False, False, 32_000, 1)
OTHER = AudioForm(SampleFormat.U8, 1, 22_050)


def listening(*forms: AudioForm) -> tuple[Mixer, list[Ear]]:
    mixer = Mixer()
    ears = [Ear(form) for form in forms or (STEREO,)]
    for ear in ears:
        mixer.listen(ear.form, ear)
    return mixer, ears


def begin(mixer: Mixer, voice: int, form: VoiceForm = CARD) -> None:
    mixer.voice_begins(voice, form)
    mixer.enable_voice(voice, enabled=True)


def play(mixer: Mixer, voice: int, pieces: Sequence[bytes], at: float = 0.0) -> float:
    """Plays them one after the other; the time after the last."""
    for piece in pieces:
        mixer.voice_plays(voice, piece, at)
        at += BLOCK
    return at


# one voice


def test_a_voice_of_the_form_asked_for_is_heard_as_it_is() -> None:
    mixer, (ear,) = listening()
    begin(mixer, 7)
    data = blocks(tone(440, 0.5))
    play(mixer, 7, data)
    assert ear.pieces == data
    assert ear.log == ["began"]


@pytest.mark.parametrize(
    "form",
    [CARD, SPEAKER, VoiceForm(32, True, True, 11_025, 1, True), VoiceForm(16, True, False, 96_000, 6)],
)
@pytest.mark.parametrize("wanted", [STEREO, OTHER, AudioForm(SampleFormat.F32, 2, 44_100)])
def test_every_voice_is_heard_in_every_form_from_beginning_to_end(form: VoiceForm, wanted: AudioForm) -> None:
    mixer, (ear,) = listening(wanted)
    begin(mixer, 1, form)
    play(mixer, 1, blocks(tone(440, 2, form), form))
    mixer.enable_voice(1, enabled=False)
    assert ear.log == ["began", "ended"]
    heard = measure(ear.heard, wanted.rate)
    assert heard.frequency == pytest.approx(440, rel=0.001)
    assert heard.duration == pytest.approx(2, rel=0.002)
    assert heard.gaps == ()
    assert len(ear.heard) == pytest.approx(2 * wanted.rate, abs=2)


def test_listeners_of_one_form_get_the_same_object() -> None:
    mixer, (one, two, other) = listening(STEREO, STEREO, OTHER)
    begin(mixer, 1)
    play(mixer, 1, blocks(tone(440, 0.2)))
    assert one.pieces
    assert all(a is b for a, b in zip(one.pieces, two.pieces, strict=True))
    assert other.pieces


def test_a_large_piece_comes_in_blocks_of_a_tenth_of_a_second() -> None:
    mixer, (ear,) = listening()
    begin(mixer, 1)
    mixer.voice_plays(1, encode(tone(440, 0.25), CARD), 0)
    assert [len(piece) / STEREO.byte_rate for piece in ear.pieces] == [0.1, 0.1, pytest.approx(0.05)]


def test_volume_and_mute_are_those_of_each_channel() -> None:
    mixer, (ear,) = listening()
    begin(mixer, 1)
    mixer.set_volume(1, bytes([255, 51]), mute=False)
    at = play(mixer, 1, blocks(tone(440, 0.2, loudness=0.5)))
    left, right = ear.heard.T
    assert level(left, 48_000, 440) == pytest.approx(0.5, rel=0.01)
    assert level(right, 48_000, 440) == pytest.approx(0.1, rel=0.01)
    ear.pieces.clear()
    mixer.set_volume(1, bytes([255, 255]), mute=True)
    at = play(mixer, 1, blocks(tone(440, 0.2)), at)
    assert not ear.heard.any()
    mixer.set_volume(1, b"", mute=False)
    ear.pieces.clear()
    play(mixer, 1, blocks(tone(440, 0.2)), at)
    assert np.array_equal(ear.heard[:, 0], ear.heard[:, 1])
    assert level(ear.heard, 48_000, 440) == pytest.approx(0.25, rel=0.01)


# beginning and end


def test_silence_is_no_sound() -> None:
    mixer, (ear,) = listening()
    begin(mixer, 1)
    play(mixer, 1, blocks(np.zeros((48_000, 2), np.float32)))
    assert (ear.log, ear.pieces, mixer.deadline) == ([], [], None)


def test_a_second_of_silence_ends_it_and_the_next_sound_begins_it_with_its_first_frame() -> None:
    mixer, (ear,) = listening()
    begin(mixer, 1)
    sound, silence = blocks(tone(440, 0.5)), blocks(np.zeros((96_000, 2), np.float32))
    at = play(mixer, 1, sound)
    at = play(mixer, 1, silence[:95], at)
    assert ear.log == ["began"]
    at = play(mixer, 1, silence[95:], at)
    assert ear.log == ["began", "ended"]
    assert len(ear.heard) == pytest.approx(1.5 * 48_000, abs=960)
    ear.pieces.clear()
    play(mixer, 1, sound, at)
    assert ear.log == ["began", "ended", "began"]
    assert ear.pieces == sound


def test_a_machine_that_stands_still_ends_it_by_the_clock() -> None:
    mixer, (ear,) = listening(OTHER)
    begin(mixer, 1)
    at = play(mixer, 1, blocks(tone(440, 0.5)))
    assert mixer.deadline == pytest.approx(at - BLOCK + 1)
    mixer.tick(at + 0.5)
    assert ear.log == ["began"]
    mixer.tick(at + 1)
    assert ear.log == ["began", "ended"]
    # also what was still being resampled
    assert len(ear.heard) == pytest.approx(0.5 * 22_050, abs=2)
    assert mixer.deadline is None


def test_the_last_voice_that_pauses_ends_it_at_once() -> None:
    mixer, (ear,) = listening()
    for voice in (1, 2):
        begin(mixer, voice)
    play(mixer, 1, blocks(tone(440, 0.1)))
    mixer.enable_voice(1, enabled=False)
    assert ear.log == ["began"]
    mixer.voice_ends(2)
    assert ear.log == ["began", "ended"]


def test_who_comes_while_something_is_played_is_told_at_once() -> None:
    mixer, (first,) = listening()
    early = Ear()
    mixer.listen(STEREO, early)
    assert early.log == []
    begin(mixer, 1)
    at = play(mixer, 1, blocks(tone(440, 0.1)))
    late, other = Ear(), Ear(OTHER)
    mixer.listen(STEREO, late)
    mixer.listen(OTHER, other)
    assert late.log == other.log == ["began"]
    play(mixer, 1, blocks(tone(440, 0.1)), at)
    assert len(late.heard) == 4800
    assert len(first.heard) == 9600
    assert other.pieces


def test_who_leaves_hears_nothing_more_and_may_leave_again() -> None:
    mixer, (stays,) = listening()
    ear = Ear()
    leave = mixer.listen(STEREO, ear)
    begin(mixer, 1)
    at = play(mixer, 1, blocks(tone(440, 0.1)))
    count = len(ear.pieces)
    leave()
    leave()
    play(mixer, 1, blocks(tone(440, 0.1)), at)
    mixer.reset()
    assert ear.log == ["began"]
    assert len(ear.pieces) == count
    assert stays.log == ["began", "ended"]


def test_a_listener_may_leave_when_it_hears_something() -> None:
    mixer = Mixer()

    class Leaves(Ear):
        def audio_began(self) -> None:
            super().audio_began()
            leave()

    ear = Leaves()
    leave = mixer.listen(STEREO, ear)
    begin(mixer, 1)
    play(mixer, 1, blocks(tone(440, 0.1)))
    assert (ear.log, ear.pieces) == (["began"], [])
    assert not mixer.is_heard


def test_nothing_is_done_while_nobody_listens() -> None:
    mixer, _ = listening()
    leave = mixer.listen(STEREO, Ear())
    assert mixer.is_heard
    mixer, ear = Mixer(), Ear()
    begin(mixer, 1)
    play(mixer, 1, blocks(tone(440, 0.1)))
    assert (mixer.is_heard, mixer.deadline) == (False, None)
    leave = mixer.listen(STEREO, ear)
    play(mixer, 1, blocks(tone(440, 0.1)), 1)
    leave()
    assert (mixer.is_heard, mixer.deadline) == (False, None)
    assert len(ear.heard) == 4800


def test_volumes_are_followed_while_nobody_listens() -> None:
    mixer, ear = Mixer(), Ear()
    begin(mixer, 1)
    mixer.set_volume(1, b"\xff\xff", mute=True)
    mixer.listen(STEREO, ear)
    play(mixer, 1, blocks(tone(440, 0.1)))
    assert ear.log == []


# several voices


def test_voices_of_different_forms_are_added() -> None:
    mixer, (ear,) = listening()
    begin(mixer, 1)
    begin(mixer, 2, SPEAKER)
    card, speaker = blocks(tone(440, 1)), blocks(tone(1000, 1, SPEAKER), SPEAKER)
    for index in range(100):
        mixer.voice_plays(1, card[index], index * BLOCK)
        mixer.voice_plays(2, speaker[index], index * BLOCK + 0.004)
    for voice in (1, 2):
        mixer.enable_voice(voice, enabled=False)
    assert level(ear.heard, 48_000, 440) == pytest.approx(0.25, rel=0.02)
    assert level(ear.heard, 48_000, 1000) == pytest.approx(0.25, rel=0.02)
    assert len(ear.heard) == pytest.approx(48_000, abs=960)
    assert mixer.dropped == 0


def test_the_sum_is_clipped() -> None:
    mixer, (ear,) = listening()
    for voice in (1, 2):
        begin(mixer, voice)
    # each block begins the wave anew: the voices are a block apart
    loud = blocks(tone(400, 0.1, loudness=0.9))
    for index, block in enumerate(loud):
        for voice in (1, 2):
            mixer.voice_plays(voice, block, index * BLOCK)
    assert ear.heard.max() == pytest.approx(1, abs=0.001)
    assert ear.heard.min() == -1


def test_a_voice_that_delivers_nothing_does_not_hold_the_others_back() -> None:
    mixer, (ear,) = listening()
    for voice in (1, 2, 3):
        begin(mixer, voice)
    sound = blocks(tone(440, 1))
    play(mixer, 2, sound[:1])
    play(mixer, 1, sound)
    assert len(ear.heard) == pytest.approx(48_000, abs=480)
    assert measure(ear.heard[480:], 48_000).gaps == ()


def test_what_waits_for_another_voice_is_played_by_the_clock_when_that_does_not_come() -> None:
    mixer, (ear,) = listening()
    for voice in (1, 2):
        begin(mixer, voice)
    sound = blocks(tone(440, 1))
    play(mixer, 1, sound[:1])
    play(mixer, 2, sound[:3])
    assert len(ear.heard) == 480
    assert mixer.deadline is not None
    assert mixer.deadline < 0.1
    mixer.tick(mixer.deadline)
    assert len(ear.heard) == 480 + 3 * 480


def test_a_voice_that_pauses_does_not_cut_off_the_rest_of_it() -> None:
    mixer, (ear,) = listening()
    begin(mixer, 1)
    begin(mixer, 2, SPEAKER)
    sound = blocks(tone(1000, 0.5, SPEAKER), SPEAKER)
    for index in range(100):
        mixer.voice_plays(1, blocks(np.zeros((480, 2), np.float32))[0], index * BLOCK)
        if index < 50:
            mixer.voice_plays(2, sound[index], index * BLOCK)
        elif index == 50:
            mixer.enable_voice(2, enabled=False)
    heard = measure(ear.heard, 48_000)
    assert heard.duration == pytest.approx(0.5, rel=0.01)
    assert heard.gaps == ()


def test_a_voice_that_is_too_fast_loses_its_oldest_frames() -> None:
    mixer, (ear,) = listening()
    for voice in (1, 2):
        begin(mixer, voice)
    sound = blocks(tone(440, 1))
    for index in range(20):
        mixer.voice_plays(1, sound[index], index * BLOCK)
        mixer.voice_plays(2, b"".join(sound[:10]), index * BLOCK)
    assert len(ear.heard) <= 30 * 480
    assert mixer.dropped >= 20 * 10 * 480 - 30 * 480 - 9600
    dropped = mixer.dropped
    mixer.reset()
    # what was kept comes at the end, and is 200 ms
    assert len(ear.heard) <= 30 * 480 + 9600
    assert mixer.dropped == dropped


# what no machine does


def test_unknown_voices_are_ignored() -> None:
    mixer, (ear,) = listening()
    mixer.voice_plays(1, b"\1\2\3\4", 0)
    mixer.enable_voice(1, enabled=True)
    mixer.set_volume(1, b"\1", mute=False)
    mixer.voice_ends(1)
    assert ear.log == []


def test_a_number_that_is_used_again_is_another_voice() -> None:
    mixer, (ear,) = listening()
    begin(mixer, 1)
    mixer.set_volume(1, b"", mute=True)
    begin(mixer, 1, SPEAKER)
    play(mixer, 1, blocks(tone(440, 0.2, SPEAKER), SPEAKER))
    mixer.voice_ends(1)
    assert measure(ear.heard, 48_000).frequency == pytest.approx(440, rel=0.01)


def test_a_thousand_voices_are_too_many() -> None:
    mixer, _ = listening()
    for voice in range(MAX_VOICES):
        begin(mixer, voice)
    for voice in range(MAX_VOICES, 1000):
        with pytest.raises(ValueError, match="at most"):
            mixer.voice_begins(voice, CARD)
        mixer.voice_plays(voice, bytes(1920), 0)
    begin(mixer, 0)


def test_partial_frames_are_dropped() -> None:
    mixer, (ear,) = listening()
    begin(mixer, 1)
    for data in (b"", b"\x10", b"\x10\x10\x10", bytes(range(1, 8))):
        mixer.voice_plays(1, data, 0)
    assert b"".join(ear.pieces) == bytes(range(1, 5))


def test_of_a_piece_that_is_absurdly_long_the_last_second_is_played() -> None:
    mixer, (ear,) = listening()
    begin(mixer, 1)
    mixer.voice_plays(1, bytes(3 * STEREO.byte_rate) + encode(tone(440, 1), CARD) + b"\0", 0)
    assert len(ear.heard) == 48_000
    assert mixer.dropped == 3 * 48_000


EVENTS = st.one_of(
    st.tuples(st.just("begin"), st.integers(0, 3), st.sampled_from([CARD, SPEAKER])),
    st.tuples(st.just("end"), st.integers(0, 3)),
    st.tuples(st.just("enable"), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("volume"), st.integers(0, 3), st.binary(max_size=9), st.booleans()),
    st.tuples(st.just("play"), st.integers(0, 3), st.integers(0, 5000), st.integers(0, 255)),
    st.tuples(st.just("wait"), st.floats(0, 2)),
    st.tuples(st.just("join"), st.sampled_from([STEREO, OTHER])),
    st.tuples(st.just("leave")),
    st.tuples(st.just("reset")),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENTS, max_size=40))
def test_whatever_comes_sound_is_heard_between_its_beginning_and_its_end_only(
    events: list[tuple[object, ...]],
) -> None:
    mixer, now = Mixer(), 0.0

    class Strict(Ear):
        def audio_began(self) -> None:
            assert self.log[-1:] != ["began"]
            super().audio_began()

        def audio_ended(self) -> None:
            assert self.log[-1:] == ["began"]
            super().audio_ended()

        def audio_played(self, data: bytes) -> None:
            assert self.log[-1:] == ["began"]
            assert data
            assert len(data) % self.form.frame_size == 0
            assert len(data) <= self.form.byte_rate / 10

    leaves = []
    for kind, *details in events:
        match kind, *details:
            case "begin", int(voice), VoiceForm() as form:
                mixer.voice_begins(voice, form)
            case "end", int(voice):
                mixer.voice_ends(voice)
            case "enable", int(voice), bool(enabled):
                mixer.enable_voice(voice, enabled=enabled)
            case "volume", int(voice), bytes(levels), bool(mute):
                mixer.set_volume(voice, levels, mute=mute)
            case "play", int(voice), int(size), int(value):
                mixer.voice_plays(voice, bytes([value]) * size, now)
            case "wait", float(seconds):
                now += seconds
                mixer.tick(now)
                assert mixer.deadline is None or mixer.deadline > now - 1e-6
            case "join", AudioForm() as wanted:
                leaves.append(mixer.listen(wanted, Strict(wanted)))
            case ("leave",):
                if leaves:
                    leaves.pop()()
            case ("reset",):
                mixer.reset()
    for leave in leaves:
        leave()
    assert mixer.deadline is None


def test_voices_that_come_and_go_leave_nothing_behind() -> None:
    mixer, (ear,) = listening(OTHER)

    def one_round() -> None:
        begin(mixer, 1)
        play(mixer, 1, blocks(tone(440, 0.05)))
        mixer.voice_ends(1)

    one_round()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(50):
        one_round()
    ear.pieces.clear()
    ear.log.clear()
    gc.collect()
    assert len(gc.get_objects()) < before + 100
