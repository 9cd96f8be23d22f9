"""What the doctor finds in a VirtualMachineInstance, and in the daemon and the container beside it."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from support.domain_samples import DIRECTORY

from sidecar.advice.container import Limits
from sidecar.cli import doctor_machine, main
from sidecar.cli.doctor_vmi import options_in_container
from sidecar.cli.finding import Finding, Verdict
from sidecar.config.address import TcpAddress

SAMPLE = DIRECTORY / "amd64-default-vnc.vmi.json"
GOOD = {
    "image": "registry.example.org/vdi-sidecar:0.1",
    "command": ["vdi-sidecar", "hook"],
    "args": ["--vnc", ":5900", "--rdp", ":3389", "--password-file", "/var/vdi/password"],
}


def vmi(
    *sidecars: dict[str, Any], ports: tuple[int, ...] = (22,), guaranteed: bool = False, **annotations: str
) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(SAMPLE.read_bytes())
    document["metadata"]["annotations"] = {
        "hooks.kubevirt.io/hookSidecars": json.dumps(sidecars),
        **{f"vdi-sidecar/{name}": value for name, value in annotations.items()},
    }
    (interface,) = document["spec"]["domain"]["devices"]["interfaces"]
    interface["ports"] = [{"port": port} for port in ports]
    if guaranteed:
        document["status"]["qosClass"] = "Guaranteed"
    return document


@pytest.fixture
def examined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """`examined(document, *options)` -> the exit status and the findings by name."""

    def examine(document: dict[str, Any], *options: str) -> tuple[int, dict[str, dict[str, str]]]:
        path = tmp_path / "vmi.json"
        path.write_text(json.dumps(document))
        status = main(["doctor", "--json", "--vmi", str(path), *options])
        findings = json.loads(capsys.readouterr().out)
        named = {finding["name"]: finding for finding in findings}
        assert len(named) == len(findings)
        return status, named

    return examine


def test_a_machine_as_it_should_be_is_all_well(examined: Any) -> None:
    status, findings = examined(vmi(GOOD, graphics="keep-vnc"))
    assert status == 0
    assert {finding["verdict"] for finding in findings.values()} == {"ok"}
    assert findings["VMI"]["found"] == "mynamespace/testvmi"
    assert findings["annotations"]["found"] == "vdi-sidecar/graphics"
    assert findings["hook sidecar"]["found"] == "hook-sidecar-0: VNC (5900), RDP (3389)"
    assert findings["pod network"]["found"] == "nothing is in the way of VNC (5900), RDP (3389)"


@pytest.mark.parametrize(
    ("document", "options", "name", "verdict", "words"),
    [
        (vmi(GOOD, ports=()), (), "MasqueradeWithoutPorts", "degraded", "VNC (5900), RDP (3389)"),
        (vmi(GOOD, ports=(3389,)), (), "PortGoesToGuest", "degraded", "RDP (3389)"),
        (vmi(GOOD, ports=(3389,)), ("--vnc", ":5900"), "pod network", "ok", "VNC (5900)"),
        (vmi(GOOD, ports=(6080,)), ("--web", ":6080"), "PortGoesToGuest", "degraded", "the web (6080)"),
        (vmi(GOOD, ports=(5900,)), ("--rdp", ":3389", "--vnc", "none"), "pod network", "ok", "RDP (3389)"),
        (vmi({**GOOD, "args": []}, ports=()), (), "MasqueradeWithoutPorts", "warning", "port-forward"),
        (vmi(), (), "hook sidecar", "warning", "spec.template.metadata.annotations"),
        (vmi({**GOOD, "args": "--vnc"}), (), "hook sidecar", "degraded", "list of texts"),
        (vmi({**GOOD, "args": ["--vcn", ":1"]}), (), "hook sidecar", "degraded", "No such option"),
        (vmi({**GOOD, "args": ["--vnc", "x"]}), (), "hook sidecar", "degraded", "write HOST:PORT"),
        (vmi({**GOOD, "args": ["--vnc", ":5900"]}), (), "hook sidecar", "degraded", "add --password-file"),
        (vmi({**GOOD, "args": ["--help"]}), (), "hook sidecar", "degraded", "No such option"),
        (vmi(GOOD, graphics="both"), (), "annotations", "degraded", "must be one of replace"),
        (vmi(GOOD, guaranteed=True), (), "resources", "warning", "memory: 256Mi"),
    ],
)
def test_what_is_wrong_is_found(
    examined: Any, document: dict[str, Any], options: tuple[str, ...], name: str, verdict: str, words: str
) -> None:
    status, findings = examined(document, *options)
    assert findings[name]["verdict"] == verdict
    assert words in findings[name]["found"] + findings[name]["advice"]
    assert status == any(finding["verdict"] in ("degraded", "missing") for finding in findings.values())


def test_a_machine_without_graphics_is_told(examined: Any) -> None:
    document = vmi(GOOD)
    document["spec"]["domain"]["devices"]["autoattachGraphicsDevice"] = False
    assert examined(document)[1]["NoScreen"]["verdict"] == "warning"
    document["metadata"]["annotations"]["vdi-sidecar/screen"] = "true"
    assert "NoScreen" not in examined(document)[1]


def test_a_pipe_from_kubectl_will_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(SAMPLE.read_bytes())))
    main(["doctor", "--vmi", "-"])
    assert "mynamespace/testvmi" in capsys.readouterr().out


@pytest.mark.parametrize("path", sorted(DIRECTORY.glob("*.vmi.json")), ids=lambda path: path.stem)
def test_what_virt_launcher_sends_is_examined_to_the_end(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--vmi", str(path), "--vnc", ":5900"]) == 1
    assert "degraded  MasqueradeWithoutPorts" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (None, 2, "cannot read"),
        (b"", 1, "not JSON"),
        (b'{"kind": "VirtualMachine", "metadata": {}}', 1, "kubectl get vmi NAME -o json"),
    ],
)
def test_what_is_no_vmi_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, status: int, words: str
) -> None:
    path = tmp_path / "vmi.json"
    if content is not None:
        path.write_bytes(content)
    assert main(["doctor", "--vmi", str(path)]) == status
    line = capsys.readouterr().err
    assert words in line
    assert line.count("\n") == 1


def test_listeners_without_a_vmi_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--vnc", ":5900"]) == 2
    assert "belong to --vmi" in capsys.readouterr().err


def test_the_arguments_of_a_container_do_not_meet_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VDI_SIDECAR_VNC", "127.0.0.1:1")
    monkeypatch.setenv("VDI_SIDECAR_CONFIG", "/nowhere")
    options = options_in_container(["--config", "/in/the/container", "--rdp", "127.0.0.1:3390"])
    assert (options.vnc, options.rdp) == ((TcpAddress("127.0.0.1", 5900),), (TcpAddress("127.0.0.1", 3390),))


def test_kubevirts_default_limits_are_found() -> None:
    findings = doctor_machine.check_container(Limits(64_000_000, 0.2))
    assert [(each.name, each.verdict) for each in findings] == [
        ("MemoryLimit", Verdict.WARNING),
        ("CpuLimit", Verdict.WARNING),
    ]


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        (Limits(None, None), ["no limit", "no limit"]),
        (Limits(256 * 1024 * 1024, 1.0), ["256 MiB", "1000m"]),
    ],
)
def test_limits_that_are_enough_are_shown(limits: Limits, found: list[str]) -> None:
    findings = doctor_machine.check_container(limits)
    assert [each.found for each in findings] == found
    assert {each.verdict for each in findings} == {Verdict.OK}


def test_without_a_daemon_nothing_is_said_of_one(tmp_path: Path) -> None:
    assert doctor_machine.check_daemon(tmp_path) == []


def test_a_daemon_that_does_not_answer_is_a_warning(short_dir: Path) -> None:
    (short_dir / "admin.sock").touch()
    (finding,) = doctor_machine.check_daemon(short_dir)
    assert (finding.name, finding.verdict) == ("daemon", Verdict.WARNING)


def test_a_degraded_daemon_is_exit_one_and_its_problems_go_before_our_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = Finding("MemoryLimit", Verdict.WARNING, "found here")
    theirs = [
        Finding("MemoryLimit", Verdict.WARNING, "found there"),
        Finding("QemuNotOnTheBus", Verdict.DEGRADED, "it has not come"),
    ]
    monkeypatch.setattr(doctor_machine, "examine", lambda: [ours])
    monkeypatch.setattr(doctor_machine, "check_daemon", lambda _run_dir: theirs)
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "found there" in shown
    assert "found here" not in shown
