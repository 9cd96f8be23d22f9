"""The status service: who is connected, told to whoever can reach the hook socket (facts: kubevirt 6)."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor

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
    """The message of a status document. Raises TypeError or ValueError for a value of another kind."""
    # protobuf's json_format does this too, and more: 2 MB
    return session_status_pb2.Status(**_known(document, session_status_pb2.Status.DESCRIPTOR))  # type: ignore[arg-type]


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


def _known(document: Mapping[str, object], message: Descriptor) -> dict[str, object]:
    """Of the document what the message has a field for, as its constructor takes it."""
    fields = message.fields_by_name
    return {name: _value(value, fields[name]) for name, value in document.items() if name in fields}


def _value(value: object, field: FieldDescriptor) -> object:
    if isinstance(value, str):
        # lone surrogates: a name that a client chose must not keep the status from everybody
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping) and field.message_type is not None:
        return _known(value, field.message_type)
    if isinstance(value, list | tuple):
        return [_value(item, field) for item in value]
    return value
