"""What virt-launcher asks of `vdi-sidecar hook` while a machine boots, for each domain it makes."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from hook_sidecar import CALLBACKS, CONTAINER, HookSidecar, Launcher, launcher_of
from support.domain_samples import DIRECTORY, NAMES, kept_by_kubevirt, options, sample
from support.libvirt_schema import made_valid, verdict
from support.sidecar_shim import call_as_the_shim

from sidecar.domain.rewrite import rewrite
from sidecar.hook.api.session_status_pb2 import GetRequest

CALLS = 3
"""So often is a domain defined in one boot."""


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HookSidecar]:
    sidecar = HookSidecar(tmp_path_factory.mktemp("hook"))
    yield sidecar
    assert sidecar.process.stop() == 0, sidecar.process.output
    assert "Traceback" not in sidecar.process.output


@pytest.fixture(scope="module")
def launcher(sidecar: HookSidecar) -> Iterator[Launcher]:
    with launcher_of(sidecar) as launcher:
        launcher.info()
        yield launcher


def vmi_of(name: str) -> bytes:
    """The VMI beside a sample, or one like it: what libvirt or an earlier call made has none."""
    path = DIRECTORY / f"{name}.vmi.json"
    return (path if path.exists() else DIRECTORY / "amd64-default-vnc.vmi.json").read_bytes()


def test_info_is_answered_as_soon_as_the_socket_is_there(tmp_path: Path) -> None:
    sidecar = HookSidecar(tmp_path)
    try:
        with launcher_of(sidecar) as launcher:
            info = launcher.info()
            # nothing is to be waited for behind it: bus, viewers' port and status are there
            assert (sidecar.hook_directory / "dbus" / "bus").is_socket()
            assert launcher.status.Get(GetRequest(), timeout=10).vm.state == "waiting"
        assert info.name == "vdi-sidecar"
        assert list(info.versions) == list(CALLBACKS)
        assert [point.name for point in info.hookPoints] == ["OnDefineDomain", "Shutdown"]
    finally:
        sidecar.process.stop()


def test_virt_launcher_finds_one_socket_and_no_other_file(sidecar: HookSidecar, launcher: Launcher) -> None:
    found = [path for path in sidecar.hook_directory.iterdir() if not path.is_dir()]
    assert found == [sidecar.socket]


@pytest.mark.parametrize("version", list(CALLBACKS))
@pytest.mark.parametrize("name", NAMES)
def test_each_version_answers_each_call_of_a_boot_with_the_rewrite(
    launcher: Launcher, name: str, version: str
) -> None:
    received = sample(name)
    for _call in range(CALLS):
        answer = launcher.define(received, vmi_of(name), version)
        assert answer == rewrite(received, options())
        received = kept_by_kubevirt(answer)


@pytest.mark.parametrize("name", NAMES)
def test_libvirts_schema_takes_each_answer_where_it_took_the_question(
    launcher: Launcher, name: str, tmp_path: Path
) -> None:
    received = made_valid(sample(name))
    for _call in range(CALLS):
        assert verdict(tmp_path, received) == ""
        answer = launcher.define(received, vmi_of(name))
        assert verdict(tmp_path, answer) == ""
        received = kept_by_kubevirt(answer)


@pytest.mark.parametrize("name", NAMES)
def test_kubevirts_own_shim_gets_the_same_answers(launcher: Launcher, name: str) -> None:
    vmi, received = vmi_of(name), sample(name)
    for _call in range(CALLS):
        answer = call_as_the_shim(vmi.decode(), received.decode(), CONTAINER_NAME=CONTAINER)
        assert (answer.returncode, answer.stderr) == (0, b"")
        assert answer.stdout == launcher.define(received, vmi)
        received = kept_by_kubevirt(answer.stdout)


@pytest.mark.parametrize(
    ("domain", "vmi", "reason"),
    [
        (b"<domain><devices>", b'{"metadata": {}}', "not well formed"),
        (b"<network/>", b'{"metadata": {}}', "not a domain"),
        (b"<domain/>", b"[]", "no metadata"),
        (
            b"<domain/>",
            b'{"metadata": {"annotations": {"vdi-sidecar/graphics": "spice"}}}',
            "replace, keep-vnc, commandline",
        ),
    ],
    ids=["torn", "another root", "no VMI", "a wish that cannot be"],
)
def test_what_cannot_be_rewritten_is_refused_in_a_line_and_the_next_is_answered(
    launcher: Launcher, domain: bytes, vmi: bytes, reason: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        launcher.define(domain, vmi)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason in refused.value.details()
    assert "\n" not in refused.value.details()
    received = sample("amd64-default-vnc")
    assert launcher.define(received, vmi_of("amd64-default-vnc")) == rewrite(received, options())
