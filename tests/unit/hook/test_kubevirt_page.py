"""docs/kubevirt.md: what is copied from it can be parsed, and what it states is tested."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import click
import pytest

from sidecar.cli.program import program
from sidecar.domain.bus import BUS_SOCKET, HOOK_DIRECTORY, bus_address
from sidecar.hook.server import SOCKET_NAME

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "kubevirt.md").read_text()
FLOWING = " ".join(PAGE.split())
SIDECARS = [json.loads(text) for text in re.findall(r"hookSidecars: >-\n(.*?\}\])", PAGE, re.DOTALL)]

KUBEVIRTS_KEYS = {"image", "imagePullPolicy", "command", "args", "configMap", "pvc"}
"""(facts: kubevirt 4)"""

TESTED = {
    "qemu/test_plugin_sidecar.py": {
        "in place of hook sidecars": "alone_its_domain_boots_and_a_pod_that_completes_ends_it",
        "loses the bus address after the hooks": (
            "in_a_boot_with_both_apis_the_plugin_makes_again_what_kubevirt_has_forgotten"
        ),
    },
    "manifests/test_manifests_agree.py": {
        "the cluster's admin, once": "the_cluster_gets_the_gate_and_room_for_the_sidecar",
        "and a NetworkPolicy": "consoles_get_in_and_the_guest_keeps_its_own_ports",
    },
    "manifests/test_manifests_page.py": {
        "a certificate of one's own": "certificate_and_password_are_such_that_the_sidecar_takes_them",
    },
    "manifests/test_manifests_served.py": {
        "lets somebody look on for ten minutes": "with_tickets_alone_who_may_exec_lets_people_in",
        "with roles by client certificates": (
            "the_api_is_for_certificates_with_a_role_and_for_users_with_one"
        ),
    },
    "manifests/test_secrets_on_a_volume.py": {
        "puts the Secret's files on a volume": "the_files_are_the_sidecars_own_and_nobody_elses",
    },
    "qemu/test_kubevirt_machine.py": {
        "as many of them at once as you like": (
            "the_machine_of_the_manifests_is_seen_by_vnc_and_rdp_with_its_password"
        ),
        "every viewer is asked": "the_machine_of_the_manifests_is_seen_by_vnc_and_rdp_with_its_password",
        "change them, and nothing needs a restart": (
            "a_new_password_and_a_new_certificate_count_from_the_next_viewer_on"
        ),
    },
    "unit/cli/test_config_options.py": {
        "Without a password it refuses to be reached from outside": "",
    },
    "qemu/test_advice_hook.py": {
        "Masquerade needs a `ports` list": "a_definition_tells_which_ports_go_to_the_guest",
    },
    "unit/cli/test_doctor_vmi.py": {
        "vdi-sidecar doctor --vmi -": "",
    },
    "libvirt/test_libvirt_samples.py": {
        "a tablet if it had none": "a_machine_boots_and_is_seen_and_driven",
    },
    "qemu/test_hook_bus_users.py": {
        "the bus lets in": "nobody_else_comes_in",
        "has mode 0600 and belongs to QEMU's user": (
            "others_can_do_nothing_in_the_folders_but_pass_to_the_bus"
        ),
        "0 and 107": "qemu_of_another_user_shows_its_screen",
    },
    "image/test_sidecar_image.py": {
        "root file system may be read-only": "it_serves_a_machine_from_a_read_only_root_with_no_capability",
    },
    "qemu/test_hook_conversation.py": {
        "appears when everything else is ready": "info_is_answered_as_soon_as_the_socket_is_there",
        "KubeVirt's sidecar-shim** works too": "kubevirts_own_shim_gets_the_same_answers",
        "start fails, `INVALID_ARGUMENT`": (
            "what_cannot_be_rewritten_is_refused_in_a_line_and_the_next_is_answered"
        ),
    },
    "qemu/test_hook_volume_use.py": {
        "works that out by itself": "without_rights_and_with_a_read_only_root_the_volume_alone_is_enough",
        "is `--bus-dir`": "a_pvc_carries_the_bus_at_two_paths",
    },
    "qemu/test_report_of_a_machine.py": {
        "annotations on the VMIs or metrics": "viewers_are_told_to_the_cluster_as_they_come_and_go",
    },
    "qemu/test_migration_sessions.py": {
        "connect again to the new pod": "viewers_of_the_old_host_are_told_and_those_of_the_new_host_go_on",
    },
    "qemu/test_migration_clients.py": {
        "some by themselves": "freerdp_comes_again_by_itself_to_the_new_host",
        "read why on their screen": "tigervnc_shows_why_before_it_closes_its_window",
    },
    "qemu/test_hook_ending.py": {
        "stays, with bus and viewers, until QEMU is gone": (
            "after_sigterm_bus_and_viewers_stay_until_the_machine_has_shut_down"
        ),
        "five seconds before the pod's grace period ends": (
            "a_machine_that_does_not_shut_down_is_left_when_the_grace_period_is_nearly_over"
        ),
        "exits 0 at once": "sigterm_without_a_machine_ends_it",
        "answers, ends all sessions, removes its sockets, exits 0": (
            "shutdown_is_answered_then_all_is_let_go"
        ),
    },
    "interop/test_qemu_restarts.py": {
        "keeps the viewers, shows them a notice": "viewers_see_a_notice_and_then_the_new_machine",
    },
    "qemu/test_hook_bus_ends.py": {
        "starts another one; QEMU runs on": (
            "a_machine_that_is_left_behind_is_told_until_it_is_started_again"
        ),
        "start fails, `FAILED_PRECONDITION`": (
            "without_a_bus_no_domain_is_handed_out_and_the_next_one_is_whole"
        ),
    },
    "qemu/test_hook_display.py": {
        "With `vdi-sidecar/graphics: keep-vnc` both work": "a_machine_that_keeps_vnc_is_seen_both_ways",
        "in the shape that VEP #119 wants": "the_status_counts_viewers_as_they_come_and_go",
        "*Waiting for the virtual machine*": "viewers_may_be_there_before_the_machine",
    },
    "libvirt/test_libvirt_displays.py": {
        "A serial console for viewers, a clipboard channel and USB": (
            "serial_console_clipboard_and_usb_are_there_when_the_vmi_asks_for_them"
        ),
        "Screenshots work in every mode": "each_mode_has_the_displays_and_the_sound_that_it_promises",
    },
    "libvirt/test_libvirt_refusals.py": {
        "3D acceleration": "three_dimensions_are_not_carried",
        "No such file or directory": "a_machine_whose_bus_is_missing_does_not_start",
        "`Display 'dbus' is not available`": "a_qemu_without_its_dbus_modules_does_not_start",
        "Unknown audio driver `dbus'": "a_qemu_without_its_dbus_modules_does_not_start",
        "QEMU: `failed to connect to DBus: … Permission denied`": (
            "a_machine_whose_user_may_not_use_the_bus_does_not_start"
        ),
    },
    "unit/cli/test_config_forms.py": {
        "`cannot read the password file`": "",
    },
    "qemu/test_hook_volume_refused.py": {
        "`another process answers on`": "a_folder_in_which_another_hook_lives",
    },
    "qemu/test_advice_arrival.py": {
        "`QemuNotOnTheBus`": "a_qemu_that_is_late_is_missed_until_it_comes",
    },
}
"""Test file -> what the page states -> the test there that runs it, without `test_`; empty: several do.

