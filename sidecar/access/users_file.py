"""The file of users: TOML, one table for each, its name the user's."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from sidecar.access import scrypt
from sidecar.access.grant import Grant, LoginProtocol
from sidecar.access.tickets import LONGEST_NAME, MOST_CONSOLES, is_plain
from sidecar.errors import SidecarError

LONGEST_FILE: Final = 256 * 1024
"""Bytes."""

MOST_USERS: Final = 1024

ROLES: Final = ("viewer", "operator", "admin")
"""The words of `sidecar.control.role`."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_NT_HASH = re.compile(r"[0-9A-Fa-f]{32}", re.ASCII)


class UsersFileUnusable(SidecarError):
    """The file is missing, or something in it is not as it must be: then there are no users."""


@dataclass(frozen=True, slots=True)
class User:
    """One user. `nt_hash`: what NLA needs, as good as the password to whoever reads it; None: no NLA.

    `protocols`, `consoles`: None: all. `role`: in the management API; empty: none.
    """

    name: str
    password: scrypt.PasswordHash
    nt_hash: bytes | None = field(default=None, repr=False)
    view_only: bool = False
    consoles: frozenset[str] | None = None
    protocols: frozenset[LoginProtocol] | None = None
    role: str = ""

    @property
    def grant(self) -> Grant:
        """What the user may do."""
        return Grant("user", self.name, self.view_only, self.consoles, role=self.role)

    def may_use(self, protocol: LoginProtocol) -> bool:
        """Whether the user may log in by `protocol`."""
        return self.protocols is None or protocol in self.protocols


def parse(content: bytes) -> dict[str, User]:
    """The users by name. Raises UsersFileUnusable, which never tells a hash, and nothing else."""
    if len(content) > LONGEST_FILE:
        raise UsersFileUnusable(f"it is longer than {LONGEST_FILE} bytes")
    try:
        tables = tomllib.loads(content.decode())
    except UnicodeDecodeError:
        raise UsersFileUnusable("it is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise UsersFileUnusable(f"it is not TOML{_place(error)}") from None
    except (RecursionError, ValueError):
        raise UsersFileUnusable("it is not TOML") from None
    if len(tables) > MOST_USERS:
        raise UsersFileUnusable(f"it has more than {MOST_USERS} users")
    return {name: _user(name, table) for name, table in tables.items()}


def section(user: User) -> str:
    """The lines of the file that stand for `user`; `parse` reads the same user from them."""
    lines = [
        f"[{user.name if _BARE_KEY.fullmatch(user.name) else _quoted(user.name)}]",
        f'password = "{user.password}"',
    ]
    if user.nt_hash is not None:
        lines.append(f'nt-hash = "{user.nt_hash.hex()}"')
    if user.view_only:
        lines.append("view-only = true")
    for key, words in (("consoles", user.consoles), ("protocols", user.protocols)):
        if words is not None:
            lines.append(f"{key} = [{', '.join(_quoted(word) for word in sorted(words))}]")
    if user.role:
        lines.append(f'role = "{user.role}"')
    return "\n".join(lines) + "\n"


def check_name(name: str) -> None:
    """Raises UsersFileUnusable where nobody can be called so."""
    if not 1 <= len(name) <= LONGEST_NAME or not is_plain(name) or name != name.strip():
        raise UsersFileUnusable(
            f"a user's name is 1 to {LONGEST_NAME} characters, no control characters, no blanks around it"
        )
    if ":" in name:
        raise UsersFileUnusable("a user's name has no colon: HTTP could not send it")


def _user(name: str, table: Any) -> User:
    # a name comes from a file: it is shown short and printable
    where = f"{name[:LONGEST_NAME]!a}"
    if not isinstance(table, dict):
        raise UsersFileUnusable(f"{where} is no user: write [{where}] above what belongs to one")
    check_name(name)
    unknown = sorted(table.keys() - _KEYS)
    if unknown:
        raise UsersFileUnusable(
            f"{where} has {unknown[0][:LONGEST_NAME]!a}; a user has {', '.join(sorted(_KEYS))}"
        )
    if "password" not in table:
        raise UsersFileUnusable(f"{where} has no password: `vdi-sidecar user hash` makes one")
    try:
        password = scrypt.parse(_text(table, "password", where))
    except scrypt.HashUnusable as error:
        raise UsersFileUnusable(f"the password of {where} {error}") from None
    nt_hash = _text(table, "nt-hash", where)
    if nt_hash and not _NT_HASH.fullmatch(nt_hash):
        raise UsersFileUnusable(f"nt-hash of {where} is not 32 hexadecimal digits")
    view_only = table.get("view-only", False)
    if not isinstance(view_only, bool):
        raise UsersFileUnusable(f"view-only of {where} is neither true nor false")
    role = _text(table, "role", where)
    if role and role not in ROLES:
        raise UsersFileUnusable(f"role of {where} is none of {', '.join(ROLES)}")
    consoles = _words(table, "consoles", where)
    if consoles is not None and (
        len(consoles) > MOST_CONSOLES or not all(len(each) <= LONGEST_NAME for each in consoles)
    ):
        raise UsersFileUnusable(f"consoles of {where}: at most {MOST_CONSOLES} names")
    known: tuple[LoginProtocol, ...] = get_args(LoginProtocol)
    words = _words(table, "protocols", where)
    if words is not None and not words <= set(known):
        raise UsersFileUnusable(f"protocols of {where} are not all of {', '.join(known)}")
    return User(
        name,
        password,
        bytes.fromhex(nt_hash) if nt_hash else None,
        view_only,
        consoles,
        None if words is None else frozenset(each for each in known if each in words),
        role,
    )


_KEYS: Final = frozenset({"password", "nt-hash", "view-only", "consoles", "protocols", "role"})


def _text(table: Mapping[str, Any], key: str, where: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise UsersFileUnusable(f"{key} of {where} is not text")
    return value


def _words(table: Mapping[str, Any], key: str, where: str) -> frozenset[str] | None:
    value = table.get(key)
    if value is None:
        return None
    # an empty list would be easy to take for "all"
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
        raise UsersFileUnusable(f"{key} of {where} is not a list of names; leave it out for all")
    return frozenset(value)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _place(error: tomllib.TOMLDecodeError) -> str:
    # the parser's own words may hold what stands there
    match = re.search(r"\(at (?:line [0-9]+, column [0-9]+|end of document)\)", str(error))
    return f" {match.group()}" if match else ""
