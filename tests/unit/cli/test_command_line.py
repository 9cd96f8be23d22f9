"""The commands as a person meets them: what they print, where, and how they end."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from sidecar.cli import main
from sidecar.control.admin import AdminServer
from sidecar.control.admin_commands import CommandTable, session_commands
from sidecar.errors import SidecarError, UsageError
from sidecar.guest import Guest, GuestState
from sidecar.observers import Observers
from sidecar.session.feed import StatusFeed
from sidecar.session.registry import Registry
from sidecar.session.state import EndReason
from sidecar.session.status import UsbSource


def ignore(_reason: EndReason) -> None:
    pass


def machine() -> Guest:
    console = SimpleNamespace(
        index=0, label="VGA", surface=SimpleNamespace(frame=SimpleNamespace(width=1024, height=768))
    )
    lifecycle: Observers[[GuestState]] = Observers()
    return cast(
        Guest,
        SimpleNamespace(
            state=GuestState.ATTACHED,
            name="my\x1b[2Jvm",
            uuid="1-2",
            consoles={0: console},
            lifecycle=lifecycle,
        ),
    )


class Daemon:
    """A registry with an admin socket on a loop of its own, and three viewers."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.registry = Registry()
        self.started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        usb = cast(UsbSource, SimpleNamespace(changes=Observers(), devices=list))
        feed = StatusFeed(self.registry, machine(), interval=0.05, usb=usb)
        for user in ("ann", "bob"):
            session = self.registry.connect("vnc", "tcp", "192.0.2.1:4000", True, end=ignore)
            self.registry.initialize(session, user=user, auth="X509Plain")
        self.registry.connect("vnc", "unix", "", end=ignore)
        async with AdminServer(self.run_dir / "admin.sock", CommandTable(*session_commands(feed))):
            self.started.set()
            await self._stop.wait()

    def __enter__(self) -> "Daemon":
        self._thread.start()
        assert self.started.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join()
        self._loop.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    monkeypatch.setenv("VDI_SIDECAR_RUN_DIR", str(tmp_path))
    with Daemon(tmp_path) as daemon:
        yield daemon


Capture = pytest.CaptureFixture[str]


