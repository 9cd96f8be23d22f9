"""What a person types: for the port, or for this program behind the escape character."""

from enum import Enum, auto

from sidecar.errors import UsageError

NO_ESCAPE = "none"


class Command(Enum):
    """What this program is to do."""

    MENU = auto()
    """the escape character was typed: say which keys there are"""
    LEAVE = auto()
    BREAK = auto()
    SUSPEND = auto()


_KEYS = {
    ord("q"): Command.LEAVE,
    ord("."): Command.LEAVE,
    ord("b"): Command.BREAK,
    ord("z"): Command.SUSPEND,
    ord("?"): Command.MENU,
}


class EscapeFilter:
    """Tells commands from what is typed for the port. `character`: a byte, or None for no commands at all."""

    __slots__ = ("_character", "_is_open")

    def __init__(self, character: int | None) -> None:
        self._character = character
        self._is_open = False

    def feed(self, data: bytes) -> list[bytes | Command]:
        """What `data` means, in its order. The escape character twice is itself, unknown keys are nothing."""
        meant: list[bytes | Command] = []
        start = 0
        for index, byte in enumerate(data):
            if self._is_open:
                # what follows the key is for the port again, and so is the second escape character
                start = index if byte == self._character else index + 1
                command = _KEYS.get(byte | 0x20 if chr(byte).isalpha() else byte)
                self._is_open = byte != self._character and command is Command.MENU
                if command is not None and byte != self._character:
                    meant.append(command)
            elif byte == self._character:
                if index > start:
                    meant.append(data[start:index])
                start = index + 1
                self._is_open = True
                meant.append(Command.MENU)
        if start < len(data):
            meant.append(data[start:])
        return meant


def parse_escape(text: str) -> int | None:
    """A character, or `^` and one of A-Z@[]\\^_? for a control character, or `none`. Raises UsageError."""
    if text == NO_ESCAPE:
        return None
    if len(text) == 1 and text.isascii():
        return ord(text)
    if len(text) == 2 and text[0] == "^":
        code = ord(text[1].upper())
        if code == ord("?"):
            return 0x7F
        if 0x40 <= code < 0x60:
            return code & 0x1F
    raise UsageError(f"{text!r} is no escape character: write one, such as ~ or ^] (for Ctrl-]), or none")


def shown_key(character: int) -> str:
    """The escape character as people say it."""
    if character == 0x7F:
        return "Ctrl-?"
    return f"Ctrl-{chr(character | 0x40)}" if character < 0x20 else chr(character)


def menu(character: int) -> str:
    """The keys behind the escape character, in one line."""
    key = shown_key(character)
    return f"q or . leaves, b sends a break, z suspends, {key} sends {key} itself; any other key goes on"
