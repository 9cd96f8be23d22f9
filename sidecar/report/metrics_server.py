"""Serves the metrics to Prometheus at /metrics, and at /healthz whether the daemon's loop still turns."""

import asyncio
import os
from contextlib import suppress
from http import HTTPStatus
from types import TracebackType
from typing import Self

from sidecar.errors import SidecarError
from sidecar.log import get_logger
from sidecar.report.exposition import CONTENT_TYPE
from sidecar.report.http_page import END_OF_HEAD, LONGEST_HEAD, Page, answer, refusal
from sidecar.report.metrics import Metrics

log = get_logger(__name__)

MOST_CONNECTIONS = 16
"""At once; one more ends the oldest, since a scrape takes milliseconds."""
REQUEST_TIME = 10.0
"""Seconds for a request to come and its answer to be taken."""
LINGER_TIME = 2.0
"""Seconds for a client to close, once it has been answered."""


class CannotServeMetrics(SidecarError):
    """The address is taken, or not ours to use."""


class MetricsServer:
    """Listens at `host` (empty: every interface) and `port` (0: the system's choice) while it is entered.

    Entering raises CannotServeMetrics. There is no authentication and no TLS: what it tells names nobody.
    """

    def __init__(self, metrics: Metrics, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._pulse = metrics.pulse
        self._pages = {
            "/metrics": Page(CONTENT_TYPE, metrics.page),
            "/healthz": Page("text/plain; charset=utf-8", lambda: b"ok\n"),
        }
        self._listener: asyncio.Server | None = None
        self._conversations: dict[asyncio.Task[None], None] = {}

    @property
    def port(self) -> int:
        """The port that it listens on, once entered."""
        return self._port

    @property
    def connections(self) -> int:
        """Clients that are there."""
        return len(self._conversations)

    async def __aenter__(self) -> Self:
        try:
            self._listener = await asyncio.start_server(
                self._accepted, self._host or None, self._port, limit=LONGEST_HEAD
            )
        except OSError as error:
            reason = (
                os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error.strerror)
            )
            where = f"[{self._host}]" if ":" in self._host else self._host or "*"
            raise CannotServeMetrics(f"cannot serve metrics on {where}:{self._port}: {reason}") from None
        self._port = self._listener.sockets[0].getsockname()[1]
        self._pulse.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listener is None:
            return
        self._pulse.close()
        self._listener.close()
        for conversation in self._conversations:
            conversation.cancel()
        if self._conversations:
            await asyncio.wait(set(self._conversations))
        await self._listener.wait_closed()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # many may come before the first that was told to end has ended
        staying = [each for each in self._conversations if not each.cancelling()]
        if len(staying) >= MOST_CONNECTIONS:
            staying[0].cancel()
        conversation = asyncio.create_task(self._converse(reader, writer), name="metrics request")
        self._conversations[conversation] = None

        def ended(task: asyncio.Task[None]) -> None:
            # here and not at the conversation's end: one that is cancelled at once has not even begun
            del self._conversations[task]
            writer.transport.abort()

        conversation.add_done_callback(ended)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # TimeoutError is an OSError
            with suppress(OSError, asyncio.IncompleteReadError):
                async with asyncio.timeout(REQUEST_TIME):
                    writer.write(await self._answered(reader))
                    await writer.drain()
                if writer.is_closing():
                    return
                writer.write_eof()
                async with asyncio.timeout(LINGER_TIME):
                    # closed with something unread, the connection would be reset and the answer lost
                    while await reader.read(LONGEST_HEAD):
                        pass
        except Exception:
            log.exception("metrics request failed")

    async def _answered(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(END_OF_HEAD)
        except asyncio.LimitOverrunError:
            return refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        return answer(head, self._pages)
