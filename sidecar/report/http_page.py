"""One request for a page and its answer (RFC 9112), for a server of two pages. Does no I/O.

By hand, since aiohttp takes 12 MB in each daemon that has no other use for it. Each connection gets one
answer and is closed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

LONGEST_HEAD = 8192
"""Bytes of a request's line and headers."""
END_OF_HEAD: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Page:
    """What is served at a path."""

    content_type: str
    body: Callable[[], bytes]


def answer(head: bytes, pages: Mapping[str, Page]) -> bytes:
    """The whole answer to a request, of which `head` is everything up to its empty line."""
    line, _, headers = head.partition(b"\r\n")
    words = line.split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1.") or not words[1].startswith(b"/"):
        return refusal(HTTPStatus.BAD_REQUEST)
    if (
        words[2] == b"HTTP/1.1"
        and headers.lower().count(b"\r\nhost:") + headers.lower().startswith(b"host:") != 1
    ):
        return refusal(HTTPStatus.BAD_REQUEST)
    page = pages.get(words[1].partition(b"?")[0].decode("latin-1"))
    if page is None:
        return refusal(HTTPStatus.NOT_FOUND)
    if words[0] not in (b"GET", b"HEAD"):
        return refusal(HTTPStatus.METHOD_NOT_ALLOWED, "Allow: GET, HEAD\r\n")
    return _response(HTTPStatus.OK, page.content_type, page.body(), with_body=words[0] == b"GET")


def refusal(status: HTTPStatus, headers: str = "") -> bytes:
    """An answer that says no; `headers`: more of them, each with its line's end."""
    return _response(status, "text/plain; charset=utf-8", f"{status.phrase}\n".encode(), headers)


def _response(
    status: HTTPStatus, content_type: str, body: bytes, headers: str = "", *, with_body: bool = True
) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nServer: vdi-sidecar\r\nConnection: close\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        f"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{headers}\r\n"
    )
    return head.encode("ascii") + (body if with_body else b"")
