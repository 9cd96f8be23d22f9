"""The guest that QEMU runs, over any of the ways of `sidecar.qemu.attach`."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from sidecar.guest import GuestState, SerialPort
from sidecar.log import get_logger
from sidecar.observers import Observers
from sidecar.qemu.attach import Attach
from sidecar.qemu.audio_in import QemuMicrophone
from sidecar.qemu.audio_out import QemuAudio
from sidecar.qemu.back_off import BackOff
from sidecar.qemu.clipboard import QemuClipboard
from sidecar.qemu.console import QemuConsole
from sidecar.qemu.errors import CallRefused, ConnectionLost, QmpRefused
from sidecar.qemu.link import VM, VM_PATH, Link
from sidecar.qemu.listener_thread import ListenerThread
from sidecar.qemu.ports import QemuPorts
from sidecar.qemu.power import QemuPower
from sidecar.qemu.qmp import Qmp

log = get_logger(__name__)

WAITING: Final = "Waiting for the virtual machine."
LOST: Final = "The virtual machine is not running. Waiting for it to come back."
ENDED: Final = "The virtual machine has ended."
NO_DISPLAY: Final = "The virtual machine does not have this display any more."

MAX_CONSOLES: Final = 16
"""QEMU's graphics devices have at most 16 heads (virtio-gpu)."""

STEADY: Final = 10.0
"""Seconds after which an attached machine counts as there to stay, and the next try comes at once."""


@dataclass(frozen=True, slots=True)
class Use:
    """What is wanted of a machine beside its screen; the rest costs nothing and is left to other programs."""

    sound: bool = True
    clipboard: bool = True
    copied_texts: bool = True
    """Whether what is copied in the machine is fetched, where its clipboard is wanted."""


