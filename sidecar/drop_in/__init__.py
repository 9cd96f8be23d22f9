"""Programs that libvirt starts in place of QEMU's own: `vdi-qemu-vnc` and `vdi-qemu-rdp`."""
