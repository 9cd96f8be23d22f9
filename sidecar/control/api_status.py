"""The status document in the management API."""

from sidecar.control.operation import Call, Operation
from sidecar.control.role import Role
from sidecar.session.feed import StatusFeed
from sidecar.session.status import Status


def status_operations(feed: StatusFeed) -> tuple[Operation, ...]:
    """GET /api/v1/status."""

    async def status(_call: Call) -> Status:
        return feed.status()

    return (
        Operation(
            "GET",
            "/api/v1/status",
            "getStatus",
            "The status document: sessions, machine, health",
            Role.VIEWER,
            status,
            result=Status,
        ),
    )
