"""libvirt domain XML in, domain XML out: pure functions that give a machine its D-Bus display."""
