"""The clipboard that QEMU shares with an agent in the guest (facts: QEMU D-Bus section 4).

Both sides have the same object: who has copied something grabs a selection, and the other side requests its
contents when they are wanted. QEMU requests ours while the whole machine stands still. It is answered by the
main loop all the same: QEMU takes these calls only by the connection on which we registered, of which a peer
has just one, and the answer is a `bytes` object that was made when the text was offered. So the machine
waits for one turn of that loop at most, when somebody pastes, and once when we register: that is over before
anybody hears that there is a machine.
"""

import asyncio
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

from dbus_fast import Message, MessageFlag, MessageType, Variant

from sidecar.log import get_logger
from sidecar.observers import Observers
from sidecar.qemu.back_off import BackOff
from sidecar.qemu.errors import INVALID_ARGUMENTS, CallRefused, ConnectionLost
from sidecar.qemu.link import PROPERTIES, ROOT, Link

log = get_logger(__name__)

PATH: Final = f"{ROOT}/Clipboard"
CLIPBOARD: Final = "org.qemu.Display1.Clipboard"
TEXT: Final = "text/plain;charset=utf-8"
"""The only form that QEMU knows, compared letter by letter."""

SELECTION: Final = 0
"""The clipboard; the primary selection (1) is what is marked at the moment, and stays where it is."""

MAX_TEXT: Final = 1 << 20
"""Bytes that are taken of the guest's text at most."""

MAX_OFFER: Final = (1 << 20) - 1024
"""Bytes that are offered at most: QEMU has 1 MiB for what waits for the agent, drops what does not fit there,
and leaves the program that wants to paste without an answer."""

REQUEST_TIME: Final = 5.0
"""Seconds for the guest's program to give its text; QEMU itself waits no longer."""

FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 30.0
"""Seconds between attempts to register where somebody else has."""

_FAILED: Final = "org.qemu.Display1.Error.Failed"
_SERIALS: Final = 1 << 32


