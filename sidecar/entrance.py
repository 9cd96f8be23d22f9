"""Who may come in, put together as the options of a daemon say."""

import secrets
import time
from dataclasses import dataclass

from sidecar.access.logins import Logins
from sidecar.access.password import Passwords
from sidecar.access.throttle import Throttle
from sidecar.access.tickets import Tickets
from sidecar.access.users import Users
from sidecar.config.options import DaemonOptions
from sidecar.config.password import read_password


@dataclass(frozen=True, slots=True)
class Entrance:
    """`tickets`: None where nobody is asked for anything."""

    logins: Logins
    tickets: Tickets | None = None


def entrance(options: DaemonOptions) -> Entrance:
    """The entrance of a daemon.

    Raises SidecarError where a file with secrets cannot be used now; one that cannot be later is logged, and
    nobody of it gets in.
    """
    if options.auth == "none":
        return Entrance(Logins())
    passwords = _passwords(options)
    users = None
    if options.users_file is not None:
        users = Users(options.users_file)
        users.check()
    tickets = Tickets(time.time, secrets.randbelow, passwords)
    return Entrance(Logins(passwords, users, tickets, Throttle(time.monotonic)), tickets)


def _passwords(options: DaemonOptions) -> Passwords:
    password_file = options.password_file
    if password_file is None:
        return Passwords()
    read_password(password_file)
    return Passwords(lambda: read_password(password_file))
