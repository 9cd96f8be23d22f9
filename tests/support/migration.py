"""QEMU's live migration between two processes, as libvirt drives it, and a Service in front of both."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.processes import Process
from support.qemu import Com1, Qemu
from support.qmp import Qmp
from support.waiting import wait_until

from sidecar.session.state import EndReason

ENDED = EndReason.GONE
"""What the sessions of the old host are told."""

SLOW = 256 * 1024
"""Bytes per second: a migration at this pace does not end within a test."""
FAST = 1 << 30


class IncomingQemu(Qemu):
    """A QEMU that waits for the machine of another one; `resume` lets it run when that has come.

    `display` and the rest as for the other one. It has said nothing on its serial port when the constructor
    returns: its guest is none yet.
    """

    def __init__(self, directory: Path, display: Sequence[str], image: Path, **options: Any) -> None:
        self.address = f"unix:{directory}/incoming"
        super().__init__(directory, display, image, extra=("-incoming", self.address), **options)

    def start(self) -> None:
        """Starts it and has it wait."""
        self.started += 1
        self.process = Process(self._command, self.directory / "qemu.log")
        try:
            wait_until(self._listens, f"QEMU starts: {self._command}")
            self.qmp = Qmp(self.directory / "qmp")
            self.com1 = Com1(self.directory / "com1")
        except BaseException:
            self.process.kill()
            raise

    @property
    def state(self) -> str:
        """QEMU's run state."""
        return str(self.qmp("query-status")["status"])

    def resume(self) -> None:
        """Lets the machine run that has come."""
        wait_until(lambda: self.state != "inmigrate", "the machine has come")
        self.qmp("cont")


class Migration:
    """The move of a running machine, under way when the constructor returns, at a pace that never ends it."""

    def __init__(self, source: Qemu, target: IncomingQemu) -> None:
        self._source = source
        self._target = target
        source.qmp("migrate-set-parameters", max_bandwidth=SLOW, downtime_limit=500)
        source.qmp("migrate", uri=target.address)
        wait_until(lambda: self.status == "active", "the migration is under way")

    @property
    def status(self) -> str:
        """QEMU's word for it."""
        return str(self._source.qmp("query-migrate").get("status"))

    def complete(self) -> None:
        """Has it end well: the machine stands still on its old host and runs on the new one."""
        self._source.qmp("migrate-set-parameters", max_bandwidth=FAST)
        wait_until(lambda: self.status == "completed", "the migration is completed")
        self._target.resume()

    def cancel(self) -> None:
        """Has the machine stay where it is."""
        self._source.qmp("migrate_cancel")
        wait_until(lambda: self.status == "cancelled", "the migration is cancelled")


class Service:
    """Stands for a Service of Kubernetes: one address, behind it the pod that is ready. A context manager.

    A double, as no cluster runs here. It does what kube-proxy does: a connection stays with the pod that it
    was given at its beginning, whatever becomes of the pod.
    """

    def __init__(self, pod: tuple[str, int], *, keeps_lines: bool = False) -> None:
        """`keeps_lines`: a client does not notice that its pod has hung up before `drop_lines`, so that there
        is time to look at it."""
        self.pod = pod
        """Where new connections go. May be set at any time."""
        self.address = ("127.0.0.1", 0)
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._dropped = asyncio.Event()
        if not keeps_lines:
            self._dropped.set()
        self._stop: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))

    def drop_lines(self) -> None:
        """Lets clients notice that their pod has hung up."""
        self._loop.call_soon_threadsafe(self._dropped.set)

    async def _serve(self) -> None:
        stopped = asyncio.Event()
        self._stop = lambda: self._loop.call_soon_threadsafe(stopped.set)
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = ("127.0.0.1", server.sockets[0].getsockname()[1])
        self._started.set()
        await stopped.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # refused while no pod listens, as by kube-proxy
            with suppress(OSError):
                pod_reader, pod_writer = await asyncio.open_connection(*self.pod)
                await asyncio.gather(_copy(reader, pod_writer), _copy(pod_reader, writer, self._dropped))
        finally:
            writer.close()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(30), "the service does not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._thread.join()
        self._loop.close()


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, may_end: asyncio.Event | None = None
) -> None:
    """Hands on what comes, and its end, the latter once `may_end` is set."""
    try:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        if may_end is not None:
            await may_end.wait()
    finally:
        writer.close()
