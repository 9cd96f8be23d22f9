"""Who has which role in the management API: a file of certificates and local users."""

import os
import pwd
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from sidecar.control.certificate_names import ClientCertificate
from sidecar.control.role import Role
from sidecar.errors import SidecarError
from sidecar.log import get_logger
from sidecar.regular_file import read_regular

log = get_logger(__name__)

LONGEST_FILE: Final = 256 * 1024
"""Bytes of the file."""

MOST_ENTRIES: Final = 4096
"""Of each kind."""

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
_RoleName = Literal["viewer", "operator", "admin"]


class RolesUnusable(SidecarError):
    """The file cannot be read, or says what cannot be."""


class RolesUnreadable(RolesUnusable):
    """The system does not give the file; it may the next time, without a change of it."""


class _Certificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    role: _RoleName
    subject: _Name | None = None
    cn: _Name | None = None
    uri: _Name | None = None
    dns: _Name | None = None
    email: _Name | None = None
    fingerprint: _Name | None = None


class _User(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    role: _RoleName
    name: _Name | None = None
    uid: Annotated[int, msgspec.Meta(ge=0, lt=2**32)] | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    certificate: Annotated[list[_Certificate], msgspec.Meta(max_length=MOST_ENTRIES)] = []
    user: Annotated[list[_User], msgspec.Meta(max_length=MOST_ENTRIES)] = []


Entry = TypeVar("Entry", _Certificate, _User)


@dataclass(frozen=True, slots=True)
class Roles:
    """What one reading of the file says. Everything is compared exactly."""

    certificates: dict[tuple[str, str], Role] = field(default_factory=dict)
    """By what is looked at (`cn`) and what it must be."""
    users: dict[int, Role] = field(default_factory=dict)
    """By uid."""

    def of_certificate(self, certificate: ClientCertificate) -> Role | None:
        """The highest of the roles that its names have; None: it has none."""
        names = [("subject", certificate.subject), ("fingerprint", certificate.fingerprint)]
        for kind, values in (
            ("cn", certificate.common_names),
            ("uri", certificate.uris),
            ("dns", certificate.dns),
            ("email", certificate.emails),
        ):
            names += [(kind, value) for value in values]
        found = [role for name in names if (role := self.certificates.get(name)) is not None]
        return max(found, default=None)

    def of_user(self, uid: int) -> Role | None:
        """The role of a local user. This daemon's own and root are admins unless the file has them."""
        role = self.users.get(uid)
        return Role.ADMIN if role is None and uid in (0, os.geteuid()) else role


class RolesFile:
    """The roles as the file at `path` says now (None: there is no file).

    Raises RolesUnusable where it cannot be used at the start. Later such a file is logged once, and nobody
    has a role by it until it is mended.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None
        self._fault = ""
        """What was wrong with the file, as the log has said."""
        self._roles = Roles()
        if path is not None:
            # what changes from here on is seen by `now`
            self._seen = _stamp(path)
            self._roles = read_roles(path)

    def now(self) -> Roles:
        """Looks whether the file has changed, and reads it then."""
        if self._path is None:
            return self._roles
        seen = _stamp(self._path)
        if seen != self._seen:
            try:
                self._roles, self._seen, self._fault = read_roles(self._path), seen, ""
                log.info("roles read", path=str(self._path))
            except RolesUnusable as error:
                self._roles = Roles()
                self._seen = None if isinstance(error, RolesUnreadable) else seen
                if str(error) != self._fault:
                    self._fault = str(error)
                    log.warning("nobody has a role by the roles file", cause=self._fault)
        return self._roles


def _stamp(path: Path) -> tuple[int, ...]:
    """What differs after every change of a file; empty where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode)


def read_roles(path: Path) -> Roles:
    """Reads the file. Raises RolesUnusable."""
    try:
        content, found = read_regular(path, LONGEST_FILE + 1)
        if len(content) > LONGEST_FILE:
            raise RolesUnusable(f"{path} is longer than {LONGEST_FILE} bytes: no roles are read from it")
        if found.st_mode & stat.S_IWOTH:
            raise RolesUnusable(f"cannot use the roles in {path}: everybody can write it, chmod o-w")
        read = msgspec.convert(tomllib.loads(content.decode()), _File)
        return Roles(
            dict(_certificate(entry) for entry in _weakest_first(read.certificate)),
            dict(_user(entry) for entry in _weakest_first(read.user)),
        )
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise RolesUnreadable(f"cannot read the roles in {path}: {reason}") from None
    except (ValueError, RecursionError) as error:
        # those of tomllib and msgspec, and of what is no UTF-8, are ValueErrors
        raise RolesUnusable(f"cannot use the roles in {path}: {error}") from None


def _weakest_first(entries: list[Entry]) -> list[Entry]:
    """So that of two entries for the same the stronger one stays."""
    return sorted(entries, key=lambda entry: Role[entry.role.upper()])


def _certificate(entry: _Certificate) -> tuple[tuple[str, str], Role]:
    given = [
        (name, value)
        for name in ("subject", "cn", "uri", "dns", "email", "fingerprint")
        if (value := getattr(entry, name)) is not None
    ]
    if len(given) != 1:
        raise ValueError("a certificate needs one of subject, cn, uri, dns, email, fingerprint")
    name, value = given[0]
    if name == "fingerprint":
        value = value.replace(":", "").lower()
        if len(value) != 64 or set(value) - set("0123456789abcdef"):
            raise ValueError("a fingerprint is SHA-256 in 64 hexadecimal digits, with colons or without")
    return (name, value), Role[entry.role.upper()]


def _user(entry: _User) -> tuple[int, Role]:
    if (entry.name is None) == (entry.uid is None):
        raise ValueError("a user needs either a name or a uid")
    uid = entry.uid
    if uid is None:
        try:
            uid = pwd.getpwnam(str(entry.name)).pw_uid
        except KeyError:
            raise ValueError(f"there is no user {entry.name!a} here: write uid = NUMBER") from None
    return uid, Role[entry.role.upper()]
