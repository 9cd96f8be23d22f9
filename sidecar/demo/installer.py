"""What the demo adds to Debian's graphical installer: a login on its serial port, speech, a shared clipboard.

The installer stays as it is. An archive behind its own first file system brings files that are not there: a
script among those that it runs at the start tells its init what else to run.
"""

import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from sidecar.demo.cpio import Entry, archive, directory, file, link

USER = "demo"
PASSWORD = "demo"  # noqa: S105 - it is told to everybody

START_SCRIPTS = "lib/debian-installer-startup.d"

AT_THE_START = """#!/bin/sh
# init reads its table again after these scripts
cat >>/etc/inittab <<'END'
ttyS0::respawn:/sbin/demo-login
::respawn:/sbin/demo-agent
END
"""

LOGIN = f"""#!/bin/sh
# The installer's busybox has neither getty nor login.
stop() {{ sleep 2; exit 1; }}
trap '' INT QUIT TSTP
while [ -z "$user" ]; do
    printf '\\r\\ndemo login: '
    read -r user || stop
done
printf 'Password: '
read -rs password || stop
echo
if [ "$user" != {USER} ] || [ "$password" != {PASSWORD} ]; then
    echo 'Login incorrect'
    stop
fi
trap - INT QUIT TSTP
echo 'A shell beside the installer. Try: say hello'
cd /root 2>/dev/null || cd /
export HOME=$PWD PS1='demo# ' TERM=vt100
exec sh -i
"""

SAY = """#!/bin/sh
# say TEXT: speaks it on the sound card, by the voice that reads the installer to those who cannot see it
if ! [ -e /var/run/demo-voice.pid ]; then
    # an installer that finds this module takes its user for blind and shows text alone
    until pidof main-menu >/dev/null; do sleep 1; done
    if ! [ -c /dev/snd/pcmC0D0p ] || ! modprobe speakup_soft; then
        echo 'say: there is no sound here' >&2
        exit 1
    fi
    # or it would read the other terminals, too
    echo 1 >/sys/accessibility/speakup/silent 2>/dev/null
    ALSA_CARD=0 espeakup --alsa-volume -V en >/dev/null 2>&1 </dev/null
    until [ -s /var/run/espeakup.pid ]; do sleep 1; done
    # an installer that finds it changes the voice with its language, and waits for what only it would start
    mv /var/run/espeakup.pid /var/run/demo-voice.pid
fi
printf '%.200s\\n' "$*" >/sys/accessibility/speakup/synth_direct
"""

AGENT_HOME = "usr/lib/demo-agent"
AGENT_PROGRAMS = ("spice-vdagent", "spice-vdagentd")

AGENT = f"""#!/bin/sh
# The agent that shares the clipboard, if there is one, as long as the installer's display is there.
home=/{AGENT_HOME}
until [ -x $home/loader ] && [ -c /dev/virtio-ports/com.redhat.spice.0 ] && [ -S /tmp/.X11-unix/X0 ]; do
    sleep 3
done
run() {{ program=$1; shift; $home/loader --library-path $home $home/$program "$@" >/dev/null 2>&1; }}
mkdir -p /run/spice-vdagentd
# it has no say in the pointer, and needs no driver for one
pid=$(cat /run/spice-vdagentd/spice-vdagentd.pid 2>/dev/null)
[ -n "$pid" ] && [ -d "/proc/$pid" ] || run spice-vdagentd -X -f -u /dev/null
DISPLAY=:0 run spice-vdagent -x
sleep 3
"""


def agent_is_here() -> bool:
    """Whether this machine has a spice-vdagent that the installer can run."""
    return platform.machine() == "x86_64" and all(_program(name) for name in (*AGENT_PROGRAMS, "ldd"))


def write_initrd(original: Path, target: Path) -> None:
    """Writes the installer's first file system with what the demo adds. Takes up to a second."""
    with target.open("wb") as written:
        with original.open("rb") as given:
            shutil.copyfileobj(given, written, 1 << 20)
        written.write(bytes(-written.tell() % 4))
        written.write(archive(_entries()))


def _entries() -> Iterator[Entry]:
    yield directory(START_SCRIPTS)
    yield file(f"{START_SCRIPTS}/S99demo", AT_THE_START.encode(), 0o755)
    yield file("sbin/demo-login", LOGIN.encode(), 0o755)
    yield file("sbin/demo-agent", AGENT.encode(), 0o755)
    yield file("bin/say", SAY.encode(), 0o755)
    if agent_is_here():
        yield from _agent()


def _agent() -> Iterator[Entry]:
    """The agent of this machine with all its libraries: the installer has others, and few."""
    yield directory(AGENT_HOME)
    libraries: dict[str, Path] = {}
    for name in AGENT_PROGRAMS:
        program = _program(name)
        yield file(f"{AGENT_HOME}/{name}", Path(program).read_bytes(), 0o755)
        listed = subprocess.run(  # noqa: S603 - a program of this system
            (_program("ldd"), program), capture_output=True, text=True, check=True
        ).stdout
        # "libx.so.1 => /lib/libx.so.1 (0x...)", and the loader with its path alone
        for path in re.findall(r"^\s*(?:\S+ => )?(/\S+) \(0x", listed, re.MULTILINE):
            libraries[Path(path).name] = Path(path)
    for name, path in libraries.items():
        yield file(f"{AGENT_HOME}/{name}", path.read_bytes(), 0o755)
        if name.startswith("ld-linux"):
            yield link(f"{AGENT_HOME}/loader", name)


def _program(name: str) -> str:
    """Its path; empty if it is not here. Those of administrators are found by everybody."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin") or ""
