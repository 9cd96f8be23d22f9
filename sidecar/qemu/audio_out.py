"""What QEMU plays: its voices, mixed for whoever listens."""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Final

from sidecar.guest import AudioListener
from sidecar.log import get_logger
from sidecar.observers import Observers
from sidecar.qemu import audio_listener
from sidecar.qemu.audio_listener import INIT, OUT_LISTENER, has_audio, keep_registered, voice_form
from sidecar.qemu.audio_news import NewsQueue, Played
from sidecar.qemu.link import Link
from sidecar.qemu.listener_thread import ListenerThread
from sidecar.sound.form import AudioForm
from sidecar.sound.mixer import Mixer
from sidecar.sound.voice_form import VoiceForm

log = get_logger(__name__)

SOONEST: Final = 0.001
"""Seconds; timers are not more exact."""


class QemuAudio:
    """See `sidecar.guest.Audio`.

    QEMU is listened to also when nobody listens here, as it tells the volume of a voice only when it changes
    (docs/decisions/sound-always-registered.md).
    """

    def __init__(self) -> None:
        self._changes: Observers[[]] = Observers()
        self._is_there = False
        self._mixer = Mixer()
        self._is_heard = False
        """Also read by the listener's thread."""
        self._news: NewsQueue | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._complained = False

    @property
    def is_there(self) -> bool:
        """Whether the machine has sound that comes here."""
        return self._is_there

    @property
    def changes(self) -> Observers[[]]:
        """Called when `is_there` has changed."""
        return self._changes

    @property
    def dropped(self) -> int:
        """Frames that nobody heard, as they came too early for others or in a flood."""
        return self._mixer.dropped

    def listen(self, form: AudioForm, listener: AudioListener) -> Callable[[], None]:
        """Has `listener` hear what is played from now on."""
        leave = self._mixer.listen(form, listener)
        self._is_heard = True

        def end() -> None:
            leave()
            self._is_heard = self._mixer.is_heard

        return end

    async def serve(self, link: Link, thread: ListenerThread) -> None:
        """Hears this machine while it is attached: until it is cancelled, or there is nothing to hear."""
        if not await has_audio(link, warn=True):
            return
        with ExitStack() as stack:
            stack.callback(self._set_there, False)
            self._set_there(True)
            await keep_registered(link, thread, "RegisterOutListener", self._listener, self._hang_up)

    def _set_there(self, is_there: bool) -> None:
        self._is_there = is_there
        self._changes.notify()

    # on the listener's thread

    def _listener(self, on_close: Callable[[], None]) -> audio_listener.AudioListener:
        """One whose news are taken from now on. Main loop; its methods are the thread's."""
        news = self._news = NewsQueue(self._take_news)
        mixer = self._mixer

        def init(voice: int, *about: int) -> None:
            form = voice_form(about)
            news.put(lambda: self._begin_voice(voice, form))

        def set_enabled(voice: int, enabled: bool) -> None:
            news.put(partial(mixer.enable_voice, voice, enabled=enabled))

        def set_volume(voice: int, mute: bool, levels: bytes) -> None:
            news.put(partial(mixer.set_volume, voice, bytes(levels), mute=mute))

        def write(voice: int, data: bytes) -> None:
            if self._is_heard:
                news.put(Played(voice, bytes(data), time.monotonic()))

        return audio_listener.AudioListener(
            OUT_LISTENER,
            {
                "Init": (INIT, "", init),
                "Fini": ("t", "", lambda voice: news.put(partial(mixer.voice_ends, voice))),
                "SetEnabled": ("tb", "", set_enabled),
                "SetVolume": ("tbay", "", set_volume),
                "Write": ("tay", "", write),
            },
            on_close,
        )

    # on the main loop

    def _begin_voice(self, voice: int, form: VoiceForm) -> None:
        try:
            self._mixer.voice_begins(voice, form)
        except ValueError as error:
            if not self._complained:
                self._complained = True
                log.warning("a voice of the machine is not heard", cause=str(error))

    def _take_news(self) -> None:
        for news in self._news.take() if self._news else ():
            if isinstance(news, Played):
                self._mixer.voice_plays(news.voice, news.data, news.time)
            else:
                news()
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        deadline = self._mixer.deadline
        if deadline is not None:
            delay = max(SOONEST, deadline - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
        # what has come meanwhile is older than the time is now
        self._take_news()
        self._mixer.tick(time.monotonic())
        self._set_timer()

    def _hang_up(self) -> None:
        if self._news:
            self._news.close()
            self._news = None
        self._mixer.reset()
        self._set_timer()