The rest of the page needs a cluster.
"""


def test_six_commands_are_enough_and_are_those_of_the_manifests_page() -> None:
    (commands,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    assert len(commands.splitlines()) == 6
    assert f"```sh\n{commands}```" in (ROOT / "docs" / "manifests.md").read_text()


def test_the_page_has_an_example() -> None:
    assert len(SIDECARS) == 1


@pytest.mark.parametrize("sidecars", SIDECARS)
def test_kubevirt_knows_every_key_and_we_every_option(sidecars: list[dict[str, Any]]) -> None:
    (sidecar,) = sidecars
    assert sidecar.keys() <= KUBEVIRTS_KEYS
    assert sidecar.get("pvc", {}).keys() <= {"name", "volumePath", "sharedComputePath"}
    name, *words = [*sidecar["command"], *sidecar["args"]]
    assert name == "vdi-sidecar"
    with click.Context(program) as context:
        _, command, options = program.resolve_command(context, words)
        assert command is not None
        command.make_context("hook", options, parent=context)


def test_its_paths_are_those_of_the_program() -> None:
    for path in (HOOK_DIRECTORY, SOCKET_NAME, f"`{BUS_SOCKET}`"):
        assert path in PAGE
    assert bus_address({"CONTAINER_NAME": "hook-sidecar-0"}) == (
        f"unix:path={HOOK_DIRECTORY}/hook-sidecar-0/{BUS_SOCKET}"
    )


def test_every_link_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / link).exists(), link


@pytest.mark.parametrize(
    ("file", "statement"), [(file, statement) for file in TESTED for statement in TESTED[file]]
)
def test_what_it_states_is_tested(file: str, statement: str) -> None:
    assert statement in FLOWING
    functions = {
        node.name
        for node in ast.walk(ast.parse((ROOT / "tests" / file).read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert any(function.startswith("test_") for function in functions)
    name = TESTED[file][statement]
    assert not name or f"test_{name}" in functions
