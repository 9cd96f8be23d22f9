"""Tickets: secrets that let somebody in for a while, with fewer rights than the machine's password."""

import math
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final, get_args

from sidecar.access.grant import Attempt, Candidate, Grant, LoginFailed, LoginProtocol
from sidecar.access.password import Passwords
from sidecar.errors import SidecarError

MOST_TICKETS: Final = 256
"""At once, those that are used up but not yet over included."""

LONGEST_VALIDITY: Final = 30 * 86400.0
"""Seconds."""

LONGEST_SECRET: Final = 128
LONGEST_NAME: Final = 64
LONGEST_NOTE: Final = 200
MOST_CONSOLES: Final = 16
"""Characters, but for the last."""

SHORTEST_SECRET: Final = 6
"""Characters of a secret that somebody has chosen."""

ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz"
"""Letters and digits that nobody takes for one another."""

VNC_LENGTH: Final = 8
"""Characters of a secret that VNC's own authentication may be asked for: it looks at no more. 46 bits."""

LENGTH: Final = 20
"""Characters of other secrets: 115 bits."""

VNC: Final[frozenset[LoginProtocol]] = frozenset({"vnc", "web"})
"""Where VNC's own authentication is."""

VIEWERS: Final[frozenset[LoginProtocol]] = frozenset({"vnc", "rdp", "web"})
"""What a ticket is for if nothing is said: everything that shows the screen."""


class TicketUnacceptable(SidecarError):
    """A ticket cannot be as somebody wants it; the text says why, and never holds the secret."""


class TicketClash(SidecarError):
    """Another secret of this machine is the same to VNC's authentication."""


class TooManyTickets(SidecarError):
    """There are as many as there may be."""


class NoSuchTicket(SidecarError):
    """There is no ticket of that id, or it is over."""

    def __init__(self, ticket_id: str) -> None:
        # an id comes from outside: it is shown short and printable
        super().__init__(f"there is no ticket {ticket_id[:32]!a}; `vdi-sidecar ticket list` lists them")


@dataclass(frozen=True, slots=True)
class TicketWish:
    """What somebody wants a ticket to be.

    `valid_to`: seconds since 1970. `once`: good for one session. `consoles`: None: all. `user`: the name to
    give with it where the protocol has names; empty: any. `note`: for people. `secret`: None: one is made
    up. `end_sessions`: sessions (and WebSockets of the API) that it has let in end with it, when it is over
    or revoked.
    """

    valid_to: float
    once: bool = False
    protocols: frozenset[LoginProtocol] = VIEWERS
    view_only: bool = False
    consoles: frozenset[str] | None = None
    user: str = ""
    note: str = ""
    end_sessions: bool = False
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket. `made_by`, `made_at`: who made it, and when (seconds since 1970). `uses`: how often it was
    used. Its secret is there while it can be used again."""

    id: str
    wish: TicketWish
    made_by: str
    made_at: float
    uses: int = 0

    @property
    def is_used_up(self) -> bool:
        """Whether it will let in nobody more."""
        return self.wish.once and self.uses > 0

    @property
    def grant(self) -> Grant:
        """What it grants."""
        wish = self.wish
        return Grant("ticket", wish.user, wish.view_only, wish.consoles, ticket=self.id)


class Tickets:
    """The tickets of this machine, in memory alone. Does no I/O; belongs to the main loop.

    `clock`: seconds since 1970. `random`: a whole number below its argument that nobody can guess.
    `passwords`: the machine's own, which no ticket may be mistaken for. A ticket that is over lets nobody
    in from that moment on, and is there until `drop_over` takes it away.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        random: Callable[[int], int],
        passwords: Passwords | None = None,
    ) -> None:
        self._clock = clock
        self._random = random
        self._passwords = Passwords() if passwords is None else passwords
        self._tickets: OrderedDict[str, Ticket] = OrderedDict()
        self._numbers = 0

    def create(self, wish: TicketWish, made_by: str) -> Ticket:
        """Makes a ticket. Raises TicketUnacceptable, TicketClash, TooManyTickets; then there is none."""
        now = self._clock()
        _check(wish, now)
        if len(self._tickets) >= MOST_TICKETS:
            raise TooManyTickets(f"there are {MOST_TICKETS} tickets already: revoke some, or wait")
        taken = self._taken()
        secret = wish.secret
        if secret is None:
            length = VNC_LENGTH if wish.protocols & VNC else LENGTH
            secret = self._secret(length)
            while vnc_key(secret) in taken:
                secret = self._secret(length)
        elif vnc_key(secret) in taken:
            raise TicketClash(
                "another ticket or the machine's password begins with the same 8 bytes, and VNC's "
                "authentication looks at no more: choose another secret"
            )
        self._numbers += 1
        ticket = Ticket(f"t{self._numbers}", replace(wish, secret=secret), made_by, now)
        self._tickets[ticket.id] = ticket
        return ticket

    def revoke(self, ticket_id: str) -> Ticket:
        """Takes a ticket away. Raises NoSuchTicket."""
        ticket = self._tickets.pop(ticket_id, None)
        if ticket is None:
            raise NoSuchTicket(ticket_id)
        return ticket

    def drop_over(self) -> list[Ticket]:
        """Takes those away whose time is over, and returns them."""
        now = self._clock()
        over = [ticket for ticket in self._tickets.values() if ticket.wish.valid_to <= now]
        for ticket in over:
            del self._tickets[ticket.id]
        return over

    def find(self, ticket_id: str) -> Ticket:
        """The ticket of that id. Raises NoSuchTicket, also where it is over."""
        ticket = self._tickets.get(ticket_id)
        if ticket is None or ticket.wish.valid_to <= self._clock():
            raise NoSuchTicket(ticket_id)
        return ticket

    def live(self) -> list[Ticket]:
        """Those that are not over, the used up included, in the order in which they were made."""
        now = self._clock()
        return [ticket for ticket in self._tickets.values() if ticket.wish.valid_to > now]

    @property
    def next_end(self) -> float | None:
        """When the next one is over, in seconds since 1970; None: there is none."""
        return min((ticket.wish.valid_to for ticket in self._tickets.values()), default=None)

    def open_to(self, protocols: frozenset[LoginProtocol]) -> int:
        """How many would let somebody in by one of `protocols` now."""
        return sum(
            not ticket.is_used_up and bool(ticket.wish.protocols & protocols) for ticket in self.live()
        )

    def candidates(self, attempt: Attempt, user: str) -> list[Candidate]:
        """The secrets that would let `user` in; empty: whatever the name."""
        return [
            Candidate(ticket.grant, password=ticket.wish.secret)
            for ticket in self.live()
            if not ticket.is_used_up
            and attempt.protocol in ticket.wish.protocols
            and (not user or ticket.wish.user in ("", user))
        ]

    def use(self, attempt: Attempt, ticket_id: str) -> None:
        """Counts a use. Raises LoginFailed where it is over, revoked or used up meanwhile."""
        try:
            ticket = self.find(ticket_id)
        except NoSuchTicket:
            raise LoginFailed from None
        if ticket.is_used_up or attempt.protocol not in ticket.wish.protocols:
            raise LoginFailed
        if ticket.wish.once and attempt.protocol == "api" and not ticket.wish.end_sessions:
            # nobody holds on to it
            del self._tickets[ticket_id]
            return
        # nobody needs the secret of one that is used up
        wish = replace(ticket.wish, secret=None) if ticket.wish.once else ticket.wish
        self._tickets[ticket_id] = replace(ticket, wish=wish, uses=ticket.uses + 1)

    def forget_used_up(self, ticket_id: str) -> None:
        """Takes a ticket away that is used up; nothing happens to others."""
        ticket = self._tickets.get(ticket_id)
        if ticket is not None and ticket.is_used_up:
            del self._tickets[ticket_id]

    def __len__(self) -> int:
        return len(self._tickets)

    def _secret(self, length: int) -> str:
        return "".join(ALPHABET[self._random(len(ALPHABET))] for _ in range(length))

    def _taken(self) -> set[bytes]:
        """What the secrets of now are to VNC's authentication."""
        secrets = [ticket.wish.secret for ticket in self.live()]
        secrets.append(self._passwords.password_of(""))
        return {vnc_key(secret) for secret in secrets if secret}


