"""Commands of the admin socket that take their time or change something."""

import asyncio
import logging
import os
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from sidecar.control.admin import AdminServer
from sidecar.control.admin_client import AdminRefused, connect_admin
from sidecar.control.admin_commands import Arguments, BadRequest, Command, CommandTable
from sidecar.control.api_tickets import WantedTicket
from sidecar.errors import NotReady


async def doubled(arguments: Arguments) -> int:
    await asyncio.sleep(0)
    if arguments["number"] == 7:
        raise NotReady("seven is not for sale")
    return int(arguments["number"] * 2)


def promised(arguments: Arguments) -> Awaitable[int]:
    return doubled(arguments)


TABLE = CommandTable(
    Command("look", "doubles", promised, required={"number": int}),
    Command(
        "double",
        "doubles",
        promised,
        required={"number": int},
        optional={"password": str, "share": float},
        changes=True,
        audited=("number", "share"),
    ),
)


async def ask(path: Path, command: str, **arguments: Any) -> Any:
    def run() -> Any:
        with connect_admin(path) as client:
            return client.ask(command, **arguments)

    return await asyncio.to_thread(run)


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(record)["sidecar_context"] for record in caplog.records if record.message == "audit"]


async def test_an_answer_may_take_its_time_and_its_change_is_in_the_audit_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "admin.sock"
    async with AdminServer(path, TABLE):
        assert await ask(path, "look", number=4) == 8
        assert lines(caplog) == []
        assert await ask(path, "double", number=5, password="geheim", share=2) == 10
        with pytest.raises(AdminRefused, match="seven is not for sale"):
            await ask(path, "double", number=7)
    done, refused = lines(caplog)
    assert done == {
        "operation": "double",
        "outcome": "done",
        "caller": f"uid {os.geteuid()}",
        "how": "unix",
        "role": "admin",
        "address": "",
        "given": {"number": 5, "share": 2},
    }
    assert (refused["outcome"], refused["given"]) == ("refused", {"number": 7})
    assert "geheim" not in caplog.text


async def test_kinds_of_arguments_are_kept_to(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    async with AdminServer(path, TABLE):
        with pytest.raises(AdminRefused, match="number must be an integer"):
            await ask(path, "double", number=True)
        with pytest.raises(AdminRefused, match="share must be a number"):
            await ask(path, "double", number=1, share=True)
        help_of_double = (await ask(path, "help"))[2]
    assert help_of_double["optional"] == {"password": "string", "share": "number"}


def test_no_number_is_too_large_to_reckon_with() -> None:
    for number in (b"1e16", b"-1e400", b"NaN", b"9" * 400):
        with pytest.raises(BadRequest, match="share is too large"):
            TABLE.parse(b'{"command": "double", "number": 1, "share": ' + number + b"}")


def test_what_was_asked_for_is_not_shown_with_its_secrets() -> None:
    request = TABLE.parse(b'{"command": "double", "number": 1, "password": "geheim"}')
    assert "geheim" not in repr(request)
    assert "geheim" not in repr(WantedTicket(secret="geheim"))
