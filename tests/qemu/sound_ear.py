"""Somebody who listens to a `QemuGuest`."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from support.waiting import eventually

from sidecar.qemu.guest import QemuGuest
from sidecar.sound.form import AudioForm, SampleFormat
from sidecar.sound.voice_form import decode, voice_form

STEREO = AudioForm(SampleFormat.S16, 2, 44_100)
TELEPHONE = AudioForm(SampleFormat.U8, 1, 22_050)
FINE = AudioForm(SampleFormat.F32, 2, 48_000)


class Ear:
    """Hears `guest` in a form, from the moment at which it is made."""

    def __init__(self, guest: QemuGuest, form: AudioForm = STEREO) -> None:
        self.form = form
        self.log: list[str] = []
        self._pieces: list[bytes] = []
        self.leave: Callable[[], None] = guest.audio.listen(form, self)

    def audio_began(self) -> None:
        self.log.append("began")

    def audio_ended(self) -> None:
        self.log.append("ended")

    def audio_played(self, data: bytes) -> None:
        self._pieces.append(data)

    @property
    def heard(self) -> NDArray[np.float32]:
        """Everything since `forget`, as (frames, channels)."""
        return decode(b"".join(self._pieces), voice_form(self.form))

    def forget(self) -> None:
        self.log.clear()
        self._pieces.clear()

    async def hears_to_the_end(self, seconds: float) -> None:
        """Returns when at least so much was heard and nothing follows."""
        await eventually(
            lambda: self.log[-1:] == ["ended"] and len(self.heard) >= seconds * self.form.rate,
            f"{seconds} s are heard to their end",
            60,
        )


async def has_sound(guest: QemuGuest) -> None:
    await eventually(lambda: guest.audio.is_there and guest.microphone.is_there, "the machine has sound")
