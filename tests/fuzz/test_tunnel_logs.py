"""Whatever a client repeats, what is logged of it is not repeated."""

import struct

import pytest
from support.synthetic_guest import SyntheticGuest, SyntheticPort

from sidecar.rdp.audio_format import pcm
from sidecar.rdp.audio_input_channel import MicrophoneChannel
from sidecar.rdp.channel_table import ChannelHandler
from sidecar.serial.line import SerialLines, WritePolicy
from sidecar.session.microphone import Microphones
from sidecar.session.session import Session
from sidecar.vnc.capabilities import ClientCapabilities, Extension, Owed
from sidecar.vnc.stream_messages import Close, Open
from sidecar.vnc.streams import KEPT, StreamsTunnel
from sidecar.vnc.tunnel import Line
from sidecar.vnc.wire import StreamEnd, StreamFlag


def new_session() -> Session:
    return Session(
        "s1", protocol="vnc", transport="tcp", address="", tls=False, connected_at=0, end=lambda _: None
    )


def test_output_that_is_left_out_is_logged_once_however_often_a_stream_is_opened(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    guest = SyntheticGuest()
    ports = SyntheticPort(), SyntheticPort("serial1")
    for port in ports:
        guest.add_port(port)
    lines = SerialLines(guest, write=WritePolicy.EVERYBODY)
    tunnel = StreamsTunnel(Line(new_session(), lambda _: None, lambda: 0), lines)
    tunnel.agreed(ClientCapabilities(extensions=Extension.STREAMS), Owed.STREAMS_ACK)
    for port in ports:
        port.say(b"x" * KEPT)
    for _ in range(20):
        for number, port in enumerate(ports):
            tunnel.handlers[Open](Open(number, StreamFlag.HISTORY, 0))
            port.say(b"one byte more is one too many")
            tunnel.handlers[Close](Close(number, StreamEnd.DONE))
    assert caplog.text.count("output left out") == len(ports)
    tunnel.close()
    lines.close()


class Recorder:
    """A session whose client is asked to record."""

    def __init__(self) -> None:
        self.session = new_session()
        self.sent: list[bytes] = []

    def send(self, message: bytes) -> None:
        self.sent.append(message)

    def flush(self) -> None:
        pass

    def reopen(self, handler: ChannelHandler) -> None:
        pass


async def test_a_client_that_says_again_that_it_cannot_record_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    guest, recorder = SyntheticGuest(), Recorder()
    guest.microphone.want(True)
    channel = MicrophoneChannel(guest.microphone, recorder, Microphones(), 2.0)
    channel.opened(recorder)
    channel.receive(struct.pack("<BI", 1, 1))
    channel.receive(struct.pack("<BII", 2, 1, 0) + pcm(44_100, 2).pack())
    assert recorder.sent[-1][0] == 3, "it is asked to record"
    for _ in range(100):
        channel.receive(struct.pack("<Bi", 4, -1))
    assert caplog.text.count("client cannot record") == 1
    channel.closed()
    assert not len(guest.microphone.changes)
