"""How a call that cannot be answered is refused: a code, one line for the caller and one for the log."""

from pathlib import Path
from traceback import extract_tb
from typing import NoReturn, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import Message

from sidecar.log import get_logger

log = get_logger(__name__)

Context: TypeAlias = grpc.aio.ServicerContext[Message, Message]

MAX_DETAILS = 500
"""Characters; the text travels in a header, up to twelve bytes each, and peers refuse headers above 8 KB."""


def one_line(error: BaseException) -> str:
    """What an error says, without line breaks and not longer than a status text may be."""
    text = " ".join(str(error).split())
    return text if len(text) <= MAX_DETAILS else f"{text[: MAX_DETAILS - 1]}…"


async def refuse(context: Context, code: grpc.StatusCode, details: str, *, call: str) -> NoReturn:
    """Ends the call with an error that is the caller's or the situation's."""
    log.warning("call refused", call=call, code=code.name, cause=details)
    await context.abort(code, details)


async def fail(context: Context, error: Exception, *, call: str) -> NoReturn:
    """Ends the call with INTERNAL: a fault of this program."""
    reason = f"{type(error).__name__}: {one_line(error)}"
    # no rendered traceback: it may show local variables, and a VMI can hold secrets (cloud-init)
    where = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in extract_tb(error.__traceback__)]
    log.error("call failed", call=call, cause=reason, where=where)
    await context.abort(grpc.StatusCode.INTERNAL, f"the sidecar failed in {call} ({reason})")
