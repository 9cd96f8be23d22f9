"""A program: runs libvirt's daemon as a user, and is the parent of the machines that the daemon starts.

libvirt leaves its machines to process 1 and takes one for ended only when process 1 has waited for it. In a
pod that is virt-launcher-monitor; where tests run it may be anything, and slow. On SIGTERM this ends the
daemon, and then whatever is left.

Arguments: the user's name, or "-" for its own; then the command.
"""

import ctypes
import os
import pwd
import signal
import sys
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def become(user: str) -> None:
    """Gives up being root."""
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def children() -> list[int]:
    """The processes that are ours."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[1]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == os.getpid():
            found.append(int(entry.name))
    return found


def main() -> int:
    """Returns the daemon's exit status."""
    user, *command = sys.argv[1:]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    daemon = os.fork()
    if not daemon:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        if user != "-":
            become(user)
        os.execvp(command[0], command)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(daemon, signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    while True:
        ended, status = os.wait()
        if ended == daemon:
            break
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while left := children():
        for process in left:
            os.kill(process, signal.SIGKILL)
        for process in left:
            os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
