"""Sound in sessions: who hears it in which format, once, and what becomes of those who do not keep up."""

import asyncio
import struct
from dataclasses import dataclass, field

import av
import numpy as np
import pytest
from support.synthetic_guest import SyntheticAudio
from support.waiting import eventually

from sidecar.rdp import audio_encoder, audio_source
from sidecar.rdp.audio_channels import AudioChannel, Compression
from sidecar.rdp.audio_encoder import EncoderUnusable
from sidecar.rdp.audio_format import AAC, OPUS, PCM_FORMATS, AudioFormat, pcm
from sidecar.rdp.audio_output import MAX_WAVE
from sidecar.rdp.audio_source import AudioSource
from sidecar.rdp.errors import RemoteError
from sidecar.session.registry import Registry
from sidecar.session.session import Session

CLOSE, CONFIRM, TRAINING, FORMATS, QUALITY, WAVE2 = 1, 5, 6, 7, 12, 13
ALL = (*PCM_FORMATS, OPUS, AAC)


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("<BBH", kind, 0, len(body)) + body


@dataclass
class Client:
    """The other end of a handler. It confirms what it gets as long as `confirms`."""

    handler: AudioChannel
    session: Session
    flushed: int = 0
    confirms: bool = True
    sent: list[tuple[int, bytes]] = field(default_factory=list)
    waves: list[tuple[int, bytes]] = field(default_factory=list)
    """Numbers of formats, and sound."""

    @property
    def flush(self):
        return self._flush

    def _flush(self) -> None:
        self.flushed += 1

    def send(self, data: bytes) -> None:
        kind, length = data[0], struct.unpack_from("<H", data, 2)[0]
        assert length == len(data) - 4
        self.sent.append((kind, data[4:]))
        if kind == WAVE2:
            timestamp, number, block = struct.unpack_from("<HHB", data, 4)
            self.waves.append((number, data[16:]))
            if self.confirms:
                self.handler.receive(message(CONFIRM, struct.pack("<HBB", timestamp, block, 0)))

    def agree(self, *formats: AudioFormat, quality: int | None = None) -> None:
        fields = struct.pack("<IIIHHBHB", 3, 0, 0, 0, len(formats), 0, 8, 0)
        self.handler.receive(message(FORMATS, fields + b"".join(each.pack() for each in formats)))
        if quality is not None:
            self.handler.receive(message(QUALITY, struct.pack("<HH", quality, 0)))
        assert self.sent[-1][0] == TRAINING
        self.handler.receive(message(TRAINING, self.sent[-1][1]))

    @property
    def heard(self) -> bytes:
        return b"".join(data for _, data in self.waves)

    @property
    def kinds(self) -> list[int]:
        return [kind for kind, _ in self.sent]


class Hall:
    """A machine that plays, and its hearers."""

    def __init__(self, compression: Compression = Compression.NEVER) -> None:
        self.audio = SyntheticAudio()
        self.source = AudioSource(self.audio)
        self.compression = compression
        self.registry = Registry()

    def client(self) -> Client:
        session = self.registry.connect("rdp", "tcp", "192.0.2.1:4000", end=lambda _: None)
        client = Client(None, session)  # type: ignore[arg-type]
        client.handler = AudioChannel(self.source, client, self.compression)
        client.handler.opened(client)
        return client


def tone(rate: int, seconds: float = 1.0) -> bytes:
    at = np.arange(int(rate * seconds)) / rate
    return np.repeat((8000 * np.sin(2 * np.pi * 440 * at)).astype("<i2"), 2).tobytes()


def decoded(codec: str, rate: int, packets: list[bytes]) -> np.ndarray:
    decoder = av.CodecContext.create(codec, "r")
    decoder.sample_rate, decoder.layout = rate, "stereo"
    frames = [frame.to_ndarray()[0] for each in packets for frame in decoder.decode(av.Packet(each))]
    return np.concatenate(frames)


def frequency(samples: np.ndarray, rate: int) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * rate / len(samples))


