"""Ties one port of a server to standard input and output."""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from sidecar.console.attachment import Attachment
from sidecar.console.client import ANSWER_TIME, Client, protocol_broken
from sidecar.console.descriptors import Input, Output
from sidecar.console.errors import ConnectionBroken, NotWritable
from sidecar.console.escape import Command, EscapeFilter, menu, shown_key
from sidecar.console.plain_text import plain_text
from sidecar.console.ports import shown_name
from sidecar.console.session_signals import SessionSignals
from sidecar.console.terminal import Terminal
from sidecar.vnc.errors import RemoteError
from sidecar.vnc.stream_messages import Announce, Close, Credit, Data, Opened, Rights, Withdraw
from sidecar.vnc.wire import StreamEnd

MAX_TYPED = 64 * 1024
"""Bytes of what was typed that wait for the port; a script waits instead."""

MAX_NOTES = 16 * 1024
"""Bytes of notes that wait for the terminal; what is beyond is not said."""

ENDS = {
    StreamEnd.DONE: "the server has closed it",
    StreamEnd.GONE: "it is gone: is the machine off?",
    StreamEnd.NOT_ALLOWED: "the server does not allow it",
    StreamEnd.LIMIT: "too many ports are open on this connection",
}


@dataclass(frozen=True, slots=True)
class Manner:
    """How a person wants to be attached. `escape`: a byte, or None for no commands at the keyboard."""

    escape: int | None
    write: bool = True
    history: bool = True


@dataclass(frozen=True, slots=True)
class Standard:
    """The descriptors of standard input, output and error."""

    input: int = 0
    output: int = 1
    error: int = 2


async def attach(
    client: Client, port: Announce, manner: Manner, standard: Standard, signals: SessionSignals
) -> None:
    """Opens `port` and carries bytes both ways, until the person leaves, or, where standard input is no
    terminal, both it and the port have ended.

    Raises ConnectionBroken, NotWritable, and BrokenPipeError where nobody reads what comes. The terminal is
    as before in each case.
    """
    attachment = Attachment(client.connection, port, write=manner.write, history=manner.history)
    client.flush()
    while True:
        event = await client.event_within(ANSWER_TIME)
        if isinstance(event, Opened) and event.stream == port.stream:
            attachment.opened(event)
            break
        if isinstance(event, Close) and event.stream == port.stream:
            raise ConnectionBroken(f"cannot open {shown_name(port)}: {explain(event)}")
    with _Pump(client, attachment, manner, standard, signals).running() as pump:
        await pump.run()


