"""Passwords that are kept as hashes: scrypt (RFC 7914), in the password hashing competition's form.

`$scrypt$ln=14,r=8,p=5$SALT$HASH`, salt and hash in base64 without padding.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sidecar.errors import SidecarError

MOST_MEMORY: Final = 65 * 1024 * 1024
"""Bytes that looking at one password may take: passlib's default, ln=16,r=8,p=1, is just below."""

MOST_WORK: Final = 1 << 22
"""2**ln * r * p: six times what `make` takes, about a second."""

SALT_SIZE: Final = 16
HASH_SIZE: Final = 32

_FORM = re.compile(
    r"\$scrypt\$ln=([0-9]{1,2}),r=([0-9]{1,2}),p=([0-9]{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})",
    re.ASCII,
)


class HashUnusable(SidecarError):
    """The text is no hash of scrypt, or one that is too weak or too dear to work out."""


@dataclass(frozen=True, slots=True)
class Cost:
    """2**`ln` blocks of 128 * `r` bytes, `p` times. The default is 16 MiB, one of OWASP's equal choices:
    those with fewer rounds take 128 MiB, more than all the rest of a daemon."""

    ln: int = 14
    r: int = 8
    p: int = 5

    @property
    def memory(self) -> int:
        """Bytes that it takes."""
        return 128 * self.r * ((1 << self.ln) + self.p + 2)

    def derive(self, password: str, salt: bytes, size: int = HASH_SIZE) -> bytes:
        """The hash. Takes a good part of a second: not for the main loop. Releases the GIL."""
        return hashlib.scrypt(
            password.encode("utf-8", "surrogatepass"),
            salt=salt,
            n=1 << self.ln,
            r=self.r,
            p=self.p,
            dklen=size,
            maxmem=self.memory + 4096,
        )


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """The hash of one password."""

    cost: Cost
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    def matches(self, password: str) -> bool:
        """Whether it is that password's, found out in a time that depends on the cost alone.

        An empty password matches nothing. Not for the main loop.
        """
        derived = self.cost.derive(password, self.salt, len(self.digest))
        return hmac.compare_digest(derived, self.digest) and bool(password)

    def __str__(self) -> str:
        cost = f"ln={self.cost.ln},r={self.cost.r},p={self.cost.p}"
        return f"$scrypt${cost}${_text(self.salt)}${_text(self.digest)}"


def make(password: str, random: Callable[[int], bytes], cost: Cost | None = None) -> PasswordHash:
    """The hash of `password`; `random`: so many bytes that nobody can guess."""
    cost = cost or Cost()
    salt = random(SALT_SIZE)
    return PasswordHash(cost, salt, cost.derive(password, salt))


def nobodys(cost: Cost) -> PasswordHash:
    """A hash that no password has, and that takes as long as another of that cost to find that out."""
    # 32 zeros out of scrypt: as likely as guessing the hash
    return PasswordHash(cost, bytes(SALT_SIZE), bytes(HASH_SIZE))


def parse(text: str) -> PasswordHash:
    """Understands what `str` of a hash writes. Raises HashUnusable and nothing else."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise HashUnusable("is not $scrypt$ln=..,r=..,p=..$SALT$HASH; `vdi-sidecar user hash` makes one")
    ln, r, p = (int(number) for number in match.groups()[:3])
    # the exponent first: a power of it is worked out below
    if not 10 <= ln <= 20 or not 1 <= r <= 32 or not 1 <= p <= 64:
        raise HashUnusable("has a cost that is too low or too high; ln=14,r=8,p=5 is usual")
    cost = Cost(ln, r, p)
    if cost.memory > MOST_MEMORY or (1 << ln) * r * p > MOST_WORK:
        raise HashUnusable("takes more memory or time than a login may; ln=14,r=8,p=5 is usual")
    return PasswordHash(cost, _bytes(match[4]), _bytes(match[5]))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise HashUnusable("has a salt or a hash that is not base64 without padding") from None