def vnc_key(secret: str) -> bytes:
    """What VNC's authentication makes of a secret (rfbproto 7.2.2): its first 8 bytes, as a key of DES,
    which does not look at what is the first bit of each."""
    key = secret.encode("utf-8", "surrogateescape")[:8].ljust(8, b"\0")
    return bytes(byte & 0x7F for byte in key)


def _check(wish: TicketWish, now: float) -> None:
    """Raises TicketUnacceptable."""
    if not math.isfinite(wish.valid_to) or wish.valid_to <= now:
        raise TicketUnacceptable("the ticket would be over already: its end must lie ahead")
    if wish.valid_to > now + LONGEST_VALIDITY:
        raise TicketUnacceptable(f"a ticket is valid for {LONGEST_VALIDITY / 86400:.0f} days at most")
    known = get_args(LoginProtocol)
    if not wish.protocols or not wish.protocols <= set(known):
        raise TicketUnacceptable(f"a ticket is for one or more of {', '.join(known)}")
    _check_text("the user's name", wish.user, LONGEST_NAME)
    _check_text("the note", wish.note, LONGEST_NOTE)
    if wish.consoles is not None:
        if not 1 <= len(wish.consoles) <= MOST_CONSOLES:
            raise TicketUnacceptable(f"a ticket names 1 to {MOST_CONSOLES} consoles, or none for all of them")
        for console in wish.consoles:
            if not console:
                raise TicketUnacceptable("a console's name must not be empty")
            _check_text("a console's name", console, LONGEST_NAME)
    if wish.secret is not None:
        if len(wish.secret) < SHORTEST_SECRET:
            raise TicketUnacceptable(f"the secret must have {SHORTEST_SECRET} characters or more")
        _check_text("the secret", wish.secret, LONGEST_SECRET)


def _check_text(what: str, text: str, longest: int) -> None:
    if len(text) > longest:
        raise TicketUnacceptable(f"{what} must have {longest} characters or fewer")
    if not is_plain(text):
        raise TicketUnacceptable(f"{what} must be text without control characters")


def is_plain(text: Iterable[str]) -> bool:
    """Whether it has neither control characters nor halves of surrogate pairs."""
    return not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text)
