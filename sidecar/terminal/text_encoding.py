"""What the bytes of a line mean."""

from enum import StrEnum


class TextEncoding(StrEnum):
    """The values are Python's names of the codecs."""

    UTF_8 = "utf-8"
    CP437 = "cp437"
    """as QEMU's own text consoles take them for machines older than 11.1"""
