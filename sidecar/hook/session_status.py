"""The status service: who is connected, told to whoever can reach the hook socket (facts: kubevirt 6)."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

import grpc
from google.protobuf.json_format import ParseDict

from sidecar.hook.answers import Context, fail, refuse
from sidecar.hook.api import session_status_pb2
from sidecar.hook.api.session_status_pb2_grpc import SessionStatusServicer
from sidecar.observers import Observers


class StatusSource(Protocol):
    """Where the status comes from. Belongs to the main loop."""

    @property
    def changes(self) -> Observers[[]]:
        """Called after every change of the status that raises its generation."""
        ...

    def status(self) -> Mapping[str, object]:
        """The status document of this moment: the JSON form of session_status.proto's Status.

        Whatever the message has no field for is left out of it.
        """
        ...


def status_message(document: Mapping[str, object]) -> session_status_pb2.Status:
    """The message of a status document. Raises google.protobuf.json_format.ParseError."""
    message = session_status_pb2.Status()
    encodable = {key: _encodable(value) for key, value in document.items()}
    ParseDict(encodable, message, ignore_unknown_fields=True)
    return message


class SessionStatusService(SessionStatusServicer):
    """`interval`: seconds between two messages of one watcher, at least. `max_watchers`: streams at once."""

    def __init__(self, source: StatusSource, *, interval: float, max_watchers: int) -> None:
        self._source = source
        self._interval = interval
        self._max_watchers = max_watchers
        self._watchers: set[asyncio.Event] = set()
        self._closing = asyncio.Event()

    @property
    def watchers(self) -> int:
        """Streams that are open."""
        return len(self._watchers)

    def close(self) -> None:
        """Ends every stream after the last state."""
        self._closing.set()
        for changed in self._watchers:
            changed.set()

    async def Get(
        self, _request: session_status_pb2.GetRequest, context: Context
    ) -> session_status_pb2.Status:
        """The status of this moment."""
        return await self._message(context, "Get")

    async def Watch(self, _request: session_status_pb2.WatchRequest, context: Context) -> None:
        """The status at once, then after each change, merged, never more often than the interval allows."""
        if len(self._watchers) >= self._max_watchers:
            details = f"{self._max_watchers} watch the sessions already: use Get, or end another Watch"
            await refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, details, call="Watch")
        changed = asyncio.Event()
        self._watchers.add(changed)
        unsubscribe = self._source.changes.subscribe(changed.set)
        sent: int | None = None
        try:
            while True:
                changed.clear()
                message = await self._message(context, "Watch")
                if message.generation != sent:
                    await context.write(message)
                    sent = message.generation
                    await self._pause()
                if self._closing.is_set() and not changed.is_set():
                    return
                await changed.wait()
        finally:
            unsubscribe()
            self._watchers.discard(changed)

    async def _message(self, context: Context, call: str) -> session_status_pb2.Status:
        try:
            return status_message(self._source.status())
        except Exception as error:
            failure = error
        await fail(context, failure, call=call)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._interval):
                await self._closing.wait()
        except TimeoutError:
            return


def _encodable(value: object) -> object:
    """Replaces lone surrogates: a name that a client chose must not keep the status from everybody."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {key: _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    return value
