"""Security type VNC Authentication, rfbproto 7.2.2: a challenge to be encrypted by DES."""

import hmac

from sidecar.vnc.events import VncAuthResponse
from sidecar.vnc.security import Channel, Conversation

CHALLENGE_SIZE = 16
PASSWORD_SIZE = 8
"""Bytes of a password that count; the rest is ignored by every client."""

_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def converse(channel: Channel) -> Conversation:
    """Sends a fresh challenge and has the response judged."""
    challenge = channel.random(CHALLENGE_SIZE)
    channel.send(challenge)
    response = yield CHALLENGE_SIZE
    yield VncAuthResponse(challenge, response)


def response_matches(event: VncAuthResponse, password: str) -> bool:
    """Whether the client knows `password`, found out in constant time. Never true for an empty password."""
    if not password:
        return False
    return hmac.compare_digest(encrypt_challenge(event.challenge, password), event.response)


def encrypt_challenge(challenge: bytes, password: str) -> bytes:
    """The right response: DES-ECB under the password's first eight bytes, each with its bits mirrored."""
    # imported here: an idle daemon, or one without VNC passwords, need not hold OpenSSL's bindings
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
    from cryptography.hazmat.primitives.ciphers import Cipher, modes

    key = password.encode("utf-8", "surrogateescape")[:PASSWORD_SIZE].ljust(PASSWORD_SIZE, b"\0")
    # DES is what the protocol says; three equal keys make Triple DES single DES
    cipher = Cipher(TripleDES(key.translate(_MIRRORED) * 3), modes.ECB())  # noqa: S305
    encryptor = cipher.encryptor()
    return encryptor.update(challenge) + encryptor.finalize()
