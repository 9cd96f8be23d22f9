"""What can go wrong between a terminal and a serial port, for people."""

from sidecar.errors import NotReady, SidecarError


class Unreachable(NotReady):
    """Nobody answers at the address."""


class NoVncServer(SidecarError):
    """What answers is no VNC server, or one that cannot be spoken to."""


class Refused(SidecarError):
    """The server turns us away, or does not believe the password."""


class NotTrusted(SidecarError):
    """The server's certificate is not proven, or there is none where one is wanted."""


class NoStreams(SidecarError):
    """The server is a VNC server without the streams extension."""


class NoSuchPort(SidecarError):
    """No port, or no single one, is what was asked for."""


class NotWritable(SidecarError):
    """What stands on standard input may not be written to the port."""


class ConnectionBroken(SidecarError):
    """The connection, or the port, ended before we did."""
