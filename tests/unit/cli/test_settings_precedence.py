"""The command line goes before the environment, that before the file, that before the default."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sidecar.cli.program import program
from sidecar.config import DaemonOptions, DemoOptions, HookOptions, ServeOptions, TcpAddress, UnixAddress
from sidecar.errors import UsageError

QMP = ["--qmp", "/run/q"]


@pytest.fixture
def options_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Runs the command line up to the point where the daemon would start, and gives its options."""
    seen: list[DaemonOptions] = []
    monkeypatch.setattr("sidecar.cli.daemon.run_daemon", lambda options, _entry: seen.append(options))
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)

    def run(*arguments: str, toml: str | None = None, **environment: str) -> DaemonOptions:
        config = []
        if toml is not None:
            (tmp_path / "c.toml").write_text(toml)
            config = ["--config", str(tmp_path / "c.toml")]
        result = CliRunner().invoke(program, [*arguments, *config], env=environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return seen.pop()

    return run


@pytest.mark.parametrize(
    ("line", "environment", "toml", "expected"),
    [
        ([], {}, "", 32),
        ([], {}, "max-sessions = 3", 3),
        ([], {}, "max_sessions = 3", 3),
        ([], {}, "[serve]\nmax-sessions = 4", 4),
        ([], {}, "max-sessions = 3\n[serve]\nmax-sessions = 4", 4),
        ([], {}, "max-sessions = 3\n[hook]\nmax-sessions = 4", 3),
        ([], {"VDI_SIDECAR_MAX_SESSIONS": "5"}, "max-sessions = 3", 5),
        (["--max-sessions", "6"], {"VDI_SIDECAR_MAX_SESSIONS": "5"}, "max-sessions = 3", 6),
        (["--max-sessions", "6"], {}, "max-sessions = 3", 6),
    ],
)
def test_precedence(
    options_of: Callable[..., Any],
    line: list[str],
    environment: dict[str, str],
    toml: str,
    expected: int,
) -> None:
    assert options_of("serve", *QMP, *line, toml=toml, **environment).max_sessions == expected


def test_every_kind_of_value_comes_from_each_source(options_of: Callable[..., Any]) -> None:
    wanted = ServeOptions(
        run_dir=Path("/run/x"),
        qmp=Path("/run/q"),
        vnc=(TcpAddress("127.0.0.1", 5901), UnixAddress(Path("/run/v"))),
        web=TcpAddress("::1", 6080),
        view_only=True,
        auth="password",
        password_file=Path("/p"),
        auth_timeout=90.0,
        share="single",
        name="my machine",
    )
    by_line = options_of(
        *(
            "serve",
            "--qmp",
            "/run/q",
            "--run-dir",
            "/run/x",
            "--vnc",
            "127.0.0.1:5901",
            "--vnc",
            "unix:/run/v",
        ),
        *("--web", "[::1]:6080", "--view-only", "--password-file", "/p", "--auth-timeout", "1m30s"),
        *("--share", "single", "--name", "my machine"),
    )
    by_environment = options_of(
        "serve",
        VDI_SIDECAR_QMP="/run/q",
        VDI_SIDECAR_RUN_DIR="/run/x",
        VDI_SIDECAR_VNC="127.0.0.1:5901 unix:/run/v",
        VDI_SIDECAR_WEB="[::1]:6080",
        VDI_SIDECAR_VIEW_ONLY="true",
        VDI_SIDECAR_PASSWORD_FILE="/p",
        VDI_SIDECAR_AUTH_TIMEOUT="90",
        VDI_SIDECAR_SHARE="single",
        VDI_SIDECAR_NAME="my machine",
    )
    by_file = options_of(
        "serve",
        toml="""
            qmp = "/run/q"
            run-dir = "/run/x"
            vnc = ["127.0.0.1:5901", "unix:/run/v"]
            web = "[::1]:6080"
            view-only = true
            password-file = "/p"
            auth-timeout = 90
            share = "single"
            name = "my machine"
        """,
    )
    assert by_line == by_environment == by_file == wanted


def test_the_file_can_be_named_by_the_environment(options_of: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "named.toml").write_text("max-sessions = 9")
    options = options_of("serve", *QMP, VDI_SIDECAR_CONFIG=str(tmp_path / "named.toml"))
    assert options.max_sessions == 9


@pytest.mark.parametrize(
    ("line", "environment", "toml", "expected"),
    [
        (["--qmp", "/q"], {"VDI_SIDECAR_DBUS_ADDRESS": "unix:path=/e"}, "p2p-fd = 3", "qmp"),
        ([], {"VDI_SIDECAR_DBUS_ADDRESS": "unix:path=/e"}, "p2p-fd = 3", "dbus_address"),
        ([], {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/s"}, "p2p-fd = 3", "p2p_fd"),
        ([], {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/s"}, "", "dbus_address"),
    ],
)
def test_a_nearer_word_on_where_the_machine_is_overrules_a_farther_one(
    options_of: Callable[..., Any],
    line: list[str],
    environment: dict[str, str],
    toml: str,
    expected: str,
) -> None:
    options = options_of("serve", *line, toml=toml, **environment)
    given = [name for name in ("dbus_address", "qmp", "p2p_fd") if getattr(options, name) is not None]
    assert given == [expected]


@pytest.mark.parametrize(
    ("line", "environment", "toml", "auth"),
    [
        (["--password-file", "/p"], {}, "", "password"),
        (["--password-file", "/p"], {}, 'auth = "none"', "password"),
        (["--auth", "none"], {"VDI_SIDECAR_PASSWORD_FILE": "/p"}, "", "none"),
        (["--auth", "password"], {}, 'password-file = "/p"', "password"),
    ],
)
def test_a_password_file_means_password_unless_a_nearer_word_says_none(
    options_of: Callable[..., Any], line: list[str], environment: dict[str, str], toml: str, auth: str
) -> None:
    options = options_of("serve", *QMP, *line, toml=toml, **environment)
    assert (options.auth, options.password_file) == (auth, Path("/p") if auth == "password" else None)


def test_none_and_a_password_file_said_in_one_breath_are_refused(options_of: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="leave one of them out"):
        options_of("serve", *QMP, "--auth", "none", "--password-file", "/p")


def test_vnc_can_be_switched_off(options_of: Callable[..., Any]) -> None:
    assert options_of("serve", *QMP, "--vnc", "none").vnc == ()
    with pytest.raises(UsageError, match="stands alone"):
        options_of("serve", *QMP, "--vnc", "none", "--vnc", "127.0.0.1:1")


def test_the_hook_has_its_own_options_beside_those_of_serve(options_of: Callable[..., Any]) -> None:
    options = options_of(
        "hook", "--hook-dir", "/h", "--graphics", "keep-vnc", "--grace", "2m", "--share", "single"
    )
    assert isinstance(options, HookOptions)
    assert (options.hook_dir, options.graphics, options.share) == (Path("/h"), "keep-vnc", "single")
    assert (options.grace, options.grace_follows_vmi) == (120.0, False)


def test_a_grace_period_that_nobody_gave_follows_the_vmi(options_of: Callable[..., Any]) -> None:
    assert options_of("hook").grace_follows_vmi
    assert not options_of("hook", toml="grace = 60").grace_follows_vmi


def test_the_hook_does_not_take_a_session_bus_for_its_own(options_of: Callable[..., Any]) -> None:
    assert options_of("hook", DBUS_SESSION_BUS_ADDRESS="unix:path=/s").dbus_address is None


@pytest.mark.parametrize(
    ("line", "next_port", "next_rdp_port"),
    [
        ([], True, True),
        (["--vnc", "127.0.0.1:5900"], False, True),
        (["--rdp", "127.0.0.1:3389"], True, False),
    ],
)
def test_the_demo_goes_to_the_next_port_unless_one_was_asked_for(
    options_of: Callable[..., Any], line: list[str], next_port: bool, next_rdp_port: bool
) -> None:
    options = options_of("demo", "--memory", "2G", *line)
    assert isinstance(options, DemoOptions)
    assert options.vnc == (TcpAddress("127.0.0.1", 5900),)
    assert options.rdp == (TcpAddress("127.0.0.1", 3389),)
    assert options.memory == 2048
    assert (options.next_port, options.next_rdp_port) == (next_port, next_rdp_port)


@pytest.mark.parametrize("command", ["serve", "hook"])
def test_rdp_is_served_only_where_somebody_asks_for_it(options_of: Callable[..., Any], command: str) -> None:
    where = ["--qmp", "qmp.sock"] if command == "serve" else []
    assert options_of(command, *where).rdp == ()
    asked = options_of(command, *where, "--rdp", "127.0.0.1:3389", "--rdp", "unix:/run/vm/rdp")
    assert [str(address) for address in asked.rdp] == ["127.0.0.1:3389", "unix:/run/vm/rdp"]
    assert options_of(command, *where, "--rdp", "none").rdp == ()


def test_rdp_reaches_no_further_than_its_password(options_of: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="--rdp :3389 can be reached from outside"):
        options_of("serve", "--qmp", "qmp.sock", "--rdp", ":3389")
    with pytest.raises(UsageError, match="--rdp-security nla proves a password"):
        options_of("serve", "--qmp", "qmp.sock", "--rdp", "127.0.0.1:3389", "--rdp-security", "nla")


@pytest.mark.parametrize(
    ("toml", "error"),
    [
        ("max-session = 3", "there is no setting 'max-session'"),
        ("[server]\nmax-sessions = 3", "there is no setting 'server'"),
        ("[serve]\nhook-dir = '/h'", "serve has no setting 'hook-dir'"),
        ("[demo]\nnonsense = 1", "demo has no setting 'nonsense'"),
        ("config = '/other.toml'", "there is no setting 'config'"),
        ("view-only = 1", "must be true or false"),
        ("max-sessions = true", "must not be true or false"),
        ("web = ['127.0.0.1:1']", "must be a text"),
        ("web = {host = 'x'}", "must be a text"),
        ("vnc = [['127.0.0.1:1']]", "must be a text"),
        ("max-sessions = 1979-05-27", "must be a text"),
        ("max-sessions", "is not TOML"),
    ],
)
def test_a_slip_in_the_file_is_told_with_its_place(
    options_of: Callable[..., Any], toml: str, error: str
) -> None:
    with pytest.raises(UsageError, match=error) as raised:
        options_of("serve", *QMP, toml=toml)
    assert "c.toml" in str(raised.value)


def test_settings_of_other_commands_may_stand_in_the_same_file(options_of: Callable[..., Any]) -> None:
    assert options_of("serve", *QMP, toml="hook-dir = '/h'\n[demo]\nmemory = '2G'").max_sessions == 32


def test_a_file_that_is_not_there_is_named(options_of: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match=r"cannot read /nonexistent\.toml"):
        options_of("serve", *QMP, "--config", "/nonexistent.toml")
