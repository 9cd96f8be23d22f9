"""A machine that plays tones (`tests/guest/tone.asm`), and what a recording of them holds.

    with tone_qemu(short_dir, bus.address) as tone:     # or PEER_TO_PEER for a display with p2p=yes
        tone.play(440, 4.0)                             # returns at once; tone.wait() returns at its end
        ...
    heard = measure(samples, 44100)                     # numbers of any kind: (n,) or (n, channels)
    assert heard.frequency == pytest.approx(440, rel=0.01)
    assert heard.duration == pytest.approx(4.0, rel=0.01)
    assert not heard.gaps

`Tone` is a `Qemu` like any other (`tone.qmp`, `tone.kill()`, `tone.start()`), with an AC97 card and the PC
speaker on `-audiodev dbus`. `play` is exact to the frame however slow the machine is, as the card takes so
many frames and no others; how long `beep` (the PC speaker) sounds is a matter of clocks: on a machine that
stands still for a moment it may be wrong by that. Both may sound at once.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from support.qemu import Qemu

SOURCE = Path(__file__).parent.parent / "guest" / "tone.asm"

PEER_TO_PEER = "p2p"
"""In place of the address of a bus: QEMU waits for a peer that comes by `add_client`."""

OWN_VOICES = "out.fixed-settings=off,out.voices=4"
"""In place of what QEMU mixes itself: each device is a voice in a form of its own."""

CARD_RATE = 48_000
"""Frames in a second of what the card plays and records."""

LONGEST = 20.0
"""Seconds of one tone, silence or recording."""

MASTER_VOLUME = 0x02
"""The mixer register; its value is attenuation, 0 to 63, of left << 8 | right, and 0x8000 to mute."""


class Tone(Qemu):
    """QEMU with the sounding guest. Its methods raise AssertionError when the guest does not answer."""

    def play(self, hertz: int, seconds: float) -> None:
        """The card plays a sine at half of full scale, then 0.2 s of silence. Returns at once."""
        self._start("C", hertz, seconds)

    def play_silence(self, seconds: float) -> None:
        """The card plays zeros."""
        self._start("S", 0, seconds)

    def play_recording(self, seconds: float) -> None:
        """The card plays the beginning of what it has recorded last."""
        self._start("L", 0, seconds)

    def wait(self) -> None:
        """Returns when the card has played everything."""
        self.com1.wait_for("^CARD\n", 60)

    def record(self, seconds: float) -> None:
        """The card records what the microphone has to say. Returns at once."""
        self.com1.forget()
        self._order("R", 0, round(1000 * seconds))

    def wait_recorded(self) -> None:
        """Returns when `record` has all its frames."""
        self.com1.wait_for("^RECORDED\n", 60)

    def beep(self, hertz: int, seconds: float) -> None:
        """The PC speaker plays a square wave. Returns at once."""
        self.com1.forget()
        self._order("P", hertz, round(1000 * seconds))

    def wait_beep(self) -> None:
        """Returns when the PC speaker is silent again."""
        self.com1.wait_for("^SPEAKER\n", 60)

    def set_mixer(self, register: int, value: int) -> None:
        """Sets a register of the card's mixer, also while it plays, and waits until it is set."""
        said = self.com1.read().count("SET\n")
        self._order("W", register, value)
        self.com1.wait_for(rf"(SET\n(?s:.*)){{{said + 1}}}")

    def _start(self, letter: str, hertz: int, seconds: float) -> None:
        assert 0 < seconds <= LONGEST
        self.com1.forget()
        self._order(letter, hertz, round(1000 * seconds))

    def _order(self, letter: str, first: int, second: int) -> None:
        self.com1.send(letter.encode() + first.to_bytes(2, "little") + second.to_bytes(2, "little"))


def assemble(target: Path) -> Path:
    """Writes the bootable image to `target`."""
    subprocess.run(["nasm", "-f", "bin", "-o", str(target), str(SOURCE)], check=True)
    return target


