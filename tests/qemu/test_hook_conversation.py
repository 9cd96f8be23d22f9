"""What virt-launcher asks of `vdi-sidecar hook` while a machine boots, for each domain it makes."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from support.domain_samples import DIRECTORY, NAMES, kept_by_kubevirt, options, sample
from support.hook_sidecar import CALLBACKS, CONTAINER, HookSidecar, Launcher, launcher_of
from support.libvirt_schema import made_valid, verdict
from support.sidecar_shim import call_as_the_shim
from support.waiting import DEADLINE

from sidecar.domain.rewrite import rewrite
from sidecar.hook.api.session_status_pb2 import GetRequest

CALLS = 3
"""So often is a domain defined in one boot."""
BOOTS = 5
"""Whole processes; `tests/unit/hook/test_hook_socket.py` has fifty servers in one."""

SCAN_SECONDS = 0.3
"""virt-launcher's pace while it looks for hooks."""
DIAL_SECONDS = 2


def taken_for_hooks(shared: Path) -> list[Path]:
    """What virt-launcher calls: each file of each folder in the folder that it shares with its sidecars."""
    # by the types that come with the names, as virt-launcher's reads them: files may be gone at a second look
    folders = [folder for folder in os.scandir(shared) if folder.is_dir()]
    return [Path(file.path) for folder in folders for file in os.scandir(folder) if not file.is_dir()]


@contextmanager
def dialled(socket: Path) -> Iterator[grpc.Channel]:
    """A connection of its own, as virt-launcher opens one for each call."""
    options = (("grpc.default_authority", "localhost"), ("grpc.use_local_subchannel_pool", 1))
    with grpc.insecure_channel(f"unix:{socket}", options=options) as channel:
        grpc.channel_ready_future(channel).result(timeout=DIAL_SECONDS)
        yield channel


def collect(shared: Path) -> Path:
    """The hook that virt-launcher finds when one is asked for, after Info was answered in time.

    Raises what makes virt-launcher fail the VM, or wait for a file that is no hook.
    """
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        for file in taken_for_hooks(shared):
            with dialled(file) as channel:
                info = Launcher(channel).info()
            assert "v1alpha3" in info.versions
            return file
        time.sleep(SCAN_SECONDS)
    raise AssertionError("no hook was found")


@contextmanager
def everything_seen(shared: Path) -> Iterator[set[str]]:
    """The names of all that virt-launcher could ever have taken for a hook meanwhile."""
    seen: set[str] = set()
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.005):
            seen.update(str(file.relative_to(shared)) for file in taken_for_hooks(shared))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


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
            assert launcher.status.Get(GetRequest(), timeout=30).vm.state == "waiting"
        assert info.name == "vdi-sidecar"
        assert list(info.versions) == list(CALLBACKS)
        assert [point.name for point in info.hookPoints] == ["OnDefineDomain", "Shutdown"]
    finally:
        sidecar.process.stop()


def test_virt_launcher_finds_one_socket_and_no_other_file(sidecar: HookSidecar, launcher: Launcher) -> None:
    found = [path for path in sidecar.hook_directory.iterdir() if not path.is_dir()]
    assert found == [sidecar.socket]


def test_boot_after_boot_virt_launcher_finds_the_hook_in_time_and_never_a_stray_file(short_dir: Path) -> None:
    # everything below the shared folder: bus, run directory and hooks
    below = "--run-dir", str(short_dir / "hooks" / "run")
    received = sample("amd64-default-vnc")
    with everything_seen(short_dir) as seen:
        for _boot in range(BOOTS):
            sidecar = HookSidecar(short_dir, *below)
            try:
                hook = collect(short_dir)
                for _call in range(CALLS):
                    with dialled(hook) as channel:
                        received = Launcher(channel).define(received, vmi_of("amd64-default-vnc"))
                with dialled(hook) as channel:
                    Launcher(channel).shut_down()
                assert sidecar.process.wait() == 0, sidecar.process.output
            finally:
                sidecar.process.kill()
    assert seen == {"hooks/vdi-sidecar.sock"}
    assert received == rewrite(sample("amd64-default-vnc"), options())


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
