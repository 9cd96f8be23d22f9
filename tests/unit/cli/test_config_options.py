"""The rules that options keep among themselves."""

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from sidecar.config import DemoOptions, HookOptions, ServeOptions, TcpAddress, UnixAddress
from sidecar.errors import UsageError

RUN = Path("/run/vdi-sidecar")
BUS = "unix:path=/run/bus"
WORLD = TcpAddress("", 5900)
LOOPBACK = TcpAddress("127.0.0.1", 5900)


def serve(**values: Any) -> ServeOptions:
    return ServeOptions(**{"run_dir": RUN, "dbus_address": BUS, **values})


@pytest.mark.parametrize(
    "values",
    [
        {"vnc": (LOOPBACK,)},
        {"vnc": (UnixAddress(Path("/run/vnc")), TcpAddress("::1", 5900))},
        {"vnc": ()},
        {"vnc": (WORLD,), "insecure": True},
        {"vnc": (WORLD,), "auth": "password", "password_file": Path("p")},
        {"web": TcpAddress("localhost", 6080)},
        {"web": WORLD, "vnc": (), "auth": "password", "password_file": Path("p")},
    ],
)
def test_what_is_local_or_asks_for_a_password_or_is_insecure_by_will_may_listen(
    values: dict[str, Any],
) -> None:
    assert serve(**values).run_dir == RUN


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"vnc": (WORLD,)}, "--vnc :5900"),
        ({"vnc": (LOOPBACK, TcpAddress("192.0.2.1", 5901))}, "--vnc 192.0.2.1:5901"),
        ({"vnc": (TcpAddress("::", 5900),)}, r"--vnc \[::\]:5900"),
        ({"web": TcpAddress("vm.example.com", 80)}, "--web vm.example.com:80"),
    ],
)
@pytest.mark.parametrize("kind", [serve, HookOptions, DemoOptions])
def test_listening_to_the_world_without_authentication_is_refused(
    kind: Any, values: dict[str, Any], named: str
) -> None:
    with pytest.raises(UsageError, match=f"{named} can be reached from outside .*--insecure"):
        kind(run_dir=RUN, **values)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"dbus_address": None}, "say where the machine is"),
        ({"qmp": Path("q")}, "--dbus-address and --qmp exclude each other"),
        ({"dbus_address": None, "qmp": Path("q"), "p2p_fd": 3}, "--p2p-fd and --qmp exclude"),
        ({"dbus_address": None, "p2p_fd": -1}, "not a file descriptor"),
        ({"dbus_address": "/run/bus"}, "not a D-Bus address"),
        ({"dbus_address": ""}, "not a D-Bus address"),
        ({"dbus_address": "unix:path=/a b"}, "not a D-Bus address"),
        ({"auth": "password"}, "needs --password-file"),
        ({"password_file": Path("p")}, "of no use with --auth none"),
        ({"auth": "card"}, "--auth 'card' is none of none, password, ticket"),
        ({"share": "all"}, "--share 'all' is none of"),
        ({"log_level": "loud"}, "--log-level 'loud' is none of"),
        ({"max_sessions": 0}, "--max-sessions must be 1 or more"),
        ({"auth_timeout": 0}, "--auth-timeout must be from"),
        ({"auth_timeout": 1e9}, "--auth-timeout must be from"),
        ({"keyboard_layout": "../../etc/passwd"}, "--keyboard-layout"),
    ],
)
def test_what_cannot_be_together_is_refused(values: dict[str, Any], error: str) -> None:
    with pytest.raises(UsageError, match=error):
        serve(**values)


@pytest.mark.parametrize("address", [BUS, "unix:abstract=x,guid=00", "tcp:host=a,port=1;unix:path=/b"])
def test_bus_addresses_are_those_of_the_specification(address: str) -> None:
    assert serve(dbus_address=address).dbus_address == address
    assert HookOptions(run_dir=RUN, dbus_address=address).dbus_address == address


def test_a_hook_needs_nothing_but_a_run_directory() -> None:
    options = HookOptions(run_dir=RUN)
    assert (options.vnc, options.dbus_address, options.graphics) == ((LOOPBACK,), None, None)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"vnc": (LOOPBACK, LOOPBACK)}, "--vnc 127.0.0.1:5900 and --vnc 127.0.0.1:5900 exclude"),
        ({"metrics": LOOPBACK}, "--vnc 127.0.0.1:5900 and --metrics 127.0.0.1:5900 exclude each other"),
        ({"web": TcpAddress("", 5900), "insecure": True}, "--vnc 127.0.0.1:5900 and --web :5900 exclude"),
        (
            {"vnc": (), "rdp": (UnixAddress(RUN / "s"), UnixAddress(RUN / "s"))},
            "--rdp unix:/run/vdi-sidecar/s and --rdp unix:/run/vdi-sidecar/s exclude each other: move one",
        ),
    ],
)
def test_no_two_listeners_are_in_one_place(values: dict[str, Any], error: str) -> None:
    with pytest.raises(UsageError, match=error):
        serve(**values)


@pytest.mark.parametrize(
    "metrics", [TcpAddress("127.0.0.1", 0), TcpAddress("::1", 5900), TcpAddress("", 9000)]
)
def test_one_port_of_two_hosts_and_ports_of_the_systems_choice_may_be_together(metrics: TcpAddress) -> None:
    anywhere = TcpAddress("127.0.0.1", 0)
    assert serve(vnc=(LOOPBACK, anywhere), metrics=metrics).metrics == metrics


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"leave_after": 30.0}, "--leave-after is of no use with a hook socket.*add --hook-dir none"),
        ({"hook_dir": None, "plugin_socket": RUN / "s", "leave_after": -1}, "--leave-after must be from"),
        ({"hook_dir": None}, "leaves nothing for KubeVirt to call: add --plugin-socket"),
        ({"dbus_address": BUS, "bus_dir_for_qemu": RUN}, "say the same thing: leave one of them out"),
        ({"grace": -1}, "--grace must be from nothing"),
    ],
)
def test_what_a_hook_cannot_do_is_refused(values: dict[str, Any], error: str) -> None:
    with pytest.raises(UsageError, match=error):
        HookOptions(run_dir=RUN, **values)


@pytest.mark.parametrize("memory", [15, 1024 * 1024 + 1])
def test_a_demo_guest_has_a_sensible_memory(memory: int) -> None:
    with pytest.raises(UsageError, match="--memory"):
        DemoOptions(run_dir=RUN, memory=memory)


def test_options_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        serve().max_sessions = 7  # type: ignore[misc]
