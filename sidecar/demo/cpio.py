"""Archives that Linux unpacks as its first file system: cpio in the form "newc".

Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst. An archive may follow another
one, compressed or not, when it begins at a multiple of four bytes; what it holds replaces what was there.
"""

import stat
from collections.abc import Iterable
from dataclasses import dataclass

MAGIC = b"070701"
TRAILER = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, directory, device or symbolic link, owned by root.

    `name`: without a leading slash. `mode`: type and permissions, as `os.stat` has them. `data`: what a file
    holds or a symbolic link names. `device`: major and minor number of a device.
    """

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def directory(name: str) -> Entry:
    """A directory that all may enter."""
    return Entry(name, stat.S_IFDIR | 0o755)


def file(name: str, data: bytes, permissions: int = 0o644) -> Entry:
    """A regular file."""
    return Entry(name, stat.S_IFREG | permissions, data)


def link(name: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def archive(entries: Iterable[Entry]) -> bytes:
    """The whole archive. A directory has to come before what is in it."""
    written = bytearray()
    for number, entry in enumerate(entries, 1):
        _append(written, number, entry)
    _append(written, 0, Entry(TRAILER, 0))
    return bytes(written)


def _append(written: bytearray, number: int, entry: Entry) -> None:
    name = entry.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (
        *(number, entry.mode, 0, 0, links, 0, len(entry.data)),
        *(0, 0, *entry.device, len(name), 0),
    )
    written += MAGIC + b"".join(b"%08X" % field for field in fields) + name
    written += bytes(-len(written) % 4)
    written += entry.data
    written += bytes(-len(written) % 4)
