"""Where the bus of a machine lies: for us, and in the address that is written into a domain."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sidecar.bus_address import bus_address_of, check_bus_address
from sidecar.errors import UsageError
from sidecar.socket_path import excess_bytes

HOOK_DIRECTORY = "/var/run/kubevirt-hooks"
"""The folder that KubeVirt shares between virt-launcher and its hook sidecars."""
PLUGIN_DIRECTORY = "/var/run/kubevirt-plugin"
"""The folder in which virt-launcher looks for its plugins' sockets; each has a sub-directory of its name."""
BUS_SOCKET = "dbus/bus"
"""The bus's socket below the sidecar's own view of the hook folder.

In a sub-directory, because virt-launcher takes every file of the folder itself for a hook
(facts: kubevirt 1.1).
"""

_CONTAINER_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class BusPlace:
    """The two sides of one socket."""

    socket: Path
    """As we see it; absolute."""
    address: str
    """As QEMU's container sees it: a D-Bus address."""


def bus_address(environ: Mapping[str, str], explicit: str | None = None) -> str:
    """Where QEMU finds the bus: `explicit` if given, else worked out from CONTAINER_NAME in `environ`.

    virt-launcher sees the sidecar's hook folder under the sidecar's name (facts: kubevirt 4). Raises
    UsageError when neither is there or one of them cannot be.
    """
    if explicit is not None:
        check_bus_address(explicit)
        return explicit
    container = _container(environ)
    if container is None:
        raise UsageError(
            "which bus? Give --dbus-address unix:path=/path/to/socket, or CONTAINER_NAME in the environment "
            "(KubeVirt sets it in a hook sidecar)"
        )
    return f"unix:path={HOOK_DIRECTORY}/{container}/{BUS_SOCKET}"


def bus_place(
    environ: Mapping[str, str],
    *,
    hook_dir: Path | None,
    plugin_socket: Path | None = None,
    bus_dir: Path | None = None,
    bus_dir_for_qemu: Path | None = None,
    dbus_address: str | None = None,
) -> BusPlace:
    """Where the bus is to lie, by the options of `hook` (sidecar.config.options); the paths are absolute.

    By default it is in the volume of the hook socket, or else in that of the plugin's, where QEMU's side
    of it is known (docs/decisions/where-the-bus-lies.md). Raises UsageError where it is not, and for a place
    at which it cannot be.
    """
    if bus_dir is not None:
        directory = _checked("--bus-dir", bus_dir)
        if directory == hook_dir:
            raise UsageError(
                f"--bus-dir {bus_dir} is the hook folder itself, where virt-launcher would take the bus for a"
                f" hook: name a directory in it, such as {bus_dir}/dbus"
            )
    elif hook_dir is not None:
        directory = hook_dir / PurePosixPath(BUS_SOCKET).parent
    elif plugin_socket is not None:
        directory = plugin_socket.parent / PurePosixPath(BUS_SOCKET).parent
    else:
        raise UsageError("where is the bus to lie? Name a directory that QEMU's container shares: --bus-dir")
    socket = directory / PurePosixPath(BUS_SOCKET).name
    _check_length(socket)
    if dbus_address is not None:
        check_bus_address(dbus_address)
        return BusPlace(socket, dbus_address)
    if bus_dir_for_qemu is not None:
        seen = _checked("--bus-dir-for-qemu", bus_dir_for_qemu) / socket.name
    elif hook_dir is not None and socket.is_relative_to(hook_dir):
        seen = _seen_in_hook_volume(environ, hook_dir) / socket.relative_to(hook_dir)
    elif plugin_socket is not None and _in_own_plugin_volume(socket, plugin_socket):
        seen = socket
    else:
        raise UsageError(
            f"how does QEMU's container see {directory}? Give --bus-dir-for-qemu DIR (of a PVC, its"
            " sharedComputePath)"
        )
    _check_length(seen)
    return BusPlace(socket, bus_address_of(seen))


def _seen_in_hook_volume(environ: Mapping[str, str], hook_dir: Path) -> Path:
    """The hook folder as QEMU's container sees it.

    KubeVirt 1.6 has given each sidecar a sub-directory of the volume and, in the same release, the variable
    that names it; 1.4 and 1.5 have neither, and everybody sees the same folder.
    """
    container = _container(environ)
    if container is not None:
        return Path(HOOK_DIRECTORY, container)
    if hook_dir == Path(HOOK_DIRECTORY):
        return hook_dir
    raise UsageError(
        f"how does QEMU's container see {hook_dir}? Give --bus-dir-for-qemu DIR, or CONTAINER_NAME in the"
        " environment (KubeVirt sets it in a hook sidecar)"
    )


def _in_own_plugin_volume(socket: Path, plugin_socket: Path) -> bool:
    """Whether both lie in one plugin's directory, which KubeVirt wants at one path in both containers."""
    base = Path(PLUGIN_DIRECTORY)
    if not plugin_socket.is_relative_to(base):
        return False
    plugin = plugin_socket.relative_to(base).parts[:-1]
    return bool(plugin) and socket.is_relative_to(base / plugin[0])


def _container(environ: Mapping[str, str]) -> str | None:
    container = environ.get("CONTAINER_NAME", "")
    if not container:
        return None
    if not _CONTAINER_NAME.fullmatch(container):
        raise UsageError(f"CONTAINER_NAME {container[:100]!r} is not the name of a container")
    return container


def _checked(option: str, directory: Path) -> Path:
    if not directory.is_absolute() or ".." in directory.parts:
        raise UsageError(f"{option} {str(directory)[:200]!r} must be an absolute path without '..'")
    return directory


def _check_length(socket: Path) -> None:
    excess = excess_bytes(socket)
    if excess > 0:
        raise UsageError(f"{socket} is {excess} bytes too long for a unix socket: choose a shorter --bus-dir")
