"""Who may come in, put together as the options of a daemon say."""

import secrets
import time
from dataclasses import dataclass

from sidecar.access.logins import Logins
from sidecar.access.password import Passwords
from sidecar.access.throttle import Throttle
from sidecar.access.tickets import Tickets
from sidecar.access.users import Users
from sidecar.config.address import TcpAddress
from sidecar.config.options import DaemonOptions
from sidecar.config.password import read_password
from sidecar.log import get_logger

log = get_logger(__name__)


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
        _warn_of_closed_doors(options)
    tickets = Tickets(time.time, secrets.randbelow, passwords)
    return Entrance(Logins(passwords, users, tickets, Throttle(time.monotonic)), tickets)


def closed_to_users(options: DaemonOptions) -> TcpAddress | None:
    """Where VNC is served and no user of the users file can log in; None: nowhere."""
    if options.users_file is None or options.tls_dir is not None or options.password_file is not None:
        return None
    return next((each for each in options.vnc if isinstance(each, TcpAddress)), None)


def _warn_of_closed_doors(options: DaemonOptions) -> None:
    """Says where listening is no use: VNC's own authentication cannot look at hashes."""
    address = closed_to_users(options)
    if address is not None:
        log.warning(
            "users cannot log in over VNC",
            address=str(address),
            cause="their passwords are hashed, and nothing encrypts the connection: add --tls-dir; "
            "tickets get in",
        )


def _passwords(options: DaemonOptions) -> Passwords:
    password_file = options.password_file
    if password_file is None:
        return Passwords()
    read_password(password_file)
    return Passwords(lambda: read_password(password_file))
