"""What the doctor finds, and what it says about it."""

import importlib.util
import json
from pathlib import Path

import pytest

from sidecar.cli import doctor_machine, main
from sidecar.cli.finding import Finding, Verdict


@pytest.mark.parametrize(
    ("version", "verdict"),
    [((3, 10, 12), Verdict.MISSING), ((3, 11, 0), Verdict.OK), ((3, 13, 5), Verdict.OK)],
)
def test_python_is_new_enough_from_3_11_on(version: tuple[int, ...], verdict: Verdict) -> None:
    assert doctor_machine.check_python(version).verdict is verdict


@pytest.mark.parametrize(
    ("output", "verdict"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright", Verdict.OK),
        ("QEMU emulator version 10.0.2\n", Verdict.OK),
        ("QEMU emulator version 6.2.0 (Debian 1:6.2)\n", Verdict.OPTIONAL),
        ("QEMU emulator version", Verdict.OPTIONAL),
        ("", Verdict.OPTIONAL),
    ],
)
def test_qemu_is_new_enough_from_7_2_on(output: str, verdict: Verdict) -> None:
    assert doctor_machine.qemu_version("/usr/bin/qemu", output).verdict is verdict


@pytest.mark.parametrize(
    ("output", "verdict"),
    [
        ("Available display backend types:\nnone\ngtk\ndbus\n", Verdict.OK),
        ("Available display backend types:\nnone\ngtk\n", Verdict.OPTIONAL),
        ("", Verdict.OPTIONAL),
    ],
)
def test_the_display_module_is_looked_for_in_qemus_own_list(output: str, verdict: Verdict) -> None:
    finding = doctor_machine.qemu_module("display", "dbus", output, "qemu-kvm-ui-dbus")
    assert finding.verdict is verdict
    assert ("qemu-kvm-ui-dbus" in finding.advice) is (verdict is not Verdict.OK)


def test_what_is_not_there_comes_with_advice(tmp_path: Path) -> None:
    findings = [
        doctor_machine.check_dbus_daemon(lambda _name: None),
        *doctor_machine.check_qemu(lambda _name: None),
        doctor_machine.check_kvm(str(tmp_path / "kvm")),
        doctor_machine.check_library("isal", "isal", Verdict.OPTIONAL, "compresses", lambda _module: None),
    ]
    assert [finding.verdict for finding in findings] == [
        Verdict.MISSING,
        Verdict.OPTIONAL,
        Verdict.OPTIONAL,
        Verdict.OPTIONAL,
    ]
    assert all(finding.advice for finding in findings)


def test_a_qemu_that_cannot_be_run_is_reported_and_not_raised(tmp_path: Path) -> None:
    broken = tmp_path / "qemu"
    broken.write_text("not a program")
    broken.chmod(0o755)
    assert {finding.verdict for finding in doctor_machine.check_qemu(lambda _name: str(broken))} == {
        Verdict.OPTIONAL
    }


@pytest.mark.parametrize("library", doctor_machine.LIBRARIES, ids=lambda library: str(library[0]))
def test_every_library_it_looks_for_is_one_that_this_project_needs(
    library: tuple[str, str, Verdict, str],
) -> None:
    project = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    assert f'"{library[0]}' in project
    assert doctor_machine.check_library(*library, importlib.util.find_spec).verdict is Verdict.OK


def test_all_is_well_where_this_test_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("ok        dbus-daemon") for line in lines)


def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    names = [finding["name"] for finding in json.loads(capsys.readouterr().out)]
    assert names[0] == "Python"
    assert len(names) == len(set(names))


def test_something_missing_is_exit_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = Finding("dbus-daemon", Verdict.MISSING, "not found", "apt install dbus-daemon")
    monkeypatch.setattr(doctor_machine, "examine", lambda: [missing])
    assert main(["doctor"]) == 1
    assert "-> apt install dbus-daemon" in capsys.readouterr().out
