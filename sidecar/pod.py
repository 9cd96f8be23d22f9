"""`vdi-sidecar hook`: the daemon in the pod of a virtual machine, and what it does there for KubeVirt."""

import asyncio
import importlib.util
import os
import pwd
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from sidecar.advice.advisor import Advisor
from sidecar.advice.listeners import listeners_of
from sidecar.alongside import alongside
from sidecar.config.options import HookOptions
from sidecar.daemon import attached, frontends
from sidecar.domain.bus import bus_place
from sidecar.domain.command import define_domain
from sidecar.domain.vmi import read_vmi
from sidecar.guest import Guest, GuestState
from sidecar.hook.server import SOCKET_NAME, HookServer
from sidecar.hook.termination import (
    DEFAULT_LEAVE_AFTER,
    GRACE_PADDING,
    EndReason,
    Termination,
    time_to_go,
)
from sidecar.log import get_logger
from sidecar.problems import Problems
from sidecar.qemu.attach import BusAttach
from sidecar.qemu.bus import PrivateBus
from sidecar.qemu.bus_watch import watched
from sidecar.session.feed import StatusFeed
from sidecar.session.state import EndReason as SessionEnd

if TYPE_CHECKING:
    from sidecar.report.kubernetes import AnnotationReporter

log = get_logger(__name__)

WITHOUT_MACHINE: Final = frozenset({EndReason.SHUTDOWN_CALLED, EndReason.GUEST_GONE, EndReason.GUEST_LOST})
"""The machine has ended, or it runs in another pod now: viewers may come again."""

NO_MONITOR: Final = (
    "KubeVirt keeps the machine's monitor to itself: ask and change the VirtualMachine in the cluster"
)

LEAVE_WITHIN: Final = 1.0
"""Seconds for calls that still run. With the reporter's last word it is over before the viewers have read
theirs, well within the five seconds that `Termination` keeps for all of the end."""


async def hook(options: HookOptions) -> None:
    """`vdi-sidecar hook`: the bus, the frontends and the hook sockets; ends as KubeVirt wants it."""
    hook_dir = None if options.hook_dir is None else options.hook_dir.absolute()
    plugin_socket = None if options.plugin_socket is None else options.plugin_socket.absolute()
    problems = Problems()
    place = bus_place(
        os.environ,
        hook_dir=hook_dir,
        plugin_socket=plugin_socket,
        bus_dir=options.bus_dir,
        bus_dir_for_qemu=options.bus_dir_for_qemu,
        dbus_address=options.dbus_address,
    )
    # with a hook socket virt-launcher says when to leave: it calls Shutdown
    leave_after = options.leave_after
    if hook_dir is None and leave_after is None:
        leave_after = DEFAULT_LEAVE_AFTER
    termination = Termination(grace=options.grace, leave_after=leave_after)

    async def define(domain: bytes, vmi: bytes) -> bytes:
        termination.domain_wanted()
        # both short, but not so short that viewers need not notice
        known = await asyncio.to_thread(read_vmi, vmi)
        defined = await asyncio.to_thread(
            define_domain,
            known,
            domain,
            dbus_address=place.address,
            graphics=options.graphics,
            screen=options.screen,
            audio=options.audio,
            input=options.input,
            serial_console=options.serial_console,
            clipboard_channel=options.clipboard_channel,
            usb_slots=options.usb_slots,
        )
        # QEMU does not start without it (facts: kubevirt 5); one that runs would lose a bus that is replaced
        await bus.ready(mend=guest.state is not GuestState.ATTACHED)
        if known.grace is not None and options.grace_follows_vmi:
            termination.grace = known.grace + GRACE_PADDING
        advisor.defined(known)
        if reporter is not None:
            reporter.identify(known.namespace, known.name, known.uid)
        return defined

    async with (
        # first in, last out: a signal that comes while all this starts or ends leaves nothing behind either
        _signals_heard(termination.sigterm, termination.interrupted),
        PrivateBus(place.socket.parent, _qemu_uid(), name=place.socket.name) as bus,
        attached(BusAttach(bus.address), options) as (guest, _),
        watched(bus, guest, problems),
        frontends(options, guest, problems, why_no_machine=NO_MONITOR) as daemon,
        _advice(options, guest, problems) as advisor,
        _annotations(options, daemon.feed) as reporter,
        HookServer(
            None if hook_dir is None else hook_dir / SOCKET_NAME,
            plugin_socket=plugin_socket,
            define_domain=define,
            status=daemon.feed,
            leave_within=LEAVE_WITHIN,
        ) as server,
        alongside(_await_shutdown(server, termination), name="wait for Shutdown"),
    ):
        guest.lifecycle.subscribe(termination.guest_changed)
        termination.guest_changed(guest.state)
        reason = await time_to_go(termination)
        log.info("ending", cause=reason.value)
        # now, so that they read it while everything else ends
        daemon.registry.close(SessionEnd.GONE if reason in WITHOUT_MACHINE else SessionEnd.SHUTDOWN)


async def _await_shutdown(server: HookServer, termination: Termination) -> None:
    await server.shutdown_requested.wait()
    termination.shutdown_answered()


@asynccontextmanager
async def _advice(options: HookOptions, guest: Guest, problems: Problems) -> AsyncIterator[Advisor]:
    """Looks for what stands in viewers' way while it is entered, and tells `problems`."""
    advisor = Advisor(
        problems,
        guest,
        listeners_of(options),
        rdp=bool(options.rdp),
        h264=importlib.util.find_spec("av") is not None,
        screen=options.screen,
    )
    async with advisor.at_work():
        yield advisor


@asynccontextmanager
async def _annotations(options: HookOptions, feed: StatusFeed) -> AsyncIterator["AnnotationReporter | None"]:
    """Tells the sessions in annotations of the VMI, if it is wanted; loaded only then."""
    if not options.annotate_vmi:
        yield None
        return
    from sidecar.report.kubernetes import AnnotationReporter

    async with AnnotationReporter(feed) as reporter:
        yield reporter


QEMU_UID = 107
"""The user that QEMU runs as in KubeVirt, where the sidecar itself may be root (facts: kubevirt 4)."""


def _qemu_uid() -> int | None:
    """The user whom the bus lets in besides our own."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwuid(QEMU_UID)
    except KeyError:
        # dbus-daemon knows nobody else; outside KubeVirt QEMU may well be root's, too
        log.warning(
            "only root can reach the bus", cause=f"/etc/passwd has no user {QEMU_UID}, KubeVirt's QEMU"
        )
        return None
    return QEMU_UID


@asynccontextmanager
async def _signals_heard(
    sigterm: Callable[[float], None], interrupted: Callable[[], None]
) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: sigterm(time.monotonic()))
    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            # all is let go: another one must not change the exit status
            signal.signal(number, signal.SIG_IGN)
