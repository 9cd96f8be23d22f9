"""The password of `vdi-qemu-vnc`: set over D-Bus or given as a systemd credential, with its end."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from sidecar.config.password import LONGEST_PASSWORD, read_password
from sidecar.errors import SidecarError

CREDENTIAL: Final = "vnc-password"

_LAST_MOMENT: Final = 2**63 - 1


class NoPassword(SidecarError):
    """Nobody can log in as things stand."""


class CannotSet(SidecarError):
    """A password, or its end, that cannot be set."""


class VncPassword:
    """One password and the moment from which it is not taken any more, which only logins ask for.

    `credential`: a file that is read for each login as long as no password was set. `clock` gives seconds
    since 1970.
    """

    def __init__(self, credential: Path | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._credential = credential
        self._clock = clock
        self._password: str | None = None
        self._end: int | None = None

    def set(self, password: str) -> None:
        """Takes another password; an empty one lets nobody in. Its end stays. Raises CannotSet."""
        if len(password.encode("utf-8", "surrogatepass")) > LONGEST_PASSWORD:
            raise CannotSet(f"the password is longer than {LONGEST_PASSWORD} bytes")
        self._password = password

    def expire(self, moment: str) -> None:
        """Sets its end: "now", "never", "+N" (seconds from now) or "N" (seconds since 1970).

        Raises CannotSet.
        """
        if moment == "now":
            self._end = int(self._clock())
        elif moment == "never":
            self._end = None
        else:
            digits = moment.removeprefix("+")
            if not (digits.isascii() and digits.isdigit()) or len(digits) > len(str(_LAST_MOMENT)):
                raise CannotSet('the end of a password is "now", "never", "+SECONDS" or seconds since 1970')
            began = int(self._clock()) if moment.startswith("+") else 0
            self._end = min(began + int(digits), _LAST_MOMENT)

    def read(self) -> str:
        """The password for a login that is made now. Raises SidecarError where there is none."""
        if self._end is not None and self._clock() >= self._end:
            raise NoPassword("the password has expired")
        if self._password is None:
            if self._credential is not None:
                return read_password(self._credential)
            raise NoPassword("no password has been set: call SetPassword of org.qemu.Vnc1.Server")
        if not self._password:
            raise NoPassword("the password is empty")
        return self._password


def credential_in(environment: Mapping[str, str]) -> Path | None:
    """The credential that systemd has given to this service, if it has."""
    directory = environment.get("CREDENTIALS_DIRECTORY")
    path = Path(directory) / CREDENTIAL if directory else None
    return path if path is not None and path.exists() else None
