"""The clipboard of an X display, as FreeRDP's client shares it: another program there copies and pastes."""

from collections.abc import Iterator
from contextlib import contextmanager

from support.freerdp import FreeRdp, Settings
from support.processes import Process
from support.viewers import XServer


def freerdp_with_clipboard(x_server: XServer, address: tuple[str, int]) -> FreeRdp:
    """A connected client."""
    return FreeRdp(x_server, Settings(address, options=("+clipboard",)))


def paste(x_server: XServer) -> str:
    """What a program gets that pastes text now; empty where there is none."""
    return x_server.run("xclip", "-out", "-selection", "clipboard", "-target", "UTF8_STRING")


@contextmanager
def copied(x_server: XServer, text: str) -> Iterator[None]:
    """For the time of a `with` another program has copied `text`, unless somebody else copies later."""
    number = len(list(x_server.directory.glob("copied*.txt")))
    source = x_server.directory / f"copied{number}.txt"
    source.write_bytes(text.encode())
    # in the foreground: it gives the text as often as it is asked for
    command = ["xclip", "-quiet", "-in", "-selection", "clipboard", str(source)]
    environment = {"DISPLAY": x_server.display}
    process = Process(command, x_server.directory / f"xclip{number}.log", environment)
    try:
        yield
    finally:
        process.stop()
