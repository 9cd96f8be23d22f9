"""The settings in the management API."""

from typing import Annotated, Any, Final, TypedDict

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from sidecar.control.operation import Call, Operation
from sidecar.control.role import Role
from sidecar.control.settings import LogLevel, ScreenshotPolicy, Settings
from sidecar.session.registry import SharePolicy

PATH: Final = "/api/v1/settings"

MOST_SESSIONS: Final = 4096


class SettingsAnswer(TypedDict):
    """As they are now."""

    share: SharePolicy
    max_sessions: int
    view_only: bool
    screenshots: ScreenshotPolicy
    log_level: LogLevel


class SettingsChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays. A change that is not valid changes nothing at all."""

    share: (
        Annotated[SharePolicy, Meta(description="What happens when somebody logs in while others are there.")]
        | UnsetType
    ) = UNSET
    max_sessions: (
        Annotated[int, Meta(ge=1, le=MOST_SESSIONS, description="Sessions at once.")] | UnsetType
    ) = UNSET
    view_only: (
        Annotated[bool, Meta(description="Whether whoever comes from now on is view-only.")] | UnsetType
    ) = UNSET
    screenshots: (
        Annotated[ScreenshotPolicy, Meta(description="Whether pictures of the screen are given.")] | UnsetType
    ) = UNSET
    log_level: Annotated[LogLevel, Meta(description="What is logged.")] | UnsetType = UNSET


def settings_operations(settings: Settings) -> tuple[Operation, ...]:
    """GET and PATCH /api/v1/settings."""

    async def told(_call: Call) -> SettingsAnswer:
        return _answer(settings)

    async def change(call: Call) -> SettingsAnswer:
        settings.change(**_given(call.body))
        return _answer(settings)

    return (
        Operation("GET", PATH, "getSettings", "The settings", Role.VIEWER, told, result=SettingsAnswer),
        Operation(
            "PATCH",
            PATH,
            "changeSettings",
            "Change settings, until the daemon is started again",
            Role.ADMIN,
            change,
            body=SettingsChange,
            result=SettingsAnswer,
            description="Nobody is disconnected by it: it counts for whoever comes from now on.",
            audited=lambda call: _given(call.body),
        ),
    )


def _given(change: SettingsChange) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET}


def _answer(settings: Settings) -> SettingsAnswer:
    return SettingsAnswer(
        share=settings.share,
        max_sessions=settings.max_sessions,
        view_only=settings.view_only,
        screenshots=settings.screenshots,
        log_level=settings.log_level,
    )
