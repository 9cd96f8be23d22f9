"""The machine's clipboard, shared with the sessions that may.

Knows who copied last, and gives each session what it may paste. Belongs to the main loop. What was copied is
nobody's business: no text goes into a log.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from sidecar.guest import Clipboard
from sidecar.log import get_logger
from sidecar.session.session import Session

log = get_logger(__name__)

MAX_TEXT: Final = 1 << 20
"""Bytes of UTF-8 that are taken at most, as in QEMU's own VNC server and in libvncserver."""


class ClipboardDirection(StrEnum):
    """Which way text may go."""

    BOTH = "both"
    TO_GUEST = "to-guest"
    FROM_GUEST = "from-guest"
    OFF = "off"


_TO_GUEST: Final = frozenset({ClipboardDirection.BOTH, ClipboardDirection.TO_GUEST})
_FROM_GUEST: Final = frozenset({ClipboardDirection.BOTH, ClipboardDirection.FROM_GUEST})


_SOMEBODY_GONE: Final = object()


class SharedClipboard:
    """One machine's clipboard and all seats at it. Whoever copied last counts, in the machine or elsewhere.

    What the machine copied is for every session. What a session copied is for the machine, and for the other
    sessions only with `between_sessions`; it stays when that session has ended.
    """

    def __init__(
        self, clipboard: Clipboard, *, direction: ClipboardDirection, between_sessions: bool = False
    ) -> None:
        self._clipboard = clipboard
        self._to_guest = direction in _TO_GUEST
        self._from_guest = direction in _FROM_GUEST
        self._between_sessions = between_sessions
        self._seats: tuple[ClipboardSeat, ...] = ()
        self._last: object | None = None
        """Who copied last; None: the machine, or nobody."""
        self._text: str | None = None
        """What it copied."""
        self._was_there = clipboard.is_there
        self._unsubscribe: Callable[[], None] = lambda: None
        if direction is not ClipboardDirection.OFF:
            self._unsubscribe = clipboard.changes.subscribe(self._guest_changed)

    def join(self, session: Session, changed: Callable[[], None]) -> "ClipboardSeat":
        """A seat for `session`, until it leaves. `changed` is called when what it may do has changed, and
        when the machine has copied the same text again; never for what the session itself offers, and not
        for what was there when it came."""
        seat = ClipboardSeat(self, session, changed)
        self._seats = (*self._seats, seat)
        return seat

    def close(self) -> None:
        """Ends all sharing. Seats may leave later; they have nothing to paste and nothing to offer."""
        self._unsubscribe()
        self._to_guest = self._from_guest = False
        self._last = self._text = None
        for seat in self._seats:
            seat.leave()

    # what seats ask

    def text_for(self, seat: "ClipboardSeat") -> str | None:
        """What `seat` may paste."""
        if not self._from_guest:
            return None
        if self._last is None:
            return self._clipboard.text
        return self._text if self._between_sessions and self._last is not seat else None

    @property
    def takes_text(self) -> bool:
        """Whether there is somebody for whom a session may copy."""
        return self._to_guest and self._clipboard.is_there

    @property
    def is_off(self) -> bool:
        """Whether no text goes any way."""
        return not (self._to_guest or self._from_guest)

    def take(self, seat: "ClipboardSeat", text: str) -> None:
        """`seat` has copied `text`, which is neither too long nor forbidden."""
        if not text and self._last is not seat:
            # the clipboard of one who did not copy last is nobody else's
            return
        self._last = seat
        self._text = text or None
        # before the machine's clipboard tells of it, perhaps at once: to the one who copied it is no news
        seat.know()
        self._clipboard.offer(text)
        self._tell()

    def left(self, seat: "ClipboardSeat") -> None:
        """`seat` hears no more."""
        self._seats = tuple(other for other in self._seats if other is not seat)
        if self._last is seat:
            # what it copied stays, but not its session and all that hangs from it
            self._last = _SOMEBODY_GONE

    def _guest_changed(self) -> None:
        clipboard = self._clipboard
        appeared, self._was_there = clipboard.is_there != self._was_there, clipboard.is_there
        if clipboard.text is not None:
            self._last = self._text = None
        # where nothing else has changed it was copied again, perhaps the same text
        self._tell(again=not appeared and self._last is None)

    def _tell(self, *, again: bool = False) -> None:
        for seat in self._seats:
            seat.tell(again=again)


class ClipboardSeat:
    """One session's place at the clipboard; made by `SharedClipboard.join`.

    A session that only looks on has nothing to paste, and nothing is taken from it.
    """

    def __init__(self, shared: SharedClipboard, session: Session, changed: Callable[[], None]) -> None:
        self._shared = shared
        self._session = session
        self._changed = changed
        self._has_left = False
        self._has_warned = False
        self._known = self._what_it_may()
        self._unsubscribe = session.view_only_changes.subscribe(self.tell)

    @property
    def text(self) -> str | None:
        """What this session may paste now, with LF; None: nothing that is not its own."""
        return self._shared.text_for(self) if self.takes_part else None

    @property
    def may_offer(self) -> bool:
        """Whether what this session copies is taken."""
        return self.takes_part and self._shared.takes_text

    @property
    def takes_part(self) -> bool:
        """Whether this session gives or gets at all, now or when the machine has a clipboard."""
        return not (self._has_left or self._session.view_only or self._shared.is_off)

    def offer(self, text: str) -> None:
        """The session has copied `text`, with LF; empty: it has cleared what it copied.

        Ignored where it may not, and where the text is longer than MAX_TEXT.
        """
        if not self.may_offer:
            return
        if _is_too_long(text):
            self.too_long()
            return
        self._shared.take(self, text)

    def too_long(self) -> None:
        """The session has copied what is longer than MAX_TEXT: says so in the log, once."""
        if not self._has_warned and self.may_offer:
            self._has_warned = True
            log.warning("a text was too long for the clipboard", session=self._session.id, most=MAX_TEXT)

    def leave(self) -> None:
        """Gives the seat up; may be called twice."""
        self._has_left = True
        self._unsubscribe()
        self._shared.left(self)

    def tell(self, *, again: bool = False) -> None:
        """Has the session hear of what is new for it; `again`: a text is, even where it is the same."""
        before = self._known
        self.know()
        if not self._has_left and (self._known != before or (again and self._known[0] is not None)):
            self._changed()

    def know(self) -> None:
        """What it may paste and offer now is no news for the session."""
        self._known = self._what_it_may()

    def _what_it_may(self) -> tuple[str | None, bool]:
        return self.text, self.may_offer


def _is_too_long(text: str) -> bool:
    # a character has four bytes at most, and one at least
    if len(text) * 4 <= MAX_TEXT:
        return False
    return len(text) > MAX_TEXT or len(text.encode("utf-8", "replace")) > MAX_TEXT
