"""QEMU's rules for clients that want a machine for themselves."""

from enum import StrEnum
from typing import Any

from sidecar.session.registry import Policy, Registry
from sidecar.session.session import Session
from sidecar.session.state import EndReason, SessionRefused


class Sharing(StrEnum):
    """What becomes of a client's wish to be alone (RFB: its shared flag is not set)."""

    ALLOW_EXCLUSIVE = "allow-exclusive"
    """it is: the others are ended, and while it is there those who would share are refused"""
    FORCE_SHARED = "force-shared"
    """it is refused"""
    IGNORE = "ignore"
    """nobody looks at it"""


class SharingRegistry(Registry):
    """A registry in which the client's own flag decides, as `sharing` says."""

    def __init__(self, sharing: Sharing, policy: Policy | None = None) -> None:
        super().__init__(policy)
        self._sharing = sharing

    def initialize(self, session: Session, *, shared: bool = True, **about: Any) -> None:
        """As its base; OCCUPIED where the rules do not let the session in."""
        others = [other for other in self if other.is_initialized and other is not session]
        match self._sharing:
            case Sharing.FORCE_SHARED if not shared:
                raise SessionRefused(EndReason.OCCUPIED)
            case Sharing.ALLOW_EXCLUSIVE if shared and any(not other.shared for other in others):
                raise SessionRefused(EndReason.OCCUPIED)
        super().initialize(session, shared=shared, **about)
        if self._sharing is Sharing.ALLOW_EXCLUSIVE and not shared:
            for other in others:
                self.end(other.id, EndReason.REPLACED)
