"""What of a machine a session may see, where its login does not let it see everything.

`Session.consoles` names it. A number is that console's own, and nothing else's. Any other name is the label
of a display, or the name or the label of a serial port.
"""

from sidecar.guest import Console, Guest, GuestState
from sidecar.session.session import Session

FIRST_SCREEN = "0"
"""Who may see the machine's first screen, by its number, may use what belongs to no screen."""


class Sight:
    """The consoles of `guest` that may be seen by those with `names`; None: all of them.

    Holds at every moment for the machine of that moment, so it is to be asked again whenever that changes.
    """

    def __init__(self, guest: Guest, names: frozenset[str] | None) -> None:
        self._guest = guest
        self._names = names

    @property
    def consoles(self) -> list[Console]:
        """Those that are there now, in the guest's order."""
        return [console for console in self._guest.consoles.values() if self.allows(console)]

    def allows(self, console: Console) -> bool:
        """Whether this one may be seen now, be it there or not."""
        names = self._names
        if names is None or str(console.index) in names:
            return True
        # a label that is a number is nobody's name, lest it be taken for that console
        if not console.label or console.label.isdecimal():
            return False
        if console.label in names and self._guest.state is GuestState.ATTACHED:
            # while no machine is there nobody knows what the next one has in this place
            return True
        return any(
            port.label == console.label and names_port(names, port.name, port.label)
            for port in self._guest.ports.values()
        )


def names_port(names: frozenset[str] | None, name: str, label: str) -> bool:
    """Whether those with `names` may see a serial port, as a stream of bytes or as a screen."""
    return names is None or any(each in names and not each.isdecimal() for each in (name, label))


def names_machine(names: frozenset[str] | None) -> bool:
    """Whether those with `names` have what belongs to no screen: sound, clipboard, switches, USB slots."""
    return names is None or FIRST_SCREEN in names


def may_use_machine(session: Session) -> bool:
    """Whether a session has what belongs to no screen: sound, microphone, clipboard, the switches."""
    return names_machine(session.consoles)
