"""One RDP session's clipboard: the machine's text for its client, and the client's for the machine."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from sidecar.clipboard.shared import MAX_TEXT, SharedClipboard
from sidecar.rdp import clipboard_pdus as pdus
from sidecar.rdp.channel_table import MessageSender
from sidecar.rdp.clipboard_pdus import (
    Capabilities,
    DataAnswer,
    DataRequest,
    FormatList,
    FormatListAnswer,
    GeneralFlag,
    TextFormat,
)
from sidecar.rdp.static_channel import StaticChannel
from sidecar.session.session import Session

if TYPE_CHECKING:
    from sidecar.rdp.desktop import Desktop

MAX_DATA = 4 * MAX_TEXT + 2
"""Bytes of a text that is not too long: lines that are all empty have four for each of UTF-8, then a NUL."""

SETTLING = 0.2
"""Seconds after a format list before its text is asked for. FreeRDP's X11 client first tells all the formats
that it knows and then those that there are; a question in between confuses it: it answers that there is
nothing, and its next list is empty."""

PATIENCE = 1.0
"""Seconds before a client that had nothing to say is asked for the last time."""

MAX_ASKED = 16
"""Questions to a client that does not answer, of which the oldest are forgotten."""

CallLater = Callable[[float, Callable[[], None]], asyncio.TimerHandle]
"""As the loop's own: seconds, what is done then."""


def clipboard_channels(clipboard: SharedClipboard) -> "Callable[[Desktop], ClipboardChannel | None]":
    """The factory for the channel table, under `clipboard_pdus.NAME`. While sharing is off it makes none."""

    def make(desktop: "Desktop") -> ClipboardChannel | None:
        if clipboard.is_off:
            return None
        call_later = asyncio.get_running_loop().call_later
        return ClipboardChannel(clipboard, desktop.session, desktop.flush, call_later)

    return make


class ClipboardChannel:
    """A `StaticChannelHandler`. Text is asked for when the client offers it, so that it is here before it is
    offered to the machine; nothing waits for the answer.

    `flush` sends what was sent outside of `receive`.
    """

    max_message = pdus.HEADER_LENGTH + MAX_DATA

    def __init__(
        self,
        clipboard: SharedClipboard,
        session: Session,
        flush: Callable[[], None],
        call_later: CallLater,
    ) -> None:
        self._clipboard = clipboard
        self._session = session
        self._flush = flush
        self._call_later = call_later
        self._timer: asyncio.TimerHandle | None = None
        """Runs until the client is asked."""
        self._asks_again = False
        """Whether it is asked once more if it has nothing to say."""
        self._long_names = False
        self._ready = False
        """Whether the client has told what it has, which it does first."""
        self._format: TextFormat | None = None
        """In which the client has text; None: it has none, or has ours."""
        self._asked: deque[TextFormat] = deque(maxlen=MAX_ASKED)
        """What the client was asked for and has not answered yet. It answers in order, if at all."""
        self._may_offer = False
        self._holds_ours = False
        """Whether the client's clipboard stands for the machine's."""
        self._unanswered = False
        """Whether the client has not taken the last list of ours yet: it gets no other one before."""
        self._stale = False
        """Whether that list is not the last word."""

    def opened(self, channel: MessageSender) -> None:
        """Says what this side can do, and that the client may begin."""
        self._channel = channel
        if isinstance(channel, StaticChannel):
            channel.oversized = self._oversized
        channel.send(pdus.capabilities())
        channel.send(pdus.monitor_ready())
        self._seat = self._clipboard.join(self._session, self._changed)
        self._may_offer = self._seat.may_offer

    def receive(self, message: bytes) -> None:
        """Takes one message. Raises RemoteError."""
        match pdus.parse(message, long_names=self._long_names):
            case Capabilities(flags):
                self._long_names = GeneralFlag.USE_LONG_FORMAT_NAMES in flags
            case FormatList(formats):
                self._listed(formats)
            case FormatListAnswer():
                self._unanswered = False
                if self._stale:
                    self._announce()
            case DataRequest(wanted):
                self._provide(wanted)
            case DataAnswer(data):
                self._answered(data)

    def closed(self) -> None:
        """Leaves its seat."""
        self._forget_question()
        self._seat.leave()

    # From the client

    def _listed(self, formats: tuple[int, ...]) -> None:
        """The client has copied something, or has come."""
        self._channel.send(pdus.format_list_response())
        # what it has is newer than what it was not told yet, but to have lost something is no news
        is_untold = not self._ready or (self._stale and not formats)
        self._ready = True
        self._holds_ours = self._unanswered = self._stale = False
        if self._timer is not None and not formats:
            # perhaps only confused: it is asked before it is believed
            return
        self._forget_question()
        self._format = next((known for known in TextFormat if known in formats), None)
        if self._format is None:
            self._seat.offer("")
        elif self._seat.may_offer:
            self._ask_later(SETTLING, again=True)
            return
        if is_untold:
            self._announce()

    def _ask_later(self, seconds: float, *, again: bool) -> None:
        self._forget_question()
        self._asks_again = again
        self._timer = self._call_later(seconds, self._ask)

    def _forget_question(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ask(self) -> None:
        self._timer = None
        if self._format is not None and self._seat.may_offer:
            self._asked.append(self._format)
            self._channel.send(pdus.data_request(self._format))
            self._flush()

    def _answered(self, data: bytes | None) -> None:
        if not self._asked:
            return
        known = self._asked.popleft()
        if self._format is None:
            # it is about something that the client does not have any more
            return
        if data is None:
            if self._asks_again:
                self._ask_later(PATIENCE, again=False)
            else:
                self._format = None
                self._announce()
            return
        text = pdus.text_of(data, known)
        # a client may tell what it was told
        if text != self._seat.text:
            self._seat.offer(text)

    def _oversized(self) -> None:
        """The client has sent what is too long even to be looked at: only its text can be that."""
        if self._asked:
            self._asked.popleft()
            self._seat.too_long()

    # To the client

    def _changed(self) -> None:
        could, self._may_offer = self._may_offer, self._seat.may_offer
        if not self._ready:
            return
        self._announce()
        if self._format is not None and self._may_offer and not could:
            self._ask_later(0, again=True)
        self._flush()

    def _announce(self) -> None:
        """Tells whether there is text, unless the client is busy with the list before."""
        has_text = self._seat.text is not None
        if not has_text and not self._holds_ours:
            # the client's clipboard is its own
            self._stale = False
            return
        self._stale = self._unanswered
        if self._unanswered:
            return
        self._unanswered = True
        self._holds_ours = has_text
        if has_text:
            self._format = None
            self._forget_question()
        offered = tuple(TextFormat) if has_text else ()
        self._channel.send(pdus.format_list(offered, long_names=self._long_names))

    def _provide(self, wanted: int) -> None:
        text = self._seat.text
        known = next((known for known in TextFormat if known == wanted), None)
        data = None if text is None or known is None else pdus.data_of(text, known)
        self._channel.send(pdus.data_response(data))
        # at once: a short question has a long answer, and what waits for the client must be known
        self._flush()
