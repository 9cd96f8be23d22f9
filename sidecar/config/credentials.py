"""Secrets that whoever starts the daemon has put where they belong: systemd, or a mounted Secret.

systemd shows what `LoadCredential=` and `SetCredentialEncrypted=` name in a directory of the service's own
(systemd.exec(5), Credentials); `vnc-password` is what libvirt's `qemu-vnc` calls it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DIRECTORY: Final = "CREDENTIALS_DIRECTORY"
"""The variable in which systemd tells where they are."""

MOUNTED: Final = Path("/run/secrets/vdi-sidecar")
"""Where a Secret is mounted; its directory says whose it is, so its files may have short names."""

_PASSWORD: Final = ("vdi-sidecar.password", "vnc-password")
_USERS: Final = ("vdi-sidecar.users",)
_CERTIFICATE: Final = ("tls.crt", "tls.key")


@dataclass(frozen=True, slots=True)
class FoundSecrets:
    """What is there. `tls_dir`: a directory with tls.crt and tls.key."""

    password_file: Path | None = None
    users_file: Path | None = None
    tls_dir: Path | None = None


def found_secrets(environment: Mapping[str, str], mounted: Path = MOUNTED) -> FoundSecrets:
    """What systemd shows, else what is mounted; each of the three by itself.

    A file that is there and cannot be used is found too: whoever uses it says what is wrong with it. One
    that is overlooked would leave a machine open to everybody.
    """
    directories: list[tuple[Path, bool]] = []
    shown = environment.get(DIRECTORY, "")
    if shown.startswith("/"):
        directories.append((Path(shown), False))
    directories.append((mounted, True))
    password = users = tls = None
    for directory, short in directories:
        password = password or _first(directory, (*_PASSWORD, *(("password",) if short else ())))
        users = users or _first(directory, (*_USERS, *(("users",) if short else ())))
        if tls is None and all(_is_there(directory / name) for name in _CERTIFICATE):
            tls = directory
    return FoundSecrets(password, users, tls)


def _first(directory: Path, names: tuple[str, ...]) -> Path | None:
    return next((directory / name for name in names if _is_there(directory / name)), None)


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        # there may be one: whoever reads it will say why it cannot
        return True
    return True
