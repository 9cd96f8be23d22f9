"""A test double: a monitor that the test plays; a real one is in tests/qemu."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\r\n'


@asynccontextmanager
async def monitor(path: Path, answer: Callable[[dict[str, object]], bytes]) -> AsyncIterator[None]:
    """A monitor that answers every line with what `answer` says; an empty answer hangs up."""

    serving: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        try:
            while (line := await reader.readline()) and (text := answer(json.loads(line))):
                writer.write(text)
                await writer.drain()
        except ConnectionError:
            # it has heard enough
            pass
        finally:
            writer.transport.abort()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.create_task(serve(reader, writer)))

    async with await asyncio.start_unix_server(begin, path):
        yield
        await asyncio.gather(*serving)


def returns(value: object) -> Callable[[dict[str, object]], bytes]:
    return lambda command: json.dumps({"return": value, "id": command["id"]}).encode() + b"\r\n"
