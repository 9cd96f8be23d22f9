"""The directory of a running daemon: its admin socket, the certificate that it signs itself."""

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


HOOK_VOLUME = Path("/var/run/kubevirt-hooks")
"""What a KubeVirt hook sidecar may write to where its image is read-only (facts: kubevirt 4)."""


def default_run_directory(
    environment: Mapping[str, str], uid: int, *, hook_volume: Path = HOOK_VOLUME
) -> Path:
    """`$XDG_RUNTIME_DIR/vdi-sidecar`, else `/run/vdi-sidecar` for root, else `/tmp/vdi-sidecar-UID`.

    XDG_RUNTIME_DIR counts where it is a directory of this user, as its specification wants: KubeVirt sets
    it in containers whose user cannot write there. Where none of these can be written to and the volume of
    KubeVirt's hooks can, it is `vdi-sidecar` in that. The daemon and those who talk to it find the same one.
    """
    usual = Path("/run/vdi-sidecar") if uid == 0 else Path(f"/tmp/vdi-sidecar-{uid}")  # noqa: S108
    runtime = Path(environment.get("XDG_RUNTIME_DIR", ""))
    with suppress(OSError):
        if runtime.is_absolute() and runtime.is_dir() and runtime.stat().st_uid == uid:
            usual = runtime / "vdi-sidecar"
    in_volume = hook_volume / "vdi-sidecar"
    return in_volume if not _may_be_made(usual) and _may_be_made(in_volume) else usual


def _may_be_made(path: Path) -> bool:
    return os.access(path.parent, os.W_OK | os.X_OK)


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
    elif _opened_for_the_pod(found):
        path.chmod(0o700)
        return
    elif found.st_mode & 0o022:
        fault = f"can be written by others (mode {stat.S_IMODE(found.st_mode):04o})"
    else:
        return
    raise RunDirectoryUnsafe(f"the run directory {path} {fault}: choose another with --run-dir")


def _opened_for_the_pod(found: os.stat_result) -> bool:
    """Whether the kubelet has given it to the group of the pod (fsGroup), as it does with all of a volume
    whenever that is mounted again. It was this user's alone when it was made.
    """
    ours = {os.getegid(), *os.getgroups()}
    return found.st_mode & 0o2022 == 0o2020 and found.st_gid in ours
