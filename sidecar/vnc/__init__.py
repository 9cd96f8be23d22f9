"""The RFB (VNC) frontend: a protocol core without input or output, and its asyncio server."""
