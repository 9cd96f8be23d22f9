"""What the daemon can be told: options, their forms and their rules. Knows nothing of the command line."""

from sidecar.config.address import ListenAddress, TcpAddress, UnixAddress
from sidecar.config.options import DaemonOptions, DemoOptions, HookOptions, ServeOptions
from sidecar.config.password import read_password
from sidecar.config.run_directory import ADMIN_SOCKET, prepare_run_directory

__all__ = [
    "ADMIN_SOCKET",
    "DaemonOptions",
    "DemoOptions",
    "HookOptions",
    "ListenAddress",
    "ServeOptions",
    "TcpAddress",
    "UnixAddress",
    "prepare_run_directory",
    "read_password",
]
