"""Control of a running daemon and of its virtual machine."""
