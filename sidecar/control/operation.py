"""One operation of the management API: what it is called by, whom it needs, what it takes and answers.

The same table makes the routes, the checks and the OpenAPI document.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from aiohttp import web

from sidecar.control.role import Caller, Role

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """One request that was let through. `body`: of the operation's type, None where it takes none.

    `parameters`: those of path and query, of the operation's types; what the query leaves out is not in it.
    """

    request: web.Request
    caller: Caller
    body: Any
    parameters: Mapping[str, Any]
    stays: Callable[[], bool] = lambda: True
    """Whether the caller would be let in now too; an answer that lasts asks now and then."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation.

    `answer` returns what `result` says, which becomes JSON with the status 200, or None (204), or a response
    that is ready. It may raise `sidecar.control.api_access.Refused`, the errors that `errors` maps to their
    status, any `NotReady` (503) and other SidecarErrors (500); the error's text is told to the caller.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    """Such as /api/v1/sessions/{id}."""
    name: str
    """operationId: one word in camelCase, unique."""
    summary: str
    needs: Role
    answer: Callable[[Call], Awaitable[Any]]
    users_too: bool = False
    """Whether who may use the machine needs no role."""
    body: Any = None
    """The type of the body, a `msgspec.Struct` that forbids unknown fields; None: it takes none."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Types of those in the path, which must be there, and in the query, which need not."""
    result: Any = None
    """The type of the answer: TypedDict, dataclass or Struct, or list of them; None: 204."""
    media: str = JSON
    """Of an answer that is ready; `result` is None then."""
    success: int | None = None
    """The status of an answer that is not 200 (204 without a `result`): 101 of a WebSocket, 201."""
    errors: Mapping[type[Exception], int] = field(default_factory=dict)
    description: str = ""
    """More than the summary, in Markdown."""
    audited: Callable[[Call], Mapping[str, object]] | None = None
    """What the audit line tells beside caller, operation and path; never a secret. All but GET have one."""

    @property
    def success_status(self) -> int:
        """What a caller is answered who gets what was asked for."""
        if self.success is not None:
            return self.success
        return 200 if self.result is not None or self.media != JSON else 204

    @property
    def path_names(self) -> list[str]:
        """The parameters that stand in the path."""
        return re.findall(r"\{([^{}]+)\}", self.path)

    @property
    def changes(self) -> bool:
        """Whether it changes anything."""
        return self.method != "GET"
