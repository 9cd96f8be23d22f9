"""Real clients of a machine that moves to another host, behind one address, as a Service gives them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from migration_hosts import Host, two_hosts
from support import freerdp
from support.freerdp import FreeRdp, Graphics
from support.guest_image import Mode, typed
from support.migration import ENDED, Migration, Service
from support.viewers import TigerVnc, XServer
from support.waiting import wait_until

from sidecar.broadcast.last_words import last_words

X_CODE = 0x2D


@pytest.fixture
def x_server(short_dir: Path) -> Iterator[XServer]:
    """A display to look at."""
    server = XServer(short_dir)
    yield server
    server.close()


@pytest.fixture
def hosts(short_dir: Path, guest_image: Path) -> Iterator[tuple[Host, Host]]:
    with two_hosts(short_dir, guest_image, rdp=True) as hosts:
        yield hosts


def says_why(picture: np.ndarray) -> bool:
    """Whether it has the box that tells why the session has ended."""
    if picture.shape != (768, 1024):
        return False
    area, pixels = last_words(1024, 768, ENDED.text)
    return np.array_equal(picture[area.y : area.bottom, area.x : area.right], pixels)


def test_tigervnc_shows_why_before_it_closes_its_window(hosts: tuple[Host, Host], x_server: XServer) -> None:
    source, target = hosts
    machine = source.boot()
    machine.show(Mode.DESKTOP)
    with Service(source.vnc, keeps_lines=True) as service:
        host, port = service.address
        with contextlib.closing(TigerVnc(x_server, f"{host}::{port}")) as viewer:
            wait_until(lambda: viewer.shows(machine.screendump()), "TigerVNC shows the machine")
            Migration(machine, target.await_machine(source.domain)).complete()
            source.leave()
            assert source.sidecar.process.wait() == 0
            wait_until(lambda: says_why(viewer.picture()), "TigerVNC shows why it ends")
            assert ENDED.text in viewer.title
            service.drop_lines()
            viewer.process.wait()


def test_freerdp_comes_again_by_itself_to_the_new_host(hosts: tuple[Host, Host], x_server: XServer) -> None:
    source, target = hosts
    machine = source.boot()
    machine.show(Mode.DESKTOP)
    with Service(source.rdp) as service:
        settings = freerdp.Settings(service.address, graphics=Graphics.PIPELINE, options=["+auto-reconnect"])
        with contextlib.closing(FreeRdp(x_server, settings)) as viewer:
            wait_until(lambda: viewer.shows(machine.screendump()), "FreeRDP shows the machine")
            incoming = target.await_machine(source.domain)
            Migration(machine, incoming).complete()
            service.pod = target.rdp
            source.leave()
            assert source.sidecar.process.wait() == 0
            wait_until(lambda: target.sessions == (0, 1), "FreeRDP has come again")
            wait_until(lambda: viewer.shows(incoming.screendump()), "FreeRDP shows it again")
            viewer.type("x")
            incoming.com1.wait_for(typed(X_CODE))
