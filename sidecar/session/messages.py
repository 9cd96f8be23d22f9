"""A sentence of an administrator for people in front of a screen: to one session, or to all."""

from typing import Final

from sidecar.errors import SidecarError, UsageError
from sidecar.log import get_logger
from sidecar.session.registry import Registry

log = get_logger(__name__)

LONGEST_TEXT: Final = 500
"""Characters."""

DEFAULT_SECONDS: Final = 10.0
SHORTEST: Final = 1.0
LONGEST: Final = 60.0
"""Seconds for which a message can stand on a screen."""


class BadMessage(UsageError):
    """The text is empty or too long, or the time is out of bounds."""


class NoPicture(SidecarError):
    """The session has no picture in which a message could be shown."""


def show_message(registry: Registry, session_id: str, text: str, seconds: float = DEFAULT_SECONDS) -> None:
    """Has a session shown `text` for so long, in place of a message before. Never waits.

    Raises BadMessage, NoSuchSession, NoPicture.
    """
    text = _checked(text, seconds)
    session = registry.find(session_id)
    if session.show is None:
        raise NoPicture(f"session {session_id} shows no picture, so it cannot show a message")
    session.show(text, seconds)
    log.info("message shown", session=session_id, seconds=seconds)


def show_message_to_all(registry: Registry, text: str, seconds: float = DEFAULT_SECONDS) -> int:
    """The same for every session that has a picture; how many there are. Raises BadMessage."""
    text = _checked(text, seconds)
    shown = 0
    for session in registry:
        if session.show is not None:
            session.show(text, seconds)
            shown += 1
    log.info("message shown", sessions=shown, seconds=seconds)
    return shown


def _checked(text: str, seconds: float) -> str:
    """The text in one line of printable characters. Raises BadMessage."""
    if len(text) > LONGEST_TEXT:
        raise BadMessage(f"a message has at most {LONGEST_TEXT} characters, and this one has {len(text)}")
    text = " ".join(text.split())
    if not text:
        raise BadMessage("a message needs a text")
    if not SHORTEST <= seconds <= LONGEST:
        raise BadMessage(f"a message can be shown for {SHORTEST:g} to {LONGEST:g} seconds")
    return "".join(character if character.isprintable() else "?" for character in text)
