"""What Kubernetes mounts into a pod for its service account, and where the API server is."""

import base64
import json
import os
import ssl
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sidecar.errors import NotReady

MOUNTED_AT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
LONGEST_FILE = 256 * 1024
"""Bytes of a token or of a bundle of certificates."""


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """What proves who we are to the API server, and the API server to us, for the next request."""

    name: str
    """For people."""
    pod: str
    token: str = field(repr=False)
    context: ssl.SSLContext = field(repr=False)


class InCluster:
    """The API server of the cluster that this process runs in.

    `environ`: has KUBERNETES_SERVICE_HOST and _PORT, as every container of a pod; POD_NAME goes before the
    name of the pod in the token. `directory`: where the service account is mounted; None: where it always is.
    """

    def __init__(self, environ: Mapping[str, str], directory: Path | None = None) -> None:
        self._host = environ.get("KUBERNETES_SERVICE_HOST", "")
        self._port = environ.get("KUBERNETES_SERVICE_PORT", "443")
        self._pod = environ.get("POD_NAME", "")
        self._directory = MOUNTED_AT if directory is None else directory
        self._trust: tuple[bytes, ssl.SSLContext] | None = None

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"https://{host}:{self._port}"

    def read(self) -> ServiceAccount:
        """Reads the files anew: the kubelet replaces a token before it expires, and certificates too.

        Blocks for the time of two small files. Raises NotReady.
        """
        if not self._host:
            raise NotReady("KUBERNETES_SERVICE_HOST is not set: this is no pod")
        token = self._read("token").decode("ascii", "replace").strip()
        # it goes into a header
        if not token or not all("!" <= character <= "~" for character in token):
            raise NotReady(f"{self._directory / 'token'} holds no token")
        claims = _claims(token)
        pod = self._pod or _name(claims, "pod")
        if not pod:
            raise NotReady("the token does not say which pod this is: set POD_NAME to the pod's name")
        account = f"service account {_name(claims, 'serviceaccount') or 'of this pod'}"
        return ServiceAccount(account, pod, token, self._context())

    def _context(self) -> ssl.SSLContext:
        bundle = self._read("ca.crt")
        if self._trust is None or self._trust[0] != bundle:
            # not create_default_context: with an empty bundle it would trust the system's CAs, and from
            # Python 3.13 on it refuses CAs without some extensions, such as older clusters have
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            try:
                context.load_verify_locations(cadata=bundle.decode("ascii"))
            except (ssl.SSLError, ValueError):
                raise NotReady(f"{self._directory / 'ca.crt'} holds no certificates") from None
            self._trust = bundle, context
        return self._trust[1]

    def _read(self, name: str) -> bytes:
        path = self._directory / name
        try:
            # a pipe without a writer would be waited for by a thread that nobody can stop
            with open(path, "rb", opener=_at_once) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise NotReady(f"no service account is mounted: {path} is no file")
                content = file.read(LONGEST_FILE + 1)
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise NotReady(f"no service account is mounted: {path}: {reason}") from None
        if len(content) > LONGEST_FILE:
            raise NotReady(f"{path} is longer than {LONGEST_FILE} bytes")
        return content


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _claims(token: str) -> Any:
    """What a token says of its pod and its account, unchecked: it is our own. None when it says nothing."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    return payload.get("kubernetes.io") if isinstance(payload, dict) else None


def _name(claims: Any, what: str) -> str:
    part = claims.get(what) if isinstance(claims, dict) else None
    name = part.get("name") if isinstance(part, dict) else None
    return name if isinstance(name, str) else ""
