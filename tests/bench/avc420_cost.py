"""What H.264 pictures of a 1920x1080 screen cost on one core: `./dev bench avc420_cost`. Asserts nothing.

Per picture, the median over some seconds of each content: converting the colours of what changed, x264,
bytes, and how close the decoded picture is (red, green and blue of the regions; for text in colours H.264's
halved colour resolution is the bound). Then memory, and how well two streams leave the interpreter to each
other.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from time import perf_counter

import numpy as np
from bench.encode_cost import terminal
from numpy.typing import NDArray
from support.avc420_decoder import Avc420Decoder
from support.pictures import psnr

from sidecar.encode.avc420 import Avc420Encoder
from sidecar.screen.damage import rectangles
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import TILE, Frame

WIDTH, HEIGHT = 1920, 1080
PICTURES = 40
MEMORY = "memory"
"""The argument of the process that measures memory."""

JUDGED = 5
"""Every so many pictures one is decoded and compared."""

Screen = NDArray[np.uint32]
Step = tuple[Screen, list[Rectangle]]
"""The screen, and what of it has changed."""


def natural(width: int, height: int, seed: int) -> NDArray[np.float32]:
    """(height, width, 3): as much detail at each scale as photographs have."""
    random = np.random.default_rng(seed)
    rows, columns = np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width)[np.newaxis]
    spectrum = np.maximum(np.hypot(rows, columns), 1 / width) ** -1.2
    layers = [
        np.fft.irfft2(spectrum * np.exp(2j * np.pi * random.random(spectrum.shape)), s=(height, width))
        for _ in range(3)
    ]
    layers = [(layer - layer.mean()) / layer.std() for layer in layers]
    colours = [128 + 45 * (0.7 * layers[0] + 0.5 * layer) for layer in layers]
    return np.clip(np.stack(colours, axis=-1), 0, 255).astype(np.float32)


def film(width: int, height: int) -> Iterator[Screen]:
    """A camera that pans over a landscape, something that flies before it, and the grain of the film."""
    random = np.random.default_rng(3)
    landscape = natural(width + 3 * PICTURES, height + 80, 1)
    bird = 255 - natural(width // 4, height // 3, 5)
    for number in range(PICTURES):
        top = int(40 + 40 * np.sin(number / 10))
        picture = landscape[top : top + height, 3 * number : 3 * number + width].copy()
        y = int((height - bird.shape[0]) * (0.5 + 0.4 * np.cos(number / 11)))
        x = int((width - bird.shape[1]) * (0.5 + 0.4 * np.sin(number / 15)))
        picture[y : y + bird.shape[0], x : x + bird.shape[1]] = bird
        picture += random.integers(-2, 3, (height, width, 1), dtype=np.int8)
        red, green, blue = np.clip(picture, 0, 255).astype(np.uint32).transpose(2, 0, 1)
        yield red << 16 | green << 8 | blue


def tiles(area: Rectangle) -> list[Rectangle]:
    """What `screen.damage` makes of a change of `area`."""
    frame = Frame(WIDTH, HEIGHT, 1)
    mask = np.zeros(frame.versions.shape, np.bool_)
    mask[area.y // TILE : -(-area.bottom // TILE), area.x // TILE : -(-area.right // TILE)] = True
    return rectangles(mask, frame)


EVERYTHING = Rectangle(0, 0, WIDTH, HEIGHT)


def full_film() -> Iterator[Step]:
    areas = tiles(EVERYTHING)
    return ((picture, areas) for picture in film(WIDTH, HEIGHT))


def quarter_film() -> Iterator[Step]:
    screen = terminal(WIDTH, HEIGHT)
    area = Rectangle(448, 256, WIDTH // 2, HEIGHT // 2)
    for picture in film(area.width, area.height):
        screen[area.y : area.bottom, area.x : area.right] = picture
        yield screen, tiles(area)


def scrolling() -> Iterator[Step]:
    text = terminal(WIDTH, HEIGHT + 48 * PICTURES)
    return ((text[48 * number :][:HEIGHT].copy(), tiles(EVERYTHING)) for number in range(PICTURES))


def typing() -> Iterator[Step]:
    screen = terminal(WIDTH, HEIGHT)
    for number in range(PICTURES):
        area = Rectangle(320 + 8 * number, 512, 8, 16)
        screen[area.y : area.bottom, area.x : area.right] ^= 0xFFFFFF
        yield screen, tiles(area)


CONTENTS: dict[str, Callable[[], Iterator[Step]]] = {
    "film, whole screen": full_film,
    "film, a quarter": quarter_film,
    "scrolling text": scrolling,
    "typing": typing,
}


@dataclass
class Cost:
    """Of the pictures of one kind: seconds, seconds, bytes, dB."""

    conversion: list[float] = field(default_factory=list)
    x264: list[float] = field(default_factory=list)
    size: list[int] = field(default_factory=list)
    closeness: list[float] = field(default_factory=list)

    def row(self, content: str, kind: str) -> str:
        """One line of the table."""
        conversion, x264 = 1000 * median(self.conversion), 1000 * median(self.x264)
        kilobytes = mean(self.size) / 1000
        return (
            f"| {content} | {kind} | {conversion:.2f} | {x264:.2f} | {conversion + x264:.2f} "
            f"| {kilobytes:.1f} | {max(self.size) / 1000:.1f} | {mean(self.closeness):.1f} |"
        )


def measure(steps: Iterator[Step]) -> tuple[Cost, Cost]:
    """Key frames (three, the first of which also opens x264) and all other pictures."""
    costs = Cost(), Cost()
    encoder, decoder = Avc420Encoder(WIDTH, HEIGHT), Avc420Decoder()
    shown = np.zeros((HEIGHT, WIDTH), np.uint32)
    for number, (screen, areas) in enumerate(steps):
        is_key_frame = number % (PICTURES // 3) == 0
        conversion, x264 = encoder.conversion_seconds, encoder.encoder_seconds
        data = encoder.encode(screen, areas, is_key_frame)
        cost = costs[not is_key_frame]
        cost.conversion.append(encoder.conversion_seconds - conversion)
        cost.x264.append(encoder.encoder_seconds - x264)
        cost.size.append(len(data))
        decoder(data, shown, (0, 0, WIDTH, HEIGHT))
        if is_key_frame or number % JUDGED == 1:
            parts = [np.s_[area.y : area.bottom, area.x : area.right] for area in areas]
            seen = np.concatenate([shown[part].reshape(-1) for part in parts])
            truth = np.concatenate([screen[part].reshape(-1) for part in parts])
            cost.closeness.append(psnr(seen, truth))
    encoder.close()
    return costs


def resident_megabytes() -> float:
    """Of this process."""
    fields = Path("/proc/self/status").read_text().split()
    return int(fields[fields.index("VmRSS:") + 1]) / 1024


def print_memory() -> None:
    """For a process that has done nothing yet: freed memory would be used again and not be seen."""
    before = resident_megabytes()
    small = np.zeros((64, 64), np.uint32)
    Avc420Encoder(64, 64).encode(small, [Rectangle(0, 0, 64, 64)], True)
    loaded = resident_megabytes()
    encoder = Avc420Encoder(WIDTH, HEIGHT)
    screen = np.arange(WIDTH * HEIGHT, dtype=np.uint32).reshape(HEIGHT, WIDTH)
    for _ in range(10):
        screen += 0x030201
        encoder.encode(screen, tiles(EVERYTHING), False)
    # the screen itself is not the stream's
    opened = resident_megabytes() - screen.nbytes / 1024 / 1024
    encoder.close()
    closed = resident_megabytes() - screen.nbytes / 1024 / 1024
    print(
        f"memory in MiB: x264 {loaded - before:.0f}, a stream {opened - loaded:.0f}, "
        f"of which {max(0, closed - loaded):.0f} stay when it is closed"
    )


def print_parallel() -> None:
    """The same work in one thread and in two: with two cores it takes half as long if nobody waits."""
    screens = [screen for screen, _ in zip(film(WIDTH, HEIGHT), range(8), strict=False)]
    areas = tiles(EVERYTHING)

    def work(encoder: Avc420Encoder) -> None:
        for screen in screens:
            encoder.encode(screen, areas, False)

    for workers in (1, 2):
        encoders = [Avc420Encoder(WIDTH, HEIGHT) for _ in range(2)]
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, encoders))
            begin = perf_counter()
            list(pool.map(work, encoders))
            spent = 1000 * (perf_counter() - begin) / (2 * len(screens))
        print(f"two streams, threads: {workers}, ms per picture: {spent:.2f}")


def main() -> None:
    print("| content | picture | conversion ms | x264 ms | sum ms | kB | largest kB | dB |")
    print("|---|---|---|---|---|---|---|---|")
    for content, steps in CONTENTS.items():
        key_frames, others = measure(steps())
        print(key_frames.row(content, "key"), others.row(content, "P"), sep="\n", flush=True)
    print(flush=True)
    subprocess.run([sys.executable, __file__, MEMORY], check=True)
    print_parallel()


if __name__ == "__main__":
    if sys.argv[1:] == [MEMORY]:
        print_memory()
    else:
        main()
