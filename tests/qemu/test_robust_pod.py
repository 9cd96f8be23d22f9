"""`vdi-sidecar hook` with a real QEMU and a viewer, among clients of its sockets that do everything wrong."""

import contextlib
import random
import resource
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.domain_samples import DIRECTORY, sample
from support.guest_image import Mode, desktop
from support.hook_sidecar import HookSidecar, Launcher, bus_of, launcher_of
from support.ports import free_port
from support.processes import open_descriptors, resident_bytes
from support.qemu import Qemu, dbus_display
from support.rfb_client import RfbClient
from support.rfb_wire import Encoding
from support.waiting import wait_until

from sidecar.hook.api.callbacks_v1alpha3_pb2 import OnDefineDomainParams, ShutdownParams
from sidecar.hook.api.callbacks_v1alpha3_pb2_grpc import CallbacksStub
from sidecar.hook.api.domain_hook_v1alpha1_pb2 import MutateDomainRequest
from sidecar.hook.api.domain_hook_v1alpha1_pb2_grpc import DomainHookServiceStub
from sidecar.hook.api.session_status_pb2 import GetRequest, WatchRequest
from sidecar.hook.api.session_status_pb2_grpc import SessionStatusStub

MEGABYTE = 1 << 20
DOMAIN = sample("amd64-default-vnc")
VMI = (DIRECTORY / "amd64-default-vnc.vmi.json").read_bytes()
LARGE = DOMAIN.replace(b"</domain>", b"<!--" + b"x" * (4 * MEGABYTE - len(DOMAIN) - 1000) + b"--></domain>")
DESCRIPTORS = 300
"""That the sidecar may have: soon used up, if it takes whatever comes."""
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])

FATES = {
    grpc.StatusCode.OK,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    # one connection too many, or more calls in it than it may have
    grpc.StatusCode.UNAVAILABLE,
}


class Pod:
    """The sidecar, its machine and one who watches it."""

    def __init__(self, sidecar: HookSidecar, plugin_socket: Path, metrics_port: int, qemu: Qemu) -> None:
        self.sidecar = sidecar
        self.plugin_socket = plugin_socket
        self.metrics_port = metrics_port
        self.qemu = qemu
        # it may come before the machine's first picture has, while there is a notice of another size
        self.viewer = RfbClient(sidecar.address, encodings=(Encoding.RAW, Encoding.DESKTOP_SIZE))
        self.viewer.until_shown(desktop())

    @property
    def pid(self) -> int:
        return self.sidecar.process.pid

    def channel(self, socket_path: Path) -> grpc.Channel:
        """One with a connection of its own."""
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1))
        return grpc.insecure_channel(f"unix:{socket_path}", options=options)

    def viewer_has_noticed_nothing(self) -> None:
        """The same connection shows what the machine shows now, and it alone is counted."""
        for mode in (Mode.STILL, Mode.DESKTOP):
            self.qemu.show(mode)
            self.viewer.until_shown(self.qemu.screendump())
        with self.channel(self.sidecar.socket) as channel:
            status = SessionStatusStub(channel).Get(GetRequest(), timeout=60, wait_for_ready=True)
        assert status.service.vnc.sessions == 1
        assert status.vm.state == "attached"


