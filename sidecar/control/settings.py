"""What can be changed while the daemon runs."""

import logging
from dataclasses import replace
from typing import Literal, TypeAlias

from sidecar.session.registry import Policy, Registry, SharePolicy

ScreenshotPolicy: TypeAlias = Literal["always", "unwatched", "never"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]


class Settings:
    """The settings of this moment. Belongs to the main loop.

    Those of sessions are the registry's policy, and count for sessions that begin from now on: nobody is
    ended or loses the keyboard by them.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        screenshots: ScreenshotPolicy = "always",
        log_level: LogLevel = "info",
    ) -> None:
        self._registry = registry
        self.screenshots: ScreenshotPolicy = screenshots
        """Whether pictures of the screen are given: always, while nobody watches, never."""
        self._log_level: LogLevel = log_level

    @property
    def share(self) -> SharePolicy:
        """What happens when somebody logs in while others are there."""
        return self._registry.policy.share

    @property
    def max_sessions(self) -> int:
        """Sessions at once."""
        return self._registry.policy.max_sessions

    @property
    def view_only(self) -> bool:
        """Whether whoever comes is view-only."""
        return self._registry.policy.view_only

    @property
    def log_level(self) -> LogLevel:
        """What is logged; the audit log is, at every level."""
        return self._log_level

    def change(
        self,
        *,
        share: SharePolicy | None = None,
        max_sessions: int | None = None,
        view_only: bool | None = None,
        screenshots: ScreenshotPolicy | None = None,
        log_level: LogLevel | None = None,
    ) -> None:
        """Changes what is not None, all at once; the values have been checked."""
        policy = self._registry.policy
        sessions = policy.max_sessions if max_sessions is None else max_sessions
        self._registry.policy = replace(
            policy,
            share=policy.share if share is None else share,
            max_sessions=sessions,
            max_waiting=max(Policy.max_waiting, sessions),
            view_only=policy.view_only if view_only is None else view_only,
        )
        if screenshots is not None:
            self.screenshots = screenshots
        if log_level is not None:
            self._log_level = log_level
            logging.getLogger().setLevel(log_level.upper())
