"""How many characters a text console shows."""

import re
from dataclasses import dataclass

from sidecar.errors import UsageError

_WRITTEN = re.compile(r"([0-9]{1,3})x([0-9]{1,3})", re.ASCII)


@dataclass(frozen=True, slots=True)
class TerminalSize:
    """Columns 40..200 and rows 10..100. Raises UsageError."""

    columns: int = 80
    rows: int = 25

    def __post_init__(self) -> None:
        if not (40 <= self.columns <= 200 and 10 <= self.rows <= 100):
            raise UsageError(
                f"a text console of {self.columns}x{self.rows} characters is not possible: "
                "40x10 to 200x100 are"
            )

    @classmethod
    def parse(cls, text: str) -> "TerminalSize":
        """A size such as 80x25. Raises UsageError."""
        written = _WRITTEN.fullmatch(text)
        if written is None:
            raise UsageError(f"{text!r} is no size of a text console: write COLUMNSxROWS, such as 80x25")
        return cls(int(written[1]), int(written[2]))