@pytest.fixture
def pod(short_dir: Path, start_qemu: Callable[..., Qemu]) -> Iterator[Pod]:
    plugin_socket, metrics_port = short_dir / "plugin" / "hook.sock", free_port()
    sidecar = HookSidecar(
        short_dir, "--plugin-socket", str(plugin_socket), "--metrics", f"127.0.0.1:{metrics_port}"
    )
    try:
        with launcher_of(sidecar) as launcher:
            domain = launcher.define(DOMAIN, VMI)
        qemu = start_qemu(dbus_display(sidecar.as_seen_here(bus_of(domain))))
        qemu.show(Mode.DESKTOP)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.prlimit(sidecar.process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
        pod = Pod(sidecar, plugin_socket, metrics_port, qemu)
        with pod.viewer:
            yield pod
    finally:
        sidecar.process.kill()


def define_futures(channel: grpc.Channel, plugin: grpc.Channel, domain: bytes, **how: Any) -> list[Any]:
    """The same domain by both APIs."""
    by_hook = OnDefineDomainParams(domainXML=domain, vmi=VMI)
    by_plugin = MutateDomainRequest(domain_type="libvirt", domain=domain, vmi=VMI)
    return [
        CallbacksStub(channel).OnDefineDomain.future(by_hook, **how),
        DomainHookServiceStub(plugin).MutateDomain.future(by_plugin, **how),
    ]


def fates(calls: list[Any]) -> Counter[grpc.StatusCode]:
    """How they have ended."""
    return Counter(call.code() for call in calls)


def test_connections_by_the_hundred_leave_room_for_viewers(pod: Pod) -> None:
    before = open_descriptors(pod.pid)
    with contextlib.ExitStack() as stack:
        for number in range(400):
            for path in (pod.sidecar.socket, pod.plugin_socket):
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.settimeout(30)
                with contextlib.suppress(ConnectionError):
                    client.connect(str(path))
                    client.sendall((b"\0", HTTP2, HTTP2[:9], b"GET / HTTP/1.1\r\n\r\n")[number % 4])
            if number % 4 == 0:
                client = stack.enter_context(socket.create_connection(("127.0.0.1", pod.metrics_port)))
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
        with RfbClient(pod.sidecar.address) as newcomer:
            newcomer.until_shown(pod.qemu.screendump())
        assert open_descriptors(pod.pid) < DESCRIPTORS
    pod.viewer_has_noticed_nothing()
    wait_until(lambda: open_descriptors(pod.pid) <= before + 2, "every connection is closed")


def test_large_domains_from_everywhere_neither_fill_memory_nor_harm_a_viewer(pod: Pod) -> None:
    before = resident_bytes(pod.pid)
    most = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.01):
            most = max(most, resident_bytes(pod.pid))

    thread = threading.Thread(target=watch)
    thread.start()
    chance = random.Random(9)
    try:
        with contextlib.ExitStack() as stack:
            channels = [
                tuple(
                    stack.enter_context(pod.channel(path)) for path in (pod.sidecar.socket, pod.plugin_socket)
                )
                for _ in range(8)
            ]
            calls = []
            for number in range(120):
                how = {"timeout": chance.uniform(0.001, 0.2) if number % 3 == 0 else 60}
                calls += define_futures(*channels[number % 8], LARGE, **how)
                if number % 3 == 1:
                    calls[chance.randrange(len(calls))].cancel()
            counted = fates(calls)
            assert set(counted) <= FATES, counted
            assert counted[grpc.StatusCode.OK] > 0
    finally:
        done.set()
        thread.join()
    # eight that wait, two that are read, and what is answered; without a limit it is 500 MB more
    assert most < before + 150 * MEGABYTE
    pod.viewer_has_noticed_nothing()
    with launcher_of(pod.sidecar) as launcher:
        assert launcher.define(LARGE, VMI).endswith(b"--></domain>")


def test_watchers_that_never_read_and_a_thousand_calls_of_info(pod: Pod) -> None:
    with pod.channel(pod.plugin_socket) as deaf, launcher_of(pod.sidecar) as launcher:
        watches = [SessionStatusStub(deaf).Watch(WatchRequest()) for _ in range(20)]
        for _ in range(20):
            with RfbClient(pod.sidecar.address):
                pass
        for _ in range(1000):
            assert launcher.info().name == "vdi-sidecar"
        pod.viewer_has_noticed_nothing()
        for watch in watches:
            watch.cancel()


def test_shutdown_twice_while_domains_are_defined_and_nobody_reads(pod: Pod) -> None:
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.socket(socket.AF_UNIX))
        silent.connect(str(pod.sidecar.socket))
        hook, plugin = (
            stack.enter_context(pod.channel(path)) for path in (pod.sidecar.socket, pod.plugin_socket)
        )
        SessionStatusStub(plugin).Watch(WatchRequest())
        calls = [call for _ in range(4) for call in define_futures(hook, plugin, LARGE, timeout=60)]
        ends = [CallbacksStub(hook).Shutdown.future(ShutdownParams(), timeout=60) for _ in range(2)]
        assert fates(ends)[grpc.StatusCode.OK] >= 1
        assert set(fates(calls)) <= FATES
        pod.sidecar.assert_ends_well()


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("the private bus listens", signal.SIGTERM),
        ("listening address", signal.SIGINT),
        ("hook socket ready", signal.SIGTERM),
        ("virt-launcher has found", signal.SIGINT),
        ("by load", signal.SIGTERM),
        ("by load", signal.SIGINT),
    ],
)
def test_a_signal_at_any_moment_leaves_nothing_behind(
    short_dir: Path, moment: str, number: signal.Signals
) -> None:
    sidecar = HookSidecar(short_dir)
    try:
        with contextlib.ExitStack() as stack:
            if moment in ("virt-launcher has found", "by load"):
                launcher = stack.enter_context(launcher_of(sidecar))
                Launcher.info(launcher)
            if moment == "by load":
                stub = CallbacksStub(stack.enter_context(grpc.insecure_channel(f"unix:{sidecar.socket}")))
                for _ in range(8):
                    stub.OnDefineDomain.future(OnDefineDomainParams(domainXML=LARGE, vmi=VMI), timeout=60)
            else:
                wait_until(lambda: moment in sidecar.process.output, moment)
            sidecar.process.signal(number)
            sidecar.assert_ends_well()
    finally:
        sidecar.process.kill()
