"""What guests and administrators do while clients converse."""

import numpy as np
from support.synthetic_guest import SyntheticGuest

from sidecar.guest import ConsoleChange, GuestState, Led
from sidecar.screen.cursor import Cursor
from sidecar.session.registry import Registry

EVENTS = ("draw", "resize", "cursor", "leds", "mode", "lost", "back", "view only", "end")


def happen(guest: SyntheticGuest, registry: Registry, what: str, number: int) -> None:
    """Something that guest, administrator or time do: one of EVENTS. `number`: makes each another one."""
    console = guest.console
    match what:
        case "draw":
            pixels = np.random.default_rng(number).integers(0, 1 << 24, (90, 90)).astype(np.uint32)
            console.draw(number * 37 % 300, number * 23 % 200, pixels)
        case "resize":
            console.resize(1 + number * 97 % 700, 1 + number * 61 % 500)
        case "cursor":
            shape = (number % 3 * 11, number % 5 * 7)
            console.show_cursor(Cursor(np.full(shape, 0xFF00FF00, np.uint32), 40, 40) if number % 4 else None)
        case "leds":
            console.set_leds(Led(number % 8))
        case "mode":
            console.pointer.is_absolute = not console.pointer.is_absolute
            console.changes.notify(ConsoleChange.POINTER_MODE)
        case "lost" | "back":
            guest.state = GuestState.LOST if what == "lost" else GuestState.ATTACHED
            if what == "lost":
                # its keyboard and its mouse are lost with it
                console.keyboard.held.clear()
                console.pointer.held.clear()
            guest.lifecycle.notify(guest.state)
        case "view only" | "end":
            for session in list(registry)[:1]:
                if what == "end":
                    registry.end(session.id)
                elif session.is_initialized:
                    registry.set_view_only(session.id, not session.view_only)
