"""The directory of a running daemon: its admin socket, its private bus."""

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from sidecar.errors import SidecarError

ADMIN_SOCKET = "admin.sock"
"""Name of the admin socket in the run directory."""

SELF_SIGNED = "tls"
"""Name of the directory in it for the certificate that the daemon signs itself."""


class RunDirectoryUnsafe(SidecarError):
    """The run directory cannot be used, or others could reach into it."""


def default_run_directory(environment: Mapping[str, str], uid: int) -> Path:
    """`$XDG_RUNTIME_DIR/vdi-sidecar`, else `/run/vdi-sidecar` for root, else `/tmp/vdi-sidecar-UID`.

    XDG_RUNTIME_DIR counts where it is a directory of this user, as its specification wants: KubeVirt sets
    it in containers whose user cannot write there.
    """
    runtime = Path(environment.get("XDG_RUNTIME_DIR", ""))
    with suppress(OSError):
        if runtime.is_absolute() and runtime.is_dir() and runtime.stat().st_uid == uid:
            return runtime / "vdi-sidecar"
    if uid == 0:
        return Path("/run/vdi-sidecar")
    return Path(f"/tmp/vdi-sidecar-{uid}")  # noqa: S108 - prepare_run_directory refuses what is not ours


def prepare_run_directory(path: Path) -> None:
    """Creates `path` with mode 0700 if it is not there. Raises RunDirectoryUnsafe.

    One that is there must be a directory, not a link, owned by this user, and writable by nobody else:
    in /tmp somebody else may have made it first.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise RunDirectoryUnsafe(
            f"cannot create the run directory {path} ({reason}): choose another with --run-dir"
        ) from None
    if not stat.S_ISDIR(found.st_mode):
        fault = "is not a directory"
    elif found.st_uid != os.geteuid():
        fault = f"belongs to another user (uid {found.st_uid})"
    elif found.st_mode & 0o022:
        fault = f"can be written by others (mode {stat.S_IMODE(found.st_mode):04o})"
    else:
        return
    raise RunDirectoryUnsafe(f"the run directory {path} {fault}: choose another with --run-dir")
