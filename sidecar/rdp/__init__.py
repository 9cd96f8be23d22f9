"""RDP: a protocol core without I/O, then a thin asyncio server."""
