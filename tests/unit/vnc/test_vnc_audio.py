"""Sound through QEMU's extension: what a client asks for, is sent, and what waits when it does not read."""

import struct
from collections.abc import Sequence

import pytest
from support.synthetic_guest import SyntheticAudio

from sidecar.session.session import Session
from sidecar.sound.form import AudioForm
from sidecar.sound.form import SampleFormat as Sample
from sidecar.vnc.audio import QUEUE_TIME, AudioTunnel, audio_tunnel
from sidecar.vnc.capabilities import ClientCapabilities, Extension, Owed
from sidecar.vnc.events import QemuAudioFormat, QemuAudioSwitch
from sidecar.vnc.tunnel import Line
from sidecar.vnc.wire import QemuAudioOperation, SampleFormat

BEGIN, END = bytes.fromhex("ff 01 0001"), bytes.fromhex("ff 01 0000")
ACKNOWLEDGEMENT = struct.pack(">BxHHHHHi", 0, 1, 0, 0, 0, 0, -259)

ENABLE = QemuAudioSwitch(QemuAudioOperation.ENABLE)
DISABLE = QemuAudioSwitch(QemuAudioOperation.DISABLE)

CHUNK = bytes(range(196)) * 18
"""20 ms of the default form."""


def data(samples: bytes) -> bytes:
    return bytes.fromhex("ff 01 0002") + struct.pack(">I", len(samples)) + samples


class Client:
    """A client's end of a tunnel. `reads`: whether what is written leaves at once."""

    def __init__(self, audio: SyntheticAudio | None = None) -> None:
        self.audio = audio or SyntheticAudio()
        self.session = Session(
            "v1", protocol="vnc", transport="tcp", address="", tls=False, connected_at=0, end=lambda _: None
        )
        self.reads = True
        self.queued = 0
        self._written: list[bytes] = []
        tunnel = audio_tunnel(self.audio)(Line(self.session, self.write, lambda: self.queued))
        assert isinstance(tunnel, AudioTunnel)
        self.tunnel = tunnel

    def write(self, message: bytes) -> None:
        """What the session's connection does, for other things than sound too."""
        self._written.append(message)
        self.session.bytes_sent += len(message)
        if not self.reads:
            self.queued += len(message)

    def say(self, *events: object) -> None:
        for event in events:
            self.tunnel.handlers[type(event)](event)

    def catch_up(self, left: int = 0) -> None:
        self.queued = left

    def wants(self, sample_format: SampleFormat, channels: int, frequency: int) -> None:
        self.say(QemuAudioFormat(sample_format, channels, frequency))

    def taken(self) -> list[bytes]:
        written, self._written = self._written, []
        return written


def drain(client: Client) -> None:
    client.taken()


@pytest.fixture
def client() -> Client:
    """One that has turned sound on, before anything is played."""
    client = Client()
    client.say(ENABLE)
    return client


@pytest.fixture
def listener(client: Client) -> Client:
    """One that knows already that a stream has begun."""
    client.audio.begin()
    assert client.taken() == [BEGIN]
    return client


def test_the_extension_is_acknowledged_once_for_each_debt() -> None:
    client = Client()
    capabilities = ClientCapabilities(extensions=Extension.QEMU_AUDIO)
    client.tunnel.agreed(capabilities, Owed.QEMU_AUDIO_ACK | Owed.CURSOR)
    client.tunnel.agreed(capabilities, Owed.CURSOR)
    assert client.taken() == [ACKNOWLEDGEMENT]


def test_nobody_hears_before_sound_is_turned_on() -> None:
    client = Client()
    client.audio.begin()
    client.audio.play(CHUNK)
    assert client.taken() == []
    assert client.session.audio == ""


def test_a_stream_begins_goes_on_and_ends(client: Client) -> None:
    client.audio.begin()
    client.audio.play(CHUNK)
    client.audio.play(CHUNK)
    client.audio.end()
    assert client.taken() == [BEGIN, data(CHUNK), data(CHUNK), END]


def test_who_comes_later_hears_at_once() -> None:
    client = Client()
    client.audio.begin()
    client.say(ENABLE)
    assert client.taken() == [BEGIN]


