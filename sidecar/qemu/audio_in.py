"""What QEMU records."""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from sidecar.log import get_logger
from sidecar.observers import Observers
from sidecar.qemu.audio_listener import (
    IN_LISTENER,
    INIT,
    AudioListener,
    has_audio,
    keep_registered,
    voice_form,
)
from sidecar.qemu.link import Link
from sidecar.qemu.listener_thread import ListenerThread
from sidecar.sound.form import AudioForm
from sidecar.sound.supply import Supply, heard

log = get_logger(__name__)

MAX_VOICES: Final = 16


class _Voices:
    """Those of one listener. Only its thread writes, and replaces `by_id`, so that all others may read."""

    def __init__(self) -> None:
        self.by_id: dict[int, Supply] = {}

    def add(self, voice: int, supply: Supply) -> None:
        others = {key: value for key, value in self.by_id.items() if key != voice}
        if len(others) >= MAX_VOICES:
            raise ValueError(f"a machine records with at most {MAX_VOICES} voices")
        self.by_id = {**others, voice: supply}

    def remove(self, voice: int) -> None:
        self.by_id = {key: value for key, value in self.by_id.items() if key != voice}


class QemuMicrophone:
    """See `sidecar.guest.Microphone`.

    QEMU's main loop waits for every answer to Read, so they come from memory, on the listener's thread; where
    nobody speaks they are silence at the rate of the clock, as programs in the guest wait for frames.
    """

    def __init__(self) -> None:
        self._changes: Observers[[]] = Observers()
        self._is_there = False
        self._was_wanted = False
        self._voices = _Voices()

    @property
    def is_there(self) -> bool:
        """Whether the machine records from here, if it does."""
        return self._is_there

    @property
    def is_wanted(self) -> bool:
        """Whether the machine records now."""
        return any(voice.is_enabled for voice in self._voices.by_id.values())

    @property
    def changes(self) -> Observers[[]]:
        """Called when `is_there` or `is_wanted` has changed."""
        return self._changes

    @property
    def dropped(self) -> int:
        """Frames that the machine did not take in time."""
        return sum(voice.dropped for voice in self._voices.by_id.values())

    def speak(self, form: AudioForm, data: bytes) -> None:
        """The next whole frames for the machine."""
        voices = self._voices.by_id.values()
        if not any(voice.is_enabled for voice in voices):
            return
        frames = heard(form, data)
        now = time.monotonic()
        for voice in voices:
            voice.put(form, frames, now)

    async def serve(self, link: Link, thread: ListenerThread) -> None:
        """Serves this machine while it is attached: until it is cancelled, or does not record from here."""
        if not await has_audio(link):
            return
        with ExitStack() as stack:
            stack.callback(self._set_there, False)
            self._set_there(True)
            await keep_registered(link, thread, "RegisterInListener", self._listener, self._forget)

    def _set_there(self, is_there: bool) -> None:
        self._is_there = is_there
        self._changes.notify()

    # on the listener's thread

    def _listener(self, on_close: Callable[[], None]) -> AudioListener:
        """One whose voices are spoken to from now on. Main loop; its methods are the thread's."""
        voices = self._voices = _Voices()
        loop = asyncio.get_running_loop()

        def init(voice: int, *about: int) -> None:
            voices.add(voice, Supply(voice_form(about)))
            loop.call_soon_threadsafe(self._look)

        def fini(voice: int) -> None:
            voices.remove(voice)
            loop.call_soon_threadsafe(self._look)

        def set_enabled(voice: int, enabled: bool) -> None:
            if supply := voices.by_id.get(voice):
                supply.enable(time.monotonic(), enabled=enabled)
                loop.call_soon_threadsafe(self._look)

        def set_volume(voice: int, mute: bool, levels: bytes) -> None:
            if supply := voices.by_id.get(voice):
                supply.set_volume(bytes(levels), mute=mute)

        def read(voice: int, size: int) -> bytes:
            # after an error QEMU would record whatever is in its memory
            supply = voices.by_id.get(voice)
            return supply.take(size, time.monotonic()) if supply else b""

        return AudioListener(
            IN_LISTENER,
            {
                "Init": (INIT, "", init),
                "Fini": ("t", "", fini),
                "SetEnabled": ("tb", "", set_enabled),
                "SetVolume": ("tbay", "", set_volume),
                "Read": ("tt", "ay", read),
            },
            on_close,
        )

    # on the main loop

    def _look(self) -> None:
        is_wanted = self.is_wanted
        if is_wanted != self._was_wanted:
            self._was_wanted = is_wanted
            self._changes.notify()

    def _forget(self) -> None:
        self._voices = _Voices()
        self._look()
