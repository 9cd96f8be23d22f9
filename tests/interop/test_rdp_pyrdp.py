"""PyRDP, written by others, reads what this server says, and carries a real client's session to it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import pyrdp_oracle
from support.daemon import Daemon
from support.freerdp import GREEN_SPREAD, FreeRdp, Graphics, Settings, program
from support.guest_image import Mode, typed, was_clicked
from support.pictures import at_depth
from support.qemu import Qemu
from support.rdp_client_pdus import capability_sets
from support.rdp_clients import Rdesktop
from support.rdp_peer import RdpPeer
from support.rdp_script import Profile, Received
from support.rdp_server_pdus import FastPathUpdate
from support.viewers import XServer
from support.waiting import wait_until

BITMAP = 1
SURFACE_COMMANDS = b"\x1c\x00"


class RecordingPeer(RdpPeer):
    """Keeps every byte that the server sends, TLS taken off."""

    recorded = b""

    def receive(self, data: bytes) -> list[Received]:
        self.recorded += data
        return super().receive(data)


async def _recorded(daemon: Daemon) -> bytes:
    # PyRDP knows bitmap updates, and nothing of surface commands
    sets = (body for body in capability_sets(1024, 768) if body[:2] != SURFACE_COMMANDS)
    async with await RecordingPeer.connect(*daemon.rdp, Profile(capability_sets=tuple(sets))) as peer:
        await peer.expect(FastPathUpdate, lambda update: update.code == BITMAP)
        return peer.recorded


def _named(pdus: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [pdu for pdu in pdus if pdu["pdu"] == name]


async def test_pyrdp_reads_the_whole_sequence_and_the_picture(daemon: Daemon, dbus_qemu: Qemu) -> None:
    await asyncio.to_thread(dbus_qemu.show, Mode.DESKTOP)
    pdus = pyrdp_oracle.read(await _recorded(daemon))
    (negotiation,) = _named(pdus, "NegotiationResponsePDU")
    assert negotiation["tlsSelected"]
    (server,) = _named(pdus, "ServerDataPDU")
    assert server["securityData"]["encryptionMethod"] == "ENCRYPTION_NONE"
    assert server["networkData"]["mcsChannelID"] == 1003
    assert len(server["networkData"]["channels"]) == 3
    (attached,) = _named(pdus, "MCSAttachUserConfirmPDU")
    joins = _named(pdus, "MCSChannelJoinConfirmPDU")
    assert [join["result"] for join in joins] == [0] * 5
    expected = {attached["initiator"], 1003, *server["networkData"]["channels"]}
    assert {join["channelID"] for join in joins} == expected
    (licence,) = _named(pdus, "LicenseErrorAlertPDU")
    assert licence["errorCode"] == "STATUS_VALID_CLIENT"
    (demand,) = _named(pdus, "DemandActivePDU")
    bitmap = demand["parsedCapabilitySets"]["CAPSTYPE_BITMAP"]
    assert (bitmap["desktopWidth"], bitmap["desktopHeight"]) == (1024, 768)
    assert [control["action"] for control in _named(pdus, "ControlPDU")] == [
        4,
        2,
    ]
    bitmaps = [bitmap for pdu in pdus for bitmap in pdu.get("bitmaps", [])]
    assert bitmaps
    assert {bitmap["bitsPerPixel"] for bitmap in bitmaps} == {32}
    assert all(bitmap["destRight"] < 1024 and bitmap["destBottom"] < 768 for bitmap in bitmaps)


@pytest.fixture
def mitm(daemon: Daemon, short_dir: Path) -> Iterator[pyrdp_oracle.Mitm]:
    mitm = pyrdp_oracle.Mitm(short_dir, daemon.rdp)
    yield mitm
    mitm.close()


def _freerdp(x_server: XServer, address: tuple[str, int]) -> FreeRdp:
    return FreeRdp(x_server, Settings(address, graphics=Graphics.BITMAPS))


# PyRDP refuses the protocol version that FreeRDP 3 claims
CLIENTS = [Rdesktop, _freerdp] if program()[1] == 2 else [Rdesktop]


@pytest.mark.parametrize("client", CLIENTS)
def test_pyrdps_machine_in_the_middle_carries_a_real_clients_session(
    mitm: pyrdp_oracle.Mitm,
    daemon: Daemon,
    dbus_qemu: Qemu,
    x_server: XServer,
    client: Callable[[XServer, tuple[str, int]], FreeRdp | Rdesktop],
) -> None:
    dbus_qemu.show(Mode.DESKTOP)
    dbus_qemu.show(Mode.STILL)
    with closing(client(x_server, mitm.address)) as viewer:
        spread = GREEN_SPREAD if isinstance(viewer, FreeRdp) else 4

        def is_shown() -> bool:
            return viewer.shows(at_depth(dbus_qemu.screendump(), 16, spread))

        wait_until(is_shown, "the picture came through")
        viewer.type("a")
        dbus_qemu.com1.wait_for(typed(0x1E))
        viewer.click(300, 200)
        wait_until(lambda: was_clicked(dbus_qemu.com1.read(), 300, 200), "the client clicks")
        wait_until(is_shown, "what was done is shown")
        assert len(daemon.sessions()) == 1
    assert "Traceback" not in mitm.output
    assert "Exception" not in mitm.output
