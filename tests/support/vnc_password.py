"""VncAuth's answer to a challenge."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # TripleDES is old, as is VncAuth
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
    from cryptography.hazmat.primitives.ciphers import Cipher, modes


def response(password: str, challenge: bytes) -> bytes:
    """DES of the challenge under the password's first eight bytes, with mirrored bits (facts: RFB 1.1)."""
    key = password.encode("latin-1")[:8].ljust(8, b"\0")
    mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in key)
    encryptor = Cipher(TripleDES(mirrored * 3), modes.ECB()).encryptor()
    return encryptor.update(challenge) + encryptor.finalize()