def test_a_client_that_sets_no_form_hears_as_from_qemu(client: Client) -> None:
    ((form, _),) = client.audio.listeners
    assert form == AudioForm(Sample.S16, 2, 44_100)
    assert client.session.audio == "s16/44100/2"


@pytest.mark.parametrize(
    ("sample_format", "sample"),
    [
        (SampleFormat.U8, Sample.U8),
        (SampleFormat.S8, Sample.S8),
        (SampleFormat.U16, Sample.U16),
        (SampleFormat.S16, Sample.S16),
        (SampleFormat.U32, Sample.U32),
        (SampleFormat.S32, Sample.S32),
    ],
)
@pytest.mark.parametrize(("channels", "rate"), [(1, 1000), (2, 48_000)])
def test_every_form_can_be_heard(
    sample_format: SampleFormat, sample: Sample, channels: int, rate: int
) -> None:
    client = Client()
    client.wants(sample_format, channels, rate)
    client.say(ENABLE)
    ((form, _),) = client.audio.listeners
    assert form == AudioForm(sample, channels, rate)
    assert client.session.audio == f"{sample.code}/{rate}/{channels}"


def test_another_form_begins_another_stream(listener: Client) -> None:
    listener.wants(SampleFormat.U8, 1, 8000)
    listener.audio.play(b"\x80")
    assert listener.taken() == [END, BEGIN, data(b"\x80")]
    ((form, _),) = listener.audio.listeners
    assert form == AudioForm(Sample.U8, 1, 8000)


def test_a_form_alone_turns_nothing_on() -> None:
    client = Client()
    client.wants(SampleFormat.S16, 2, 48_000)
    assert client.audio.listeners == []
    assert client.session.audio == ""


@pytest.mark.parametrize("rate", [1, 999])
def test_a_rate_at_which_nothing_can_be_heard_leaves_the_session_without_sound(
    listener: Client, rate: int
) -> None:
    listener.wants(SampleFormat.S16, 2, rate)
    assert listener.taken() == [END]
    assert listener.session.audio == ""
    listener.say(DISABLE, ENABLE)
    listener.audio.play(CHUNK)
    assert listener.taken() == []
    listener.wants(SampleFormat.S16, 2, 44_100)
    listener.audio.play(CHUNK)
    assert listener.taken() == [BEGIN, data(CHUNK)]


def test_sound_is_turned_off_and_on_again(listener: Client) -> None:
    listener.say(DISABLE)
    listener.audio.play(CHUNK)
    assert listener.taken() == [END]
    assert listener.audio.listeners == []
    assert listener.session.audio == ""
    listener.say(DISABLE, ENABLE, ENABLE)
    assert listener.taken() == [BEGIN]
    assert len(listener.audio.listeners) == 1


def test_a_list_without_the_extension_ends_sound_without_a_word(listener: Client) -> None:
    listener.tunnel.agreed(ClientCapabilities(), Owed(0))
    assert listener.audio.listeners == []
    listener.say(ENABLE)
    assert listener.taken() == [BEGIN]


def test_nothing_is_sent_or_heard_after_the_end(listener: Client) -> None:
    listener.tunnel.close()
    listener.audio.play(CHUNK)
    assert listener.taken() == []
    assert listener.audio.listeners == []
    assert listener.session.audio == ""


def test_view_only_sessions_hear(listener: Client) -> None:
    listener.session.view_only = True
    listener.session.view_only_changes.notify()
    listener.audio.play(CHUNK)
    assert listener.taken() == [data(CHUNK)]


def test_a_message_has_a_mebibyte_at_most_and_whole_frames(client: Client) -> None:
    client.wants(SampleFormat.S32, 2, 48_000)
    drain(client)
    client.audio.begin()
    much = bytes(2 * (1 << 20) + 16)
    client.audio.play(much)
    begin, *rest = client.taken()
    assert begin == BEGIN
    assert [len(message) - 8 for message in rest] == [1 << 20, 1 << 20, 16]
    assert b"".join(message[8:] for message in rest) == much


def chunks_in(messages: Sequence[bytes]) -> list[bytes]:
    return [message[8:] for message in messages if message.startswith(bytes.fromhex("ff 01 0002"))]


