"""What one console shows, and the word of it that goes from the listener's thread to the main loop."""

import asyncio
import threading
from typing import Final

from sidecar.guest import ConsoleChange
from sidecar.observers import Observers
from sidecar.screen.cursor import Cursor
from sidecar.screen.notice import draw_notice
from sidecar.screen.surface import Surface

_NOTHING: Final = ConsoleChange(0)


class Display:
    """Written on the listener's thread, read on the main loop, which is the running one when it is made.

    Before the listener's thread runs, the main loop may write.
    """

    def __init__(self) -> None:
        self.surface = Surface()
        self.cursor: Cursor | None = None
        self.cursor_visible = False
        self.cursor_position = (0, 0)
        self.changes: Observers[[ConsoleChange]] = Observers()
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._pending = _NOTHING

    def changed(self, change: ConsoleChange) -> None:
        """Has the observers told, once in a turn of the main loop. Any thread."""
        with self._lock:
            told = bool(self._pending)
            self._pending |= change
        if not told:
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        with self._lock:
            change, self._pending = self._pending, _NOTHING
        self.changes.notify(change)

    def show_notice(self, text: str, *, keep_picture: bool = True) -> None:
        """Puts a notice on the screen. Listener's thread."""
        draw_notice(self.surface, text, keep_picture=keep_picture)
        self.changed(ConsoleChange.DAMAGE)

    def hide_cursor(self) -> None:
        """Forgets the guest's pointer. Listener's thread."""
        if self.cursor is not None or self.cursor_visible:
            self.cursor, self.cursor_visible = None, False
            self.changed(ConsoleChange.CURSOR_SHAPE | ConsoleChange.CURSOR_POSITION)
