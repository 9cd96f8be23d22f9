"""NTLM, the accepting side: NTLMv2 alone, with keys of 128 bits (MS-NLMP 3.2 and 3.4).

docs/decisions/ntlm-acceptor.md says what of it is taken from libraries.
"""

import hashlib
import hmac
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sidecar.access.grant import Candidate, Grant, LoginThrottled
from sidecar.rdp.errors import LocalError, Reason, RemoteError
from sidecar.rdp.ntlm_messages import (
    SERVER_NAME,
    Authenticate,
    ClientChallenge,
    NegotiateFlags,
    pack_challenge,
    parse_negotiate,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import CipherContext

_NEEDED = (
    NegotiateFlags.UNICODE
    | NegotiateFlags.SIGN
    | NegotiateFlags.SEAL
    | NegotiateFlags.EXTENDED_SESSION_SECURITY
    | NegotiateFlags.KEYS_128
    | NegotiateFlags.KEY_EXCHANGE
)
"""What CredSSP is worth nothing without; every client since Windows XP has it."""

_SAID = (
    NegotiateFlags.REQUEST_TARGET
    | NegotiateFlags.NTLM
    | NegotiateFlags.ALWAYS_SIGN
    | NegotiateFlags.TARGET_TYPE_SERVER
    | NegotiateFlags.TARGET_INFO
)
"""What the server says besides."""

_ECHOED = NegotiateFlags.VERSION | NegotiateFlags.KEYS_56
"""What it says if the client does."""

_CHALLENGE_SIZE = 8
_KEY_SIZE = 16
_SIGNATURE_SIZE = 16
_V1_RESPONSE_SIZE = 24
"""Bytes of an NTLMv1 response; NTLMv2's has more."""


def nt_hash(password: str) -> bytes:
    """NTOWFv1 (MS-NLMP 3.3.1): the MD4 of a password."""
    # imported here: it takes 4 MB, and is there only where the extra is installed
    from spnego._ntlm_raw.md4 import md4

    return md4(password.encode("utf-16-le", "surrogatepass"))


def response_key(hashed_password: bytes, user: str, domain: bytes) -> bytes:
    """NTOWFv2 (MS-NLMP 3.3.2). `domain`: UTF-16 as on the wire."""
    # Windows has simple case mappings: one character never becomes two
    upper = "".join(large if len(large := letter.upper()) == 1 else letter for letter in user)
    return _hmac_md5(hashed_password, upper.encode("utf-16-le") + domain)


@dataclass(slots=True)
class _Direction:
    """Keys and state of what one side sends (3.4.5.2, 3.4.5.3)."""

    exported_key: bytes = field(repr=False)
    name: bytes
    signing_key: bytes = field(init=False, repr=False)
    sealing_key: bytes = field(init=False, repr=False)
    cipher: "CipherContext" = field(init=False)
    sequence: int = 0

    def __post_init__(self) -> None:
        magic = b"session key to %s %s key magic constant\0"
        self.signing_key = _md5(self.exported_key + magic % (self.name, b"signing"))
        self.sealing_key = _md5(self.exported_key + magic % (self.name, b"sealing"))
        self.restart()

    def restart(self) -> None:
        self.cipher = _rc4(self.sealing_key)

    def sign(self, message: bytes) -> bytes:
        """NTLMSSP_MESSAGE_SIGNATURE with extended session security (3.4.4.2)."""
        sequence = struct.pack("<I", self.sequence)
        self.sequence += 1
        checksum = _hmac_md5(self.signing_key, sequence + message)[:8]
        return b"\x01\0\0\0" + self.cipher.update(checksum) + sequence


class NtlmSession:
    """What both sides share after the handshake: it seals and signs (MS-NLMP 3.4)."""

    def __init__(self, exported_key: bytes) -> None:
        self._incoming = _Direction(exported_key, b"client-to-server")
        self._outgoing = _Direction(exported_key, b"server-to-client")

    def seal(self, message: bytes) -> bytes:
        """A signature and the message, encrypted (3.4.3)."""
        sealed = self._outgoing.cipher.update(message)
        return self._outgoing.sign(message) + sealed

    def unseal(self, data: bytes) -> bytes:
        """What the client has sealed. Raises RemoteError."""
        if len(data) < _SIGNATURE_SIZE:
            raise RemoteError(Reason.TRUNCATED, "a sealed message ends within its signature")
        message = self._incoming.cipher.update(data[_SIGNATURE_SIZE:])
        self._verify(message, data[:_SIGNATURE_SIZE])
        return message

    def sign_mechanisms(self, message: bytes) -> bytes:
        """A mechListMIC, after which the cipher begins anew (MS-SPNG 3.3.5.1)."""
        signature = self._outgoing.sign(message)
        self._outgoing.restart()
        return signature

    def verify_mechanisms(self, message: bytes, signature: bytes) -> None:
        """Checks the client's mechListMIC, after which the cipher begins anew. Raises RemoteError."""
        self._verify(message, signature)
        self._incoming.restart()

    def _verify(self, message: bytes, signature: bytes) -> None:
        if not hmac.compare_digest(self._incoming.sign(message), signature):
            raise RemoteError(Reason.MALFORMED, "the signature of a message is wrong")


@dataclass(frozen=True, slots=True)
class Login:
    """Who has logged in, as the client names them, with what they may do and what both sides share."""

    user: str
    domain: str
    grant: Grant
    session: NtlmSession


class NtlmAcceptor:
    """One handshake: `challenge`, then `authenticate`."""

    def __init__(
        self,
        candidates: Callable[[str], list[Candidate]],
        *,
        random: Callable[[int], bytes],
        now: float,
        end_point: Callable[[], bytes | None],
    ) -> None:
        """`candidates`: what would let a user in; it may raise LoginThrottled. `random`: so many bytes that
        nobody can foresee. `now`: seconds since 1970. `end_point`: the channel binding tls-server-end-point,
        asked for only where a client binds to it.
        """
        self._candidates = candidates
        self._random = random
        self._now = now
        self._end_point = end_point
        self._server_challenge = b""
        self._messages = b""
        """NEGOTIATE and CHALLENGE, as they went over the wire."""

    @property
    def challenged(self) -> bool:
        """Whether the client has been challenged: an AUTHENTICATE_MESSAGE is next."""
        return bool(self._messages)

    def challenge(self, token: bytes) -> bytes:
        """The CHALLENGE_MESSAGE that answers a NEGOTIATE_MESSAGE. Raises RemoteError."""
        offered = parse_negotiate(token)
        if offered & _NEEDED != _NEEDED:
            missing = _NEEDED & ~offered
            raise RemoteError(Reason.REFUSED, f"the client's NTLM is too weak: it lacks {missing!r}")
        self._server_challenge = self._random(_CHALLENGE_SIZE)
        challenge = pack_challenge(_NEEDED | _SAID | offered & _ECHOED, self._server_challenge, self._now)
        self._messages = token + challenge
        return challenge

    def authenticate(self, token: bytes) -> Login:
        """Who proves to know a password. Raises RemoteError: LOGIN_FAILED where the proof is wrong,
        LOGIN_THROTTLED where it is not looked at.
        """
        if not self._messages:
            raise LocalError("an AUTHENTICATE_MESSAGE is judged before any challenge was sent")
        message = Authenticate.parse(token)
        user, domain = _account(message)
        if not user or NegotiateFlags.ANONYMOUS in message.flags:
            raise RemoteError(Reason.LOGIN_FAILED, "nobody may log in anonymously")
        if len(message.nt_response) <= _V1_RESPONSE_SIZE:
            raise RemoteError(Reason.LOGIN_FAILED, "NTLMv2 is wanted, not LM or NTLMv1")
        response = ClientChallenge.parse(message.nt_response)
        try:
            candidates = self._candidates(user)
        except LoginThrottled as error:
            raise RemoteError(Reason.LOGIN_THROTTLED, str(error)) from None
        proven = None
        # all of them, whichever it is: how long it takes tells nothing
        for grant, hashed_password in self._hashed(candidates):
            key = response_key(hashed_password, message.user, message.domain)
            # over the bytes as they came: packed anew they may differ
            proof = _hmac_md5(key, self._server_challenge + response.raw)
            if hmac.compare_digest(proof, response.proof) and proven is None and grant is not None:
                proven = grant, _hmac_md5(key, proof)
        if proven is None:
            raise RemoteError(Reason.LOGIN_FAILED, "the password is wrong, or there is no such user")
        grant, session_base_key = proven
        exported_key = self._exported_key(message, session_base_key)
        attributes = response.attributes()
        if attributes.has_mic:
            self._check_mic(message, token, exported_key)
        if attributes.channel_bindings is not None:
            self._check_channel_bindings(attributes.channel_bindings)
        return Login(user, domain, grant, NtlmSession(exported_key))

    def _hashed(self, candidates: list[Candidate]) -> Iterator[tuple[Grant | None, bytes]]:
        """The NTOWFv1 of each, and of one password and one hash that nobody knows: a user of whom there is
        nothing to be found takes as long as one with a wrong password.
        """
        for candidate in candidates:
            if candidate.nt_hash is not None:
                yield candidate.grant, candidate.nt_hash
            elif candidate.password is not None:
                yield candidate.grant, nt_hash(candidate.password)
        if all(candidate.password is None for candidate in candidates):
            yield None, nt_hash(self._random(_KEY_SIZE).hex())
        if all(candidate.nt_hash is None for candidate in candidates):
            yield None, self._random(_KEY_SIZE)

    def _exported_key(self, message: Authenticate, key_exchange_key: bytes) -> bytes:
        if len(message.session_key) != _KEY_SIZE:
            raise RemoteError(Reason.MALFORMED, f"a session key has {len(message.session_key)} bytes")
        return _rc4(key_exchange_key).update(message.session_key)

    def _check_mic(self, message: Authenticate, token: bytes, exported_key: bytes) -> None:
        """MS-NLMP 3.2.5.1.2. That there is one is said under the proof: nobody can take it away."""
        mic, bare = message.mic(token)
        if not hmac.compare_digest(_hmac_md5(exported_key, self._messages + bare), mic):
            raise RemoteError(Reason.MALFORMED, "the MIC is wrong: the handshake was changed on its way")

    def _check_channel_bindings(self, bindings: bytes) -> None:
        end_point = self._end_point()
        if end_point is None or not hmac.compare_digest(channel_bindings(end_point), bindings):
            raise RemoteError(Reason.MALFORMED, "the client is bound to another TLS channel")


def channel_bindings(end_point: bytes) -> bytes:
    """What MsvAvChannelBindings holds: the MD5 of a gss_channel_bindings_struct (MS-NLMP 2.2.2.1)."""
    data = b"tls-server-end-point:" + end_point
    # no addresses: their types and lengths are 0
    return _md5(bytes(16) + struct.pack("<I", len(data)) + data)


def _account(message: Authenticate) -> tuple[str, str]:
    """User and domain: none in front of the name, and none that only says that there is none."""
    user, domain = message.user.rstrip("\0"), message.domain.decode("utf-16-le", "replace").rstrip("\0")
    if "\\" in user:
        before, user = user.split("\\", 1)
        domain = domain or before
    return user, "" if domain in (".", SERVER_NAME) else domain


def _hmac_md5(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "md5")


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data).digest()  # noqa: S324 - it is what NTLM has


def _rc4(key: bytes) -> "CipherContext":
    # imported here: an idle daemon need not hold OpenSSL's bindings
    from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
    from cryptography.hazmat.primitives.ciphers import Cipher

    return Cipher(ARC4(key), mode=None).encryptor()
