"""libvirt-python: loaded when it is needed, and what its errors mean."""

import errno
import importlib
from typing import Any, Final
from urllib.parse import urlsplit

from sidecar.errors import UsageError
from sidecar.libvirt_domain.event_thread import run_events

NOT_INSTALLED: Final = (
    "--libvirt needs the library libvirt-python: apt-get install python3-libvirt, where the system's Python"
    " is used, or pip install 'vdi-sidecar[libvirt]' with libvirt-dev, pkg-config, gcc and python3-dev"
)

_KEEP_ALIVE: Final = (10, 3)
"""Seconds between two, and how many may stay without an answer."""


def load() -> Any:
    """The module `libvirt`. Raises UsageError where it is not installed."""
    try:
        # it has no types, neither of its own nor from elsewhere
        libvirt = importlib.import_module("libvirt")
    except ImportError as error:
        raise UsageError(f"{NOT_INSTALLED} ({error})") from error
    # by itself it prints every error on stderr, also those that are handled
    libvirt.registerErrorHandler(_keep_quiet, None)
    return libvirt


def connect(libvirt: Any, uri: str) -> tuple[Any, str | None]:
    """A connection, and why nothing may be changed by it; None: everything may. Blocks.

    A libvirt that stands still breaks it, and what waits for an answer then. Raises libvirtError.
    """
    run_events(libvirt)
    connection, denied = _open(libvirt, uri)
    try:
        connection.setKeepAlive(*_KEEP_ALIVE)
    except BaseException:
        connection.close()
        raise
    return connection, denied


def _open(libvirt: Any, uri: str) -> tuple[Any, str | None]:
    try:
        return libvirt.open(uri), None
    except libvirt.libvirtError as error:
        if not is_denied(libvirt, error):
            raise
        try:
            return libvirt.openReadOnly(uri), f"libvirt lets this user look only: {words(error)}"
        except libvirt.libvirtError:
            raise error from None


def find(libvirt: Any, connection: Any, domain: str) -> Any:
    """The domain of that name or UUID, None when there is none. Blocks. Raises libvirtError."""
    for lookup in (connection.lookupByName, connection.lookupByUUIDString):
        try:
            return lookup(domain)
        except libvirt.libvirtError as error:
            # what is no UUID is an invalid argument to the second
            if error.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_INVALID_ARG):
                raise
    return None


def words(error: Any) -> str:
    """What libvirt says, as one line."""
    return " ".join(str(error).split())


def is_denied(libvirt: Any, error: Any) -> bool:
    """Whether libvirt, or its socket, does not let this user in or do something."""
    code = error.get_error_code()
    if code == libvirt.VIR_ERR_SYSTEM_ERROR:
        # virReportSystemError keeps the number there
        return error.get_int1() in (errno.EACCES, errno.EPERM)
    return code in (
        libvirt.VIR_ERR_AUTH_FAILED,
        libvirt.VIR_ERR_AUTH_CANCELLED,
        libvirt.VIR_ERR_AUTH_UNAVAILABLE,
        libvirt.VIR_ERR_ACCESS_DENIED,
        libvirt.VIR_ERR_OPERATION_DENIED,
    )


def is_wrong_address(libvirt: Any, error: Any) -> bool:
    """Whether there can be nothing at such a URI."""
    return error.get_error_code() in (
        libvirt.VIR_ERR_NO_CONNECT,
        libvirt.VIR_ERR_INVALID_ARG,
        libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
        libvirt.VIR_ERR_UNKNOWN_HOST,
    )


def is_remote(uri: str) -> bool:
    """Whether it names the libvirt of another host (https://libvirt.org/uri.html)."""
    parts = urlsplit(uri)
    _, _, transport = parts.scheme.partition("+")
    return bool(parts.netloc) or transport not in ("", "unix")


def _keep_quiet(_context: object, _error: object) -> None:
    """Takes the place of what prints."""
