"""`vdi-sidecar console` in a terminal of its own, against the real server with a synthetic machine."""

import asyncio
import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import termios
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.certificate import write_certificate
from support.synthetic_guest import SyntheticGuest, SyntheticPort
from support.waiting import DEADLINE, eventually

from sidecar.access.logins import Logins
from sidecar.access.password import Passwords
from sidecar.broadcast.broadcast import Broadcasts
from sidecar.encode.store import SegmentStore
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.serial.line import SerialLines, WritePolicy
from sidecar.session.registry import Registry
from sidecar.vnc.access import Access
from sidecar.vnc.capabilities import NO_EXTENSIONS, Extension
from sidecar.vnc.server import VncServer
from sidecar.vnc.streams import streams_tunnel

PORT = "org.qemu.console.serial.0"


class House:
    """A server with a machine that has one serial port and a monitor."""

    def __init__(self, guest: SyntheticGuest, registry: Registry, server: VncServer, port: int) -> None:
        self.guest = guest
        self.registry = registry
        self.server = server
        self.serial = guest.ports[PORT]
        self.address = f"localhost:{port}"


@contextlib.asynccontextmanager
async def house(
    access: Access | None = None,
    write: WritePolicy = WritePolicy.EVERYBODY,
    offered: Extension = Extension.STREAMS,
) -> AsyncIterator[House]:
    guest = SyntheticGuest()
    guest.add_port(SyntheticPort(PORT))
    guest.ports[PORT].label = "serial0"
    registry = Registry()
    with ThreadPoolExecutor(1) as pool, contextlib.closing(Broadcasts(SegmentStore(pool))) as broadcasts:
        with contextlib.closing(SerialLines(guest, write=write)) as lines:
            server = VncServer(
                guest,
                registry,
                broadcasts,
                Seats(guest),
                access=access,
                layout=Layout("us"),
                tunnels=[streams_tunnel(lines)],
                offered=offered,
            )
            async with server:
                yield House(guest, registry, server, await server.listen_tcp("127.0.0.1", 0))