class TestSamples:
    async def test_the_client_hears_what_is_played(self) -> None:
        hall = Hall()
        client = hall.client()
        client.agree(pcm(44_100, 1), pcm(44_100, 2))
        assert client.session.audio == "s16/44100/2"
        assert [form for form, _ in hall.audio.listeners] == [pcm(44_100, 2).form]
        hall.audio.begin()
        for data in (b"abcd" * 100, b"efgh" * 200):
            hall.audio.play(data)
        assert client.waves == [(1, b"abcd" * 100), (1, b"efgh" * 200)], "in the client's second format"
        assert client.flushed >= 2
        hall.audio.end()
        assert client.kinds[-1] == CLOSE
        client.handler.closed()
        assert hall.audio.listeners == []

    @pytest.mark.parametrize(
        ("formats", "name"),
        [
            (ALL, "s16/48000/2"),
            (ALL[::-1], "s16/48000/2"),
            ((pcm(22_050, 2), pcm(44_100, 1)), "s16/44100/1"),
            ((pcm(44_100, 1), pcm(48_000, 1)), "s16/48000/1"),
            ((pcm(44_100, 1),) * 3000, "s16/44100/1"),
        ],
    )
    async def test_what_the_client_lists_decides(self, formats: tuple[AudioFormat, ...], name: str) -> None:
        client = Hall().client()
        client.agree(*formats)
        assert client.session.audio == name

    async def test_a_client_without_a_format_in_common_hears_nothing(self) -> None:
        hall = Hall()
        client = hall.client()
        client.agree(AudioFormat(1, 0, 0, 0, 0, 0), AudioFormat(1, 65535, 2**32 - 1, 0, 0, 16), pcm(8000, 1))
        assert client.session.audio == ""
        assert hall.audio.listeners == []
        client.handler.closed()

    async def test_long_sound_is_sent_in_waves_that_can_be_told(self) -> None:
        hall = Hall()
        client = hall.client()
        client.agree(*ALL)
        data = tone(48_000, 0.6)
        hall.audio.begin()
        hall.audio.play(data)
        assert client.heard == data
        assert len(client.waves) == 2
        assert all(len(each) % 4 == 0 and len(each) <= MAX_WAVE for _, each in client.waves)

    async def test_silence_sends_nothing(self) -> None:
        hall = Hall()
        client = hall.client()
        client.agree(*ALL)
        assert client.kinds == [FORMATS, TRAINING]

    async def test_what_was_not_agreed_on_is_not_heard(self) -> None:
        hall = Hall()
        client = hall.client()
        hall.audio.begin()
        hall.audio.play(bytes(400))
        assert client.kinds == [FORMATS]
        client.agree(*ALL)
        hall.audio.play(bytes(400))
        assert client.heard == bytes(400)

    async def test_a_machine_without_sound_is_not_heard(self) -> None:
        hall = Hall()
        hall.audio.is_there = False
        client = hall.client()
        client.agree(*ALL)
        assert client.session.audio == ""
        hall.audio.is_there = True
        hall.audio.changes.notify()
        assert client.session.audio == "s16/48000/2"
        client.handler.closed()
        assert len(hall.audio.changes) == 0