class QemuGuest:
    """See `sidecar.guest.Guest`. `run` does the work; before it runs, console 0 shows that it waits.

    Made on the main loop and belongs to it.
    """

    def __init__(self, attach: Attach, touch_screen: bool | None = None, use: Use | None = None) -> None:
        """`touch_screen`: whether the machine has one (virtio-multitouch); None: as its monitor says, and no
        where it was not attached by that. `use`: all of it, if None."""
        self._attach = attach
        self._touch_screen = touch_screen
        self._use = use or Use()
        self._state = GuestState.WAITING
        self._name = "virtual machine"
        self._uuid = ""
        self._consoles: dict[int, QemuConsole] = {}
        self._link: Link | None = None
        self._power = QemuPower(lambda: self.monitor)
        self._audio = QemuAudio()
        self._microphone = QemuMicrophone()
        self._clipboard = QemuClipboard(fetches=self._use.copied_texts)
        self._ports = QemuPorts()
        self._lifecycle: Observers[[GuestState]] = Observers()
        self._console(0).display.show_notice(WAITING)

    @property
    def state(self) -> GuestState:
        """Whether the machine is there."""
        return self._state

    @property
    def name(self) -> str:
        """The machine's name, for people."""
        return self._name

    @property
    def uuid(self) -> str:
        """The machine's UUID, or an empty string."""
        return self._uuid

    @property
    def consoles(self) -> Mapping[int, QemuConsole]:
        """By console number, ascending; console 0 is always there, and none ever goes."""
        return MappingProxyType(self._consoles)

    @property
    def power(self) -> QemuPower:
        """Its switches."""
        return self._power

    @property
    def monitor(self) -> Qmp | None:
        """QEMU's monitor, where the machine is attached by it."""
        return self._link.qmp if self._link else None

    @property
    def audio(self) -> QemuAudio:
        """What it plays."""
        return self._audio

    @property
    def microphone(self) -> QemuMicrophone:
        """What it records."""
        return self._microphone

    @property
    def clipboard(self) -> QemuClipboard:
        """Its clipboard."""
        return self._clipboard

    @property
    def ports(self) -> Mapping[str, SerialPort]:
        """Its character devices by name."""
        return self._ports.by_name

    @property
    def ports_changes(self) -> Observers[[]]:
        """Called when the set of `ports` has changed."""
        return self._ports.changes

    @property
    def lifecycle(self) -> Observers[[GuestState]]:
        """Called when `state`, `name` or the set of consoles has changed."""
        return self._lifecycle

    async def run(self) -> None:
        """Attaches, and again after every end, until it is cancelled.

        Returns only when the machine has ended and none can come back by this way (FdAttach). Raises
        AttachError when the way can never work.
        """
        back_off = BackOff(0.1, 2.0)
        async with ListenerThread() as thread:
            while True:
                async with self._attach.link() as link:
                    began = time.monotonic()
                    reason = await self._serve(link, thread)
                if self._state is GuestState.ATTACHED:
                    log.info("the virtual machine is gone", cause=reason)
                    self._lose(thread)
                else:
                    log.info("the virtual machine cannot be attached", cause=reason)
                if not self._attach.comes_back:
                    return
                if time.monotonic() - began > STEADY:
                    back_off.reset()
                await asyncio.sleep(back_off.next())

    async def _serve(self, link: Link, thread: ListenerThread) -> str:
        """Shows the machine until it is gone; why it is."""
        # not a child of a task group that it ends by an error: before Python 3.13 such a group forgets that
        # it is cancelled when both happen at once, and they do, when QEMU and we are stopped together
        showing = asyncio.create_task(self._show(link, thread))
        try:
            ends: set[asyncio.Future[Any]] = {showing, link.gone}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            showing.cancel()
            await asyncio.wait([showing])
            self._link = None
        reason = ""
        if not showing.cancelled() and (error := showing.exception()):
            reason = _only(error, (CallRefused, ConnectionLost, QmpRefused))
        return link.gone.result() if link.gone.done() else reason

    async def _show(self, link: Link, thread: ListenerThread) -> None:
        async with asyncio.TaskGroup() as tasks:
            await self._attach_consoles(link, thread, tasks)

    async def _attach_consoles(self, link: Link, thread: ListenerThread, tasks: asyncio.TaskGroup) -> None:
        about = await link.properties(VM_PATH, VM)
        numbers = [n for n in about.get("ConsoleIDs", []) if isinstance(n, int)]
        if not numbers:
            raise ConnectionLost("QEMU has no console yet")
        if len(numbers) > MAX_CONSOLES:
            log.warning("only the first consoles are shown", consoles=len(numbers), shown=MAX_CONSOLES)
        tries = []
        for number in sorted(numbers)[:MAX_CONSOLES]:
            console = self._console(number)
            first_try = asyncio.Event()
            tasks.create_task(console.serve(link, thread, first_try))
            tries.append(first_try)
        for first_try in tries:
            await first_try.wait()
        if self._use.clipboard:
            # before anybody hears of the machine: while QEMU registers us it stands still until this loop
            # answers
            clipboard_try = asyncio.Event()
            tasks.create_task(self._clipboard.serve(link, clipboard_try))
            await clipboard_try.wait()
        for number in self._consoles.keys() - set(numbers):
            thread.post(self._consoles[number].display.show_notice, NO_DISPLAY)
        self._link = link
        self._name = str(about.get("Name", "")) or self._name
        self._uuid = str(about.get("UUID", ""))
        log.info("attached to a virtual machine", vm=self._name, uuid=self._uuid, consoles=len(tries))
        self._change(GuestState.ATTACHED)
        # after the picture, and none of them can end it
        if self._use.sound:
            tasks.create_task(self._audio.serve(link, thread))
        tasks.create_task(self._microphone.serve(link, thread))
        tasks.create_task(self._ports.serve(link))

    def _lose(self, thread: ListenerThread) -> None:
        text = LOST if self._attach.comes_back else ENDED
        for console in self._consoles.values():
            thread.post(console.display.hide_cursor)
            thread.post(console.display.show_notice, text)
        self._change(GuestState.LOST)

    def _console(self, number: int) -> QemuConsole:
        if number not in self._consoles:
            self._consoles[number] = QemuConsole(number, self._touch_screen)
            self._consoles = dict(sorted(self._consoles.items()))
        return self._consoles[number]

    def _change(self, state: GuestState) -> None:
        self._state = state
        self._lifecycle.notify(state)


def _only(error: BaseException, kinds: tuple[type[Exception], ...]) -> str:
    """What an error that consists of these kinds says; any other is raised."""
    if isinstance(error, BaseExceptionGroup):
        wanted, others = error.split(kinds)
        if others or wanted is None:
            raise error
        return _only(wanted.exceptions[0], kinds)
    if not isinstance(error, kinds):
        raise error
    return str(error)