class Person:
    """Somebody at a terminal in which the command runs: what is shown, and keys to type."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str] | None = None) -> None:
        self._keyboard, self.terminal = pty.openpty()
        self.before = termios.tcgetattr(self.terminal)
        os.set_blocking(self._keyboard, False)
        self._shown = bytearray()
        self.child = subprocess.Popen(
            ("setsid", "--ctty", sys.executable, "-m", "sidecar", "console", *arguments),
            stdin=self.terminal,
            stdout=self.terminal,
            stderr=self.terminal,
            env={**os.environ, **(environment or {})},
        )

    @property
    def shown(self) -> str:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._keyboard, 65536):
                self._shown += data
        return self._shown.decode(errors="replace")

    def type(self, keys: bytes) -> None:
        os.write(self._keyboard, keys)

    def accepts(self, keys: bytes) -> bool:
        """Types, if there is room for all of it."""
        if not select.select([], [self._keyboard], [], 0)[1]:
            return False
        with contextlib.suppress(BlockingIOError):
            return os.write(self._keyboard, keys) > 0
        return False

    async def sees(self, text: str) -> None:
        try:
            await eventually(lambda: text in self.shown, text)
        except AssertionError:
            raise AssertionError(f"{text!r} is not shown, but: {self.shown!r}") from None

    async def status(self) -> int:
        """The exit status, once it has ended."""
        await eventually(lambda: (self.shown, self.child.poll() is not None)[1], "the command ends")
        return int(self.child.returncode)

    @property
    def is_stopped(self) -> bool:
        return Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"

    @property
    def has_its_terminal_back(self) -> bool:
        return termios.tcgetattr(self.terminal) == self.before

    def close(self) -> None:
        self.child.kill()
        self.child.wait()
        os.close(self.terminal)
        os.close(self._keyboard)


@contextlib.contextmanager
def person(*arguments: str, **environment: str) -> Iterator[Person]:
    somebody = Person(arguments, environment)
    try:
        yield somebody
    finally:
        somebody.close()


class Pipe:
    """The command with a file to read, and a pipe to print into."""

    def __init__(self, *arguments: str, given: bytes = b"") -> None:
        self._output, output = os.pipe()
        os.set_blocking(self._output, False)
        self._printed = bytearray()
        with tempfile.TemporaryFile() as script:
            script.write(given)
            script.seek(0)
            self.child = subprocess.Popen(
                (sys.executable, "-m", "sidecar", "console", *arguments),
                stdin=script,
                stdout=output,
                stderr=subprocess.PIPE,
            )
        os.close(output)

    def __enter__(self) -> "Pipe":
        return self

    def __exit__(self, *_: object) -> None:
        self.child.kill()
        self.child.communicate()
        self.read_no_more()

    @property
    def printed(self) -> bytes:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._output, 65536):
                self._printed += data
        return bytes(self._printed)

    @property
    def errors(self) -> bytes:
        """Once it has ended."""
        assert self.child.stderr is not None
        return self.child.stderr.read()

    def read_no_more(self) -> None:
        if self._output >= 0:
            os.close(self._output)
            self._output = -1

    def has_ended(self) -> bool:
        return self.child.poll() is not None


async def result(*arguments: str, given: bytes = b"") -> tuple[int | None, str, str]:
    """Exit status, what it printed, and its errors; `given` comes by a pipe."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sidecar",
        "console",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DEADLINE):
            out, err = await child.communicate(given)
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
    return child.returncode, out.decode(), err.decode()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a certificate for localhost."""
    directory = tmp_path_factory.mktemp("tls")
    write_certificate(directory, "localhost")
    return directory


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    path = tmp_path / "password"
    path.write_text("secret\n")
    return str(path)


async def test_a_person_talks_to_the_machine_and_leaves() -> None:
    async with house() as here:
        here.serial.say(b"before\r\n")
        with person("--vnc", here.address) as somebody:
            await somebody.sees("Ctrl-] then q leaves")
            await somebody.sees("before")
            assert not somebody.has_its_terminal_back
            here.serial.say(b"login: \x1b[1m")
            await somebody.sees("login: \x1b[1m")
            somebody.type(b"root\r\x03\x1a")
            await eventually(lambda: here.serial.written == b"root\r\x03\x1a", "the keys arrive")
            somebody.type(b"\x1db")
            await eventually(lambda: here.serial.breaks == 1, "the break arrives")
            somebody.type(b"\x1d\x1d")
            await eventually(lambda: here.serial.written.endswith(b"\x1d"), "the escape character arrives")
            somebody.type(b"\x1dq")
            assert await somebody.status() == 0
            assert somebody.has_its_terminal_back
        await eventually(lambda: here.registry.count() == 0, "the session ends")


async def test_the_modes_come_back_whatever_signal_ends_it() -> None:
    async with house() as here:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            with person("--vnc", here.address) as somebody:
                await somebody.sees("attached to")
                somebody.child.send_signal(number)
                assert await somebody.status() == 128 + number
                assert somebody.has_its_terminal_back


async def test_a_stop_gives_the_terminal_back_for_as_long_as_it_lasts() -> None:
    async with house() as here:
        with person("--vnc", here.address) as somebody:
            await somebody.sees("attached to")
            somebody.child.send_signal(signal.SIGTSTP)
            await eventually(lambda: somebody.is_stopped, "it stops")
            assert somebody.has_its_terminal_back
            somebody.child.send_signal(signal.SIGCONT)
            await eventually(lambda: not somebody.has_its_terminal_back, "the terminal is raw again")
            somebody.type(b"\x1dz")
            await eventually(lambda: somebody.is_stopped, "it stops")
            assert somebody.has_its_terminal_back
            somebody.child.send_signal(signal.SIGCONT)
            await eventually(lambda: not somebody.has_its_terminal_back, "the terminal is raw again")
            somebody.type(b"still here\x1dq")
            assert await somebody.status() == 0
            assert somebody.has_its_terminal_back
            await eventually(lambda: here.serial.written == b"still here", "the last keys arrive")


async def test_the_end_of_the_server_is_an_error() -> None:
    with contextlib.ExitStack() as stack:
        async with house() as here:
            somebody = stack.enter_context(person("--vnc", here.address))
            await somebody.sees("attached to")
        assert await somebody.status() == 1
        await somebody.sees("vdi-sidecar: the server has closed the connection")
        assert somebody.has_its_terminal_back


async def test_the_end_of_the_port_is_an_error_at_a_terminal() -> None:
    async with house() as here:
        with person("--vnc", here.address) as somebody:
            await somebody.sees("attached to")
            here.guest.remove_port(here.serial)
            assert await somebody.status() == 1
            await somebody.sees("it is gone")
            assert somebody.has_its_terminal_back


async def test_a_terminal_that_shows_nothing_can_still_be_left() -> None:
    async with house() as here:
        with person("--vnc", here.address) as somebody:
            await somebody.sees("attached to")
            for _ in range(128):
                here.serial.say(b"x" * 65536)
                await asyncio.sleep(0)
            somebody.type(b"\x1dq")
            await eventually(lambda: somebody.child.poll() is not None, "it ends")
            assert somebody.child.returncode == 0
            assert somebody.has_its_terminal_back


async def test_a_machine_that_takes_nothing_can_still_be_left() -> None:
    async with house() as here:
        here.serial.takes = 0
        with person("--vnc", here.address) as somebody:
            await somebody.sees("attached to")
            for _ in range(200):
                await eventually(lambda: somebody.accepts(b"y" * 1024), "the keys are taken")
            await somebody.sees("what you type is dropped")
            somebody.type(b"\x1dq")
            assert await somebody.status() == 0


async def test_a_password_is_asked_for_without_being_shown() -> None:
    async with house(Access(Logins(Passwords(lambda: "secret")))) as here:
        with person("--vnc", here.address) as somebody:
            await somebody.sees("Password: ")
            somebody.type(b"secret\r")
            await somebody.sees("attached to")
            assert "secret" not in somebody.shown
            somebody.type(b"\x1dq")
            assert await somebody.status() == 0
            assert somebody.has_its_terminal_back


async def test_a_question_that_is_broken_off_leaves_the_terminal_as_it_was() -> None:
    async with house(Access(Logins(Passwords(lambda: "secret")))) as here:
        with person("--vnc", here.address) as somebody:
            await somebody.sees("Password: ")
            assert not somebody.has_its_terminal_back
            somebody.type(b"\x03")
            assert await somebody.status() == 130
            assert somebody.has_its_terminal_back


async def test_a_wrong_password_is_told(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("wrong")
    async with house(Access(Logins(Passwords(lambda: "secret")))) as here:
        status, _, err = await result("--vnc", here.address, "--password-file", str(path), "--list")
        assert (status, err.count("\n")) == (1, 1)
        assert "is the password right?" in err


@pytest.mark.parametrize("password", [None, "secret"])
async def test_tls_proves_the_server(password: str | None, certificate: Path, password_file: str) -> None:
    access = Access(Logins(Passwords(None if password is None else lambda: password)), certificate)
    async with house(access) as here:
        authority = ("--ca", str(certificate / "tls.crt"))
        status, out, err = await result(
            "--vnc", here.address, "--password-file", password_file, "--list", *authority
        )
        assert (status, err) == (0, "")
        assert "serial0" in out


async def test_a_server_that_is_not_proven_is_not_spoken_to(certificate: Path) -> None:
    async with house(Access(Logins(), certificate)) as here:
        options = ("--vnc", here.address, "--list")
        status, out, err = await result(*options)
        assert (status, out) == (1, "")
        assert "not trusted" in err
        assert "--ca" in err
        status, out, err = await result(
            *options, "--ca", str(certificate / "tls.crt"), "--tls-name", "elsewhere"
        )
        assert (status, out) == (1, "")
        assert "not for 'elsewhere'" in err
        status, out, err = await result(*options, "--tls-insecure")
        assert (status, err.count("the certificate is not checked")) == (0, 1)


async def test_who_names_an_authority_gets_tls_or_nothing(certificate: Path) -> None:
    async with house() as here:
        status, _, err = await result("--vnc", here.address, "--ca", str(certificate / "tls.crt"), "--list")
        assert status == 1
        assert "no TLS" in err


async def test_a_script_is_sent_and_what_comes_is_printed_to_the_end() -> None:
    async with house() as here:
        here.serial.say(b"history\n")
        script = b"line\x1dq\n" * 20000
        with Pipe("--vnc", here.address, given=script) as pipe:
            await eventually(lambda: here.serial.written == script, "the whole script")
            here.serial.say(b"bye\n")
            await eventually(lambda: pipe.printed == b"history\nbye\n", "all that was said")
            here.guest.remove_port(here.serial)
            await eventually(pipe.has_ended, "it ends")
            assert (pipe.child.returncode, pipe.errors) == (0, b"")


async def test_a_script_that_cannot_be_sent_is_an_error() -> None:
    async with house(write=WritePolicy.NOBODY) as here:
        status, _, err = await result("--vnc", here.address, given=b"reboot\n")
        assert status == 1
        assert "only read" in err
        assert here.serial.written == b""


async def test_whoever_reads_no_more_ends_it() -> None:
    async with house() as here:
        with Pipe("--vnc", here.address) as pipe:
            here.serial.say(b"x")
            await eventually(lambda: pipe.printed == b"x", "the first byte")
            pipe.read_no_more()
            here.serial.say(b"y")
            await eventually(pipe.has_ended, "it ends")
            assert (pipe.child.returncode, pipe.errors) == (1, b"")


async def test_one_who_only_reads_sends_nothing() -> None:
    async with house() as here:
        with person("--vnc", here.address, "--read-only", "--no-history") as somebody:
            here.serial.say(b"before")
            await somebody.sees("to read only")
            somebody.type(b"x\x1db\x1dq")
            assert await somebody.status() == 0
        assert here.serial.written == b""
        assert here.serial.breaks == 0


async def test_rights_that_change_are_told() -> None:
    async with house() as here:
        with person("--vnc", here.address) as somebody:
            await somebody.sees("attached to")
            (session,) = here.registry
            here.registry.set_view_only(session.id, True)
            await somebody.sees("you may only read now")
            here.registry.set_view_only(session.id, False)
            await somebody.sees("you may write now")


async def test_the_ports_are_listed_and_a_wrong_name_lists_them_too() -> None:
    async with house() as here:
        here.guest.add_port(SyntheticPort("org.qemu.console.serial.1"))
        status, out, err = await result("--vnc", here.address, "--list")
        assert (status, err) == (0, "")
        assert [line.split()[0] for line in out.splitlines()] == ["NAME", PORT, "org.qemu.console.serial.1"]
        for name in ([], ["com1"]):
            status, _, err = await result("--vnc", here.address, *name)
            assert status == 1
            assert f"{PORT} (serial0)" in err


async def test_a_unix_socket_takes_the_password_as_it_is(short_dir: Path, password_file: str) -> None:
    async with house(Access(Logins(Passwords(lambda: "secret")))) as here:
        await here.server.listen_unix(short_dir / "vnc")
        options = ("--vnc", f"unix:{short_dir}/vnc", "--password-file", password_file, "--list")
        status, out, err = await result(*options)
        assert (status, err) == (0, "")
        assert "serial0" in out


async def test_the_shell_completes_the_names_of_ports() -> None:
    async with house() as here:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sidecar",
            stdout=asyncio.subprocess.PIPE,
            env={
                **os.environ,
                "_VDI_SIDECAR_COMPLETE": "bash_complete",
                "COMP_WORDS": f"vdi-sidecar console --vnc {here.address} ser",
                "COMP_CWORD": "4",
            },
        )
        async with asyncio.timeout(DEADLINE):
            out, _ = await child.communicate()
        assert out == b"plain,serial0\n"


async def test_a_machine_without_ports_is_told_so() -> None:
    async with house() as here:
        here.guest.remove_port(here.serial)
        assert await result("--vnc", here.address, "--list") == (0, "there are no ports\n", "")
        status, _, err = await result("--vnc", here.address)
        assert (status, err) == (1, "vdi-sidecar: this machine has no serial port here\n")


async def test_a_server_without_streams_is_told_so() -> None:
    async with house(offered=NO_EXTENSIONS) as here:
        status, _, err = await result("--vnc", here.address)
        assert (status, err) == (1, "vdi-sidecar: this server does not carry serial ports\n")