@contextmanager
def tone_qemu(
    directory: Path,
    address: str,
    audiodev: str = "",
    *,
    card: bool = True,
    listed: bool = True,
    extra: Sequence[str] = (),
) -> Iterator[Tone]:
    """A running `Tone` for the time of a `with`, in a directory of its own in `directory`.

    `address`: of the bus, or PEER_TO_PEER. `audiodev`: further options of `-audiodev dbus`, such as
    "out.frequency=48000" or OWN_VOICES. `card`: False leaves out the AC97. `listed`: False leaves `audiodev=`
    out of `-display`: no sound comes by D-Bus.
    """
    place = directory / f"t{len(list(directory.glob('t?')))}"
    place.mkdir()
    where = "p2p=yes" if address == PEER_TO_PEER else f"addr={address}"
    options = ["-audiodev", ",".join(filter(None, ["dbus,id=snd", audiodev]))]
    options += ["-machine", "pcspk-audiodev=snd"]
    if card:
        options += ["-device", "AC97,audiodev=snd"]
    display = ["-display", f"dbus,{where}" + (",audiodev=snd" if listed else "")]
    tone = Tone(place, display, assemble(place / "tone.img"), extra=[*options, *extra])
    try:
        yield tone
    finally:
        tone.close()


@dataclass(frozen=True, slots=True)
class Heard:
    """A tone in a recording. Times are seconds.

    `frequency`: Hz, 0 when nothing sounds. `start`, `duration`: from its first loud sample to its last.
    `gaps`: where in the recording it was silent for more than 5 ms in between, or where something is missing
    or too much, so that the wave does not go on as it should.
    """

    frequency: float
    start: float
    duration: float
    gaps: tuple[float, ...]


def measure(samples: ArrayLike, rate: int) -> Heard:
    """What a recording of one steady tone of 100 Hz or more holds. `samples`: (n,) or (n, channels)."""
    mono = _mono(samples)
    loudest = np.abs(mono).max(initial=0)
    if not loudest:
        return Heard(0.0, 0.0, 0.0, ())
    loud = np.flatnonzero(np.abs(mono) > loudest / 5)
    first, last = int(loud[0]), int(loud[-1])
    silent = np.flatnonzero(np.diff(loud) > 0.005 * rate)
    gaps = [float(loud[index]) / rate for index in silent]
    frequency, jumps = _frequency(mono[first : last + 1], rate)
    gaps += [first / rate + at for at in jumps]
    return Heard(frequency, first / rate, (last + 1 - first) / rate, tuple(sorted(gaps)))


def level(samples: ArrayLike, rate: int, frequency: float) -> float:
    """The amplitude of one frequency in the middle half of a recording, in the unit of its samples."""
    mono = _mono(samples)
    middle = mono[len(mono) // 4 : len(mono) - len(mono) // 4]
    window = np.hanning(len(middle))
    wave = np.exp(-2j * np.pi * frequency * np.arange(len(middle)) / rate)
    return float(2 * np.abs(np.sum(middle * window * wave)) / np.sum(window))


def _mono(samples: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(samples, np.float64)
    return values if values.ndim == 1 else values.mean(axis=1)


def _frequency(tone: NDArray[np.float64], rate: int) -> tuple[float, list[float]]:
    """The frequency, and the seconds at which the phase jumps."""
    window = np.hanning(len(tone))
    size = 1 << (4 * len(tone) - 1).bit_length()
    spectrum = np.abs(np.fft.rfft((tone - tone.mean()) * window, size))
    rough = float(np.argmax(spectrum)) * rate / size
    if not rough:
        return 0.0, []
    # the phase of pieces that overlap by half, against that of a wave that goes on for ever
    length = max(round(0.01 * rate), round(4 * rate / rough))
    starts = np.arange(0, len(tone) - length, length // 2)
    if len(starts) < 4:
        return rough, []
    pieces = np.lib.stride_tricks.sliding_window_view(tone, length)[starts] * np.hanning(length)
    times = np.arange(length) / rate
    against = np.exp(-2j * np.pi * rough * times)
    phase = np.angle((pieces @ against) * np.exp(-2j * np.pi * rough * starts / rate))
    steps = np.angle(np.exp(1j * np.diff(phase)))
    usual = float(np.median(steps))
    frequency = rough + usual * rate / (length // 2) / (2 * np.pi)
    jumps = np.flatnonzero(np.abs(np.angle(np.exp(1j * (steps - usual)))) > 0.4)
    # one fault shows in the pieces next to each other that hold it
    firsts = [int(at) for index, at in enumerate(jumps) if not index or at - jumps[index - 1] > 2]
    return frequency, [float(starts[at + 1]) / rate for at in firsts]
