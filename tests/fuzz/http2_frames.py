"""HTTP/2 of clients that keep to nothing: frames (RFC 9113 section 4), and gRPC's calls in them."""

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0, 1, 3, 4, 6, 9
END_STREAM, END_HEADERS = 1, 4
CANCEL = struct.pack(">I", 8)
WINDOW_SIZE = 4


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


BEGINNING = PREFACE + frame(SETTINGS)
NO_WINDOW = PREFACE + frame(SETTINGS, struct.pack(">HI", WINDOW_SIZE, 0))
"""Nothing may be answered, but for headers."""


def header(name: bytes, value: bytes) -> bytes:
    """Written out, without Huffman's code and without the tables (RFC 7541 section 6.2.2)."""
    return b"\0" + _text(name) + _text(value)


def _text(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest, length = len(text) - 127, bytearray([127])
    while rest >= 128:
        length.append(rest % 128 | 128)
        rest //= 128
    return bytes([*length, rest]) + text


def call_headers(path: str) -> bytes:
    """The header block of a gRPC call."""
    return b"".join(
        header(name, value)
        for name, value in (
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", path.encode()),
            (b":authority", b"localhost"),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
        )
    )


def call(path: str, stream: int = 1, message: bytes = b"") -> bytes:
    """A whole call with one message."""
    body = struct.pack(">BI", 0, len(message)) + message
    return frame(HEADERS, call_headers(path), flags=END_HEADERS, stream=stream) + frame(
        DATA, body, flags=END_STREAM, stream=stream
    )
