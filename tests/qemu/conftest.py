"""Tests here run a real QEMU. Its fixtures (dbus_qemu, p2p_qemu, start_qemu) are in support/fixtures.py."""
