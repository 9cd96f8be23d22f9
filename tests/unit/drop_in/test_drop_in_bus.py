"""Where a program finds its bus, or QEMU itself."""

import os
import socket
from pathlib import Path

import pytest

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
def test_qemu_itself_is_reached_by_a_unix_socket(short_dir: Path, kind: str) -> None:
    name = f"{short_dir}/qemu"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name if kind == "path" else f"\0{name}")
        listener.listen()
        descriptor = connect_to_peer(f"unix:{kind}={name},guid=0123")
        try:
            connection, _ = listener.accept()
            connection.close()
        finally:
            os.close(descriptor)


def test_an_address_that_leads_nowhere_is_refused_in_words(short_dir: Path) -> None:
    with pytest.raises(UsageError, match="add --bus-name"):
        connect_to_peer("tcp:host=localhost,port=1")
    with pytest.raises(SidecarError, match="No such file"):
        connect_to_peer(f"unix:path={short_dir}/nothing")
    with pytest.raises(SidecarError, match="cannot connect"):
        connect_to_peer(f"unix:path=/{'x' * 200}")
