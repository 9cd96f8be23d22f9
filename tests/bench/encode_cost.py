"""What encoding costs on one core: `python tests/bench/encode_cost.py`. Prints a table; asserts nothing.

Each figure is the best of several rounds over the rectangles that `screen.damage` makes of the picture.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sidecar.encode import rdp_colours
from sidecar.encode.encoders import encode
from sidecar.encode.form import Codec, Encoding, Form
from sidecar.encode.pixel_form import SWAPPED, PixelForm
from sidecar.encode.store import copied
from sidecar.screen.damage import rectangles
from sidecar.screen.font import FIRST, GLYPH_HEIGHT, GLYPH_WIDTH, glyphs
from sidecar.screen.surface import Frame

ROUNDS = 15
WIDTH, HEIGHT = 1024, 768
RDP_WIDTH, RDP_HEIGHT = 1920, 1080
RGB565 = PixelForm(16, 16, False, True, 31, 63, 31, 11, 5, 0)
Picture = NDArray[np.uint32]
SENTENCES = (
    "systemd[1]: Started session-4.scope - Session 4 of user demo. drwxr-xr-x 12 root root 4096 Jun 3 14:07 "
    "gcc -O2 -Wall -Wextra -c -o build/display.o src/display.c && echo '[ OK ]' "
    '10.0.3.17 - - [03/Jun/2025:14:07:31 +0000] "GET /status HTTP/1.1" 200 5316 "-" "curl/7.88.1" '
)


def text(colour_count: int, width: int = WIDTH, height: int = HEIGHT, smooth: bool = False) -> Picture:
    """Lines of made-up letters of 8x16 pixels in words of one colour; `smooth`: with soft edges."""
    random = np.random.default_rng(7)
    glyphs = np.zeros((96, 16, 8), np.float64)
    for glyph in glyphs[1:]:
        for _ in range(4):
            if random.random() < 0.5:
                column = random.integers(1, 7)
                glyph[3:13, column] = 1
            else:
                row = random.integers(3, 13)
                glyph[row, 1:7] = 1
            if smooth:
                glyph[3:13] = np.maximum(glyph[3:13], np.roll(glyph[3:13], 1, axis=1) * random.random())
    letters = random.integers(0, 96, (height // 16, width // 8))
    cover = np.round(glyphs[letters].transpose(0, 2, 1, 3).reshape(height, width) * 8) / 8
    colours = random.integers(64, 256, (colour_count - 1, 3))
    words = np.repeat(random.integers(0, colour_count - 1, (height // 16, width // 64)), 64, axis=1)
    ink = np.repeat(colours[words], 16, axis=0)
    channels = (ink * cover[:, :, np.newaxis]).astype(np.uint32)
    return channels[..., 0] << 16 | channels[..., 1] << 8 | channels[..., 2]


def terminal(width: int = WIDTH, height: int = HEIGHT) -> Picture:
    """Lines of different lengths in a real font, each word in one of a terminal's colours."""
    random = np.random.default_rng(7)
    colours = np.array((0xAAAAAA, 0x55FF55, 0xFF5555, 0x5C5CFF, 0xFFFF55, 0x55FFFF, 0xAAAAAA), np.uint32)
    font = glyphs()
    picture = np.zeros((height, width), np.uint32)
    for top in range(0, height - GLYPH_HEIGHT + 1, GLYPH_HEIGHT):
        columns = int(random.integers(width * 3 // 4, width)) // GLYPH_WIDTH
        start = int(random.integers(0, len(SENTENCES)))
        line = (SENTENCES * 4)[start : start + columns]
        words = np.cumsum([letter == " " for letter in line]) + random.integers(0, len(colours))
        ink = font[[ord(letter) - FIRST for letter in line]] * colours[words % len(colours), None, None]
        part = ink.transpose(1, 0, 2).reshape(GLYPH_HEIGHT, -1)
        picture[top : top + GLYPH_HEIGHT, : part.shape[1]] = part
    return picture


def photo(width: int = WIDTH, height: int = HEIGHT) -> Picture:
    """Soft shapes with the noise of a camera."""
    random = np.random.default_rng(7)
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack((np.sin(x / 70), np.cos(y / 50), np.sin((x + y) / 90)), axis=-1)
    noisy = 128 + 90 * waves + random.normal(0, 5, waves.shape)
    channels = np.clip(noisy, 0, 255).astype(np.uint32)
    return channels[..., 0] << 16 | channels[..., 1] << 8 | channels[..., 2]


def desktop(width: int = RDP_WIDTH, height: int = RDP_HEIGHT) -> Picture:
    """Two windows of text with soft edges, a photo and round icons on shades of blue."""
    random = np.random.default_rng(3)
    y, x = np.mgrid[0:height, 0:width]
    shades = (40 + 60 * y / height + 20 * x / width, 60 + 80 * y / height, 120 + 60 * x / width)
    image = Image.fromarray(np.stack(shades, axis=-1).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for left, top, right, bottom, size, ink, paper in (
        (60, 40, 1000, 800, 14, (20, 20, 20), (255, 255, 255)),
        (700, 300, 1500, 1000, 12, (200, 220, 200), (30, 30, 30)),
    ):
        for row in range(30):
            draw.line((left, top + row, right, top + row), fill=(60 + row, 70 + row, 90 + row))
        draw.rectangle((left, top + 30, right, bottom), fill=paper)
        font = ImageFont.load_default(size)
        for line in range(top + 36, bottom - size - 4, size + 5):
            begin, length = random.integers(0, len("".join(SENTENCES))), random.integers(0, right - left) // 8
            words = ("".join(SENTENCES) * 2)[begin : begin + length]
            own = tuple(random.integers(0, 200, 3).tolist())
            draw.text((left + 8, line), words, font=font, fill=ink if random.random() < 0.8 else own)
    pixels = np.asarray(image).astype(np.uint32)
    picture: Picture = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    picture[80:480, 1380:1880] = photo(500, 400)
    for left in range(1600, 1880, 70):
        row, column = np.mgrid[0:48, 0:48]
        tint = random.integers(0, 128, 3)
        icon = (tint[0] + row) << 16 | (tint[1] + column) << 8 | (tint[2] + (row + column) // 2)
        is_round = (row - 24) ** 2 + (column - 24) ** 2 < 500
        picture[560:608, left : left + 48][is_round] = icon[is_round]
    return picture


PICTURES: dict[str, Callable[[], Picture]] = {
    "text, 2 colours": lambda: text(2),
    "text, 12 colours": lambda: text(12),
    "terminal": terminal,
    "text, soft edges": lambda: text(6, smooth=True),
    "photo": photo,
    "one colour": lambda: np.full((HEIGHT, WIDTH), 0x203040, np.uint32),
    "one tile of text": lambda: text(2, 64, 64),
    "one tile, 12 colours": lambda: text(12, 64, 64),
}

FORMS = {
    "Tight": Form.of(Encoding.TIGHT),
    "Tight, JPEG 6": Form.of(Encoding.TIGHT, quality_level=6),
    "Tight, 565": Form.of(Encoding.TIGHT, RGB565),
    "ZRLE": Form.of(Encoding.ZRLE),
    "ZRLE, 565": Form.of(Encoding.ZRLE, RGB565),
    "Zlib": Form.of(Encoding.ZLIB),
    "Zlib, RGBX": Form.of(Encoding.ZLIB, SWAPPED),
    "Hextile": Form.of(Encoding.HEXTILE),
    "Raw": Form.of(Encoding.RAW),
}


RDP_PICTURES: dict[str, Callable[[], Picture]] = {
    "text, 2 colours": lambda: text(2, RDP_WIDTH, 1088)[:RDP_HEIGHT],
    "text, 12 colours": lambda: text(12, RDP_WIDTH, 1088)[:RDP_HEIGHT],
    "terminal": lambda: terminal(RDP_WIDTH, RDP_HEIGHT),
    "text, soft edges": lambda: text(6, RDP_WIDTH, 1088, smooth=True)[:RDP_HEIGHT],
    "desktop": desktop,
    "photo": lambda: photo(RDP_WIDTH, RDP_HEIGHT),
    "one colour": lambda: np.full((RDP_HEIGHT, RDP_WIDTH), 0x203040, np.uint32),
}

RDP_FORMS = {
    "Tight": FORMS["Tight"],
    "ZRLE": FORMS["ZRLE"],
    "ClearCodec": Form(Codec.CLEARCODEC),
    "planar": Form(Codec.PLANAR),
    "bitmaps, planar": Form(Codec.BITMAP_PLANAR, rdp_colours.RGB888),
    "bitmaps, 24 bits": Form(Codec.BITMAP_INTERLEAVED, rdp_colours.RGB888),
    "bitmaps, 16 bits": Form(Codec.BITMAP_INTERLEAVED, rdp_colours.RGB565),
}


def encode_picture(frame: Frame, form: Form) -> int:
    """Everything that a change of the whole picture costs; the bytes that come out."""
    whole = np.ones(frame.versions.shape, np.bool_)
    areas = rectangles(whole, frame, form.encoding.max_tiles)
    return sum(len(encode(area, copied(frame, area), form).body) for area in areas)


def best(work: Callable[[], object]) -> float:
    """Milliseconds."""
    times = []
    for _ in range(ROUNDS):
        begin = perf_counter()
        work()
        times.append(perf_counter() - begin)
    return min(times) * 1000


def table(pictures: dict[str, Callable[[], Picture]], forms: dict[str, Form]) -> dict[str, Frame]:
    """Prints what each picture costs in each form; returns the pictures."""
    print(f"{'ms (kB)':22}" + "".join(f"{name:>18}" for name in forms))
    frames = {}
    for picture_name, make in pictures.items():
        pixels = make()
        frame = frames[picture_name] = Frame(pixels.shape[1], pixels.shape[0], 1)
        frame.pixels[:] = pixels
        cells = []
        for form in forms.values():
            size = encode_picture(frame, form) / 1000
            spent = best(lambda frame=frame, form=form: encode_picture(frame, form))  # type: ignore[misc]
            cells.append(f"{spent:8.3f} ({size:6.1f})")
        print(f"{picture_name:22}" + "".join(f"{cell:>18}" for cell in cells))
    return frames


def main() -> None:
    frames = table(PICTURES, FORMS)
    print(f"\nRDP beside the same in RFB, {RDP_WIDTH}x{RDP_HEIGHT}:")
    table(RDP_PICTURES, RDP_FORMS)
    print("\nfour photos, by threads (how well the work leaves the interpreter):")
    with ThreadPoolExecutor(2) as pool:
        for name in ("Tight", "Tight, JPEG 6", "ZRLE"):
            jobs = [(frames["photo"], FORMS[name])] * 4
            alone = best(lambda jobs=jobs: [encode_picture(*job) for job in jobs])  # type: ignore[misc]
            shared = best(lambda jobs=jobs: list(pool.map(lambda job: encode_picture(*job), jobs)))  # type: ignore[misc]
            print(f"{name:22} one {alone:7.2f} ms   two {shared:7.2f} ms")


if __name__ == "__main__":
    main()
