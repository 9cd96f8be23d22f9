"""The microphones of RDP sessions: serves the audio input channel."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from sidecar.guest import Microphone
from sidecar.log import get_logger
from sidecar.rdp.audio_format import PCM_FORMATS
from sidecar.rdp.audio_input import MAX_MESSAGE, NAME, AudioInput, Ready, Refused, Spoken, Stage
from sidecar.rdp.channel_table import ChannelHandler, ChannelTable, MessageSender, SessionLine
from sidecar.rdp.desktop import Desktop
from sidecar.session.microphone import Microphones, MicrophoneSeat

log = get_logger(__name__)

LINGER = 2.0
"""Seconds for which a client goes on recording that is not listened to: many programs begin again at once."""


class ReopeningLine(SessionLine, Protocol):
    """And one that can have the channel anew."""

    def reopen(self, handler: ChannelHandler) -> None:
        """Closes the channel of a handler and asks for it anew: `opened` or `closed` follows."""
        ...


def microphone_channels(
    microphone: Microphone, table: ChannelTable[Desktop], microphones: Microphones, *, linger: float = LINGER
) -> None:
    """Has the machine hear the session that holds the microphone: adds the channel's factory to `table`.

    `linger`: seconds for which a client goes on recording that is not listened to.
    """
    table.add_dynamic(NAME, lambda desktop: MicrophoneChannel(microphone, desktop, microphones, linger))


class MicrophoneChannel:
    """The microphone of one session: a handler of the channel.

    The client records only while the machine does and this session holds the microphone. The protocol can
    begin that but not end it, so the channel is closed then, and opened anew for the next time.
    """

    max_message = MAX_MESSAGE

    def __init__(
        self, microphone: Microphone, line: ReopeningLine, microphones: Microphones, linger: float
    ) -> None:
        self._microphone = microphone
        self._line = line
        self._microphones = microphones
        self._linger = linger
        self._loop = asyncio.get_running_loop()
        self._input = AudioInput(PCM_FORMATS)
        self._channel: MessageSender | None = None
        self._seat: MicrophoneSeat | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def opened(self, channel: MessageSender) -> None:
        """Begins with the version."""
        self._channel = channel
        self._input = AudioInput(PCM_FORMATS)
        channel.send(self._input.opened())

    def receive(self, message: bytes) -> None:
        """Takes a message of the client. Raises RemoteError."""
        events, answers = self._input.receive(message)
        self._send(answers)
        for event in events:
            match event:
                case Ready(None):
                    log.info("client has no sound for this server", session=self._line.session.id)
                    # which it had perhaps before its channel was opened anew
                    self._stand_up()
                case Ready() if self._seat is None:
                    self._sit_down()
                case Ready():
                    self._look()
                case Spoken(form, data) if self._is_heard:
                    self._microphone.speak(form, data)
                case Refused(result) if self._seat is not None:
                    log.info("client cannot record", session=self._line.session.id, result=f"{result:#x}")
                    # the next in line may
                    self._stand_up()

    def closed(self) -> None:
        """Gives the microphone up."""
        self._channel = None
        self._stand_up()

    @property
    def _is_heard(self) -> bool:
        return self._seat is not None and self._seat.holds and self._microphone.is_wanted

    def _sit_down(self) -> None:
        self._unsubscribe = self._microphone.changes.subscribe(self._look)
        self._seat = self._microphones.join(self._line.session, self._look)
        self._look()

    def _stand_up(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        seat, self._seat = self._seat, None
        if seat is not None:
            seat.leave()

    def _look(self) -> None:
        """Has the client record, or not any more."""
        if self._is_heard:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._input.stage is Stage.IDLE:
                self._send(self._input.record())
                self._line.flush()
        elif self._input.stage is Stage.OPEN and self._timer is None:
            self._timer = self._loop.call_later(self._linger, self._stop)

    def _stop(self) -> None:
        self._timer = None
        # the seat is kept: the client can record again as soon as it has the channel again
        self._channel = None
        self._input = AudioInput(PCM_FORMATS)
        self._line.reopen(self)

    def _send(self, messages: list[bytes]) -> None:
        if self._channel is not None:
            for message in messages:
                self._channel.send(message)
