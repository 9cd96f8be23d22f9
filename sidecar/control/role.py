"""Who asks the management API, and what they may."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal


class Role(IntEnum):
    """Each may what the ones before may."""

    VIEWER = 1
    """reads"""
    OPERATOR = 2
    """ends and changes sessions, issues tickets, works the machine's switches"""
    ADMIN = 3
    """changes settings, memory and processors"""

    @property
    def word(self) -> str:
        """As people and files write it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `name`: for the audit log: a certificate's subject, `uid 0`, a user; never a secret.

    `role`: None where there is none: such a caller may do nothing, but for what `uses_machine` opens.
    `uses_machine`: it may use the machine itself, as a session with a keyboard at its first screen may, and
    so its USB slots.
    """

    name: str
    how: Literal["certificate", "unix", "user", "password", "ticket", "anonymous"]
    role: Role | None
    uses_machine: bool = False
    address: str = ""
    """Whence it asks, for people; empty for a unix socket."""
    ticket: str = ""
    """The id of the ticket by which it came, where it was one."""
    consoles: frozenset[str] | None = None
    """What it may see of the machine, as `sidecar.session.sight` reads it; None: all."""
