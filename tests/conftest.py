"""What all tests share. pytest puts this directory on the import path, hence `from support import ...`."""

import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support.bus import Bus
from support.guest_image import assemble

from sidecar.log import EventHandler

# how long an example takes says more about the machine than about what is tested
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """An empty directory whose path leaves room for the 108 bytes of a unix socket's."""
    path = Path(tempfile.mkdtemp(prefix="vdi-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(autouse=True)
def no_log_of_a_program_before() -> Iterator[None]:
    """What a program that ran within a test has set up would write to that test's stderr, which is closed."""
    yield
    handlers = logging.getLogger().handlers
    handlers[:] = [handler for handler in handlers if not isinstance(handler, EventHandler)]


@pytest.fixture(scope="session")
def guest_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The deterministic guest, see `tests/guest/screen.asm`."""
    return assemble(tmp_path_factory.mktemp("guest") / "screen.img")


@pytest.fixture
def bus(short_dir: Path) -> Iterator[Bus]:
    """A private dbus-daemon."""
    bus = Bus(short_dir)
    yield bus
    bus.close()


pytest_plugins = ["support.fixtures", "support.second_try"]
