"""A real machine's viewers, as a cluster's admin sees them: in the VMI's annotations and by Prometheus.

The API server is a double (support/kubernetes_api.py).
"""

import json
from pathlib import Path

import aiohttp
import pytest
from attached_guest import attached
from prometheus_client.parser import text_string_to_metric_families
from support.bus import Bus
from support.guest_image import Mode, desktop
from support.kubernetes_api import NAME, NAMESPACE, UID, kubernetes_api
from support.qemu import Qemu
from support.rfb_client import AsyncRfbClient
from support.rfb_session import Refused
from support.waiting import eventually

from sidecar.config.address import TcpAddress
from sidecar.config.options import DaemonOptions
from sidecar.daemon import frontends
from sidecar.problems import Problems
from sidecar.qemu.attach import BusAttach
from sidecar.report.kubernetes import AnnotationReporter
from sidecar.report.metrics import Metrics
from sidecar.report.metrics_server import MetricsServer
from sidecar.report.service_account import InCluster

Values = dict[tuple[str, ...], float]


async def scrape(port: int) -> Values:
    """Every sample by its name and its labels' values."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as page:
        families = text_string_to_metric_families(await page.text())
        return {
            (sample.name.removeprefix("kubevirt_vmi_vdi_"), *sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
        }


async def test_viewers_are_told_to_the_cluster_as_they_come_and_go(
    dbus_qemu: Qemu, bus: Bus, short_dir: Path, tmp_path: Path
) -> None:
    password = short_dir / "password"
    password.write_text("right")
    options = DaemonOptions(
        run_dir=short_dir / "run",
        vnc=(TcpAddress("127.0.0.1", 0),),
        auth="password",
        password_file=password,
    )
    dbus_qemu.show(Mode.DESKTOP)
    async with (
        kubernetes_api(tmp_path) as (api, mounted),
        attached(BusAttach(bus.address)) as guest,
        frontends(options, guest, Problems()) as daemon,
        MetricsServer(Metrics(daemon.registry, guest, daemon.feed.problems), "127.0.0.1", 0) as metrics,
    ):
        address = ("127.0.0.1", int(daemon.addresses[0].rpartition(":")[2]))

        def shown() -> dict[str, object]:
            text = api.annotations.get("vdi-sidecar/status")
            return json.loads(text) if text else {}

        async with AnnotationReporter(
            daemon.feed, cluster=InCluster(mounted.environ, mounted.directory), interval=0.1
        ) as reporter:
            reporter.identify(NAMESPACE, NAME, UID)
            async with await AsyncRfbClient.connect(address, password="right") as viewer:
                await viewer.until_shown(desktop())
                await eventually(
                    lambda: api.annotations.get("vdi-sidecar/vnc-sessions") == "1", "the viewer is counted"
                )
                assert shown()["vm"] == {"state": "attached"}
                with pytest.raises(Refused):
                    await AsyncRfbClient.connect(address, password="wrong")
                there = await scrape(metrics.port)
                assert there["sessions", "vnc"] == there["guest_state", "attached"] == 1
            await eventually(
                lambda: api.annotations["vdi-sidecar/vnc-sessions"] == "0", "the viewer is counted no more"
            )
            await eventually(lambda: daemon.registry.waiting == 0, "the refused viewer is gone")
            gone = await scrape(metrics.port)
        assert shown()["state"] == "ended"
    assert gone["sessions", "vnc"] == 0
    assert gone["connections_total", "vnc"] == 2
    assert gone["sessions_started_total", "vnc"] == 1
    assert gone["connections_ended_total", "vnc", "login-failed"] == 1
    assert gone["transmit_bytes_total", "vnc"] >= there["transmit_bytes_total", "vnc"] > 1000
    assert gone["transmit_frames_total", "vnc"] >= 1
    assert gone["process_resident_memory_bytes",] > 2**20
