"""org.QemuDisplay.RDP: how libvirt drives `vdi-qemu-rdp`."""

from typing import Final

from sidecar.config.password import LONGEST_PASSWORD
from sidecar.drop_in.objects import Interface, Object, Objects, invalid
from sidecar.drop_in.rdp_credentials import RdpCredentials
from sidecar.log import get_logger
from sidecar.qemu.connection import Connection

log = get_logger(__name__)

BUS_NAMES: Final = ("org.QemuDisplay.RDP", "org.QemuDisplay")
"""That which libvirt watches and calls, and that which qemu-rdp itself takes."""

PATH: Final = "/org/qemu_display/rdp"

RDP: Final = Interface(
    "org.QemuDisplay.RDP",
    methods={"SetCredentials": ((("username", "s"), ("password", "s"), ("domain", "s")), ())},
    signals={"Leaving": (("reason", "s"),)},
)


class RdpManagement:
    """The object on the bus. `credentials`: what was set last."""

    def __init__(self, connection: Connection) -> None:
        self.credentials: RdpCredentials | None = None
        self._objects = Objects(connection, PATH, manages=False)
        self._objects.add(Object(PATH, RDP, methods={"SetCredentials": self._set_credentials}))

    def leave(self, reason: str) -> None:
        """Says that the program ends."""
        self._objects.emit(PATH, "Leaving", reason)

    def _set_credentials(self, user: str, password: str, _domain: str) -> None:
        # the domain is what a client says, and no machine of ours is in one
        for value in (user, password):
            if len(value.encode("utf-8", "surrogatepass")) > LONGEST_PASSWORD:
                raise invalid(f"names and passwords have at most {LONGEST_PASSWORD} bytes")
        self.credentials = RdpCredentials(user, password)
        log.info("credentials set by the manager", user=user, empty=not password)
