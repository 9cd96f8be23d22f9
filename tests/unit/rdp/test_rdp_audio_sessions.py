"""Sound and microphones of whole sessions, over TCP and TLS, with scripted clients."""

import struct
from typing import Any

from support.rdp_house import house
from support.rdp_script import DynamicMessage
from support.rdp_server_pdus import ChannelData
from support.rdp_viewer import RdpViewer, graphics_profile
from support.synthetic_guest import SyntheticAudio, SyntheticMicrophone
from support.waiting import eventually

from sidecar.rdp.audio_channels import Compression, audio_channels
from sidecar.rdp.audio_format import AudioFormat, pcm
from sidecar.rdp.audio_input_channel import microphone_channels
from sidecar.rdp.channel_table import ChannelTable
from sidecar.rdp.desktop import Desktop
from sidecar.session.microphone import MicrophonePolicy, Microphones

STATIC, DYNAMIC, MICROPHONE = "rdpsnd", "AUDIO_PLAYBACK_DVC", "AUDIO_INPUT"
WAVE2, CONFIRM, TRAINING, FORMATS = 13, 5, 6, 7
STEREO = pcm(48_000, 2)
WITH_STATIC = graphics_profile(channels=("drdynvc", STATIC))
WITHOUT_STATIC = graphics_profile(channels=("drdynvc",))


