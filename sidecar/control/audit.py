"""The audit log: one line for everything that somebody changed, or was refused."""

import logging
from collections.abc import Mapping
from enum import Enum
from typing import Literal, TypeAlias

from sidecar.control.role import Caller
from sidecar.log import get_logger

log = get_logger(__name__)
# who changes the level of what is logged does not get rid of this by it
logging.getLogger(__name__).setLevel(logging.INFO)

Outcome: TypeAlias = Literal["done", "refused", "failed"]
"""`refused`: nothing was done; `failed`: it is not known how much was."""


def audit(
    caller: Caller,
    operation: str,
    outcome: Outcome,
    given: Mapping[str, object] | None = None,
    **context: object,
) -> None:
    """Writes the line. `given`: what was asked for beside the operation's name. Nothing of it is a secret."""
    if given:
        # `single` and not <SharePolicy.SINGLE: 'single'>
        context["given"] = {
            name: value.value if isinstance(value, Enum) else value for name, value in given.items()
        }
    log.info(
        "audit",
        operation=operation,
        outcome=outcome,
        caller=caller.name,
        how=caller.how,
        role="none" if caller.role is None else caller.role.word,
        address=caller.address,
        **context,
    )
