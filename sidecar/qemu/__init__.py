"""Everything that talks to QEMU. It implements `sidecar.guest`; only the daemon imports it."""
