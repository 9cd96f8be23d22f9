"""CredSSP, the server's side: network level authentication (MS-CSSP 3.1.5)."""

import hashlib
import hmac
from collections.abc import Callable
from enum import IntEnum
from importlib.util import find_spec

from sidecar.access.certificate import ServerCertificate
from sidecar.access.grant import Candidate
from sidecar.rdp import neg_token, ts_request
from sidecar.rdp.authenticator import Identity
from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.neg_token import NegState, NegToken
from sidecar.rdp.ntlm import Login, NtlmAcceptor, NtlmSession
from sidecar.rdp.ntlm_messages import SIGNATURE
from sidecar.rdp.ts_request import TsRequest

VERSION = 6
"""The newest version of the protocol, which this is."""

OLDEST_VERSION = 2

HASHED_KEY_VERSION = 5
"""The first version that binds to a hash of the key, not to the key."""

_SILENT_VERSIONS = (2, 5)
"""They have no errorCode."""

_NONCE_SIZE = 32

_CLIENT_MAGIC = b"CredSSP Client-To-Server Binding Hash\0"
_SERVER_MAGIC = b"CredSSP Server-To-Client Binding Hash\0"


class NtStatus(IntEnum):
    """What a client is told (MS-ERREF 2.3.1). FreeRDP and mstsc try no second time after these."""

    INVALID_PARAMETER = 0xC000000D
    LOGON_FAILURE = 0xC000006D
    NOT_SUPPORTED = 0xC00000BB
    ACCOUNT_LOCKED_OUT = 0xC0000234
    """the nearest to: too many have failed, wait"""


_STATUS = {
    Reason.LOGIN_FAILED: NtStatus.LOGON_FAILURE,
    Reason.LOGIN_THROTTLED: NtStatus.ACCOUNT_LOCKED_OUT,
    Reason.REFUSED: NtStatus.NOT_SUPPORTED,
}


def nla_available() -> bool:
    """Whether what NLA is made of is there: the extra `nla`, and MD5, which FIPS mode takes away.

    Loads nothing.
    """
    try:
        hashlib.md5()  # noqa: S324
    except ValueError:
        return False
    return find_spec("spnego") is not None


