"""The client of serial ports that come through a VNC connection: a protocol core without input or output,
and what ties it to a terminal."""
