"""The bus address that is written into a domain."""

import re
from collections.abc import Mapping

from sidecar.errors import UsageError

HOOK_DIRECTORY = "/var/run/kubevirt-hooks"
"""The folder that KubeVirt shares between virt-launcher and its hook sidecars."""
BUS_SOCKET = "dbus/bus"
"""The bus's socket below the sidecar's own view of the hook folder.

In a sub-directory, because virt-launcher takes every file of the folder itself for a hook
(facts: kubevirt 1.1).
"""

# the D-Bus specification, "Server Addresses"; several addresses are parted by ";"
_ADDRESS = re.compile(r"[A-Za-z0-9_-]+:[^:;,=\s]+=[!-:<-~]*(;[A-Za-z0-9_-]+:[^:;,=\s]+=[!-:<-~]*)*", re.ASCII)
_CONTAINER_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_MAX_ADDRESS = 1024


def check_address(address: str) -> None:
    """Raises UsageError for what is no D-Bus address or too long for one."""
    if len(address) > _MAX_ADDRESS or not address.isascii() or not _ADDRESS.fullmatch(address):
        raise UsageError(
            f"{address[:100]!r} is not a D-Bus address: write --dbus-address unix:path=/path/to/socket"
        )


def bus_address(environ: Mapping[str, str], explicit: str | None = None) -> str:
    """Where QEMU finds the bus: `explicit` if given, else worked out from CONTAINER_NAME in `environ`.

    virt-launcher sees the sidecar's hook folder under the sidecar's name (facts: kubevirt 4). Raises
    UsageError when neither is there or one of them cannot be.
    """
    if explicit is not None:
        check_address(explicit)
        return explicit
    container = environ.get("CONTAINER_NAME", "")
    if not container:
        raise UsageError(
            "which bus? Give --dbus-address unix:path=/path/to/socket, or CONTAINER_NAME in the environment "
            "(KubeVirt sets it in a hook sidecar)"
        )
    if not _CONTAINER_NAME.fullmatch(container):
        raise UsageError(f"CONTAINER_NAME {container[:100]!r} is not the name of a container")
    return f"unix:path={HOOK_DIRECTORY}/{container}/{BUS_SOCKET}"
