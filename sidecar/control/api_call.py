"""A request of the management API made into a call of its operation: parameters and body, checked."""

import asyncio
from typing import Any, Final

import msgspec
from aiohttp import hdrs, web

from sidecar.control.api_access import Refused, Visitor
from sidecar.control.operation import JSON, Call, Operation

BODY_TIME: Final = 10.0
"""Seconds for a client to send the body that it has announced."""


async def read_call(operation: Operation, request: web.Request, visitor: Visitor) -> Call:
    """What is asked for. Raises Refused, and aiohttp's error for a body that is too large."""
    parameters = _parameters(operation, request)
    body = await _body(operation, request)
    return Call(request, visitor.caller, body, parameters, visitor.stays)


def _parameters(operation: Operation, request: web.Request) -> dict[str, Any]:
    given: dict[str, str] = dict(request.match_info)
    for name, value in request.query.items():
        if name in given:
            raise Refused(400, f"{_shown(name)} is given twice")
        if name not in operation.parameters:
            raise Refused(400, f"there is no parameter {_shown(name)}")
        given[name] = value
    converted = {}
    for name, value in given.items():
        try:
            converted[name] = msgspec.convert(value, operation.parameters[name], strict=False)
        except msgspec.ValidationError as error:
            raise Refused(400, f"the parameter {name} is not valid: {error}") from None
    return converted


async def _body(operation: Operation, request: web.Request) -> Any:
    if operation.body is None:
        if request.can_read_body and await _read(request):
            raise Refused(400, "this takes no body")
        return None
    if request.content_type != JSON or (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise Refused(415, f"the body must be JSON in UTF-8: send Content-Type: {JSON}")
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise Refused(415, "the body must not be compressed")
    content = await _read(request)
    try:
        return msgspec.convert(_whole(msgspec.json.decode(content)), operation.body)
    except msgspec.ValidationError as error:
        raise Refused(422, f"the body is not valid: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON: {error}") from None


def _whole(value: Any) -> Any:
    """With 1.0 as 1: JSON has one kind of numbers, and for JSON Schema both are integers."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_whole(each) for each in value]
        case dict():
            return {name: _whole(each) for name, each in value.items()}
    return value


async def _read(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIME):
            return await request.read()
    except TimeoutError:
        raise Refused(408, f"the body did not come within {BODY_TIME:g} seconds") from None
    except web.RequestPayloadError:
        raise Refused(400, "the body is not what its headers announce") from None


def _shown(name: str) -> str:
    """A name from outside, short and printable."""
    return ascii(name[:32])
