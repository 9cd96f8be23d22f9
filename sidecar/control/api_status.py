"""The status document in the management API."""

from aiohttp import web

from sidecar.session.feed import StatusFeed


def status_routes(feed: StatusFeed) -> list[web.RouteDef]:
    """GET /api/v1/status."""

    async def status(_request: web.Request) -> web.Response:
        return web.json_response(feed.status())

    return [web.get("/api/v1/status", status)]
