"""Metrics and log of the daemon as a process, while somebody watches a real QEMU."""

import json
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from support.bus import Bus
from support.daemon import Daemon
from support.guest_image import Mode, desktop
from support.ports import free_port
from support.qemu import Qemu
from support.rfb_client import RfbClient
from support.waiting import wait_until

Values = dict[tuple[str, ...], float]


def scraped(port: int) -> Values:
    """Everything that is told, by name and the values of labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        page = answer.read().decode()
    return {
        (sample.name.removeprefix("kubevirt_vmi_vdi_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_what_a_viewer_sees_is_measured_and_logged(bus: Bus, dbus_qemu: Qemu, short_dir: Path) -> None:
    port = free_port()
    daemon = Daemon(short_dir, "--dbus-address", bus.address, "--metrics", f"127.0.0.1:{port}", "--log-json")
    try:
        size = {"width": 1024, "height": 768}
        wait_until(
            lambda: size.items() <= daemon.status()["vm"]["consoles"][0].items(), "the daemon is attached"
        )
        dbus_qemu.show(Mode.DESKTOP)
        with RfbClient(daemon.address) as viewer:
            viewer.until_shown(desktop())
            dbus_qemu.show(Mode.REPAINT)
            viewer.until(
                lambda: scraped(port)["update_delay_seconds_count",] > 0, "a change of the screen is measured"
            )
            wait_until(lambda: scraped(port)["loop_lag_seconds_count",] > 0, "the loop was looked at")
            values = scraped(port)
        wait_until(lambda: not daemon.sessions(), "the viewer has gone")
        after = scraped(port)
    finally:
        daemon.close()
    assert values["sessions", "vnc"] == 1
    assert values["guest_state", "attached"] == 1
    assert values["display_messages_total",] > 0
    assert values["display_pixels_total",] >= 640 * 480
    assert values["update_delay_seconds_count",] > 0
    assert values["cache_requests_total", "miss"] > 0
    assert sum(value for name, value in values.items() if name[0] == "encode_seconds_count") > 0
    assert values["failed_logins_total", "vnc", "wrong"] == 0
    assert values["unsent_bytes", "vnc"] >= 0
    assert values["errors_total", "server"] == 0
    assert after["sessions", "vnc"] == 0
    assert after["transmit_bytes_total", "vnc"] >= values["transmit_bytes_total", "vnc"] > 0

    lines = [json.loads(line) for line in daemon.process.output.splitlines() if line.startswith("{")]
    by_event = {line["event"]: line for line in lines}
    begun, ended = by_event["session initialized"], by_event["session disconnected"]
    assert begun["session"] == ended["session"]
    assert begun["protocol"] == "vnc"
    assert ended["bytes_sent"] > 0
    assert by_event["attached to a virtual machine"]["level"] == "info"
    assert by_event.keys() >= {"listening", "ending"}
