"""What one tick of a broadcast finds that receivers miss, and who gets the same."""

import asyncio
from dataclasses import dataclass, field

from sidecar.broadcast.canvas import TileMask
from sidecar.broadcast.receiver import Receiver
from sidecar.broadcast.video import VideoStream
from sidecar.encode.form import Form, Segment
from sidecar.screen.rectangle import Rectangle


@dataclass(slots=True, eq=False)
class Shot:
    """The picture of a stream that a tick has made, for all groups that get it."""

    stream: VideoStream[Receiver]
    mask: TileMask
    segment: asyncio.Task[Segment]


@dataclass(slots=True, eq=False)
class Group:
    """Receivers that get the same update."""

    exact: TileMask
    lossy: TileMask | None
    visible: Rectangle
    exact_form: Form
    lossy_form: Form | None
    shot: Shot | None
    """What shows `lossy`, if that is video."""
    damaged_at: float | None = None
    """When the machine told of the first change in it, by the loop's clock; None: it is about older ones."""
    receivers: list[Receiver] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Missing:
    """What one receiver misses."""

    receiver: Receiver
    exact: TileMask
    lossy: TileMask | None
    shot: Shot | None = None
