"""noVNC's own page, as Debian has it, in a headless Chromium that is spoken to by its DevTools protocol."""

import base64
import functools
import itertools
import json
import shutil
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import numpy as np
from numpy.typing import NDArray
from support.pictures import from_rgb_bytes
from support.processes import Process
from support.waiting import DEADLINE, eventually

PAGES = Path("/usr/share/novnc")

_QUIET = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

_PIXELS = """(() => {
    const canvas = document.querySelector('#screen canvas');
    if (!canvas || !canvas.width) return null;
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    let text = '';
    for (let at = 0; at < pixels.length; at += 32768)
        text += String.fromCharCode.apply(null, pixels.subarray(at, at + 32768));
    return [canvas.width, canvas.height, btoa(text)];
})()"""


class NoVnc:
    """The page; made by `novnc`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        number = next(self._numbers)
        parameters = {"expression": expression, "returnByValue": True}
        await self._socket.send_json({"id": number, "method": "Runtime.evaluate", "params": parameters})
        while (answer := await self._socket.receive_json(timeout=DEADLINE)).get("id") != number:
            pass
        assert "exceptionDetails" not in answer["result"], answer
        return answer["result"]["result"].get("value")

    async def status(self) -> str:
        """The line at the top of the page."""
        return str(await self.evaluate("document.getElementById('status')?.textContent ?? ''"))

    async def picture(self) -> NDArray[np.uint32]:
        """What it shows; empty before there is a picture."""
        found = await self.evaluate(_PIXELS)
        if found is None:
            return np.zeros((0, 0), np.uint32)
        width, height, pixels = found
        rgba = np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(height, width, 4)
        return from_rgb_bytes(np.ascontiguousarray(rgba[:, :, :3]))

    async def type(self, text: str) -> None:
        """Types into the picture, by the browser's own key events."""
        await self.evaluate("document.querySelector('#screen canvas').focus()")
        for character in text:
            for kind in ("keyDown", "keyUp"):
                key = {"type": kind, "text": character, "key": character, "code": f"Key{character.upper()}"}
                await self._command("Input.dispatchKeyEvent", key)

    async def _command(self, method: str, parameters: dict[str, Any]) -> None:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while (answer := await self._socket.receive_json(timeout=DEADLINE)).get("id") != number:
            pass
        assert "error" not in answer, answer


@asynccontextmanager
async def novnc(
    directory: Path, web_port: int, password: str = "", tls: Path | None = None
) -> AsyncIterator[NoVnc]:
    """Opens the page, which connects to the WebSocket at `web_port` with `password`.

    `tls`: the directory of the certificate that the WebSocket has; the page is served with it too, and the
    browser asks nobody who has signed it.
    """
    pages = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Pages, directory=str(PAGES)))
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / "tls.crt", tls / "tls.key")
        # each connection shakes hands in its own thread, and not where others are waited for
        pages.socket = context.wrap_socket(pages.socket, server_side=True, do_handshake_on_connect=False)
    serving = threading.Thread(target=pages.serve_forever)
    serving.start()
    profile = directory / "chromium"
    query = urlencode({"host": "127.0.0.1", "port": web_port, "path": "websockify", "password": password})
    url = f"{'https' if tls else 'http'}://127.0.0.1:{pages.server_port}/vnc_lite.html?{query}"
    options = [f"--user-data-dir={profile}", "--remote-debugging-port=0", "--window-size=1400,1200"]
    if tls is not None:
        options.append("--ignore-certificate-errors")
    chromium = Process(
        ("chromium", *_QUIET, *options, url), directory / "chromium.log", {"HOME": str(directory)}
    )
    try:
        tools = profile / "DevToolsActivePort"
        await eventually(lambda: tools.exists() and tools.read_text().count("\n") == 1, "Chromium starts")
        port = int(tools.read_text().splitlines()[0])
        async with aiohttp.ClientSession() as client:
            address = await _page(client, port)
            async with client.ws_connect(address, max_msg_size=0) as socket:
                yield NoVnc(socket)
    finally:
        chromium.stop()
        pages.shutdown()
        serving.join()
        pages.server_close()
        shutil.rmtree(profile, ignore_errors=True)


async def _page(client: aiohttp.ClientSession, port: int) -> str:
    while True:
        async with client.get(f"http://127.0.0.1:{port}/json") as answer:
            for page in json.loads(await answer.text()):
                if page["type"] == "page" and "vnc_lite" in page["url"]:
                    return str(page["webSocketDebuggerUrl"])


class _Pages(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""
