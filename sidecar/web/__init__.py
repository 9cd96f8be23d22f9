"""The web side: WebSocket before the frontends. Imported only where it is used, for aiohttp is large."""