class _Pump:
    """What goes between a terminal, or a script, and an open stream."""

    def __init__(
        self,
        client: Client,
        attachment: Attachment,
        manner: Manner,
        standard: Standard,
        signals: SessionSignals,
    ) -> None:
        self._client = client
        self._attachment = attachment
        self._manner = manner
        self._signals = signals
        self._terminal = Terminal(standard.input) if os.isatty(standard.input) else None
        self._escape = EscapeFilter(manner.escape)
        self._name = shown_name(attachment.port)
        self._left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the person leaves; its exception is why it cannot go on."""
        self._waiting = bytearray()
        """What is for the port and was not sent yet."""
        self._news = asyncio.Event()
        """Set when some of it may be sent perhaps."""
        self._input_ended = False
        self._is_told = False
        """That what is typed is dropped has been said."""
        self._input = Input(standard.input, self._typed if self._terminal else self._read, self._ended)
        self._output = Output(standard.output, self._shown, self._output_failed)
        self._notes = Output(standard.error)
        # a terminal in raw mode does not go back to the line's beginning by itself
        self._line_end = "\r\n" if self._terminal and os.isatty(standard.error) else "\n"

    @contextlib.contextmanager
    def running(self) -> Iterator["_Pump"]:
        """While this lasts the terminal is ours."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._notes.close)
            stack.callback(self._output.close)
            if self._terminal is not None:
                stack.enter_context(self._signals.keep(self._terminal))
                stack.enter_context(self._terminal.raw())
            stack.callback(self._input.pause)
            yield self

    async def run(self) -> None:
        """Carries bytes until there is a reason to end."""
        if self._terminal is not None:
            key = self._manner.escape
            leave = "end this process to leave" if key is None else f"{shown_key(key)} then q leaves"
            rights = "" if self._attachment.may_write else " to read only"
            self._note(f"attached to {self._name}{rights}; {leave}", line_before=False)
        if self._terminal is not None or self._manner.write:
            self._input.resume()
        else:
            self._input_ended = True
        tasks = [asyncio.ensure_future(self._receive()), asyncio.ensure_future(self._send())]
        try:
            await asyncio.wait([self._left, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._terminal is None and not self._left.done():
            await self._output.drain()
        if self._left.done():
            self._left.result()
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def _receive(self) -> None:
        """Takes what the server says; returns when the port has ended as it should."""
        while True:
            event = await self._client.event()
            if not isinstance(event, Data | Credit | Rights | Close | Withdraw):
                continue
            if event.stream == self._attachment.port.stream and self._take(event):
                return

    async def _send(self) -> None:
        """Sends what waits, as the server takes it."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self._client.writable.wait()
            self._push()
            if self._waiting and self._attachment.credit:
                self._news.set()
            if self._terminal is None and not self._waiting and not self._input_ended:
                self._input.resume()

    def _push(self) -> None:
        """Sends what may be sent at once."""
        while self._waiting and self._attachment.credit and self._client.writable.is_set():
            del self._waiting[: self._attachment.send(self._waiting)]
            self._client.flush()

    def _take(self, event: Data | Credit | Rights | Close | Withdraw) -> bool:
        """Does what the server says about our stream; whether that has ended as it should."""
        match event:
            case Data(_, data):
                try:
                    self._attachment.received(event)
                except RemoteError as error:
                    raise protocol_broken(error) from None
                self._output.write(data)
            case Credit():
                self._attachment.credited(event)
                self._news.set()
            case Rights():
                before = self._attachment.may_write
                self._attachment.righted(event)
                if before != self._attachment.may_write:
                    self._is_told = False
                    self._note("you may write now" if not before else "you may only read now")
            case Close() | Withdraw():
                why = explain(event) if isinstance(event, Close) else ENDS[StreamEnd.GONE]
                if self._terminal is not None or not self._input_ended or self._waiting:
                    raise ConnectionBroken(f"{self._name} has ended: {why}")
                return True
        return False

    def _typed(self, data: bytes) -> None:
        for part in self._escape.feed(data):
            match part:
                case bytes():
                    self._keep(part)
                case Command.LEAVE:
                    self._leave()
                    return
                case Command.BREAK:
                    self._break()
                case Command.SUSPEND:
                    self._signals.stop_all()
                case Command.MENU if self._manner.escape is not None:
                    self._note(menu(self._manner.escape))

    def _keep(self, data: bytes) -> None:
        """Keeps what was typed for the port, if it may have it and takes it."""
        why = ""
        if not self._attachment.may_write:
            why = "you may only read here"
        elif len(self._waiting) + len(data) > MAX_TYPED:
            why = "the machine takes nothing: what you type is dropped"
        else:
            self._waiting += data
            self._news.set()
        if why and not self._is_told:
            self._note(why)
        self._is_told = bool(why)

    def _read(self, data: bytes) -> None:
        """Takes the next part of a script, which waits then until it was sent."""
        self._input.pause()
        if self._attachment.may_write:
            self._waiting += data
            self._news.set()
        else:
            self._fail(
                NotWritable(f"you may only read {self._name}: --read-only leaves standard input alone")
            )

    def _ended(self) -> None:
        self._input_ended = True
        if self._terminal is not None:
            # it has hung up
            self._leave()

    def _break(self) -> None:
        if self._attachment.may_write:
            self._attachment.send_break()
            self._client.flush()
            self._note("a break was sent")
        else:
            self._note("you may only read here")

    def _leave(self) -> None:
        self._push()
        self._attachment.close()
        self._client.flush()
        if not self._left.done():
            self._left.set_result(None)

    def _fail(self, error: Exception) -> None:
        if not self._left.done():
            self._left.set_exception(error)

    def _shown(self, size: int) -> None:
        self._attachment.shown(size)
        self._client.flush()

    def _output_failed(self, error: OSError) -> None:
        if isinstance(error, BrokenPipeError):
            self._fail(error)
        else:
            cause = (error.strerror or str(error)).lower()
            self._fail(ConnectionBroken(f"cannot write to standard output: {cause}"))

    def _note(self, text: str, *, line_before: bool = True) -> None:
        if self._notes.queued < MAX_NOTES:
            before = self._line_end if line_before and self._terminal else ""
            self._notes.write(f"{before}vdi-sidecar: {text}{self._line_end}".encode())


def explain(message: Close) -> str:
    """Why a stream was closed, for people."""
    text = plain_text(message.text)
    return f"{ENDS[message.reason]} ({text})" if text else ENDS[message.reason]
