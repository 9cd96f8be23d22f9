"""docs/status-service.md says what is so."""

import asyncio
import json
import re
import sys
from pathlib import Path

from google.protobuf import json_format
from hook_sides import Screens

from sidecar.hook.api.session_status_pb2 import Status
from sidecar.hook.server import HookServer

PAGE = (Path(__file__).parents[3] / "docs" / "status-service.md").read_text()


def block(language: str) -> str:
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert isinstance(text, str)
    return text


def test_the_message_shown_is_a_whole_message() -> None:
    shown = json.loads(block("json"))
    message = json_format.ParseDict(shown, Status())
    assert shown == json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


async def test_the_program_shown_follows_the_sessions(
    server: HookServer, screens: Screens, tmp_path: Path
) -> None:
    program = tmp_path / "watch.py"
    program.write_text(block("python"))
    watching = await asyncio.create_subprocess_exec(
        sys.executable, "-u", program, server.socket, stdout=asyncio.subprocess.PIPE
    )
    assert watching.stdout is not None
    assert await watching.stdout.readline() == b"fedora: 0 by VNC, 0 by RDP\n"
    screens.watched_by(2)
    assert await watching.stdout.readline() == b"fedora: 2 by VNC, 0 by RDP\n"
    await server.__aexit__(None, None, None)
    assert await watching.wait() == 0
