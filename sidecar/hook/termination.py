"""When the sidecar of a KubeVirt pod may go (facts: kubevirt 1.5). Does no I/O; the time is passed in.

Two things ask it to. virt-launcher calls Shutdown after QEMU has exited, and waits for nothing but the
answer. The kubelet sends SIGTERM to all containers of a deleted pod at once, while the guest is still
shutting down: to let go then would cut off the people who watch it, and QEMU's bus.

By the plugin API nobody calls Shutdown. A native sidecar gets SIGTERM when the pod's other containers have
completed; an ordinary container gets none, and must leave by itself once QEMU has gone for good, or its pod
never completes.
"""

import asyncio
import time
from collections.abc import Callable
from enum import Enum

from sidecar.guest import GuestState
from sidecar.log import get_logger
from sidecar.observers import Observers

log = get_logger(__name__)

DEFAULT_GRACE = 60.0
"""Seconds between SIGTERM and SIGKILL: KubeVirt's default for a VM, 30, and the padding."""
GRACE_PADDING = 30.0
"""Seconds that virt-controller adds to a VM's own grace period for its pod."""
DEFAULT_LEAVE_AFTER = 30.0
"""Seconds; time enough for virt-launcher to try a start that has failed again."""


class EndReason(Enum):
    """Why it is time to go; the value is a sentence for the log."""

    SHUTDOWN_CALLED = "virt-launcher has called Shutdown"
    INTERRUPTED = "interrupted"
    GUEST_GONE = "the pod is being deleted and the guest is gone"
    GRACE_OVER = "the pod is being deleted and its grace period is nearly over"
    GUEST_LOST = "the guest has gone and has not come back"


class Termination:
    """The decision. Belongs to the main loop.

    `grace`: seconds from SIGTERM to SIGKILL; may be changed until SIGTERM comes. `margin`: seconds before the
    end of it that are kept for letting go of everything; at most half of `grace` is. `leave_after`: seconds
    without the guest, once it was there, after which it is gone for good; None: somebody will say when to go.
    `clock`: where `guest_changed` gets its time from, the same as that of the others.
    """

    def __init__(
        self,
        *,
        grace: float = DEFAULT_GRACE,
        margin: float = 5.0,
        leave_after: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.grace = grace
        self.margin = margin
        self.leave_after = leave_after
        self.changes: Observers[[]] = Observers()
        """Called when something was said that may change the decision."""
        self._attached = False
        self._answered = False
        self._interrupted = False
        self._deadline: float | None = None
        self._clock = clock
        self._given_up: float | None = None
        """When the guest, which is gone, will not be waited for any more."""

    def guest_changed(self, state: GuestState) -> None:
        """The guest has come or gone."""
        self._attached = state is GuestState.ATTACHED
        self._given_up = None
        if state is GuestState.LOST and self.leave_after is not None:
            self._given_up = self._clock() + self.leave_after
            log.info("waiting for the guest to come back", leaves_after=self.leave_after)
        self.changes.notify()

    def domain_wanted(self) -> None:
        """A domain was asked for: a guest that was lost is about to start again, and the wait begins anew."""
        if self._given_up is not None and self.leave_after is not None:
            self._given_up = self._clock() + self.leave_after
            self.changes.notify()

    def shutdown_answered(self) -> None:
        """virt-launcher has called Shutdown and has its answer."""
        self._answered = True
        self.changes.notify()

    def interrupted(self) -> None:
        """SIGINT has come: somebody has started this at a terminal and wants it to end."""
        self._interrupted = True
        self.changes.notify()

    def sigterm(self, now: float) -> None:
        """SIGTERM has come. `now`: monotonic seconds. Another one says nothing new: a kubelet that was
        restarted sends it again, and the first one's grace period counts.
        """
        if self._deadline is None:
            stays = self.grace - min(self.margin, self.grace / 2)
            self._deadline = now + stays
            log.info("asked to end", attached=self._attached, stays_at_most=stays)
        self.changes.notify()

    def reason(self, now: float) -> EndReason | None:
        """Why it is time to go, or None."""
        if self._answered:
            return EndReason.SHUTDOWN_CALLED
        if self._interrupted:
            return EndReason.INTERRUPTED
        if self._deadline is not None and not self._attached:
            return EndReason.GUEST_GONE
        if self._deadline is not None and now >= self._deadline:
            return EndReason.GRACE_OVER
        if self._given_up is not None and now >= self._given_up:
            return EndReason.GUEST_LOST
        return None

    def remaining(self, now: float) -> float | None:
        """Seconds after which `reason` can be another one with nothing said meanwhile, or None."""
        ends = [end for end in (self._deadline, self._given_up) if end is not None]
        if not ends or self.reason(now) is not None:
            return None
        return min(ends) - now


async def time_to_go(termination: Termination, *, clock: Callable[[], float] = time.monotonic) -> EndReason:
    """Returns as soon as it is time to go. `clock` is the one that `sigterm` gets its time from."""
    changed = asyncio.Event()
    unsubscribe = termination.changes.subscribe(changed.set)
    try:
        while True:
            changed.clear()
            now = clock()
            reason = termination.reason(now)
            if reason is not None:
                return reason
            try:
                async with asyncio.timeout(termination.remaining(now)):
                    await changed.wait()
            except TimeoutError:
                continue
    finally:
        unsubscribe()
