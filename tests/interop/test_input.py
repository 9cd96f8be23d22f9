"""What clients type and point at reaches the guest, and nothing stays pressed."""

import socket
from pathlib import Path

from support import rfb_wire
from support.bus import Bus
from support.daemon import Daemon
from support.guest_image import Mode
from support.qemu import Qemu
from support.rfb_client import RfbClient
from support.rfb_wire import ALL_PSEUDO, Encoding
from support.waiting import wait_until


def test_key_symbols_and_key_codes_both_arrive(daemon: Daemon, dbus_qemu: Qemu) -> None:
    with RfbClient(daemon.address, encodings=(Encoding.TIGHT, *ALL_PSEUDO)) as client:
        client.until(lambda: Encoding.QEMU_EXTENDED_KEY in client.acknowledged, "key codes are agreed on")
        client.send(rfb_wire.key_event(ord("q"), True) + rfb_wire.key_event(ord("q"), False))
        dbus_qemu.com1.wait_for("^K10\nK90\n")
        client.send(
            rfb_wire.extended_key_event(0xFF52, 0xC8, True) + rfb_wire.extended_key_event(0xFF52, 0xC8, False)
        )
        dbus_qemu.com1.wait_for("^KE0\nK48\nKE0\nKC8\n")


def test_bursts_of_keys_arrive_in_order_and_none_is_lost(daemon: Daemon, dbus_qemu: Qemu) -> None:
    """Six keys at a time: the keyboard that QEMU emulates holds sixteen bytes."""
    burst = b"".join(rfb_wire.key_event(ord(key), down) for key in "qwerty" for down in (True, False))
    arrived = "".join(f"K{code:02X}\nK{code | 0x80:02X}\n" for code in range(0x10, 0x16))
    with RfbClient(daemon.address) as client:
        dbus_qemu.com1.forget()
        for number in range(1, 51):
            client.send(burst)
            wait_until(lambda number=number: dbus_qemu.com1.read() == arrived * number, f"burst {number}")


def test_keys_that_a_lost_client_held_are_released(daemon: Daemon, dbus_qemu: Qemu) -> None:
    client = RfbClient(daemon.address)
    client.send(rfb_wire.key_event(0xFFE1, True) + rfb_wire.key_event(ord("A"), True))
    dbus_qemu.com1.wait_for("^K2A\n(.*\n)*K1E\n")
    client.close()
    dbus_qemu.com1.wait_for("^K9E\n")
    dbus_qemu.com1.wait_for("^KAA\n")


def test_the_wheel_and_all_buttons_arrive(daemon: Daemon, dbus_qemu: Qemu) -> None:
    with RfbClient(daemon.address) as client:
        client.refresh()
        for mask, reported in ((1, "20"), (2, "08"), (4, "10")):
            dbus_qemu.com1.forget()
            client.send(rfb_wire.pointer_event(100, 50, mask) + rfb_wire.pointer_event(100, 50, 0))
            dbus_qemu.com1.wait_for(f"^M{reported} 006[345] 003[123]\n(.*\n)*M00 006[345] 003[123]\n")


def test_a_viewer_that_may_only_watch_changes_nothing(bus: Bus, dbus_qemu: Qemu, short_dir: Path) -> None:
    daemon = Daemon(short_dir, "--dbus-address", bus.address, "--view-only")
    try:
        with RfbClient(daemon.address) as client:
            client.refresh()
            dbus_qemu.com1.forget()
            client.send(rfb_wire.key_event(ord("q"), True) + rfb_wire.pointer_event(100, 50, 1))
            client.refresh()
            client.refresh()
            assert dbus_qemu.com1.read() == ""
    finally:
        daemon.close()


def test_a_client_that_never_reads_does_not_hold_up_the_others(daemon: Daemon, dbus_qemu: Qemu) -> None:
    dbus_qemu.show(Mode.REPAINT)
    lazy = RfbClient(daemon.address, encodings=(Encoding.RAW, *ALL_PSEUDO))
    with socket.socket() as silent, RfbClient(daemon.address, encodings=(Encoding.TIGHT,)) as client:
        silent.connect(daemon.address)
        lazy.send(rfb_wire.enable_continuous_updates(True, 0, 0, 1024, 768))
        for _ in range(100):
            lazy.send(rfb_wire.update_request(False, 0, 0, 1024, 768))
            client.refresh(incremental=True)
        dbus_qemu.show(Mode.STILL)
        client.until_shown(dbus_qemu.screendump())
    lazy.close()