def numbered(count: int) -> list[bytes]:
    """Chunks of 20 ms, no two alike."""
    return [bytes((number,)) * len(CHUNK) for number in range(count)]


def test_what_does_not_leave_is_bounded_in_time_and_the_gap_is_counted_once(listener: Client) -> None:
    listener.reads = False
    chunks = numbered(30)
    for chunk in chunks:
        listener.audio.play(chunk)
    assert chunks_in(listener.taken()) == chunks[:10]
    assert len(CHUNK) * 10 <= 44_100 * 4 * QUEUE_TIME
    assert listener.session.audio_drop_outs == 1
    listener.catch_up()
    listener.audio.play(b"1234")
    assert chunks_in(listener.taken()) == [b"1234"]
    for chunk in chunks:
        listener.audio.play(chunk)
    assert listener.session.audio_drop_outs == 2


def test_what_else_stands_in_the_queue_takes_nothing_from_sound(listener: Client) -> None:
    listener.reads = False
    listener.write(bytes(1 << 20))
    for chunk in numbered(5):
        listener.audio.play(chunk)
        listener.write(bytes(1 << 16))
    assert len(chunks_in(listener.taken())) == 5
    assert listener.session.audio_drop_outs == 0


def test_room_is_there_as_soon_as_sound_has_left_whatever_stands_behind_it(listener: Client) -> None:
    listener.reads = False
    for chunk in numbered(10):
        listener.audio.play(chunk)
    listener.write(bytes(1 << 20))
    drain(listener)
    # all of the sound is out, and half of the picture
    listener.catch_up(1 << 19)
    for chunk in numbered(10):
        listener.audio.play(chunk)
    assert len(chunks_in(listener.taken())) == 10
    assert listener.session.audio_drop_outs == 0


def test_while_the_client_waits_the_newest_is_kept_and_sent_when_it_is_ready(listener: Client) -> None:
    listener.tunnel.wait()
    chunks = numbered(30)
    for chunk in chunks:
        listener.audio.play(chunk)
    assert listener.taken() == []
    assert listener.session.audio_drop_outs == 1
    listener.tunnel.ready()
    assert listener.taken() == [data(chunk) for chunk in chunks[-10:]]


def test_a_short_wait_loses_nothing(listener: Client) -> None:
    for number in range(3):
        listener.tunnel.wait()
        listener.audio.play(CHUNK)
        assert listener.taken() == []
        listener.tunnel.ready()
        assert listener.taken() == [data(CHUNK)], number
    assert listener.session.audio_drop_outs == 0


def test_a_stream_that_ends_during_a_wait_ends_after_its_sound(listener: Client) -> None:
    listener.tunnel.wait()
    listener.audio.play(CHUNK)
    listener.audio.end()
    assert listener.taken() == []
    listener.tunnel.ready()
    assert listener.taken() == [data(CHUNK), END]


def test_a_stream_that_comes_and_goes_during_a_wait_is_told_with_its_sound(client: Client) -> None:
    client.tunnel.wait()
    client.audio.begin()
    client.audio.end()
    client.tunnel.ready()
    assert client.taken() == []
    client.tunnel.wait()
    client.audio.begin()
    client.audio.play(CHUNK)
    client.audio.end()
    client.tunnel.ready()
    assert client.taken() == [BEGIN, data(CHUNK), END]


def test_another_form_during_a_wait_begins_another_stream_and_brings_nothing_of_the_old_one(
    listener: Client,
) -> None:
    listener.tunnel.wait()
    listener.audio.play(CHUNK)
    listener.wants(SampleFormat.U8, 1, 8000)
    listener.audio.play(b"\x80")
    listener.tunnel.ready()
    assert listener.taken() == [END, BEGIN, data(b"\x80")]


def test_several_listeners_hear_the_same() -> None:
    audio = SyntheticAudio()
    clients = [Client(audio) for _ in range(3)]
    for client in clients:
        client.say(ENABLE)
    audio.begin()
    audio.play(CHUNK)
    clients[0].say(DISABLE)
    audio.play(CHUNK)
    assert clients[0].taken() == [BEGIN, data(CHUNK), END]
    assert clients[1].taken() == clients[2].taken() == [BEGIN, data(CHUNK), data(CHUNK)]
