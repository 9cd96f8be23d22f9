"""The OpenAPI document against the API that serves it: schemathesis makes the requests."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import schemathesis
from api_house import ApiHouse
from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

from sidecar.access.grant import Attempt, Grant
from sidecar.access.logins import Logins
from sidecar.access.password import Passwords
from sidecar.control.api_access import ApiAccess
from sidecar.control.role import Role
from sidecar.web.http import LONGEST_LINE

ADMIN = {"Authorization": "Bearer anything"}


class EverybodyIsAdmin(Logins):
    def __init__(self) -> None:
        super().__init__(Passwords(lambda: "unused"))

    async def verify(self, attempt: Attempt, user: str, password: str) -> Grant:
        return Grant("user", "ann", role=Role.ADMIN.word)


@contextlib.contextmanager
def served(logins: Logins | None) -> Iterator[str]:
    """An API on a loop of its own, since schemathesis blocks."""
    loop = asyncio.new_event_loop()
    ready, ended = threading.Event(), asyncio.Event()
    urls: list[str] = []

    async def serve() -> None:
        with contextlib.closing(ApiHouse()) as house:
            async with house.serving(ApiAccess(logins)) as server:
                for _ in range(3):
                    house.log_in()
                urls.append(f"http://127.0.0.1:{await server.listen_tcp('127.0.0.1', 0)}")
                ready.set()
                await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(60)
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(60)
        loop.close()


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_what_the_document_says_is_so(mode: GenerationMode) -> None:
    level = logging.getLogger().level
    try:
        with served(EverybodyIsAdmin()) as url:
            schema = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=ADMIN)
            operations = [result.ok() for result in schema.get_all_operations()]
            # a stream has no end, and a WebSocket is no answer
            asked = [each for each in operations if each.path not in ("/api/v1/events", "/api/v1/usb/{slot}")]
            assert len(asked) == len(operations) - 2
            for operation in asked:
                _try(operation, mode)
    finally:
        # one of the operations sets it
        logging.getLogger().setLevel(level)


def _try(operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode) -> None:
    @seed(7)
    @settings(
        max_examples=6,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def is_as_documented(case: Case) -> None:
        # a longer line is refused before it comes to the API; what is escaped here is about as long there
        assume(len(quote(repr((case.path_parameters, case.query)))) < LONGEST_LINE - 200)
        # every check that schemathesis has; but when a ticket may end at the latest no schema can say
        unsaid = [positive_data_acceptance] if case.path == "/api/v1/tickets" else []
        if case.path.startswith("/api/v1/machine"):
            # there is none here that could be asked, and that is a 501
            unsaid = [not_a_server_error]
        case.call_and_validate(headers=ADMIN, excluded_checks=unsaid)

    try:
        is_as_documented()
    except Unsatisfiable:
        # what takes nothing cannot be asked for wrongly
        assert mode is GenerationMode.NEGATIVE
