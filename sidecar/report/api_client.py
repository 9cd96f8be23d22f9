"""One request to the API server and its answer, by aiohttp."""

import asyncio
import json
import os
import ssl

import aiohttp

from sidecar.errors import NotReady
from sidecar.report.service_account import InCluster
from sidecar.report.vmi_conversation import Answer, NoAnswer, Request

ANSWER_TIME = 10.0
"""Seconds from the name's resolution to the body's last byte."""
LONGEST_ANSWER = 2 * 1024 * 1024
"""Bytes; etcd keeps no object of more than 1.5 MiB."""
LONGEST_LINE = 8192
"""Bytes of a line of an answer's head."""


class ApiClient:
    """Sends requests in the name of the pod's service account. Close it.

    Nothing but the API server's own certificates is trusted, no redirection is followed, no proxy and no
    netrc is asked, and no error has the token in it.
    """

    def __init__(self, cluster: InCluster) -> None:
        self._cluster = cluster
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=ANSWER_TIME),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
        )

    async def close(self) -> None:
        """Lets go of the connection."""
        await self._session.close()

    async def send(self, request: Request) -> Answer | NoAnswer:
        """The answer, in good time or not at all."""
        try:
            account = await asyncio.to_thread(self._cluster.read)
        except NotReady as error:
            return NoAnswer(str(error))
        headers = {
            "Authorization": f"Bearer {account.token}",
            "Accept": request.accept,
            "Accept-Encoding": "identity",
            "User-Agent": "vdi-sidecar",
        }
        if request.content_type:
            headers["Content-Type"] = request.content_type
        try:
            async with self._session.request(
                request.method,
                self._cluster.url + request.target,
                data=request.body or None,
                headers=headers,
                ssl=account.context,
                allow_redirects=False,
            ) as response:
                body = await _read(response)
                retry_after = _seconds(response.headers.get("Retry-After", ""))
                return Answer(response.status, await asyncio.to_thread(_parsed, body), retry_after)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # TimeoutError is an OSError
            return NoAnswer(f"the API server at {self._cluster.url} cannot be asked: {_reason(error)}")


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body; empty, and the connection with it is closed, when it is too long."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LONGEST_ANSWER:
            response.close()
            return b""
    return bytes(body)


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError):
        return None


def _seconds(text: str) -> float | None:
    """Retry-After in its form as a number (RFC 9110 section 10.2.3); the API server sends no other."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _reason(error: Exception) -> str:
    """Why, in words for people: never `repr`, aiohttp's errors carry the request's headers."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        detail = cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else "not trusted"
        return f"its certificate is not accepted: {detail}"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return type(error).__name__
