"""What can go wrong between QEMU and us."""

from sidecar.errors import SidecarError


class QemuError(Exception):
    """Base of the errors of this package that the package itself handles."""


class CallRefused(QemuError):
    """The other side answered a D-Bus call with an error: its `name`, and its text."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


class ConnectionLost(QemuError):
    """The connection ended, could not be made, or does not answer."""


class QmpRefused(QemuError):
    """QEMU answered a monitor command with an error."""


class ListenerError(QemuError):
    """QEMU sent a picture, a map or a cursor that cannot be what it says."""


class BusError(SidecarError):
    """The private bus cannot be started."""


class AttachError(SidecarError):
    """This way to attach can never work."""


UNSUPPORTED = "org.qemu.Display1.Error.Unsupported"
INVALID = "org.qemu.Display1.Error.Invalid"
INVALID_ARGUMENTS = "org.freedesktop.DBus.Error.InvalidArgs"
NOT_SUPPORTED = "org.freedesktop.DBus.Error.NotSupported"
