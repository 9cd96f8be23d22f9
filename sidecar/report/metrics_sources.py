"""What metrics are told of beside sessions, machine and problems, and by whom.

Each source has plain numbers of its own, counted whether or not anybody looks, and knows nothing of metrics;
whoever puts a daemon together names those that there are.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from sidecar.session.session import SessionProtocol


class PictureMeasures(Protocol):
    """See `sidecar.encode.store.Measures`."""

    def encoded(self, encoding: Enum, seconds: float, size: int) -> None:
        """An encoder has worked so many seconds and made so many bytes."""
        ...

    def sent(self, seconds: float) -> None:
        """An update was handed to its connection, so long after the first change in it."""
        ...


class PictureSource(Protocol):
    """What `sidecar.encode.store.SegmentStore` tells of the pictures of all consoles."""

    hits: int
    misses: int
    joins: int
    evictions: int
    jobs: int
    size: int

    def __len__(self) -> int:
        """Segments that are kept."""
        ...

    def measure(self, measures: PictureMeasures | None) -> None:
        """Tells them from now on how long pictures take; None: nobody."""
        ...


class ListenerSource(Protocol):
    """What `sidecar.qemu.listener.ListenerFigures` tells."""

    messages: int
    pixels: int
    unchanged: int
    refused: int


@dataclass(frozen=True, slots=True)
class Sources:
    """Where there is none, the metrics of it are left out of the page. None of them may raise."""

    pictures: PictureSource | None = None
    listeners: ListenerSource | None = None
    unsent: Callable[[], Iterable[tuple[SessionProtocol, int]]] | None = None
    """For each connection, the bytes that wait for it to read."""
    failed_logins: Mapping[tuple[str, str], int] | None = None
    """How many logins have failed, by protocol (vnc, rdp, web, api) and cause: `wrong`, or `throttled`, which
    were not even looked at."""
    tickets: Callable[[], int] | None = None
    """How many tickets can be logged in with."""
    usb_devices: Callable[[], int] | None = None
    """How many USB devices are redirected."""
    usb_traffic: Callable[[], tuple[int, int]] | None = None
    """Bytes of redirected devices since the daemon began: to the machine, and from it."""
    api_requests: Callable[[], Mapping[int, int]] | None = None
    """How many requests of the management API were answered with which status."""
