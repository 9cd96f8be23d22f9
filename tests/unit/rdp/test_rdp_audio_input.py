"""The audio input protocol: byte by byte, and with clients that make no sense."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.rdp.audio_format import AAC, PCM_FORMATS, AudioFormat, pcm
from sidecar.rdp.audio_input import AudioInput, Ready, Refused, Spoken, Stage
from sidecar.rdp.errors import LocalError, Reason, RemoteError

STEREO, MONO = pcm(44_100, 2), pcm(44_100, 1)
STEREO_BYTES = bytes.fromhex("0100 0200 44ac0000 10b10200 0400 1000 0000")
VERSION = bytes.fromhex("01 02000000")


def formats(*each: AudioFormat, count: int | None = None) -> bytes:
    packed = b"".join(one.pack() for one in each)
    return struct.pack("<BII", 2, len(each) if count is None else count, 9 + len(packed)) + packed


def idle(*each: AudioFormat) -> AudioInput:
    sound = AudioInput(PCM_FORMATS)
    sound.opened()
    sound.receive(VERSION)
    sound.receive(formats(*(each or (STEREO,))))
    return sound


def recording(*each: AudioFormat) -> AudioInput:
    sound = idle(*each)
    sound.record()
    return sound


def change(number: int) -> bytes:
    return struct.pack("<BI", 7, number)


class TestAgreeing:
    def test_the_server_tells_its_version_then_its_formats(self) -> None:
        sound = AudioInput([STEREO])
        assert sound.opened() == bytes.fromhex("01 01000000")
        assert sound.receive(VERSION) == ([], [bytes.fromhex("02 01000000 1b000000") + STEREO_BYTES])

    @pytest.mark.parametrize(
        ("taken", "form"),
        [
            ((STEREO,), STEREO.form),
            ((MONO, STEREO), STEREO.form),
            ((AAC, MONO), MONO.form),
            ((AAC, AudioFormat(1, 0, 0, 0, 0, 0)), None),
            ((), None),
        ],
    )
    def test_what_the_client_lists_decides(self, taken: tuple[AudioFormat, ...], form: object) -> None:
        sound = AudioInput(PCM_FORMATS)
        sound.receive(VERSION)
        assert sound.receive(b"\x05") == ([], []), "as clients say before they send anything"
        assert sound.receive(formats(*taken)) == ([Ready(form)], [])  # type: ignore[arg-type]
        assert sound.stage is Stage.IDLE

    def test_extra_data_behind_the_formats_is_left_alone(self) -> None:
        sound = AudioInput(PCM_FORMATS)
        sound.receive(VERSION)
        assert sound.receive(formats(STEREO) + b"extra") == ([Ready(STEREO.form)], [])


class TestSound:
    def test_the_client_is_asked_for_packets_of_20_ms(self) -> None:
        sound = idle(MONO, STEREO)
        assert sound.record() == [bytes.fromhex("03 72030000 01000000") + STEREO_BYTES]
        assert sound.receive(change(1)) == ([], [])
        assert sound.receive(bytes.fromhex("04 00000000")) == ([], [])
        assert sound.receive(b"\x05") == ([], [])
        assert sound.receive(b"\x06abcdefgh") == ([Spoken(STEREO.form, b"abcdefgh")], [])

    def test_only_whole_frames_are_told(self) -> None:
        sound = recording()
        assert sound.receive(b"\x06abcdef") == ([Spoken(STEREO.form, b"abcd")], [])
        assert sound.receive(b"\x06g") == ([], [])
        assert sound.receive(b"\x06hijkl") == ([Spoken(STEREO.form, b"efghijkl")], [])
        assert sound.receive(b"\x06") == ([], [])

    def test_the_client_may_change_the_format(self) -> None:
        sound = recording(STEREO, MONO, AAC)
        sound.receive(b"\x06abcdef")
        sound.receive(change(1))
        assert sound.receive(b"\x06abcdef") == ([Spoken(MONO.form, b"abcdef")], []), "nothing is left over"
        sound.receive(change(2))
        assert sound.receive(b"\x06abcdef") == ([], []), "which was not offered"
        sound.receive(change(0))
        assert sound.receive(b"\x06abcd") == ([Spoken(STEREO.form, b"abcd")], [])

    def test_a_client_that_cannot_record_says_so(self) -> None:
        assert recording().receive(bytes.fromhex("04 05400080")) == ([Refused(-0x7FFFBFFB)], [])

    @pytest.mark.parametrize("sound", [AudioInput(PCM_FORMATS), idle(AAC), recording()])
    def test_only_an_idle_client_is_asked(self, sound: AudioInput) -> None:
        with pytest.raises(LocalError):
            sound.record()


class TestHostile:
    @pytest.mark.parametrize(
        ("sound", "message"),
        [
            (AudioInput(PCM_FORMATS), formats(STEREO)),
            (AudioInput(PCM_FORMATS), b"\x06abcd"),
            (idle(), VERSION),
            (idle(), formats(STEREO)),
            (idle(), b"\x06abcd"),
            (idle(), change(0)),
            (idle(), bytes.fromhex("04 00000000")),
        ],
    )
    def test_messages_at_the_wrong_time(self, sound: AudioInput, message: bytes) -> None:
        with pytest.raises(RemoteError) as caught:
            sound.receive(message)
        assert caught.value.reason is Reason.UNEXPECTED

    @pytest.mark.parametrize("count", [2, 65535, 2**32 - 1])
    def test_more_formats_than_there_are(self, count: int) -> None:
        sound = AudioInput(PCM_FORMATS)
        sound.receive(VERSION)
        with pytest.raises(RemoteError) as caught:
            sound.receive(formats(STEREO, count=count))
        assert caught.value.reason is Reason.MALFORMED

    @pytest.mark.parametrize("number", [1, 2**32 - 1])
    def test_a_format_that_the_client_does_not_have(self, number: int) -> None:
        with pytest.raises(RemoteError) as caught:
            recording().receive(change(number))
        assert caught.value.reason is Reason.MALFORMED

    @pytest.mark.parametrize("message", [b"", b"\x01", b"\x04\0", b"\x07\0\0\0"])
    def test_messages_that_end_too_early(self, message: bytes) -> None:
        with pytest.raises(RemoteError) as caught:
            AudioInput(PCM_FORMATS).receive(message)
        assert caught.value.reason is Reason.TRUNCATED

    @pytest.mark.parametrize("length", [1, 8, 10, 9 + 17, 9 + 19])
    def test_formats_that_end_too_early(self, length: int) -> None:
        sound = AudioInput(PCM_FORMATS)
        sound.receive(VERSION)
        message = formats(AudioFormat(1, 1, 1, 1, 1, 1, b"extra"))
        with pytest.raises(RemoteError) as caught:
            sound.receive(message[:length])
        assert caught.value.reason in (Reason.TRUNCATED, Reason.MALFORMED)

    def test_messages_that_nobody_knows(self) -> None:
        for kind in (0, 3, 8, 255):
            assert recording().receive(bytes((kind,)) + b"whatever") == ([], [])

    @given(
        st.lists(
            st.one_of(
                st.binary(max_size=40),
                st.sampled_from([VERSION, formats(STEREO, AAC), change(0), change(1), b"\x06abcdefg"]),
                st.builds(
                    lambda kind, body: bytes((kind,)) + body, st.integers(1, 7), st.binary(max_size=40)
                ),
            )
        )
    )
    def test_anything(self, messages: list[bytes]) -> None:
        sound = AudioInput(PCM_FORMATS)
        for message in messages:
            try:
                events, _ = sound.receive(message)
            except RemoteError:
                return
            for event in events:
                assert not isinstance(event, Spoken) or len(event.data) % event.form.frame_size == 0
            if Ready(STEREO.form) in events:
                sound.record()
