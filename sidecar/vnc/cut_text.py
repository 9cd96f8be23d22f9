"""The clipboard in a VNC session: classic cut text, and the extended clipboard (facts: RFB section 3.1).

A client that knows the extended one is told that there is a text, and gets it when it asks: nothing large is
sent that is not wanted, and none of it is Latin-1. For the others the text itself is all that there is.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sidecar.clipboard.shared import SharedClipboard
from sidecar.session.sight import may_use_machine
from sidecar.vnc import clipboard, messages
from sidecar.vnc.capabilities import ClientCapabilities, Extension, Owed
from sidecar.vnc.connection import MAX_CUT_TEXT
from sidecar.vnc.events import (
    ClientCutText,
    ClipboardCaps,
    ClipboardNotify,
    ClipboardPeek,
    ClipboardProvide,
    ClipboardRequest,
    CutTextTooLong,
)
from sidecar.vnc.tunnel import Line, NoTunnel, TunnelFactory
from sidecar.vnc.wire import ClipboardAction, ClipboardFormat

_TEXT: Final = ClipboardFormat.TEXT
_NOTHING: Final = ClipboardFormat(0)

_CAPS: Final = clipboard.caps(
    # a size of 0: the client tells of its text, and we ask
    {_TEXT: 0},
    ClipboardAction.REQUEST | ClipboardAction.PEEK | ClipboardAction.NOTIFY | ClipboardAction.PROVIDE,
)


def clipboard_tunnel(shared: SharedClipboard) -> TunnelFactory:
    """What gives sessions that may use the machine the clipboard.

    Servers offer `Extension.EXTENDED_CLIPBOARD` with it.
    """
    contents = _Contents()
    return lambda line: (
        ClipboardTunnel(line, shared, contents) if may_use_machine(line.session) else NoTunnel()
    )


class _Contents:
    """The message that provides a text, made once for all sessions that ask for it."""

    def __init__(self) -> None:
        self._text: str | None = None
        self._message = b""

    def of(self, text: str) -> bytes:
        """The message; empty where its contents, with their longer line ends, are more than clients take:
        libvncclient would end its connection."""
        if text != self._text:
            content = clipboard.content_of(text)
            body = clipboard.provide({_TEXT: content}) if len(content) <= MAX_CUT_TEXT else b""
            self._message = messages.extended_clipboard(body) if body else b""
            self._text = text
        return self._message


class ClipboardTunnel:
    """The clipboard of one session; see `sidecar.vnc.tunnel.Tunnel`."""

    def __init__(self, line: Line, shared: SharedClipboard, contents: _Contents) -> None:
        self._write = line.write
        self._contents = contents
        self._extended = False
        """Whether the client has named the extended clipboard; it gets no classic text from then on."""
        self._classic = False
        """Whether the client takes classic text."""
        self._owes_caps = False
        self._actions = ClipboardAction.REQUEST | ClipboardAction.NOTIFY | ClipboardAction.PROVIDE
        """What the client can do: what rfbproto assumes, until it has said."""
        self._waits = False
        self._untold = False
        """The client has not heard of the last change, because it does not read."""
        self._unsent = False
        """The client has asked for the text and has not got it, because it does not read."""
        self._seat = shared.join(line.session, self._changed)
        self._known = self._seat.text
        self._might_offer = self._seat.may_offer
        self._handlers: dict[type, Callable[[Any], None]] = {
            ClientCutText: self._cut,
            CutTextTooLong: self._too_long,
            ClipboardCaps: self._client_caps,
            ClipboardNotify: self._notified,
            ClipboardProvide: self._provided,
            ClipboardRequest: self._requested,
            ClipboardPeek: self._peeked,
        }

    @property
    def handlers(self) -> Mapping[type, Callable[[Any], None]]:
        """By the type of a client's event, what is done with it."""
        return self._handlers

    def agreed(self, capabilities: ClientCapabilities, owed: Owed) -> None:
        """The client has sent a list of encodings."""
        if Extension.EXTENDED_CLIPBOARD in capabilities.extensions:
            self._extended = True
        # cut text breaks asyncvnc, which knows of nothing but pixels (facts: RFB section 7)
        self._classic = bool(
            capabilities.cursor or capabilities.leds or capabilities.extensions & ~Extension.COPY_RECT
        )
        if Owed.CLIPBOARD_CAPS in owed:
            self._owes_caps = True
            self._pay_caps()

    def wait(self) -> None:
        """Tells nothing until `ready`."""
        self._waits = True

    def ready(self) -> None:
        """Tells what has come meanwhile: the last of it."""
        self._waits = False
        if self._untold:
            self._tell()
        if self._unsent:
            self._send()

    def close(self) -> None:
        """Leaves the clipboard."""
        self._seat.leave()

    # what the client says

    def _cut(self, event: ClientCutText) -> None:
        text = event.text.replace("\r\n", "\n")
        known = self._seat.text
        # some clients send back what they got, which would take the place of the better original
        if known is None or text != known.encode("latin-1", "replace").decode("latin-1"):
            self._seat.offer(text)

    def _too_long(self, _: CutTextTooLong) -> None:
        self._seat.too_long()

    def _client_caps(self, event: ClipboardCaps) -> None:
        self._actions = event.actions if _TEXT in event.sizes else ClipboardAction(0)

    def _notified(self, event: ClipboardNotify) -> None:
        if not self._seat.may_offer:
            return
        if _TEXT in event.formats:
            # at once: the machine waits for an answer when somebody pastes, and it must be here by then
            self._write(messages.extended_clipboard(clipboard.request(_TEXT)))
        else:
            self._seat.offer("")

    def _provided(self, event: ClipboardProvide) -> None:
        if _TEXT in event.contents and self._seat.may_offer:
            text = clipboard.text_of(event.contents[_TEXT])
            if text != self._seat.text:
                self._seat.offer(text)

    def _requested(self, event: ClipboardRequest) -> None:
        if _TEXT in event.formats:
            self._send()

    def _peeked(self, _: ClipboardPeek) -> None:
        self._tell()

    # what the client is told

    def _changed(self) -> None:
        seat = self._seat
        known, self._known = self._known, seat.text
        might_offer, self._might_offer = self._might_offer, seat.may_offer
        if self._owes_caps:
            self._pay_caps()
        elif self._might_offer and not might_offer and ClipboardAction.PEEK in self._actions:
            # what the client has copied meanwhile
            self._write(messages.extended_clipboard(clipboard.peek()))
        if might_offer is self._might_offer or known != self._known:
            self._tell()

    def _pay_caps(self) -> None:
        if self._seat.takes_part:
            self._owes_caps = False
            self._write(messages.extended_clipboard(_CAPS))

    def _tell(self) -> None:
        """Tells whether there is a text, or sends it to a client that knows no other way."""
        if not self._seat.takes_part:
            return
        if self._waits:
            self._untold = True
            return
        self._untold = False
        text = self._seat.text
        if self._extended:
            if ClipboardAction.NOTIFY in self._actions:
                formats = _NOTHING if text is None else _TEXT
                self._write(messages.extended_clipboard(clipboard.notify(formats)))
        elif self._classic and text is not None:
            self._write(messages.server_cut_text(text))

    def _send(self) -> None:
        """Sends the text to a client that has asked for it."""
        self._unsent = self._waits
        text = self._seat.text
        if not self._waits and text is not None and (message := self._contents.of(text)):
            self._write(message)