class TestSlowClients:
    async def test_what_is_over_is_dropped_whole_and_counted_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hold_time(monkeypatch, 0.0)
        hall = Hall()
        slow, quick = hall.client(), hall.client()
        for client in (slow, quick):
            client.agree(*ALL)
        hall.audio.begin()
        hall.audio.play(bytes(3840))
        slow.confirms = False
        for _ in range(100):
            hall.audio.play(bytes(3840))
        assert 10 <= len(slow.waves) <= 12, "200 ms, and what it had confirmed"
        assert {len(each) for _, each in slow.waves} == {3840}
        assert slow.session.audio_drop_outs == 1
        assert len(quick.waves) == 101
        assert quick.session.audio_drop_outs == 0
        slow.confirms = True
        slow.handler.receive(message(CONFIRM, struct.pack("<HBB", 0, len(slow.waves) - 1, 0)))
        hall.audio.play(b"back" * 960)
        assert slow.waves[-1][1] == b"back" * 960
        slow.confirms = False
        for _ in range(100):
            hall.audio.play(bytes(3840))
        assert slow.session.audio_drop_outs == 2

    async def test_a_client_that_never_confirms_is_sent_little(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hold_time(monkeypatch, 0.0)
        hall = Hall()
        client = hall.client()
        client.confirms = False
        client.agree(*ALL)
        hall.audio.begin()
        for _ in range(1000):
            hall.audio.play(bytes(3840))
        assert len(client.heard) <= 1.3 * 192_000
        assert client.session.audio_drop_outs == 1

    async def test_confirmations_of_nothing_are_left_alone(self) -> None:
        hall = Hall()
        client = hall.client()
        client.agree(*ALL)
        for block in range(256):
            client.handler.receive(message(CONFIRM, struct.pack("<HBB", 65535, block, 255)))
        hall.audio.begin()
        hall.audio.play(bytes(3840))
        assert client.heard == bytes(3840)

    async def test_a_client_that_breaks_the_protocol_is_the_only_one_to_suffer(self) -> None:
        hall = Hall()
        bad, good = hall.client(), hall.client()
        good.agree(*ALL)
        with pytest.raises(RemoteError):
            bad.handler.receive(message(FORMATS, b"\xff" * 20))
        bad.handler.closed()
        hall.audio.begin()
        hall.audio.play(bytes(3840))
        assert good.heard == bytes(3840)


class TestCompressed:
    @pytest.mark.parametrize(
        ("form", "codec", "name"), [(OPUS, "opus", "opus/48000/2"), (AAC, "aac", "aac/44100/2")]
    )
    async def test_the_client_hears_the_tone(self, form: AudioFormat, codec: str, name: str) -> None:
        hall = Hall(Compression.ALWAYS)
        client = hall.client()
        client.agree(form, *PCM_FORMATS)
        assert client.session.audio == name
        await play_tone(hall, client, form)
        assert {number for number, _ in client.waves} == {0}
        samples = decoded(codec, form.rate, [data for _, data in client.waves])
        assert form.rate <= len(samples) <= form.rate * 1.06, "what codecs have to add"
        middle = samples[form.rate // 4 : form.rate * 3 // 4]
        assert frequency(middle, form.rate) == pytest.approx(440, rel=0.01)
        assert len(client.heard) < 20_000
        client.handler.closed()

    async def test_it_is_encoded_once_for_all(self) -> None:
        hall = Hall(Compression.ALWAYS)
        clients = [hall.client() for _ in range(3)]
        for client in clients:
            client.agree(OPUS)
        assert len(hall.audio.listeners) == 1
        await play_tone(hall, clients[-1], OPUS)
        assert clients[0].waves == clients[1].waves == clients[2].waves != []
        clients[0].handler.closed()
        assert len(hall.audio.listeners) == 1
        for client in clients[1:]:
            client.handler.closed()
        assert hall.audio.listeners == []

    async def test_who_comes_later_hears_the_rest(self) -> None:
        hall = Hall(Compression.ALWAYS)
        first = hall.client()
        first.agree(OPUS)
        hall.audio.begin()
        hall.audio.play(tone(48_000, 0.1))
        await eventually(lambda: len(first.waves) == 5, "the beginning")
        second = hall.client()
        second.agree(OPUS)
        hall.audio.play(tone(48_000, 0.1))
        hall.audio.end()
        await eventually(lambda: second.kinds[-1] == CLOSE, "the end")
        assert second.waves == first.waves[5:]
        for client in (first, second):
            client.handler.closed()

    async def test_silence_between_two_sounds(self) -> None:
        hall = Hall(Compression.ALWAYS)
        client = hall.client()
        client.agree(OPUS)
        for _ in range(2):
            await play_tone(hall, client, OPUS)
        assert client.kinds.count(CLOSE) == 2
        samples = decoded("opus", 48_000, [data for _, data in client.waves])
        assert 96_000 <= len(samples) <= 96_000 * 1.06
        client.handler.closed()

    async def test_one_that_begins_again_at_once_is_not_ended(self) -> None:
        hall = Hall(Compression.ALWAYS)
        client = hall.client()
        client.agree(OPUS)
        hall.audio.begin()
        hall.audio.play(tone(48_000, 0.02))
        hall.audio.end()
        hall.audio.begin()
        hall.audio.play(tone(48_000, 0.1))
        await eventually(lambda: client.kinds.count(WAVE2) >= 6, "the second sound")
        last = len(client.kinds) - 1 - client.kinds[::-1].index(CLOSE)
        assert client.kinds[last + 1 :].count(WAVE2) == 5
        client.handler.closed()

    async def test_who_leaves_hears_nothing_of_what_is_being_encoded(self) -> None:
        hall = Hall(Compression.ALWAYS)
        client, other = hall.client(), hall.client()
        client.agree(OPUS)
        other.agree(AAC)
        hall.audio.begin()
        hall.audio.play(tone(48_000, 0.1))
        client.handler.closed()
        # that one is encoded by a thread of its own, and told of on the same loop
        await eventually(lambda: other.waves, "the other one hears it")
        assert client.waves == []
        other.handler.closed()

    async def test_where_it_cannot_be_encoded_samples_are_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(form: AudioFormat) -> None:
            raise EncoderUnusable(f"no {form.name}")

        monkeypatch.setattr(audio_source, "AudioEncoder", broken)
        hall = Hall(Compression.ALWAYS)
        clients = [hall.client(), hall.client()]
        for client in clients:
            client.agree(OPUS, *PCM_FORMATS)
        hall.audio.begin()
        hall.audio.play(tone(48_000, 0.02))
        await eventually(lambda: {each.session.audio for each in clients} == {"s16/48000/2"}, "samples")
        hall.audio.play(b"abcd")
        assert [each.waves for each in clients] == [[(1, b"abcd")]] * 2
        late = hall.client()
        late.agree(OPUS, *PCM_FORMATS)
        assert late.session.audio == "s16/48000/2"

    async def test_pyav_without_an_encoder_is_told(self) -> None:
        unknown = AudioFormat(OPUS.tag, 2, 12_345, 0, 0, 16)
        with pytest.raises(EncoderUnusable, match="libopus"):
            audio_encoder.AudioEncoder(unknown)


class TestWhoGetsCompressedSound:
    @pytest.mark.parametrize("quality", [None, 0, 2])
    async def test_who_is_near_gets_samples(
        self, quality: int | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hall = Hall(Compression.AUTO)
        client = hall.client()
        hold_time(monkeypatch, 0.004)
        client.agree(OPUS, *PCM_FORMATS, quality=quality)
        assert client.session.audio == "s16/48000/2"

    async def test_who_is_far_gets_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hall = Hall(Compression.AUTO)
        client = hall.client()
        hold_time(monkeypatch, 0.05)
        client.agree(*PCM_FORMATS, AAC, quality=2)
        assert client.session.audio == "aac/44100/2"
        client.handler.closed()

    async def test_who_wants_little_gets_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hall = Hall(Compression.AUTO)
        client = hall.client()
        hold_time(monkeypatch, 0.0)
        client.agree(*ALL, quality=1)
        assert client.session.audio == "opus/48000/2"
        client.handler.closed()

    async def test_who_has_nothing_else_gets_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hall = Hall(Compression.AUTO)
        client = hall.client()
        hold_time(monkeypatch, 0.0)
        client.agree(AAC)
        assert client.session.audio == "aac/44100/2"
        client.handler.closed()

    async def test_nobody_gets_it_where_it_is_off(self) -> None:
        client = Hall(Compression.NEVER).client()
        client.agree(OPUS, AAC)
        assert client.session.audio == ""

    async def test_nobody_is_offered_it_without_pyav(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sidecar.rdp.audio_channels.encoders_available", lambda: False)
        client = Hall(Compression.ALWAYS).client()
        (_, offer) = client.sent[0]
        assert struct.unpack_from("<H", offer, 14)[0] == len(PCM_FORMATS)


def hold_time(monkeypatch: pytest.MonkeyPatch, step: float) -> None:
    """Lets the loop's clock go on by `step` seconds whenever it is read, and not otherwise."""
    loop = asyncio.get_running_loop()
    now = loop.time()

    def time() -> float:
        nonlocal now
        now += step
        return now

    monkeypatch.setattr(loop, "time", time)


async def play_tone(hall: Hall, client: Client, form: AudioFormat) -> None:
    """A second of it, as fast as the client hears it."""
    closed, heard = client.kinds.count(CLOSE), len(client.waves)
    data, part = tone(form.rate), {OPUS: 960, AAC: 1024}[form] * 4
    hall.audio.begin()
    for number, start in enumerate(range(0, len(data), part)):
        hall.audio.play(data[start : start + part])
        # encoders look ahead
        await eventually(lambda number=number: len(client.waves) >= heard + number - 2, "another packet")
    hall.audio.end()
    await eventually(lambda: client.kinds.count(CLOSE) > closed, "the end")
