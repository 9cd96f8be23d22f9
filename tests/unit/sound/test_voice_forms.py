"""Samples of all kinds, to numbers and back."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.sound.form import MAX_RATE, MIN_RATE, AudioForm, SampleFormat
from sidecar.sound.voice_form import VoiceForm, decode, encode, spread, to_mono, to_stereo, voice_form

FORMS = [
    VoiceForm(bits, is_signed, is_float, 48_000, channels, is_big_endian)
    for bits, is_signed, is_float, channels, is_big_endian in itertools.product(
        (8, 16, 32), (False, True), (False, True), (1, 2, 6), (False, True)
    )
    if bits == 32 or not is_float
]


@pytest.mark.parametrize("form", FORMS)
def test_what_is_decoded_is_encoded_to_the_same_bytes(form: VoiceForm) -> None:
    random = np.random.default_rng(1)
    frames = random.uniform(-1, 1, (500, form.channels)).astype(np.float32)
    data = encode(frames, form)
    assert len(data) == 500 * form.frame_size
    assert encode(decode(data, form), form) == data
    assert np.abs(decode(data, form) - frames).max() <= 2.0 ** (1 - min(form.bits, 24))


def test_bytes_are_in_the_order_that_the_form_says() -> None:
    half = np.array([[0.5]], np.float32)
    assert encode(half, VoiceForm(16, True, False, 8000, 1)) == b"\x00\x40"
    assert encode(half, VoiceForm(16, True, False, 8000, 1, True)) == b"\x40\x00"
    assert encode(half, VoiceForm(16, False, False, 8000, 1)) == b"\x00\xc0"
    assert encode(half, VoiceForm(8, False, False, 8000, 1)) == b"\xc0"
    assert encode(half, VoiceForm(8, True, False, 8000, 1)) == b"\x40"
    assert encode(half, VoiceForm(32, True, True, 8000, 1, True)) == b"\x3f\x00\x00\x00"


@pytest.mark.parametrize("form", FORMS)
def test_what_is_too_loud_is_clipped(form: VoiceForm) -> None:
    frames = np.repeat(np.array([[-9.0], [9.0]], np.float32), form.channels, axis=1)
    low, high = decode(encode(frames, form), form)
    assert (low == -1).all()
    assert (high <= 1).all()
    assert (high > 0.99).all()


@pytest.mark.parametrize("form", FORMS)
def test_silence_is_silence(form: VoiceForm) -> None:
    silence = np.zeros((3, form.channels), np.float32)
    assert not decode(encode(silence, form), form).any()


@pytest.mark.parametrize("sample", SampleFormat)
def test_a_form_that_is_asked_for_is_a_voice_form(sample: SampleFormat) -> None:
    asked = AudioForm(sample, 2, 22_050)
    form = voice_form(asked)
    assert (form.frame_size, form.rate, form.channels) == (asked.frame_size, 22_050, 2)
    kind = {"u": "u", "s": "i", "f": "f"}[sample.code[0]]
    assert form.type == np.dtype(f"<{kind}{sample.width}")


def test_numbers_that_are_none_are_not_heard() -> None:
    form = VoiceForm(32, True, True, 8000, 1)
    data = np.array([np.nan, np.inf, -np.inf, 0.25], "<f4").tobytes()
    assert decode(data, form)[:, 0].tolist() == [0, 1, -1, 0.25]


@given(st.binary(max_size=200), st.sampled_from(FORMS))
def test_any_bytes_are_whole_frames_of_numbers(data: bytes, form: VoiceForm) -> None:
    frames = decode(data, form)
    assert frames.shape == (len(data) // form.frame_size, form.channels)
    assert np.isfinite(frames).all()


@pytest.mark.parametrize(
    ("bits", "is_float", "rate", "channels"),
    [
        (16, False, 0, 2),
        (16, False, MIN_RATE - 1, 2),
        (16, False, MAX_RATE + 1, 2),
        (16, False, 2**32 - 1, 2),
        (16, False, 48_000, 0),
        (16, False, 48_000, 9),
        (16, False, 48_000, 255),
        (0, False, 48_000, 2),
        (24, False, 48_000, 2),
        (64, True, 48_000, 2),
        (16, True, 48_000, 2),
    ],
)
def test_forms_that_no_card_has_are_refused(bits: int, is_float: bool, rate: int, channels: int) -> None:
    with pytest.raises(ValueError, match="no "):
        VoiceForm(bits, True, is_float, rate, channels)


@pytest.mark.parametrize("channels", range(1, 9))
def test_every_number_of_channels_becomes_two(channels: int) -> None:
    left = np.zeros((4, channels), np.float32)
    left[:, 0] = 0.5
    stereo = to_stereo(left)
    assert stereo.shape == (4, 2)
    assert stereo[0].tolist() == ([0.5, 0.5] if channels == 1 else [0.5, 0])


def test_the_centre_is_on_both_sides_and_the_rear_on_its_own() -> None:
    six = np.eye(6, dtype=np.float32)
    left, right = to_stereo(six).T
    assert left == pytest.approx([1, 0, 0.7071, 0, 0.7071, 0])
    assert right == pytest.approx([0, 1, 0.7071, 0, 0, 0.7071])


def test_one_channel_is_the_mean_of_all() -> None:
    assert to_mono(np.array([[0.5, 0.1]], np.float32)).tolist() == [[pytest.approx(0.3)]]


def test_a_recorder_with_many_channels_hears_in_front() -> None:
    mono, stereo = np.full((1, 1), 0.5, np.float32), np.array([[0.5, 0.25]], np.float32)
    assert spread(mono, 1) is mono
    assert spread(stereo, 1).tolist() == [[0.375]]
    assert spread(mono, 2).tolist() == [[0.5, 0.5]]
    assert spread(mono, 4).tolist() == [[0.5, 0.5, 0, 0]]
    assert spread(stereo, 3).tolist() == [[0.5, 0.25, 0]]
