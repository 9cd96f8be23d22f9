"""Writes the data files of this directory from xkeyboard-config, by libxkbcommon.

    python -m sidecar.input.layouts.generate

It needs libxkbcommon.so.0 (1.0 or newer) and xkeyboard-config (Debian: libxkbcommon0, xkb-data). The daemon
needs neither.
"""

import ctypes
import ctypes.util
from collections.abc import Iterator
from pathlib import Path

LAYOUTS = {
    "ara": ("ara", ""),
    "be": ("be", ""),
    "bg": ("bg", ""),
    "br": ("br", ""),
    "by": ("by", ""),
    "ca": ("ca", ""),
    "ch": ("ch", ""),
    "ch-fr": ("ch", "fr"),
    "cz": ("cz", ""),
    "de": ("de", ""),
    "de-nodeadkeys": ("de", "nodeadkeys"),
    "dk": ("dk", ""),
    "ee": ("ee", ""),
    "es": ("es", ""),
    "fi": ("fi", ""),
    "fo": ("fo", ""),
    "fr": ("fr", ""),
    "fr-bepo": ("fr", "bepo"),
    "gb": ("gb", ""),
    "gr": ("gr", ""),
    "hr": ("hr", ""),
    "hu": ("hu", ""),
    "ie": ("ie", ""),
    "il": ("il", ""),
    "is": ("is", ""),
    "it": ("it", ""),
    "jp": ("jp", ""),
    "kr": ("kr", ""),
    "kz": ("kz", ""),
    "latam": ("latam", ""),
    "lt": ("lt", ""),
    "lv": ("lv", ""),
    "mk": ("mk", ""),
    "nl": ("nl", ""),
    "no": ("no", ""),
    "pl": ("pl", ""),
    "pt": ("pt", ""),
    "ro": ("ro", ""),
    "rs": ("rs", ""),
    "ru": ("ru", ""),
    "se": ("se", ""),
    "si": ("si", ""),
    "sk": ("sk", ""),
    "th": ("th", ""),
    "tr": ("tr", ""),
    "ua": ("ua", ""),
    "us": ("us", ""),
    "us-dvorak": ("us", "dvorak"),
    "us-intl": ("us", "intl"),
}
"""File name -> layout and variant of xkeyboard-config."""

TYPING_KEYS = {
    **{code: code for code in (*range(2, 14), *range(16, 28), *range(30, 42), *range(43, 54), 57, 86)},
    89: 0x73,
    124: 0x7D,
}
"""Keys whose meaning depends on the layout: Linux key code -> QEMU key number (facts: qnum section 1)."""

RIGHT_ALT, KEY_102ND = 100, 86
"""Linux key codes."""

X11_KEYCODE_OFFSET = 8
SHIFT, LOCK, LEVEL3 = 1 << 0, 1 << 1, 1 << 7
"""Bits of X11's real modifiers; xkeyboard-config puts AltGr on Mod5."""

NO_SYMBOL, ISO_LEVEL3_SHIFT, LAST_LEGACY_KEYSYM = 0, 0xFE03, 0x20FF
HERE = Path(__file__).parent


class _RuleNames(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_char_p) for name in ("rules", "model", "layout", "variant", "options"))


def _xkbcommon() -> ctypes.CDLL:
    library = ctypes.CDLL("libxkbcommon.so.0")
    library.xkb_context_new.restype = ctypes.c_void_p
    library.xkb_keymap_new_from_names.restype = ctypes.c_void_p
    library.xkb_keymap_new_from_names.argtypes = (
        ctypes.c_void_p,
        ctypes.POINTER(_RuleNames),
        ctypes.c_int,
    )
    library.xkb_keymap_num_levels_for_key.argtypes = (ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32)
    library.xkb_keymap_key_get_syms_by_level.argtypes = (
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_uint32,
        ctypes.c_uint32,
        ctypes.POINTER(ctypes.POINTER(ctypes.c_uint32)),
    )
    library.xkb_keymap_key_get_mods_for_level.argtypes = (
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_uint32,
        ctypes.c_uint32,
        ctypes.POINTER(ctypes.c_uint32),
        ctypes.c_size_t,
    )
    library.xkb_keymap_key_get_mods_for_level.restype = ctypes.c_size_t
    library.xkb_keysym_to_utf32.restype = ctypes.c_uint32
    return library