class CredSsp:
    """One exchange, inside TLS: an Authenticator. Bytes in, bytes out.

    Takes NTLM, inside SPNEGO or alone, from clients of version 2 and up.
    """

    def __init__(
        self,
        certificate: ServerCertificate,
        candidates: Callable[[str], list[Candidate]],
        *,
        random: Callable[[int], bytes],
        now: float,
    ) -> None:
        """`certificate`: what this very connection shows. `candidates`: what would let a user in; it may
        raise LoginThrottled. `random`: so many bytes that nobody can foresee. `now`: seconds since 1970.

        Raises CertificateUnusable.
        """
        self._public_key = certificate.public_key
        self._acceptor = NtlmAcceptor(
            candidates, random=random, now=now, end_point=lambda: certificate.end_point
        )
        self._version: int | None = None
        """What both sides speak, once the client has said a word."""
        self._mechanisms: bytes | None = None
        """mechTypes of the client where it speaks SPNEGO, as they came."""
        self._mic_wanted = False
        self._received = bytearray()
        self._outgoing: list[bytes] = []
        self._login: Login | None = None
        """Set when the user is known."""
        self._bound = False
        """Whether both ends know that they are in the same TLS channel."""
        self._identity: Identity | None = None
        self._failed = False

    @property
    def identity(self) -> Identity | None:
        """Who has proven to know the password, as NTLM has it, with the password that was delegated.

        The name that is delegated too is not looked at: nothing proves it.
        """
        return self._identity

    def receive(self, data: bytes) -> bytes:
        """Takes bytes of the client; what comes after the exchange is returned.

        Raises RemoteError: LOGIN_FAILED for a wrong user or password, LOGIN_THROTTLED where none is looked
        at now, anything else for a broken exchange.
        What the client is to be told of it is in `outgoing` then.
        """
        if self._failed:
            raise RemoteError(Reason.UNEXPECTED, "the exchange has failed already")
        self._received += data
        try:
            while self._identity is None and (message := self._next_message()) is not None:
                self._take(TsRequest.parse(message))
        except RemoteError as error:
            self._failed = True
            self._received.clear()
            self._tell(error)
            raise
        if self._identity is None:
            return b""
        rest = bytes(self._received)
        self._received.clear()
        return rest

    def outgoing(self) -> bytes:
        """What is to be sent now, once."""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    def _next_message(self) -> bytes | None:
        """The next TSRequest, if all of it has come."""
        size = ts_request.size(self._received)
        if size is None or len(self._received) < size:
            return None
        message = bytes(self._received[:size])
        del self._received[:size]
        return message

    def _take(self, request: TsRequest) -> None:
        if self._version is None:
            if request.version < OLDEST_VERSION:
                raise RemoteError(Reason.REFUSED, f"CredSSP {request.version} is too old")
            self._version = min(request.version, VERSION)
        if request.error_code is not None:
            raise RemoteError(
                Reason.REFUSED, f"the client gives up with {request.error_code & 0xFFFFFFFF:#x}"
            )
        if self._login is None:
            self._negotiate(request)
        elif not self._bound:
            self._bind(self._login.session, request, None)
        else:
            self._accept_credentials(self._login, request)

    def _negotiate(self, request: TsRequest) -> None:
        if request.nego_token is None:
            raise RemoteError(Reason.UNEXPECTED, "a TSRequest without a token comes first")
        answer = self._answer(request.nego_token)
        if self._login is None:
            if request.pub_key_auth is not None:
                raise RemoteError(Reason.UNEXPECTED, "pubKeyAuth comes before the user is known")
            self._send(TsRequest(VERSION, nego_token=answer))
            return
        if request.pub_key_auth is not None:
            self._bind(self._login.session, request, answer)
        elif answer is not None:
            self._send(TsRequest(VERSION, nego_token=answer))

    def _answer(self, token: bytes) -> bytes | None:
        """What answers a token of SPNEGO or NTLM, if anything does."""
        if token.startswith(SIGNATURE) and self._mechanisms is None:
            return self._answer_ntlm(token)
        parsed = NegToken.parse(token)
        supported = None
        if parsed.mechanisms:
            if self._mechanisms is not None or self._acceptor.challenged:
                raise RemoteError(Reason.UNEXPECTED, "the negotiation begins a second time")
            if neg_token.NTLM not in parsed.mechanisms:
                raise RemoteError(Reason.REFUSED, "the client does not offer NTLM")
            self._mechanisms = parsed.mechanism_list
            if parsed.mechanisms[0] != neg_token.NTLM:
                # its token is of a mechanism that is not here
                self._mic_wanted = True
                return neg_token.pack_response(NegState.REQUEST_MIC, mechanism=neg_token.NTLM)
            supported = neg_token.NTLM
        elif self._mechanisms is None:
            raise RemoteError(Reason.UNEXPECTED, "a NegTokenResp comes first")
        inner = None
        if parsed.mechanism_token is not None:
            inner = self._answer_ntlm(parsed.mechanism_token)
        elif supported is None:
            raise RemoteError(Reason.UNEXPECTED, "a NegTokenResp without a token comes amid the negotiation")
        if self._login is None:
            return neg_token.pack_response(NegState.ACCEPT_INCOMPLETE, mechanism=supported, token=inner)
        mic = self._exchange_mic(self._login.session, parsed.mic)
        return neg_token.pack_response(NegState.ACCEPT_COMPLETED, mic=mic)

    def _answer_ntlm(self, token: bytes) -> bytes | None:
        if not self._acceptor.challenged:
            return self._acceptor.challenge(token)
        self._login = self._acceptor.authenticate(token)
        return None

    def _exchange_mic(self, session: NtlmSession, mic: bytes | None) -> bytes | None:
        """Checks the client's mechListMIC, if it has one, and makes the server's, if one is wanted."""
        mechanisms = self._mechanisms or b""
        if mic is not None:
            session.verify_mechanisms(mechanisms, mic)
        if mic is None and not self._mic_wanted:
            return None
        return session.sign_mechanisms(mechanisms)

    def _bind(self, session: NtlmSession, request: TsRequest, token: bytes | None) -> None:
        """Makes sure that both ends are in the same TLS channel; `token` goes with the answer (3.1.5)."""
        if request.pub_key_auth is None:
            raise RemoteError(Reason.UNEXPECTED, "a TSRequest without pubKeyAuth comes where it should")
        expected, answer = self._bindings(request.client_nonce)
        if not hmac.compare_digest(session.unseal(request.pub_key_auth), expected):
            raise RemoteError(
                Reason.MALFORMED, "the client sees the key of another server: somebody may stand between"
            )
        self._send(TsRequest(VERSION, nego_token=token, pub_key_auth=session.seal(answer)))
        self._bound = True

    def _bindings(self, nonce: bytes | None) -> tuple[bytes, bytes]:
        """What the client must say of the key, and what it is answered."""
        key = self._public_key
        if self._version is not None and self._version < HASHED_KEY_VERSION:
            return key, bytes(((key[0] + 1) & 0xFF,)) + key[1:]
        if nonce is None or len(nonce) != _NONCE_SIZE:
            raise RemoteError(Reason.MALFORMED, f"there is no clientNonce of {_NONCE_SIZE} bytes")
        return (
            hashlib.sha256(_CLIENT_MAGIC + nonce + key).digest(),
            hashlib.sha256(_SERVER_MAGIC + nonce + key).digest(),
        )

    def _accept_credentials(self, login: Login, request: TsRequest) -> None:
        if request.auth_info is None:
            raise RemoteError(Reason.UNEXPECTED, "a TSRequest without authInfo comes where it should")
        credentials = ts_request.parse_credentials(login.session.unseal(request.auth_info))
        password = credentials.password if credentials is not None else ""
        self._identity = Identity(login.user, login.domain, password, login.grant)

    def _send(self, request: TsRequest) -> None:
        self._outgoing.append(request.pack())

    def _tell(self, error: RemoteError) -> None:
        """Tells a client that can hear it why it is refused (2.2.1, errorCode): versions 3, 4 and 6."""
        if self._version is None or self._version in _SILENT_VERSIONS:
            return
        status = _STATUS.get(error.reason, NtStatus.INVALID_PARAMETER)
        # an INTEGER of 32 bits with its sign: FreeRDP tries again after anything else
        self._send(TsRequest(VERSION, error_code=status - (1 << 32)))
