"""What stands on the other sides of a hook server in these tests: a status source and a rewrite."""

import asyncio
from collections.abc import Callable

from sidecar.hook.server import HookServer
from sidecar.observers import Observers

MakeServer = Callable[..., HookServer]


class Screens:
    """A status source whose sessions the test counts."""

    def __init__(self) -> None:
        self.changes: Observers[[]] = Observers()
        self.document: dict[str, object] = {
            "generation": 1,
            "service": {"vnc": {"sessions": 0}, "rdp": {"sessions": 0}},
            "sessions": [],
            "vm": {"state": "attached", "name": "fedora", "uuid": "", "consoles": []},
        }

    def status(self) -> dict[str, object]:
        return self.document

    def watched_by(self, viewers: int) -> None:
        self.document = {
            **self.document,
            "generation": self.generation + 1,
            "service": {"vnc": {"sessions": viewers}, "rdp": {"sessions": 0}},
        }
        self.changes.notify()

    @property
    def generation(self) -> int:
        generation = self.document["generation"]
        assert isinstance(generation, int)
        return generation


class Domains:
    """A rewrite that records what it was given."""

    def __init__(self) -> None:
        self.calls: list[tuple[bytes, bytes]] = []
        self.error: Exception | None = None
        self.answer: bytes | None = None

    async def __call__(self, domain: bytes, vmi: bytes) -> bytes:
        self.calls.append((domain, vmi))
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return domain.replace(b"vnc", b"dbus") if self.answer is None else self.answer
