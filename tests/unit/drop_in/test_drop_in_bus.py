"""Where a program finds its bus, or QEMU itself."""

import contextlib
import os
import socket
from pathlib import Path

import pytest

from sidecar.bus_address import bus_address_of
from sidecar.drop_in.bus import connect_to_peer, session_bus
from sidecar.errors import SidecarError, UsageError


def test_the_session_bus_is_where_the_session_says(short_dir: Path) -> None:
    assert (
        session_bus({"DBUS_SESSION_BUS_ADDRESS": "unix:path=/a", "XDG_RUNTIME_DIR": "/b"}) == "unix:path=/a"
    )
    with pytest.raises(UsageError, match="--dbus-address"):
        session_bus({"XDG_RUNTIME_DIR": str(short_dir)})
    (short_dir / "bus").touch()
    assert session_bus({"XDG_RUNTIME_DIR": str(short_dir)}) == f"unix:path={short_dir}/bus"


@pytest.mark.parametrize("kind", ["path", "abstract"])
@pytest.mark.parametrize("name", ["qemu", "my machine=1"])
def test_qemu_itself_is_reached_by_a_unix_socket(short_dir: Path, kind: str, name: str) -> None:
    name = f"{short_dir}/{name}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name if kind == "path" else f"\0{name}")
        listener.listen()
        written = bus_address_of(Path(name)).replace("path", kind)
        descriptor = connect_to_peer(f"{written},guid=0123")
        try:
            connection, _ = listener.accept()
            connection.close()
        finally:
            os.close(descriptor)


def test_a_qemu_that_accepts_nobody_is_not_waited_for(short_dir: Path) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(f"{short_dir}/qemu")
        listener.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                other = stack.enter_context(socket.socket(socket.AF_UNIX))
                other.setblocking(False)
                other.connect(f"{short_dir}/qemu")
        with pytest.raises(SidecarError, match="takes nobody now"):
            connect_to_peer(f"unix:path={short_dir}/qemu")


def test_an_address_that_leads_nowhere_is_refused_in_words(short_dir: Path) -> None:
    with pytest.raises(UsageError, match="add --bus-name"):
        connect_to_peer("tcp:host=localhost,port=1")
    with pytest.raises(SidecarError, match="No such file"):
        connect_to_peer(f"unix:path={short_dir}/nothing")
    with pytest.raises(SidecarError, match="cannot connect"):
        connect_to_peer(f"unix:path=/{'x' * 200}")