def test_sessions_are_shown_as_a_table(daemon: Daemon, capsys: Capture) -> None:
    assert main(["sessions"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "2 sessions" in lines[0]
    rows = [[cell.strip() for cell in line.split("│")[1:5]] for line in lines if line.startswith("│")]
    assert rows == [
        ["v1", "192.0.2.1:4000", "ann", "vnc+tls+tcp"],
        ["v2", "192.0.2.1:4000", "bob", "vnc+tls+tcp"],
        ["v3", "local", "-", "vnc+unix"],
    ]


def test_nothing_that_a_peer_or_a_guest_calls_itself_reaches_the_terminal_raw(
    daemon: Daemon, capsys: Capture
) -> None:
    main(["sessions"])
    main(["status"])
    assert "\x1b" not in capsys.readouterr().out


def test_sessions_are_printed_as_json(daemon: Daemon, capsys: Capture) -> None:
    assert main(["sessions", "--json"]) == 0
    assert [each["user"] for each in json.loads(capsys.readouterr().out)] == ["ann", "bob", ""]


def test_an_empty_list_is_said_in_words(daemon: Daemon, capsys: Capture) -> None:
    assert main(["disconnect", "--all"]) == 0
    assert main(["sessions"]) == 0
    assert capsys.readouterr().out == "ended 3 sessions\nnobody is connected\n"


def test_sessions_are_ended_by_id(daemon: Daemon, capsys: Capture) -> None:
    assert main(["disconnect", "v1", "v3"]) == 0
    assert capsys.readouterr().out == "ended v1\nended v3\n"
    assert [session.id for session in daemon.registry] == ["v2"]


def test_ending_one_that_is_not_there_fails_with_what_to_do(daemon: Daemon, capsys: Capture) -> None:
    assert main(["disconnect", "v9"]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == (
        "",
        "vdi-sidecar: there is no session 'v9'; `vdi-sidecar sessions` lists them\n",
    )


def test_a_session_is_made_view_only_and_given_back(daemon: Daemon, capsys: Capture) -> None:
    assert main(["view-only", "v1"]) == 0
    assert daemon.registry.find("v1").view_only
    assert main(["view-only", "v1", "off"]) == 0
    assert not daemon.registry.find("v1").view_only
    assert capsys.readouterr().out == "v1 is view-only\nv1 is in control\n"


def test_status_for_people(daemon: Daemon, capsys: Capture) -> None:
    assert main(["status"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "machine   my?[2Jvm (attached)",
        "uuid      1-2",
        "screen 0  1024x768 VGA",
        "vnc       2 sessions",
        "rdp       0 sessions",
        "usb       0 devices",
    ]


def test_status_for_programs(daemon: Daemon, capsys: Capture) -> None:
    assert main(["status", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["service"] == {"vnc": {"sessions": 2}, "rdp": {"sessions": 0}, "usb": {"devices": 0}}
    assert document.keys() == {"generation", "service", "sessions", "vm", "health", "usb"}


def test_watching_in_a_process_of_its_own_follows_every_change_and_ends_with_the_daemon(
    daemon: Daemon,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "sidecar", "sessions", "--watch", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert len(json.loads(watching.stdout.readline())) == 3
        assert main(["disconnect", "v2"]) == 0
        assert [each["id"] for each in json.loads(watching.stdout.readline())] == ["v1", "v3"]
        daemon.stop()
        assert watching.wait(30) == 1
        assert watching.stderr.read() == f"vdi-sidecar: the daemon in {daemon.run_dir} has ended\n"


def test_the_live_table_follows_too(daemon: Daemon) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "sidecar", "sessions", "--watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "140", "TTY_COMPATIBLE": "1"},
    ) as watching:
        assert watching.stdout is not None
        assert any("2 sessions" in line for line in watching.stdout)
        daemon.stop()
        watching.stdout.read()
        assert watching.wait(30) == 1


def test_without_a_daemon_the_commands_say_so(tmp_path: Path, capsys: Capture) -> None:
    for command in (
        ["sessions"],
        ["status"],
        ["disconnect", "v1"],
        ["view-only", "v1"],
        ["sessions", "--watch"],
    ):
        assert main([*command, "--run-dir", str(tmp_path)]) == 1
        said = capsys.readouterr()
        assert said.err == (
            f"vdi-sidecar: no vdi-sidecar runs in {tmp_path}: "
            "start one, or name its directory with --run-dir\n"
        )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["serve", "--nonsense"], "No such option"),
        (["serve", "--vnc", "5900"], "write HOST:PORT"),
        (["serve", "--qmp", "q", "--max-sessions", "many"], "'many' is not a valid integer"),
        (["serve", "--qmp", "q", "--vnc", ":5900"], "can be reached from outside"),
        (["serve", "--qmp", "q", "--share", "all"], "'all' is not one of"),
        (["hook", "--grace", "soon"], "is not a time"),
        (["demo", "--memory", "much"], "is not a size"),
        (["disconnect"], "say which sessions to end"),
        (["disconnect", "v1", "--all"], "say which sessions to end"),
        (["view-only"], "Missing argument"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
        (["define-domain"], "Missing option '--domain'"),
    ],
)
def test_wrong_usage_is_one_line_on_stderr_and_exit_two(
    arguments: list[str], error: str, capsys: Capture
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("vdi-sidecar: ")
    assert error in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("raised", "exit_code", "line"),
    [
        (SidecarError("port 5900 is taken:\nchoose another"), 1, "port 5900 is taken: choose another"),
        (UsageError("no"), 2, "no"),
        (
            ExceptionGroup("tasks", [OSError("x"), ExceptionGroup("", [UsageError("the cause")])]),
            2,
            "the cause",
        ),
        (KeyError("x"), 1, "a fault of this program (KeyError at "),
        (ExceptionGroup("tasks", [ZeroDivisionError("z")]), 1, "a fault of this program (ZeroDivisionError"),
    ],
)
def test_whatever_fails_is_one_line_and_no_traceback(
    raised: Exception, exit_code: int, line: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr("sidecar.cli.daemon.run_daemon", fail)
    assert main(["demo"]) == exit_code
    error = capsys.readouterr().err
    assert error.startswith(f"vdi-sidecar: {line}")
    assert error.count("\n") == 1


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), BaseExceptionGroup("tasks", [KeyboardInterrupt()])])
def test_an_interrupt_ends_quietly(
    raised: BaseException, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise raised

    monkeypatch.setattr("sidecar.cli.daemon.run_daemon", interrupt)
    assert main(["demo"]) == 130
    assert capsys.readouterr().err.strip() == ""


@pytest.mark.parametrize(
    "command",
    [
        "serve",
        "hook",
        "demo",
        "sessions",
        "disconnect",
        "view-only",
        "status",
        "define-domain",
        "doctor",
        "completion",
    ],
)
def test_every_command_is_listed_and_helps(command: str, capsys: Capture) -> None:
    assert main(["--help"]) == 0
    assert f"\n  {command} " in capsys.readouterr().out
    assert main([command, "--help"]) == 0
    said = capsys.readouterr().out
    assert "Usage: vdi-sidecar " + command in said
    assert "vdi-sidecar " + command in said.split("Usage:")[1] or command == "doctor"


def test_the_program_alone_prints_its_help(capsys: Capture) -> None:
    assert main([]) == 0
    alone = capsys.readouterr().out
    main(["--help"])
    assert capsys.readouterr().out == alone


def test_help_imports_nothing_heavy() -> None:
    heavy = {
        "numpy",
        "grpc",
        "dbus_fast",
        "aiohttp",
        "uvloop",
        "lxml",
        "rich",
        "sidecar.daemon",
        "sidecar.demo",
    }
    code = (
        "import sys; from sidecar.cli import main; main(['serve', '--help']); "
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stderr.split()) & heavy == set()


def test_serve_loads_nothing_of_what_is_for_kubevirt() -> None:
    code = "import sys, sidecar.cli.program, sidecar.daemon; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rooms = {name.split(".")[1] for name in done.stdout.split() if name.startswith("sidecar.")}
    assert "vnc" in rooms
    assert rooms & {"advice", "domain", "hook", "pod", "report"} == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_each_shell(shell: str, capsys: Capture) -> None:
    assert main(["completion", shell]) == 0
    assert "_VDI_SIDECAR_COMPLETE" in capsys.readouterr().out


def test_session_ids_are_completed_by_asking_the_daemon(daemon: Daemon) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from sidecar.cli import main; main()"],
        env={
            **os.environ,
            "_VDI_SIDECAR_COMPLETE": "bash_complete",
            "COMP_WORDS": "vdi-sidecar disconnect v",
            "COMP_CWORD": "2",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["plain,v1", "plain,v2", "plain,v3"]


def test_output_into_a_closed_pipe_is_no_fault() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "sidecar", "doctor", "--json"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (done.returncode, done.stderr) == (1, "")


DOMAIN = "<domain type='kvm'><name>x</name><devices><graphics type='vnc'/></devices></domain>"


def test_a_domain_is_rewritten_from_an_argument_a_file_and_stdin(tmp_path: Path) -> None:
    (tmp_path / "domain.xml").write_text(DOMAIN)
    address = ["--dbus-address", "unix:path=/run/bus"]
    printed = [
        subprocess.run(
            [sys.executable, "-m", "sidecar", "define-domain", "--domain", domain, *address],
            input=DOMAIN,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for domain in (DOMAIN, f"@{tmp_path}/domain.xml", "@-")
    ]
    assert "unix:path=/run/bus" in printed[0]
    assert len(set(printed)) == 1


@pytest.mark.parametrize(
    ("arguments", "exit_code", "error"),
    [
        (["--domain", "@/nonexistent"], 2, "--domain: cannot read '/nonexistent': no such file"),
        (["--domain", "<not-a-domain/>"], 1, ""),
        (["--domain", DOMAIN, "--vmi", "{"], 1, "the VMI is not JSON"),
        (["--domain", DOMAIN, "--dbus-address", "nowhere"], 2, "nowhere"),
    ],
)
def test_a_domain_that_cannot_be_rewritten_is_one_line(
    arguments: list[str], exit_code: int, error: str, capsys: Capture
) -> None:
    defaults = [] if "--dbus-address" in arguments else ["--dbus-address", "unix:path=/run/bus"]
    assert main(["define-domain", *arguments, *defaults]) == exit_code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert error in said.err


@pytest.mark.parametrize(
    ("arguments", "environment", "screen"),
    [([], "", None), (["--screen"], "", True), (["--no-screen"], "true", False), ([], "true", True)],
)
def test_what_the_annotations_decide_stays_open_unless_it_is_said(
    arguments: list[str], environment: str, screen: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    monkeypatch.setenv("VDI_SIDECAR_SCREEN", environment)
    monkeypatch.setattr("sidecar.cli.daemon.run_daemon", lambda options, _entry: seen.append(options.screen))
    assert main(["hook", *arguments]) == 0
    assert seen == [screen]
