"""What every request to the management API goes through: who asks, whether they may, and the audit log."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from aiohttp import hdrs, web

from sidecar.access.grant import LoginFailed
from sidecar.control.api_access import ApiAccess, Refused, Visitor
from sidecar.control.api_answer import answer_response, error_response, send
from sidecar.control.api_call import read_call
from sidecar.control.api_peer import peer_of
from sidecar.control.audit import Outcome, audit
from sidecar.control.operation import Operation
from sidecar.control.role import Caller
from sidecar.errors import NotReady, SidecarError
from sidecar.log import get_logger
from sidecar.web.upgrade import UpgradeRefused

log = get_logger(__name__)

AUDITED_REFUSALS: Final = frozenset({401, 403, 429})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Visit:
    """One request, as far as it has come."""

    def __init__(self, visitor: Visitor, operation: Operation | None) -> None:
        self.visitor = visitor
        self.operation = operation
        self.given: Mapping[str, object] = MappingProxyType({})
        """What the audit log tells of it."""


_VISIT: Final = web.RequestKey("visit", _Visit)


class Gate:
    """Lets requests through to `operations`. `wrong_password_pause`: seconds before a 401 is answered."""

    def __init__(
        self, operations: Iterable[Operation], access: ApiAccess, *, wrong_password_pause: float
    ) -> None:
        self._access = access
        self._pause = wrong_password_pause
        self.answers: Counter[int] = Counter()
        """How many requests were answered with each status."""
        self._operations: dict[Any, Operation] = {_handler(operation): operation for operation in operations}

    def routes(self) -> Iterator[web.RouteDef]:
        """One for each operation. Nothing but them answers, so HEAD does not either."""
        for handler, operation in self._operations.items():
            options = {"allow_head": False} if operation.method == hdrs.METH_GET else {}
            yield web.route(operation.method, operation.path, handler, **options)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every request comes through here, also one for what is not there."""
        peer = peer_of(request)
        nobody = Caller("nobody", "anonymous", None, False, peer.address)
        visit = _Visit(Visitor(nobody), self._operations.get(request.match_info.handler))
        request[_VISIT] = visit
        try:
            try:
                visit.visitor = await self._access.visitor(request.headers, peer)
                _check_role(visit)
                response = await handler(request)
            except Exception as error:
                response = await self._error(visit, error)
        except BaseException:
            _write_audit(request, visit, None)
            raise
        self.answers[response.status] += 1
        _write_audit(request, visit, response.status)
        await send(request, response)
        return response

    async def _error(self, visit: _Visit, error: Exception) -> web.Response:
        """What an error is answered with; one that nobody thought of is raised again."""
        mapping = {} if visit.operation is None else visit.operation.errors
        for kind in type(error).__mro__:
            if kind in mapping:
                return error_response(mapping[kind], str(error))
        match error:
            case Refused():
                if error.status == 401:
                    await asyncio.sleep(self._pause)
                return error_response(
                    error.status, str(error), challenge=self._access.challenge, wait=error.wait
                )
            case UpgradeRefused():
                return error_response(error.status, str(error))
            case NotReady():
                return error_response(503, str(error))
            case web.HTTPException() if error.status >= 400:
                allow = error.headers.get(hdrs.ALLOW)
                return error_response(error.status, error.reason.lower(), allow=allow)
            case SidecarError():
                log.warning("API operation failed", cause=str(error))
                return error_response(500, str(error))
        raise error


def _handler(operation: Operation) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        visit = request[_VISIT]
        call = await read_call(operation, request, visit.visitor)
        if operation.audited is not None:
            visit.given = operation.audited(call)
        try:
            visit.visitor.enter()
        except LoginFailed as error:
            raise Refused(401, str(error)) from None
        return answer_response(operation, await operation.answer(call))

    return handle


def _check_role(visit: _Visit) -> None:
    """Raises Refused. What is not there is nothing that somebody without any right is told."""
    caller, operation = visit.visitor.caller, visit.operation
    if caller.role is None and not caller.uses_machine:
        raise Refused(403, f"{caller.name} has no role in this API")
    if operation is None or (caller.role is not None and caller.role >= operation.needs):
        return
    if not (operation.users_too and caller.uses_machine):
        raise Refused(403, f"this needs the role {operation.needs.word}")


def _write_audit(request: web.Request, visit: _Visit, status: int | None) -> None:
    """Adds a line for what changes anything, and for who is not let in. `status`: None: it broke off."""
    operation = visit.operation
    outcome: Outcome
    if status is not None and status < 400:
        outcome = "done"
    else:
        outcome = "failed" if status is None or status in (500, 504) else "refused"
    changes = operation is not None and operation.changes
    if not changes and status not in AUDITED_REFUSALS:
        return
    audit(
        visit.visitor.caller,
        request.method if operation is None else operation.name,
        outcome,
        visit.given,
        path=request.rel_url.raw_path,
        status=status,
    )