class QemuClipboard:
    """See `sidecar.guest.Clipboard`. What is offered is offered again to a machine that comes later.

    `fetches`: whether what is copied in the machine is taken out of it at all.
    """

    def __init__(self, *, fetches: bool = True) -> None:
        self._fetches = fetches
        self._changes: Observers[[]] = Observers()
        self._is_there = False
        self._text: str | None = None
        self._data: bytes | None = None
        """What we offer."""
        self._serial = 0
        """That of the next grab, whoever makes it."""
        self._is_fresh = True
        """Nobody has grabbed since the serials began anew."""
        self._has_grabbed = False
        """Whether we were the last to grab, as far as we know."""
        self._to_tell = asyncio.Event()
        """What we offer is not what QEMU knows of."""
        self._to_fetch = asyncio.Event()
        """The guest has a text."""
        self._has_warned = False

    @property
    def is_there(self) -> bool:
        """Whether QEMU shares a clipboard with us."""
        return self._is_there

    @property
    def text(self) -> str | None:
        """What was last copied in the machine, with LF."""
        return self._text

    @property
    def changes(self) -> Observers[[]]:
        """Called when `is_there` or `text` has changed, and when the same text was copied again."""
        return self._changes

    def offer(self, text: str) -> None:
        """Puts a text (LF) on the machine's clipboard; empty: clears what was put there."""
        if not text and self._data is None:
            return
        data = text.encode("utf-8", "replace")
        if len(data) > MAX_OFFER:
            self._warn("to-guest", len(data))
            return
        self._data = data or None
        if data:
            self._to_fetch.clear()
            self._has_grabbed = True
            self._set_text(None)
        self._to_tell.set()

    async def serve(self, link: Link, first_try: asyncio.Event) -> None:
        """Shares this machine's clipboard while it is attached: until it is cancelled, or there is none.

        Sets `first_try` when QEMU shares it with us, or does not at the first try. Until then QEMU may stand
        still, since it asks for our properties while it registers us.
        """
        with ExitStack() as stack:
            stack.callback(first_try.set)
            stack.callback(link.answer(partial(self.handle, link.owner)))
            stack.callback(self._detach)
            self._reset()
            if not await self._register(link, first_try):
                return
            self._is_there = True
            self._changes.notify()
            first_try.set()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._fetch_texts(link))
                await self._tell_offers(link)

    def _detach(self) -> None:
        self._to_fetch.clear()
        was_there, self._is_there = self._is_there, False
        had_text, self._text = self._text is not None, None
        if was_there or had_text:
            self._changes.notify()

    async def _register(self, link: Link, first_try: asyncio.Event) -> bool:
        """Becomes the one with whom QEMU shares the clipboard; False where it has none."""
        back_off = BackOff(FIRST_WAIT, LONGEST_WAIT)
        has_told = has_clipboard = False
        while True:
            try:
                if not has_clipboard and not await _has_clipboard(link):
                    return False
                has_clipboard = True
                await _call(link, "Register")
            except CallRefused as error:
                if link.owner is None and await self._unregister_former(link):
                    continue
                if not has_told:
                    has_told = True
                    log.warning("the machine's clipboard cannot be shared, trying again", cause=error.text)
            except ConnectionLost as error:
                log.debug("the clipboard cannot be registered", cause=str(error))
            else:
                log.debug("sharing the machine's clipboard")
                return True
            first_try.set()
            await asyncio.sleep(back_off.next())

    async def _unregister_former(self, link: Link) -> bool:
        """Before 8.0 QEMU does not notice that the peer before us is gone; there is only one at a time."""
        try:
            await _call(link, "Unregister")
        except (CallRefused, ConnectionLost):
            return False
        return True

    # what we offer

    async def _tell_offers(self, link: Link) -> None:
        while True:
            await self._to_tell.wait()
            self._to_tell.clear()
            try:
                if self._data is None or self._is_fresh:
                    # also where QEMU still has a grab of the time before the serials began anew: it would
                    # take no lower one
                    await _call(link, "Release", "u", SELECTION)
                if self._data is not None and not self._to_tell.is_set():
                    serial = self._next_serial()
                    await _call(link, "Grab", "uuas", SELECTION, serial, [TEXT])
            except (CallRefused, ConnectionLost) as error:
                log.debug("the clipboard cannot be offered", cause=str(error))

    def _next_serial(self) -> int:
        serial, self._serial = self._serial, (self._serial + 1) % _SERIALS
        self._is_fresh = False
        self._has_grabbed = True
        return serial

    # what the guest copies

    async def _fetch_texts(self, link: Link) -> None:
        while True:
            await self._to_fetch.wait()
            self._to_fetch.clear()
            serial = self._serial
            text = await self._fetch(link)
            if self._to_fetch.is_set() or self._has_grabbed or serial != self._serial:
                # somebody has copied something else meanwhile
                continue
            self._set_text(text, is_new=True)

    async def _fetch(self, link: Link) -> str | None:
        try:
            # QEMU's own answer that the guest did not give it in time is waited for
            body = await _call(link, "Request", "uas", SELECTION, [TEXT], timeout=2 * REQUEST_TIME)
        except (CallRefused, ConnectionLost) as error:
            log.debug("the guest does not give what it has copied", cause=str(error))
            return None
        match body:
            case [str(form), bytes(data)] if form == TEXT:
                return self._read(data)
        log.debug("the guest has not copied a text")
        return None

    def _read(self, data: bytes) -> str | None:
        if len(data) > MAX_TEXT:
            self._warn("from-guest", len(data))
            return None
        # agents of some systems count the NUL that ends a text
        return data.decode("utf-8", "replace").rstrip("\0").replace("\r\n", "\n") or None

    def _set_text(self, text: str | None, *, is_new: bool = False) -> None:
        before, self._text = self._text, text
        if text != before or (is_new and text is not None):
            self._changes.notify()

    def _warn(self, direction: str, size: int) -> None:
        if not self._has_warned:
            self._has_warned = True
            log.warning(
                "a text is too long for the machine's clipboard",
                direction=direction,
                size=size,
                most=MAX_TEXT,
            )

    # what QEMU says

    def handle(self, owner: str | None, message: Message) -> Message | bool | None:
        """Takes one message: the answer, True where none is wanted, None where the message is not for us.

        `owner`: who is QEMU on the bus; None on a connection with QEMU alone.
        """
        if (
            message.message_type is not MessageType.METHOD_CALL
            or message.path != PATH
            or (owner is not None and message.sender != owner)
        ):
            return None
        answer = self._dispatch(message)
        return True if message.flags & MessageFlag.NO_REPLY_EXPECTED else answer

    def _dispatch(self, message: Message) -> Message:
        match (message.interface, message.member, message.signature, message.body):
            case (str(interface), "GetAll", "s", [asked]) if interface == PROPERTIES:
                values = {"Interfaces": Variant("as", [])} if asked == CLIPBOARD else {}
                return Message.new_method_return(message, "a{sv}", [values])
            case (str(interface), "Register" | "Unregister", "", _) if interface == CLIPBOARD:
                self._reset()
            case (str(interface), "Grab", "uuas", [selection, serial, forms]) if interface == CLIPBOARD:
                if selection == SELECTION:
                    self._grabbed(serial, TEXT in forms)
            case (str(interface), "Release", "u", [selection]) if interface == CLIPBOARD:
                if selection == SELECTION:
                    self._released()
            case (str(interface), "Request", "uas", [selection, forms]) if interface == CLIPBOARD:
                if selection != SELECTION or TEXT not in forms or self._data is None:
                    return Message.new_error(message, _FAILED, "there is nothing on this clipboard")
                return Message.new_method_return(message, "say", [TEXT, self._data])
            case _:
                return Message.new_error(message, INVALID_ARGUMENTS, "no such method or property")
        return Message.new_method_return(message)

    def _reset(self) -> None:
        """Serials begin anew, since there is another agent, or another QEMU; it hears of what we offer."""
        self._serial = 0
        self._is_fresh = True
        self._has_grabbed = self._data is not None
        if self._data is not None:
            self._to_tell.set()

    def _grabbed(self, serial: int, has_text: bool) -> None:
        if self._data is not None and not self._is_fresh and serial == self._serial - 1:
            # both at once: we win, but QEMU may have heard of us first, and then the guest would not know
            self._to_tell.set()
            return
        # a serial that is lower still is that of another agent: QEMU lets no older one through, and 7.2 says
        # nothing of an agent that was started again
        self._serial = (serial + 1) % _SERIALS
        self._is_fresh = self._has_grabbed = False
        self._data = None
        self._to_tell.clear()
        if has_text and self._fetches and len(self._changes):
            self._to_fetch.set()
        else:
            self._to_fetch.clear()
            self._set_text(None)

    def _released(self) -> None:
        self._to_fetch.clear()
        self._set_text(None)


async def _has_clipboard(link: Link) -> bool:
    """Whether QEMU has such an object. Raises ConnectionLost."""
    try:
        await link.properties(PATH, CLIPBOARD)
    except CallRefused:
        return False
    return True


async def _call(
    link: Link, member: str, signature: str = "", *arguments: Any, timeout: float = REQUEST_TIME
) -> list[Any]:
    return await link.call(PATH, CLIPBOARD, member, signature=signature, body=arguments, timeout=timeout)