class Listener(RdpViewer):
    """Has both channels for sound, if its profile has the static one, and a microphone.

    It records when asked, and says `word` once then. Its protocols are those of tests of their own.
    """

    word = b"hello..."
    formats: tuple[AudioFormat, ...] = (STEREO,)
    refuses = False
    """Whether it cannot record."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.dynamic |= {DYNAMIC, MICROPHONE}
        self.heard: dict[str, bytes] = {STATIC: b"", DYNAMIC: b""}
        self.offers: list[str] = []
        """On which channels sound was offered."""
        self.microphone_opened = 0
        """How often the channel for it was."""
        self.recorded = 0
        """How often it was asked to."""

    def _take(self, pdu: Any) -> None:
        super()._take(pdu)
        match pdu:
            case ChannelData("rdpsnd", data):
                self._sound(STATIC, data)
            case DynamicMessage("AUDIO_PLAYBACK_DVC", data):
                self._sound(DYNAMIC, data)
            case DynamicMessage("AUDIO_INPUT", data):
                self._asked(data)

    def _sound(self, channel: str, data: bytes) -> None:
        if data[0] == FORMATS:
            self.offers.append(channel)
            fields = struct.pack("<IIIHHBHB", 3, 0, 0, 0, len(self.formats), 0, 8, 0)
            self._answer(channel, FORMATS, fields + b"".join(each.pack() for each in self.formats))
        elif data[0] == TRAINING:
            self._answer(channel, TRAINING, data[4:])
        elif data[0] == WAVE2:
            self.heard[channel] += data[16:]
            self._answer(channel, CONFIRM, data[4:6] + data[8:9] + b"\0")

    def _answer(self, channel: str, kind: int, body: bytes) -> None:
        message = struct.pack("<BBH", kind, 0, len(body)) + body
        if channel == STATIC:
            self.send(self.channel(STATIC, message))
        else:
            self.say(channel, message)

    def _asked(self, data: bytes) -> None:
        if data[0] == 1:
            self.microphone_opened += 1
            self.say(MICROPHONE, data)
        elif data[0] == 2:
            packed = b"".join(each.pack() for each in self.formats)
            self.say(MICROPHONE, struct.pack("<BII", 2, len(self.formats), 9 + len(packed)) + packed)
        elif data[0] == 3:
            self.recorded += 1
            if self.refuses:
                self.say(MICROPHONE, b"\x04\x05\x40\0\x80")
            else:
                self.say(MICROPHONE, b"\x07\0\0\0\0")
                self.say(MICROPHONE, b"\x04\0\0\0\0")
                self.speak()

    def speak(self) -> None:
        self.say(MICROPHONE, b"\x06" + self.word)


class Deaf(Listener):
    formats = (AudioFormat(0x11, 2, 44_100, 0, 0, 4),)


class Mute(Listener):
    refuses = True


class TestSoundOut:
    async def test_a_client_with_both_channels_hears_it_once(self) -> None:
        audio, table = SyntheticAudio(), ChannelTable[Desktop]()
        audio_channels(audio, table, Compression.NEVER)
        sound = bytes(range(256)) * 60
        async with house(channels=table) as here:
            both = await here.viewer(WITH_STATIC, Listener)
            only = await here.viewer(WITHOUT_STATIC, Listener)
            for client in (both, only):
                # the picture comes after the dynamic channels were asked for
                await client.until_shown(here.console.surface.frame.pixels)
            await both.until(lambda: len(audio.listeners) >= 1, "the first one listens")
            await only.until(lambda: len(audio.listeners) >= 2, "the second one listens")
            assert [each.audio for each in here.registry] == ["s16/48000/2"] * 2
            audio.begin()
            audio.play(sound)
            await both.until(lambda: both.heard[STATIC], "sound on the static channel")
            await only.until(lambda: only.heard[DYNAMIC], "sound on the dynamic channel")
            assert both.heard == {STATIC: sound, DYNAMIC: b""}
            assert only.heard == {STATIC: b"", DYNAMIC: sound}
            assert (both.offers, only.offers) == ([STATIC], [DYNAMIC])
            assert DYNAMIC not in both.numbers, "which it has, and was not asked for"
        assert audio.listeners == []
        assert len(audio.changes) == 0

    async def test_a_client_that_breaks_the_protocol_goes_alone(self) -> None:
        audio, table = SyntheticAudio(), ChannelTable[Desktop]()
        audio_channels(audio, table, Compression.NEVER)
        async with house(channels=table) as here:
            good = await here.viewer(WITH_STATIC, Listener)
            await good.until(lambda: audio.listeners, "it listens")
            bad = await here.viewer(WITH_STATIC, Listener)
            bad.send(bad.channel(STATIC, struct.pack("<BBH", CONFIRM, 0, 40)))
            await bad.ended()
            await eventually(lambda: len(list(here.registry)) == 1, "it is gone")
            audio.begin()
            audio.play(bytes(400))
            await good.until(lambda: good.heard[STATIC] == bytes(400), "the sound")


class TestMicrophone:
    async def test_the_client_records_only_while_the_machine_does(self) -> None:
        microphone, table = SyntheticMicrophone(), ChannelTable[Desktop]()
        microphone_channels(microphone, table, Microphones(), linger=0.0)
        async with house(channels=table) as here:
            client = await here.viewer(kind=Listener)
            (session,) = here.registry
            await client.until(lambda: session.microphone, "it could speak")
            await client.until_shown(here.console.surface.frame.pixels)
            assert client.recorded == 0
            for time in (1, 2):
                microphone.want(True)
                await client.until(lambda: microphone.heard, "the word")
                assert microphone.heard == [(STEREO.form, client.word)]
                assert client.recorded == client.microphone_opened == time
                microphone.heard.clear()
                microphone.want(False)
                client.speak()
                await client.until(
                    lambda time=time: client.microphone_opened == time + 1, "the channel is opened anew"
                )
                assert session.microphone, "nobody else gets it meanwhile"
                assert microphone.heard == [], "what it said after that"
        assert len(microphone.changes) == 0

    async def test_it_goes_to_the_next_in_line(self) -> None:
        microphone, table = SyntheticMicrophone(), ChannelTable[Desktop]()
        microphones = Microphones(MicrophonePolicy.FIRST)
        microphone_channels(microphone, table, microphones, linger=0.0)
        microphone.want(True)
        async with house(channels=table) as here:
            first = await here.viewer(kind=Listener)
            await first.until(lambda: first.recorded, "the first one speaks")
            second = await here.viewer(kind=Listener)
            second.word = b"me now.."
            await second.until_shown(here.console.surface.frame.pixels)
            session, other = here.registry
            assert (session.microphone, other.microphone) == (True, False)
            here.registry.set_view_only(session.id, True)
            await second.until(
                lambda: (STEREO.form, second.word) in microphone.heard, "the second one speaks"
            )
            await first.until(lambda: first.microphone_opened == 2, "the first one has stopped")
            assert (session.microphone, other.microphone) == (False, True)
            here.registry.set_view_only(session.id, False)
            await second.close()
            await first.until(lambda: first.recorded == 2, "the first one speaks again")
        assert microphones.holder is None

    async def test_who_cannot_record_leaves_it_to_others(self) -> None:
        microphone, table = SyntheticMicrophone(), ChannelTable[Desktop]()
        microphone_channels(microphone, table, Microphones(), linger=0.0)
        microphone.want(True)
        async with house(channels=table) as here:
            deaf = await here.viewer(kind=Deaf)
            mute = await here.viewer(kind=Mute)
            for client in (deaf, mute):
                await client.until_shown(here.console.surface.frame.pixels)
            await mute.until(lambda: mute.recorded, "it is asked")
            able = await here.viewer(kind=Listener)
            await able.until(lambda: microphone.heard, "the third one speaks")
            assert [each.microphone for each in here.registry] == [False, False, True]

    async def test_a_client_that_does_not_open_the_channel_again_loses_it(self) -> None:
        microphone, table = SyntheticMicrophone(), ChannelTable[Desktop]()
        microphones = Microphones()
        microphone_channels(microphone, table, microphones, linger=0.0)
        microphone.want(True)
        async with house(channels=table) as here:
            client = await here.viewer(kind=Listener)
            await client.until(lambda: microphone.heard, "it speaks")
            client.dynamic.discard(MICROPHONE)
            microphone.want(False)
            await client.until(lambda: microphones.holder is None, "it has lost it")
            await client.until_shown(here.console.surface.frame.pixels)

    async def test_a_client_that_has_no_sound_for_us_any_more_loses_it(self) -> None:
        microphone, table = SyntheticMicrophone(), ChannelTable[Desktop]()
        microphones = Microphones()
        microphone_channels(microphone, table, microphones, linger=0.0)
        microphone.want(True)
        async with house(channels=table) as here:
            client = await here.viewer(kind=Listener)
            await client.until(lambda: microphone.heard, "it speaks")
            client.formats = Deaf.formats
            microphone.want(False)
            await client.until(lambda: microphones.holder is None, "it has lost it")
            microphone.want(True)
            able = await here.viewer(kind=Listener)
            able.word = b"me now.."
            await able.until(lambda: microphone.heard[-1] == (STEREO.form, able.word), "another one speaks")
            assert client.recorded == 1

    async def test_sound_that_nobody_asked_for_ends_the_session(self) -> None:
        microphone, table = SyntheticMicrophone(), ChannelTable[Desktop]()
        microphone_channels(microphone, table, Microphones(), linger=0.0)
        async with house(channels=table) as here:
            client = await here.viewer(kind=Listener)
            await client.until(lambda: client.microphone_opened, "the channel")
            client.speak()
            await client.ended()
            assert microphone.heard == []
