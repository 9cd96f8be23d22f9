"""Where the bus lies, and what is written into the domain: in all versions of KubeVirt, by all options."""

from pathlib import Path
from typing import Any

import pytest

from sidecar.bus_address import check_bus_address
from sidecar.domain.bus import HOOK_DIRECTORY, BusPlace, bus_place
from sidecar.errors import UsageError

HOOKS = Path(HOOK_DIRECTORY)
PLUGIN = Path("/var/run/kubevirt-plugin/vdi/vdi-sidecar.sock")
SINCE_1_6 = {"CONTAINER_NAME": "hook-sidecar-2"}
UNTIL_1_5: dict[str, str] = {}


def place(environ: dict[str, str] = SINCE_1_6, **options: Any) -> BusPlace:
    return bus_place(environ, **{"hook_dir": HOOKS, **options})


def test_each_sidecar_has_a_sub_directory_of_the_volume_since_kubevirt_1_6() -> None:
    assert place() == BusPlace(
        HOOKS / "dbus" / "bus", "unix:path=/var/run/kubevirt-hooks/hook-sidecar-2/dbus/bus"
    )


def test_everybody_sees_one_folder_before() -> None:
    assert place(UNTIL_1_5) == BusPlace(HOOKS / "dbus" / "bus", "unix:path=/var/run/kubevirt-hooks/dbus/bus")


def test_a_plugin_alone_has_its_bus_beside_its_socket_at_one_path_for_both() -> None:
    where = Path("/var/run/kubevirt-plugin/vdi/dbus/bus")
    assert place(hook_dir=None, plugin_socket=PLUGIN) == BusPlace(where, f"unix:path={where}")


def test_with_both_the_hook_volume_is_the_place() -> None:
    assert place(plugin_socket=PLUGIN) == place()


def test_a_pvc_has_two_paths() -> None:
    options = {"bus_dir": Path("/var/vdi"), "bus_dir_for_qemu": Path("/var/run/vdi")}
    expected = BusPlace(Path("/var/vdi/bus"), "unix:path=/var/run/vdi/bus")
    for environ in (SINCE_1_6, UNTIL_1_5):
        assert place(environ, **options) == expected
        assert place(environ, hook_dir=None, plugin_socket=PLUGIN, **options) == expected


def test_another_directory_of_the_hook_volume_needs_no_second_path() -> None:
    elsewhere = HOOKS / "a" / "b"
    assert place(bus_dir=elsewhere).address == "unix:path=/var/run/kubevirt-hooks/hook-sidecar-2/a/b/bus"
    assert place(UNTIL_1_5, bus_dir=elsewhere).address == "unix:path=/var/run/kubevirt-hooks/a/b/bus"


def test_another_directory_of_the_plugin_needs_no_second_path() -> None:
    elsewhere = PLUGIN.parent / "a"
    assert place(hook_dir=None, plugin_socket=PLUGIN, bus_dir=elsewhere).address == (
        "unix:path=/var/run/kubevirt-plugin/vdi/a/bus"
    )


def test_a_given_address_is_the_whole_truth() -> None:
    given = "unix:path=/run/bus;unix:abstract=b"
    assert place(UNTIL_1_5, hook_dir=Path("/hooks"), dbus_address=given) == BusPlace(
        Path("/hooks/dbus/bus"), given
    )


@pytest.mark.parametrize(
    ("directory", "address"),
    [
        ("/a b", "unix:path=/a%20b/bus"),
        ("/a,b;c=d", "unix:path=/a%2cb%3bc%3dd/bus"),
        ("/é", "unix:path=/%c3%a9/bus"),
        ("/100%25<&>\"'\n", "unix:path=/100%2525%3c%26%3e%22%27%0a/bus"),
        ("/\udcff", "unix:path=/%ff/bus"),
    ],
)
def test_what_an_address_cannot_hold_is_escaped(directory: str, address: str) -> None:
    found = place(bus_dir=Path("/v"), bus_dir_for_qemu=Path(directory)).address
    assert found == address
    check_bus_address(found)


@pytest.mark.parametrize(
    ("environ", "options", "reason"),
    [
        (UNTIL_1_5, {"hook_dir": Path("/hooks")}, "how does QEMU's container see /hooks"),
        (SINCE_1_6, {"bus_dir": Path("/var/vdi")}, "--bus-dir-for-qemu DIR"),
        (SINCE_1_6, {"bus_dir": HOOKS}, "the hook folder itself"),
        (SINCE_1_6, {"bus_dir": Path("vdi")}, "--bus-dir 'vdi' must be an absolute path"),
        (SINCE_1_6, {"bus_dir": HOOKS / ".."}, "must be an absolute path without"),
        (
            SINCE_1_6,
            {"bus_dir": Path("/v"), "bus_dir_for_qemu": Path("vdi")},
            "--bus-dir-for-qemu 'vdi' must",
        ),
        (SINCE_1_6, {"bus_dir": Path("/", "x" * 120)}, "18 bytes too long"),
        (SINCE_1_6, {"bus_dir": Path("/v"), "bus_dir_for_qemu": Path("/", "é" * 60)}, "18 bytes too long"),
        (SINCE_1_6, {"hook_dir": None}, "--bus-dir"),
        (SINCE_1_6, {"hook_dir": None, "plugin_socket": Path("/p/s.sock")}, "--bus-dir-for-qemu"),
        (
            SINCE_1_6,
            {"hook_dir": None, "plugin_socket": Path("/var/run/kubevirt-plugin/s.sock")},
            "--bus-dir-for-qemu",
        ),
        (
            SINCE_1_6,
            {
                "hook_dir": None,
                "plugin_socket": PLUGIN,
                "bus_dir": Path("/var/run/kubevirt-plugin/another"),
            },
            "--bus-dir-for-qemu",
        ),
        ({"CONTAINER_NAME": "../a"}, {}, "not the name of a container"),
        (SINCE_1_6, {"dbus_address": "/run/bus"}, "not a D-Bus address"),
    ],
)
def test_where_it_cannot_be_is_said(environ: dict[str, str], options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError) as refused:
        place(environ, **options)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)
