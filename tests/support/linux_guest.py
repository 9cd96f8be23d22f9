"""A small real Linux in QEMU: logins on its serial ports, a sound card, and spice-vdagent in its larger
image.

What it is made of, and how: `linux_guest/build.py`. Everything in it is Debian's.
"""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from support.qemu import Qemu

BUILD = Path(__file__).parent / "linux_guest" / "build.py"

USER = "tester"
PASSWORD = "tester"
PROMPT = "guest# "

BOOT = 100.0
"""Seconds that it may take on a machine that does much else; alone it needs 5 to 10."""

QUIET = 2.0
"""Seconds without a byte after which Enter is pressed: what was said before we came is not said again."""

PATIENCE = 90.0
"""Seconds for one command."""

SOUND_CARDS = {
    "hda": ("-device", "intel-hda", "-device", "hda-duplex,audiodev=sound"),
    "es1370": ("-device", "ES1370,audiodev=sound"),
    "ac97": ("-device", "AC97,audiodev=sound"),
}
"""`hda` can record too."""


@cache
def files(kind: str) -> Path:
    """The directory with `kernel` and `initrd` of an image, "small" or "agent"; built when there is none."""
    done = subprocess.run([sys.executable, str(BUILD), kind], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@dataclass(frozen=True, slots=True)
class Result:
    """What a command wrote to its terminal, with LF and without the last one, and its exit status."""

    output: str
    status: int


class Dialogue:
    """Logs in, unless somebody is, and runs commands, each of one line. Bytes in, bytes out; no I/O.

    It can begin at any moment and finds its own way from whatever is shown; `nudge` helps where nothing is.
    """

    def __init__(self, *commands: str) -> None:
        self.results: list[Result] = []
        self._commands = list(commands)
        self._shown = b""
        self._named = False
        self._running = False

    @property
    def is_done(self) -> bool:
        """Whether every command has its result."""
        return len(self.results) == len(self._commands)

    @property
    def shown(self) -> str:
        """What has come since something was typed, for messages."""
        return self._shown.decode(errors="replace")

    def ask(self, *commands: str) -> bytes:
        """Has more commands run; what to type now."""
        self._commands += commands
        return self.receive(b"")

    def receive(self, data: bytes) -> bytes:
        """What to type now that this has come from the terminal."""
        self._shown += data
        if self._running:
            self._read_result()
        if self._running or self.is_done:
            return b""
        if re.search(re.escape(PROMPT.encode()) + rb"(\x1b\[6n)?$", self._shown):
            self._running = True
            return self._type(self._line())
        if self._shown.endswith(b"Password: "):
            return self._type(PASSWORD)
        if self._shown.endswith(b"login: ") and not self._named:
            self._named = True
            return self._type(USER)
        return b""

    def nudge(self) -> bytes:
        """What to type when nothing has come for a while."""
        if self._running or self.is_done:
            return b""
        self._named = False
        return self._type("")

    def _type(self, line: str) -> bytes:
        self._shown = b""
        # getty takes what ends the name for what ends every line, and may see CR as LF when it is early
        return line.encode() + b"\n"

    def _line(self) -> str:
        """The next command between marks that its echo does not show."""
        number = len(self.results)
        return (
            f"printf '\\035%s\\036' {number}; {self._commands[number]}; printf '\\035%s:%s\\036' {number} $?"
        )

    def _read_result(self) -> None:
        number = str(len(self.results)).encode()
        marks = rb"\x1d" + number + rb"\x1e(.*)\x1d" + number + rb":(\d+)\x1e"
        if match := re.search(marks, self._shown, re.DOTALL):
            output = match[1].decode(errors="replace").replace("\r\n", "\n")
            self.results.append(Result(output.removesuffix("\n"), int(match[2])))
            self._shown = self._shown[match.end() :]
            self._running = False


class Shell:
    """A shell at the other end of a terminal line, logged in to when it is used.

    `receive`: what has come since the last call, b"" if nothing; it does not wait.
    """

    def __init__(self, send: Callable[[bytes], object], receive: Callable[[], bytes]) -> None:
        self._send = send
        self._receive = receive
        self._dialogue = Dialogue()

    def run(self, command: str) -> Result:
        """Runs a command and waits for its end. AssertionError when it takes more than 90 s."""
        dialogue = self._dialogue
        typed = dialogue.ask(command)
        last, end = time.monotonic(), time.monotonic() + PATIENCE
        while not dialogue.is_done:
            if typed:
                self._send(typed)
            now = time.monotonic()
            assert now < end, f"{command!r} has not ended, the terminal shows {dialogue.shown[-300:]!r}"
            if data := self._receive():
                last, typed = now, dialogue.receive(data)
            elif now - last > QUIET:
                last, typed = now, dialogue.nudge()
            else:
                typed = b""
                time.sleep(0.02)
        return dialogue.results[-1]

    def check(self, command: str) -> str:
        """What the command says. AssertionError when it fails."""
        result = self.run(command)
        assert result.status == 0, f"{command!r} failed: {result}"
        return result.output


async def run_commands(
    send: Callable[[bytes], object], receive: Callable[[], Awaitable[bytes]], *commands: str
) -> list[Result]:
    """`Shell.run` for coroutines. `receive` waits for the next bytes and may be cancelled."""
    dialogue = Dialogue(*commands)
    async with asyncio.timeout(PATIENCE * len(commands)):
        while not dialogue.is_done:
            try:
                async with asyncio.timeout(QUIET):
                    data = await receive()
            except TimeoutError:
                typed = dialogue.nudge()
            else:
                assert data, f"the line has ended, the terminal showed {dialogue.shown[-300:]!r}"
                typed = dialogue.receive(data)
            if typed:
                send(typed)
    return dialogue.results


class LinuxGuest(Qemu):
    """The Linux guest; it is up, with a login on every port that it has, when the constructor returns.

    Its first serial port is `com1`, where `shell()` logs in. On demand it has

    * `serial_ports`: further ones (ttyS1, ttyS2), on the D-Bus display as org.qemu.console.serial.0, .1;
    * `virtio_console`: hvc0, there as org.example.console.0;
    * `sound`: a card of SOUND_CARDS whose sound goes to the D-Bus display; there, `tone 440 SECONDS`;
    * `clipboard`: QEMU's end of spice-vdagent; the image "agent" has the guest's end, and `clip` in it.

    `display`: `qemu.dbus_display` or `qemu.PEER_TO_PEER_DISPLAY`, or another if none of these is there.
    """

    def __init__(
        self,
        directory: Path,
        display: Sequence[str] = ("-display", "none"),
        *,
        kind: Literal["small", "agent"] = "small",
        serial_ports: int = 0,
        virtio_console: bool = False,
        sound: str | None = None,
        clipboard: bool = False,
        video: str = "VGA",
        memory: int = 256,
        extra: Sequence[str] = (),
    ) -> None:
        options = ["-m", str(memory), "-device", "virtio-serial-pci", "-device", "qemu-xhci,id=usb"]
        options += ["-device", "usb-tablet,bus=usb.0"]
        for number in range(serial_ports):
            name = f"serial{number}"
            options += ["-chardev", f"dbus,id={name},name=org.qemu.console.serial.{number}"]
            options += ["-serial", f"chardev:{name}"]
        if virtio_console:
            options += ["-chardev", "dbus,id=console0,name=org.example.console.0"]
            options += ["-device", "virtconsole,chardev=console0"]
        if sound:
            options += ["-audiodev", "dbus,id=sound", *SOUND_CARDS[sound]]
            display = [*display[:-1], f"{display[-1]},audiodev=sound"]
        if clipboard:
            options += ["-chardev", "qemu-vdagent,id=vdagent,name=vdagent,clipboard=on,mouse=off"]
            options += ["-device", "virtserialport,chardev=vdagent,name=com.redhat.spice.0"]
        image = files(kind)
        options += ["-kernel", f"{image}/kernel", "-initrd", f"{image}/initrd", "-no-reboot"]
        options += ["-append", "console=ttyS0 quiet loglevel=1 panic=-1"]
        super().__init__(directory, display, None, video=video, extra=[*options, *extra])

    def start(self) -> None:
        super().start()
        try:
            self.com1.wait_for("^READY", BOOT)
        except BaseException:
            self.process.kill()
            raise

    def shell(self) -> Shell:
        """A shell on ttyS0."""
        seen = 0

        def receive() -> bytes:
            nonlocal seen
            text = self.com1.read()[seen:]
            seen += len(text)
            return text.encode("latin-1")

        return Shell(self.com1.send, receive)
