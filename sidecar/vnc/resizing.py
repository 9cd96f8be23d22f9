"""The size of one client's desktop: what it is told of it, and what it wishes for."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from sidecar.broadcast.canvas import Canvas
from sidecar.guest import Console, ResizeRefused
from sidecar.log import get_logger
from sidecar.screen.rectangle import Rectangle
from sidecar.session.session import Session
from sidecar.vnc import messages
from sidecar.vnc.capabilities import Extension
from sidecar.vnc.events import Screen, SetDesktopSize
from sidecar.vnc.wire import ResizeReason, ResizeStatus

log = get_logger(__name__)

RESIZE_TIME = 2.0
"""Seconds in which a guest that took a resize request shows the new size; later it is "forwarded"."""

MAX_RESIZE_EDGE = 8192


class Resizing:
    """One wish at a time, which `console` is asked to grant. `canvas`: what the client has room for."""

    def __init__(
        self,
        session: Session,
        canvas: Canvas,
        console: Console,
        *,
        write: Callable[[bytes], None],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._session = session
        self._canvas = canvas
        self._console = console
        self._write = write
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._screens: tuple[Screen, ...] = (Screen(0, canvas.bounds),)
        self._wanted: SetDesktopSize | None = None
        self._timer: asyncio.TimerHandle | None = None

    def wish(self, event: SetDesktopSize) -> None:
        """Has the console asked for another size, or tells the client why not."""
        canvas = self._canvas
        whole = Rectangle(0, 0, event.width, event.height)
        if self._session.view_only:
            self._refuse(ResizeStatus.PROHIBITED)
        elif len(event.screens) != 1 or event.screens[0].area != whole:
            # one console is one screen
            self._refuse(ResizeStatus.INVALID_LAYOUT)
        elif not (1 <= event.width <= MAX_RESIZE_EDGE and 1 <= event.height <= MAX_RESIZE_EDGE):
            self._refuse(ResizeStatus.OUT_OF_RESOURCES)
        elif self._wanted is not None:
            # the guest still works on the wish before
            self._refuse(ResizeStatus.REQUEST_FORWARDED)
        elif (event.width, event.height) == (canvas.width, canvas.height):
            self._grant(event)
        else:
            self._wanted = event
            self._spawn(self._ask(event, self._console))

    def resized(self, extensions: Extension) -> None:
        """Tells the client, which has one of the extensions for it, that its canvas has another size now."""
        canvas = self._canvas
        self._screens = (Screen(self._screens[0].id, canvas.bounds),)
        wish = self._wanted
        if wish is not None and (wish.width, wish.height) == (canvas.width, canvas.height):
            self._grant(wish)
        elif Extension.EXTENDED_DESKTOP_SIZE in extensions:
            self.tell()
        else:
            self._write(messages.desktop_size(canvas.width, canvas.height))

    def tell(
        self,
        reason: ResizeReason = ResizeReason.SERVER,
        status: ResizeStatus = ResizeStatus.NO_ERROR,
    ) -> None:
        """Tells the size to a client that takes extended desktop sizes."""
        canvas = self._canvas
        self._write(
            messages.extended_desktop_size(canvas.width, canvas.height, self._screens, reason, status)
        )

    def turn_to(self, console: Console) -> None:
        """Asks another console from now on. A wish that the one before has not granted is answered."""
        self._console = console
        if self._wanted is not None:
            self._forget()
            self._refuse(ResizeStatus.REQUEST_FORWARDED)

    def close(self) -> None:
        """Forgets the wish; nothing is told any more."""
        self._forget()

    async def _ask(self, wish: SetDesktopSize, console: Console) -> None:
        try:
            await console.request_size(wish.width, wish.height)
        except ResizeRefused as refusal:
            log.debug("resize refused", session=self._session.id, cause=str(refusal))
            if self._wanted is wish:
                self._forget()
                self._refuse(ResizeStatus.PROHIBITED)
            return
        if self._wanted is wish:
            self._timer = self._loop.call_later(RESIZE_TIME, self._timed_out)

    def _timed_out(self) -> None:
        self._forget()
        self._refuse(ResizeStatus.REQUEST_FORWARDED)

    def _grant(self, wish: SetDesktopSize) -> None:
        self._screens = wish.screens
        self._forget()
        self.tell(ResizeReason.THIS_CLIENT)

    def _refuse(self, status: ResizeStatus) -> None:
        self.tell(ResizeReason.THIS_CLIENT, status)

    def _forget(self) -> None:
        self._wanted = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