class Generator:
    """One libxkbcommon context."""

    def __init__(self) -> None:
        self._xkb = _xkbcommon()
        self._context = self._xkb.xkb_context_new(0)

    def layout_lines(self, layout: str, variant: str) -> Iterator[str]:
        """The lines of one layout's file; raises ValueError for a layout that is not installed."""
        names = _RuleNames(b"evdev", b"pc105", layout.encode(), variant.encode(), b"")
        keymap = self._xkb.xkb_keymap_new_from_names(self._context, ctypes.byref(names), 0)
        if not keymap:
            raise ValueError(f"xkeyboard-config has no layout {layout}({variant})")
        right_alt, _ = self._key(keymap, RIGHT_ALT + X11_KEYCODE_OFFSET)
        levels = 4 if right_alt[0] == ISO_LEVEL3_SHIFT else 2
        keys = {code: self._key(keymap, code + X11_KEYCODE_OFFSET) for code in TYPING_KEYS}
        elsewhere = {
            symbol for code, (symbols, _) in keys.items() if code != KEY_102ND for symbol in symbols[:2]
        }
        for code, qnum in TYPING_KEYS.items():
            symbols, caps = keys[code]
            del symbols[levels:]
            if code == KEY_102ND:
                # xkeyboard-config defines it even where keyboards lack it and guests take it for another
                symbols = [NO_SYMBOL if symbol in elsewhere else symbol for symbol in symbols]
            while symbols and symbols[-1] == NO_SYMBOL:
                symbols.pop()
            if symbols:
                yield f"{qnum:02x} {caps} " + " ".join(f"{symbol:x}" if symbol else "-" for symbol in symbols)

    def _key(self, keymap: int, keycode: int) -> tuple[list[int], int]:
        """Symbols of the levels plain, Shift, AltGr, AltGr+Shift; whether Caps Lock acts as Shift on the
        first two (bit 0) and on the last two (bit 1)."""
        symbols, under_lock = [NO_SYMBOL] * 4, [NO_SYMBOL] * 4
        masks = (ctypes.c_uint32 * 64)()
        pointer = ctypes.POINTER(ctypes.c_uint32)()
        for level in range(self._xkb.xkb_keymap_num_levels_for_key(keymap, keycode, 0)):
            count = self._xkb.xkb_keymap_key_get_syms_by_level(
                keymap, keycode, 0, level, ctypes.byref(pointer)
            )
            if count != 1:
                continue
            symbol = self.canonical(pointer[0])
            found = self._xkb.xkb_keymap_key_get_mods_for_level(keymap, keycode, 0, level, masks, len(masks))
            for mask in masks[:found]:
                if not mask & ~(SHIFT | LOCK | LEVEL3):
                    slot = bool(mask & SHIFT) + 2 * bool(mask & LEVEL3)
                    (under_lock if mask & LOCK else symbols)[slot] = symbol
        caps = 0
        for bit, pair in ((1, 0), (2, 2)):
            if symbols[pair] != symbols[pair + 1] and symbols[pair + 1] == under_lock[pair] != NO_SYMBOL:
                caps |= bit
        return symbols, caps

    def canonical(self, keysym: int) -> int:
        """The Unicode form of a keysym that means a character; others unchanged."""
        if 0x100 <= keysym <= LAST_LEGACY_KEYSYM:
            character: int = self._xkb.xkb_keysym_to_utf32(keysym)
            return keysym if not character else character if character < 0x100 else 0x01000000 | character
        return keysym

    def legacy_lines(self) -> Iterator[str]:
        """Every keysym of the days before Unicode with its Unicode form."""
        for keysym in range(0x100, LAST_LEGACY_KEYSYM + 1):
            if (canonical := self.canonical(keysym)) != keysym:
                yield f"{keysym:x} {canonical:x}"


def main() -> None:
    """Writes all files anew."""
    generator = Generator()
    for name, (layout, variant) in LAYOUTS.items():
        title = f"{layout}({variant})" if variant else layout
        head = (
            f"# Layout {title} of xkeyboard-config (LICENSE.xkeyboard-config), by generate.py.\n"
            "# Key number; 1 if Caps Lock acts as Shift, 2 if it does with AltGr, 3 both; keysyms of the\n"
            "# key alone, with Shift, with AltGr, with both. Hexadecimal, - for none.\n"
        )
        lines = generator.layout_lines(layout, variant)
        (HERE / f"{name}.layout").write_text(head + "".join(f"{line}\n" for line in lines))
    head = (
        "# Keysyms that are older than Unicode, and their Unicode form; by generate.py from libxkbcommon.\n"
    )
    (HERE / "legacy.keysyms").write_text(head + "".join(f"{line}\n" for line in generator.legacy_lines()))


if __name__ == "__main__":
    main()
