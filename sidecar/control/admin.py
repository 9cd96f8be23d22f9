"""The admin socket of a running daemon; `admin_commands` says what is spoken on it."""

import asyncio
import errno
import fcntl
import os
import socket
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from types import TracebackType
from typing import Self

from sidecar.control.admin_commands import (
    LONGEST_REQUEST,
    CommandTable,
    Json,
    Request,
    error_line,
    result_line,
)
from sidecar.control.audit import Outcome, audit
from sidecar.control.role import Caller, Role
from sidecar.errors import SidecarError
from sidecar.log import get_logger
from sidecar.web.peer import peer_uid

log = get_logger(__name__)

MAX_CONNECTIONS = 16
"""Clients at once."""


class AdminSocketTaken(SidecarError):
    """Another daemon runs in the same run directory, or its socket cannot be made."""


class AdminServer:
    """Serves `commands` on a unix socket of mode 0600 at `path`, to this user and to root.

    An async context manager. The directory of `path` is locked meanwhile, so that a second daemon is
    refused (AdminSocketTaken), while a socket that a dead daemon left is replaced. `time_limit`: seconds
    in which a client must send a request, and read an answer.
    """

    def __init__(self, path: Path, commands: CommandTable, *, time_limit: float = 30.0) -> None:
        self.path = path
        self._commands = commands
        self._time_limit = time_limit
        self._conversations: set[asyncio.Task[None]] = set()
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            directory = _locked_directory(self.path.parent)
            stack.callback(os.close, directory)
            listener = _listening_socket(self.path)
            stack.callback(self.path.unlink, missing_ok=True)
            server = await asyncio.start_unix_server(self._accepted, sock=listener, limit=LONGEST_REQUEST)
            stack.push_async_callback(self._stop, server)
            self._resources = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._resources.aclose()

    async def _stop(self, server: asyncio.Server) -> None:
        server.close()
        for conversation in self._conversations:
            conversation.cancel()
        if self._conversations:
            await asyncio.wait(self._conversations)
        await server.wait_closed()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = asyncio.create_task(self._converse(reader, writer), name="admin conversation")
        self._conversations.add(conversation)
        conversation.add_done_callback(self._conversations.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._speak(reader, writer)
        except BaseException:
            # cancelled: a client that does not read must not hold up the end
            writer.transport.abort()
            raise
        finally:
            writer.close()

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            uid = peer_uid(writer.get_extra_info("socket"))
            if uid not in (0, os.geteuid()):
                audit(Caller(f"uid {uid}", "unix", None), "admin socket", "refused")
                await self._refuse(reader, writer, "only the daemon's user and root may manage it")
            elif len(self._conversations) > MAX_CONNECTIONS:
                await self._refuse(reader, writer, "too many clients manage this daemon already")
            else:
                await self._answer_requests(reader, writer, Caller(f"uid {uid}", "unix", Role.ADMIN))
        except* (ConnectionError, TimeoutError) as group:
            log.debug("admin client lost", reason=str(group.exceptions[0]) or "time limit")
            writer.transport.abort()

    async def _answer_requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, caller: Caller
    ) -> None:
        while True:
            try:
                async with asyncio.timeout(self._time_limit):
                    line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                await self._refuse(reader, writer, f"a request has at most {LONGEST_REQUEST} bytes")
                return
            try:
                answer = await _answer(self._commands.parse(line), caller)
            except SidecarError as error:
                await self._write(writer, error_line(str(error)))
                continue
            if isinstance(answer, AsyncGenerator):
                await self._stream(answer, reader, writer)
                return
            await self._write(writer, result_line(answer))

    async def _stream(
        self,
        answers: AsyncGenerator[Json, None],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Writes answers until the client closes its end, or says anything more."""

        async def write_answers() -> None:
            async with aclosing(answers):
                async for answer in answers:
                    await self._write(writer, result_line(answer))

        async with asyncio.TaskGroup() as group:
            writing = group.create_task(write_answers(), name="admin stream")
            await reader.read(1)
            writing.cancel()

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, error: str) -> None:
        """Tells the error and reads to the end: a socket closed with unread bytes loses what was told."""
        await self._write(writer, error_line(error))
        writer.write_eof()
        async with asyncio.timeout(self._time_limit):
            while await reader.read(LONGEST_REQUEST):
                pass

    async def _write(self, writer: asyncio.StreamWriter, line: bytes) -> None:
        writer.write(line)
        async with asyncio.timeout(self._time_limit):
            await writer.drain()


def _locked_directory(directory: Path) -> int:
    """A descriptor that holds the lock; it goes with the process, however that ends."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise AdminSocketTaken(f"cannot use the run directory {directory}: {_reason(error)}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise AdminSocketTaken(
                f"another vdi-sidecar runs in {directory}: end it or choose another --run-dir"
            ) from None
        raise AdminSocketTaken(f"cannot lock the run directory {directory}: {_reason(error)}") from None
    return descriptor


def _listening_socket(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        # the lock is held, so what is there belongs to nobody alive
        path.unlink(missing_ok=True)
        listener.bind(os.fspath(path))
        # before listen: until then nobody can connect
        path.chmod(0o600)
        listener.listen(MAX_CONNECTIONS)
    except OSError as error:
        listener.close()
        raise AdminSocketTaken(f"cannot make the admin socket {path}: {_reason(error)}") from None
    return listener


async def _answer(request: Request, caller: Caller) -> Json | AsyncGenerator[Json, None]:
    """Does what is asked, and has it in the audit log if it changes anything. Raises SidecarError."""
    command = request.command
    outcome: Outcome = "failed"
    try:
        answer = command.answer(request.arguments)
        if isinstance(answer, Awaitable):
            answer = await answer
        outcome = "done"
    except SidecarError:
        outcome = "refused"
        raise
    finally:
        if command.changes:
            audit(caller, command.name, outcome, request.told)
    return answer


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
