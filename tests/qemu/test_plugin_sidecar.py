"""`vdi-sidecar hook` as a plugin of KubeVirt: called as virt-launcher does, with the hook API and alone."""

import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from support.domain_samples import DIRECTORY, kept_by_kubevirt, sample
from support.hook_sidecar import HookSidecar, Launcher, bus_of
from support.qemu import Qemu, dbus_display
from support.waiting import wait_until

from sidecar.hook.api.domain_hook_v1alpha1_pb2 import MutateDomainRequest, SidecarContext
from sidecar.hook.api.domain_hook_v1alpha1_pb2_grpc import DomainHookServiceStub
from sidecar.hook.api.session_status_pb2 import GetRequest
from sidecar.hook.api.session_status_pb2_grpc import SessionStatusStub

VMI = (DIRECTORY / "amd64-default-vnc.vmi.json").read_bytes()

READY_SECONDS = 30
DIAL_SECONDS = 2
CALL_SECONDS = 30
"""virt-launcher's patience (facts: kubevirt 3)."""


def socket_in(directory: Path) -> Path:
    return directory / "plugin" / "vdi-sidecar" / "hook.sock"


@contextmanager
def dialled(socket: Path) -> Iterator[grpc.Channel]:
    """As virt-launcher does for each call: waits for the socket, which must be no link, and connects."""
    wait_until(socket.exists, "the plugin's socket is there", READY_SECONDS)
    assert not stat.S_ISLNK(socket.lstat().st_mode)
    options = (("grpc.default_authority", "localhost"), ("grpc.use_local_subchannel_pool", 1))
    with grpc.insecure_channel(f"unix:{socket}", options=options) as channel:
        grpc.channel_ready_future(channel).result(timeout=DIAL_SECONDS)
        yield channel


def mutate(socket: Path, domain: bytes, vmi: bytes = VMI, context: str = "Boot") -> bytes:
    request = MutateDomainRequest(
        domain_type="libvirt",
        domain=domain,
        vmi=vmi,
        sidecar_context=SidecarContext(invocation_context=context),
    )
    with dialled(socket) as channel:
        answer: bytes = DomainHookServiceStub(channel).MutateDomain(request, timeout=CALL_SECONDS).domain
    return answer


def state_of_the_machine(socket: Path) -> str:
    with dialled(socket) as channel:
        state: str = SessionStatusStub(channel).Get(GetRequest(), timeout=30).vm.state
    return state


Start = Callable[..., HookSidecar]


@pytest.fixture
def start(short_dir: Path) -> Iterator[Start]:
    """`start(option, ...)` -> a sidecar that answers the plugin API, too."""
    started: list[HookSidecar] = []

    def start(*options: str) -> HookSidecar:
        started.append(HookSidecar(short_dir, "--plugin-socket", str(socket_in(short_dir)), *options))
        return started[-1]

    yield start
    for sidecar in started:
        sidecar.process.kill()


@pytest.fixture
def alone(start: Start, short_dir: Path) -> Start:
    """`alone(option, ...)` -> a sidecar without a hook socket, whose folder QEMU sees at the same path."""

    def alone(*options: str) -> HookSidecar:
        bus = str(socket_in(short_dir).parent / "dbus")
        return start("--hook-dir", "none", "--bus-dir-for-qemu", bus, *options)

    return alone


@pytest.mark.parametrize("name", ["amd64-sound-ich9", "second-call-a_dbus", "second-call-b_both"])
def test_in_a_boot_with_both_apis_the_plugin_makes_again_what_kubevirt_has_forgotten(
    name: str, start: Start, short_dir: Path
) -> None:
    sidecar = start()
    sidecar.wait_for_socket()
    plugin = socket_in(short_dir)
    with dialled(sidecar.socket) as channel:
        by_hook = Launcher(channel).define(sample(name), VMI)
    by_plugin = mutate(plugin, kept_by_kubevirt(by_hook))
    assert bus_of(by_plugin) == bus_of(by_hook)
    assert mutate(plugin, by_plugin) == by_plugin
    with dialled(sidecar.socket) as channel:
        Launcher(channel).shut_down()
    sidecar.assert_ends_well()
    assert list(plugin.parent.iterdir()) == []


def test_alone_its_domain_boots_and_a_pod_that_completes_ends_it(
    alone: Start, start_qemu: Callable[..., Qemu], short_dir: Path
) -> None:
    sidecar = alone("--grace", "1d", "--leave-after", "1d")
    plugin = socket_in(short_dir)
    domain = mutate(plugin, sample("amd64-default-vnc"))
    # nothing that virt-launcher would take for a hook
    assert list(sidecar.hook_directory.iterdir()) == []
    qemu = start_qemu(dbus_display(bus_of(domain)))
    wait_until(lambda: state_of_the_machine(plugin) == "attached", "the machine is attached")
    # a migration asks both sides; the bus is the same
    for context in ("MigrationSource", "MigrationTarget"):
        assert bus_of(mutate(plugin, domain, context=context)) == bus_of(domain)
    qemu.close()
    # the kubelet's word to a native sidecar when the other containers have completed
    sidecar.process.signal(signal.SIGTERM)
    sidecar.assert_ends_well()
    assert list(plugin.parent.iterdir()) == []


def test_alone_in_an_ordinary_container_it_leaves_when_the_machine_has_gone_for_good(
    alone: Start, start_qemu: Callable[..., Qemu], short_dir: Path
) -> None:
    sidecar = alone("--leave-after", "1s")
    plugin = socket_in(short_dir)
    qemu = start_qemu(dbus_display(bus_of(mutate(plugin, sample("amd64-default-vnc")))))
    wait_until(lambda: state_of_the_machine(plugin) == "attached", "the machine is attached")
    qemu.close()
    sidecar.assert_ends_well()
    assert "has not come back" in sidecar.process.output


def test_what_cannot_be_rewritten_is_refused_and_the_next_is_answered(alone: Start, short_dir: Path) -> None:
    alone()
    plugin = socket_in(short_dir)
    good = sample("amd64-default-vnc")
    for domain, vmi in ((b"<domain>", VMI), (b"\xff", VMI), (b"<network/>", VMI), (good, b"no JSON")):
        with pytest.raises(grpc.RpcError) as refused:
            mutate(plugin, domain, vmi)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "\n" not in refused.value.details()
        assert bus_of(mutate(plugin, good)).endswith("/dbus/bus")
