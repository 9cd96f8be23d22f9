"""How the message of a call comes in: in good time, readable, and never many large ones at once.

By itself gRPC reads the message before it asks anybody, however many others it holds, waits for it for ever,
and gives one that it cannot read the code UNKNOWN and a traceback in the log.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from sidecar.hook.answers import Context, refuse

MESSAGE_SECONDS = 5.0
"""For the message of a call that has begun; its caller is on the same machine."""
AT_ONCE = 2
"""Large messages that are in memory: one that is worked on, and one that comes in meanwhile. Each is there
three times over for a moment: as it came, as bytes, and as what is read from it."""
MOST_WAITING = 12
"""Calls with large messages that are there; the others get the rest of the server's calls for themselves."""

LARGE = frozenset({"OnDefineDomain", "PreCloudInitIso", "MutateDomain"})
"""Methods whose messages may be as long as they like."""

_Handler: TypeAlias = Any
"""grpc.RpcMethodHandler, which is generic in its stub only."""


class Reception(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Takes the messages of all calls of one server.

    A call ends with DEADLINE_EXCEEDED when its message does not come, with INVALID_ARGUMENT when there is
    none or it is none of its kind, and one of a LARGE method with RESOURCE_EXHAUSTED when `most_waiting` are
    there already. What waits for its turn is not read: it costs no more than a window of HTTP/2.
    """

    def __init__(
        self, *, seconds: float = MESSAGE_SECONDS, at_once: int = AT_ONCE, most_waiting: int = MOST_WAITING
    ) -> None:
        self._seconds = seconds
        self._turn = asyncio.Semaphore(at_once)
        self._most_waiting = most_waiting
        self._waiting = 0

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """The handler of a call, as one of a stream of requests, which it may read when it likes."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        call = handler_call_details.method.rpartition("/")[2]
        if handler.unary_stream is not None:
            return grpc.stream_stream_rpc_method_handler(
                self._streaming(call, handler), None, handler.response_serializer
            )
        return grpc.stream_unary_rpc_method_handler(
            self._answering(call, handler), None, handler.response_serializer
        )

    def _answering(self, call: str, handler: _Handler) -> Any:
        async def answer(_messages: object, context: Context) -> object:
            async with self._place(call, context):
                request = await self._request(call, handler, context)
                return await handler.unary_unary(request, context)

        return answer

    def _streaming(self, call: str, handler: _Handler) -> Any:
        async def stream(_messages: object, context: Context) -> None:
            request = await self._request(call, handler, context)
            await handler.unary_stream(request, context)

        return stream

    @asynccontextmanager
    async def _place(self, call: str, context: Context) -> AsyncIterator[None]:
        if call not in LARGE:
            yield
            return
        if self._waiting >= self._most_waiting:
            details = f"{self._waiting} calls wait for their domains already: call again when they have them"
            await refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, details, call=call)
        self._waiting += 1
        try:
            async with self._turn:
                yield
        finally:
            self._waiting -= 1

    async def _request(self, call: str, handler: _Handler, context: Context) -> object:
        try:
            async with asyncio.timeout(self._seconds):
                # not by the iterator: left behind unfinished, it keeps the message until the next collection
                message = await context.read()
        except TimeoutError:
            details = f"the message of {call} has not come within {self._seconds:g} s"
            await refuse(context, grpc.StatusCode.DEADLINE_EXCEEDED, details, call=call)
        if not isinstance(message, bytes):
            details = f"{call} has come without a message"
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, details, call=call)
        try:
            return handler.request_deserializer(message)
        except DecodeError:
            details = f"the message of {call} is not one of its kind"
        await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, details, call=call)
