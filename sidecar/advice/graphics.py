"""Whether the machine has a screen to show."""

from typing import Final

from sidecar.domain.options import SCREEN_ANNOTATION
from sidecar.domain.vmi import Vmi
from sidecar.problems import Problem, Severity

NO_SCREEN: Final = "NoScreen"


def check_graphics(vmi: Vmi, screen: bool | None) -> Problem | None:
    """A machine without graphics that gets none. `screen`: the option of that name; None: not said."""
    wanted = vmi.annotations.get(SCREEN_ANNOTATION, "").lower() == "true" if screen is None else screen
    if vmi.graphics or wanted:
        return None
    return Problem(
        NO_SCREEN,
        Severity.WARNING,
        "the machine has no graphics device (autoattachGraphicsDevice: false), so there is nothing to watch: "
        f'remove that, or annotate it with {SCREEN_ANNOTATION}: "true"',
    )
