"""The audio output protocol: byte by byte, and with clients that make no sense."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.rdp.audio_format import AAC, COMPRESSED_FORMATS, OPUS, PCM_FORMATS, AudioFormat, pcm
from sidecar.rdp.audio_output import MAX_WAVE, AudioOutput, Confirmed, Quality, Trained
from sidecar.rdp.errors import LocalError, Reason, RemoteError

STEREO = pcm(44_100, 2)
STEREO_BYTES = bytes.fromhex("0100 0200 44ac0000 10b10200 0400 1000 0000")
TRAINING = bytes.fromhex("06 00 0400 d204 0000")


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("<BBH", kind, 0, len(body)) + body


def formats(*each: bytes, version: int = 8, flags: int = 3, count: int | None = None) -> bytes:
    """Client Audio Formats and Version."""
    number = len(each) if count is None else count
    return message(7, struct.pack("<IIIHHBHB", flags, 0, 0, 0, number, 0, version, 0) + b"".join(each))


def ready(version: int = 8, flags: int = 3) -> AudioOutput:
    output = AudioOutput([STEREO])
    output.opened()
    output.receive(formats(STEREO_BYTES, version=version, flags=flags), 1234)
    output.receive(TRAINING, 1234)
    return output


class TestAgreeing:
    def test_the_offer_holds_the_formats(self) -> None:
        offer = AudioOutput([STEREO]).opened()
        assert (
            offer
            == bytes.fromhex("07 00 2600 00000000 00000000 00000000 0000 0100 ff 0800 00") + STEREO_BYTES
        )

    def test_compressed_formats_are_those_that_other_servers_offer(self) -> None:
        assert AAC.pack() == bytes.fromhex("06a1 0200 44ac0000 e02e0000 0400 1000 0000")
        assert OPUS.pack() == bytes.fromhex("4f70 0200 80bb0000 e02e0000 0400 1000 0000")

    def test_the_client_is_trained_and_then_ready(self) -> None:
        output = AudioOutput(PCM_FORMATS)
        assert output.receive(formats(STEREO_BYTES, AAC.pack()), 1234) == ([], [TRAINING])
        assert output.receive(message(12, b"\2\0\0\0"), 0) == ([], [])
        assert output.receive(TRAINING, 1300) == ([Trained((STEREO, AAC), Quality.HIGH)], [])

    @pytest.mark.parametrize(
        ("wish", "quality"), [(0, Quality.DYNAMIC), (1, Quality.MEDIUM), (7, Quality.DYNAMIC)]
    )
    def test_the_clients_wish_for_quality_is_told(self, wish: int, quality: Quality) -> None:
        output = AudioOutput(PCM_FORMATS)
        output.receive(formats(STEREO_BYTES), 0)
        output.receive(message(12, struct.pack("<HH", wish, 0)), 0)
        assert output.receive(TRAINING, 0)[0] == [Trained((STEREO,), quality)]

    def test_a_client_of_an_old_version_tells_no_quality(self) -> None:
        output = AudioOutput(PCM_FORMATS)
        output.receive(formats(STEREO_BYTES, version=5), 0)
        assert output.receive(TRAINING, 0)[0] == [Trained((STEREO,), Quality.DYNAMIC)]

    def test_what_a_format_says_of_its_size_does_not_matter(self) -> None:
        assert AAC.is_same(AudioFormat(AAC.tag, 2, 44_100, 20_000, 1, 16, b"\x12\x10"))
        for other in (*PCM_FORMATS, OPUS, AudioFormat(AAC.tag, 1, 44_100, 12_000, 4, 16)):
            assert not AAC.is_same(other)


class TestSound:
    def test_a_wave(self) -> None:
        output = ready()
        block, messages = output.wave(3, b"abcdefgh", 0x123456789)
        assert block == 0
        assert messages == [bytes.fromhex("0d 00 1400 8967 0300 00 000000 89674523") + b"abcdefgh"]

    def test_old_clients_get_waves_in_two_messages(self) -> None:
        output = ready(version=7)
        block, messages = output.wave(3, b"abcdefgh", 0x16789)
        assert block == 0
        assert messages == [bytes.fromhex("02 00 1000 8967 0300 00 000000") + b"abcd", bytes(4) + b"efgh"]
        assert output.wave(3, b"ab", 0)[1][0].endswith(b"ab\0\0"), "one sample in one channel"

    def test_the_numbers_of_blocks_go_round(self) -> None:
        output = ready()
        assert [output.wave(0, b"abcd", 0)[0] for _ in range(257)] == [*range(256), 0]

    @pytest.mark.parametrize("version", [7, 8])
    def test_the_longest_wave_fits(self, version: int) -> None:
        first, *rest = ready(version).wave(0, bytes(MAX_WAVE), 0)[1]
        told = struct.unpack_from("<H", first, 2)[0]
        # the second message of two has no header: its first four bytes stand for those in the first one
        assert told == len(first) - 4 + sum(len(each) - 4 for each in rest)

    def test_a_client_that_is_not_ready_gets_nothing(self) -> None:
        output = AudioOutput(PCM_FORMATS)
        output.receive(formats(STEREO_BYTES), 0)
        with pytest.raises(LocalError):
            output.wave(0, b"abcd", 0)

    def test_a_confirmation(self) -> None:
        assert ready().receive(bytes.fromhex("05 00 0400 3412 07 00"), 0) == ([Confirmed(7, 0x1234)], [])

    def test_close(self) -> None:
        assert ready().close() == bytes.fromhex("01 00 0000")

    def test_volume_is_for_clients_that_have_it(self) -> None:
        assert ready(flags=3).volume(0x1234, 0xFFFF) == [bytes.fromhex("03 00 0400 3412 ffff")]
        assert ready(flags=1).volume(0x1234, 0xFFFF) == []


class TestHostile:
    def test_more_formats_than_there_are(self) -> None:
        with pytest.raises(RemoteError, match="65535 formats") as caught:
            AudioOutput(PCM_FORMATS).receive(formats(STEREO_BYTES, count=65535), 0)
        assert caught.value.reason is Reason.MALFORMED

    def test_as_many_formats_as_there_can_be(self) -> None:
        output = AudioOutput(PCM_FORMATS)
        output.receive(formats(*[struct.pack("<HHIIHHH", 1, 0, 0, 0, 0, 0, 0)] * 3638), 0)
        ((trained,), _) = output.receive(TRAINING, 0)
        assert isinstance(trained, Trained)
        assert not any(each.is_same(other) for each in PCM_FORMATS for other in trained.formats)

    def test_a_format_that_ends_outside_of_the_message(self) -> None:
        with pytest.raises(RemoteError) as caught:
            AudioOutput(PCM_FORMATS).receive(formats(STEREO_BYTES[:-2] + b"\xff\xff"), 0)
        assert caught.value.reason is Reason.TRUNCATED

    def test_formats_twice(self) -> None:
        with pytest.raises(RemoteError) as caught:
            ready().receive(formats(STEREO_BYTES), 0)
        assert caught.value.reason is Reason.UNEXPECTED

    @pytest.mark.parametrize("moment", ["at once", "twice"])
    def test_a_training_that_was_not_sent(self, moment: str) -> None:
        output = ready() if moment == "twice" else AudioOutput(PCM_FORMATS)
        with pytest.raises(RemoteError) as caught:
            output.receive(TRAINING, 0)
        assert caught.value.reason is Reason.UNEXPECTED

    @pytest.mark.parametrize("kind", [5, 6, 7, 12])
    def test_messages_that_end_too_early(self, kind: int) -> None:
        for body in (b"", b"\0"):
            with pytest.raises(RemoteError) as caught:
                AudioOutput(PCM_FORMATS).receive(message(kind, body), 0)
            assert caught.value.reason is Reason.TRUNCATED
        with pytest.raises(RemoteError):
            AudioOutput(PCM_FORMATS).receive(message(kind, bytes(40))[:10], 0)

    def test_messages_that_nobody_knows(self) -> None:
        for kind in (0, 2, 4, 9, 0x0D, 0xFF):
            assert ready().receive(message(kind, b"whatever"), 0) == ([], [])

    def test_bytes_behind_a_message(self) -> None:
        assert ready().receive(message(5, bytes(4)) + b"more", 0) == ([Confirmed(0, 0)], [])

    @given(
        st.lists(
            st.one_of(
                st.binary(max_size=60),
                st.builds(message, st.sampled_from([5, 6, 7, 12]), st.binary(max_size=90)),
                st.just(formats(STEREO_BYTES)),
                st.just(TRAINING),
            ),
            max_size=6,
        )
    )
    def test_anything(self, messages: list[bytes]) -> None:
        output = AudioOutput((*PCM_FORMATS, *COMPRESSED_FORMATS))
        for each in messages:
            try:
                output.receive(each, 0)
            except RemoteError:
                return
