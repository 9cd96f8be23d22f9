"""What the management API says about itself: its version, where things are, and its OpenAPI document."""

from collections.abc import Iterable
from typing import TypedDict

import msgspec
from aiohttp import web

from sidecar import __version__
from sidecar.control.openapi import openapi_document
from sidecar.control.operation import JSON, Call, Operation
from sidecar.control.role import Role


class Overview(TypedDict):
    """`links`: paths by the names of operations that take no parameter and change nothing."""

    name: str
    version: str
    links: dict[str, str]


def with_overview(operations: Iterable[Operation]) -> list[Operation]:
    """These operations, behind GET /api/v1 and GET /openapi.json, which tell of all of them."""

    async def overview(_call: Call) -> Overview:
        links = {each.name: each.path for each in table if not each.changes and not each.path_names}
        return Overview(name="vdi-sidecar", version=__version__, links=links)

    async def document(_call: Call) -> web.Response:
        return web.Response(body=msgspec.json.encode(openapi_document(table)), content_type=JSON)

    table = [
        Operation(
            "GET",
            "/api/v1",
            "getOverview",
            "The version, and where things are",
            Role.VIEWER,
            overview,
            result=Overview,
        ),
        Operation(
            "GET",
            "/openapi.json",
            "getOpenApi",
            "This document",
            Role.VIEWER,
            document,
            result=dict,
        ),
        *operations,
    ]
    return table
