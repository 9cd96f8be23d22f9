"""TLS of an HTTP server that asks its clients for certificates."""

import ssl
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

from sidecar.access.certificate import LONGEST_FILE, CertificateUnusable, load
from sidecar.log import get_logger
from sidecar.regular_file import read_regular

log = get_logger(__name__)

_faults: Final["WeakKeyDictionary[ssl.SSLContext, ssl.SSLError]"] = WeakKeyDictionary()
"""What has failed last by each context: who waits for a handshake hears only that the peer has gone."""


class _Handshake(ssl.SSLObject):
    """One that tells its peer by an alert that its certificate is not good: asyncio and uvloop leave that
    alert unsent when `do_handshake` raises, and send it when the handshake seems to go on."""

    _fault: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        """Raises what has failed when the peer has had the alert and says something nevertheless."""
        if self._fault is not None:
            raise self._fault
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            self._fault = _faults[self.context] = error
            raise ssl.SSLWantReadError from None


class TlsFiles:
    """Certificate and key in `directory`, and the certificates in `client_ca` that sign those of clients.

    None: clients are asked for no certificate. Both are read anew for each connection. What cannot be used
    any more is logged: then the last good certificate of the server stands in, with the authorities of that
    time; without authorities, no client's certificate is good. Raises CertificateUnusable where one cannot
    be used now.
    """

    def __init__(self, directory: Path, client_ca: Path | None = None) -> None:
        self._directory = directory
        self._client_ca = client_ca
        if client_ca is not None:
            _trust(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), client_ca)
        self._latest = self._prepared(load(directory).context)

    def context(self) -> ssl.SSLContext:
        """For one connection."""
        try:
            self._latest = self._prepared(load(self._directory).context)
        except CertificateUnusable as error:
            log.warning("the certificate of before is used", cause=str(error))
        return self._latest

    def _prepared(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.sslobject_class = _Handshake
        if self._client_ca is not None:
            context.verify_mode = ssl.CERT_OPTIONAL
            try:
                _trust(context, self._client_ca)
            except CertificateUnusable as error:
                log.warning("no client's certificate is good", cause=str(error))
        return context


def fault_of(context: ssl.SSLContext | None, error: Exception) -> str:
    """Why a handshake by `context` has failed, for people; `error`: what it raised."""
    told = error if context is None else _faults.get(context, error)
    if isinstance(told, ssl.SSLCertVerificationError):
        return f"the client's certificate is not good: {told.verify_message}"
    if isinstance(told, ssl.SSLError) and told.reason:
        return told.reason.lower().replace("_", " ")
    return str(told) or "the client has hung up"


def _trust(context: ssl.SSLContext, authorities: Path) -> None:
    """Has `context` take what the certificates in a PEM file have signed. Raises CertificateUnusable."""
    try:
        # what is longer is cut off amid a certificate, and so refused
        content, _ = read_regular(authorities, LONGEST_FILE)
        context.load_verify_locations(cadata=content.decode("ascii"))
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise CertificateUnusable(f"cannot use the authorities in {authorities}: {reason}") from None
