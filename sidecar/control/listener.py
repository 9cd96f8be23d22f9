"""Where frontends listen."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Listener:
    """One place where a frontend listens.

    `host`: an address or a name; empty: every interface, or a unix socket. `port`: None of a unix socket.
    `path`: of the unix socket, or of the WebSocket's URL. `tls`: `always`: nothing is said in the clear;
    `within`: the protocol agrees upon TLS by itself before anybody logs in; `never`. `console`: which one is
    shown first; empty: the machine's first.
    """

    protocol: Literal["vnc", "rdp", "websocket"]
    host: str = ""
    port: int | None = None
    path: str = ""
    tls: Literal["always", "within", "never"] = "never"
    console: str = ""
