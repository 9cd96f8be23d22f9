"""Tests here build the images and run them: with buildah, as root, for no engine is needed but mounts are."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.buildah import PROJECT, Container, Documented, Storage, documented_commands

from sidecar import __version__


@pytest.fixture(scope="session")
def storage() -> Iterator[Storage]:
    """Images and containers of this session."""
    if shutil.which("buildah") is None:
        pytest.skip("buildah is not installed")
    if os.geteuid() != 0:
        pytest.skip("only root can make a base image and a container's mounts")
    directory = Path(tempfile.mkdtemp(prefix="vdi-images-", dir="/var/tmp"))
    yield Storage(directory)
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def documented(storage: Storage, tmp_path_factory: pytest.TempPathFactory) -> Documented:
    """Types them, one after the other: the images are built."""
    directory = tmp_path_factory.mktemp("documented")
    (directory / "images").symlink_to(PROJECT / "images")
    return Documented(storage.shell(documented_commands(), directory), directory)


@pytest.fixture(scope="session")
def sidecar_image(documented: Documented) -> str:
    """The sidecar's image."""
    return f"localhost/vdi-sidecar:{__version__}"


@pytest.fixture(scope="session")
def demo_guest_image(documented: Documented) -> str:
    """The demo guest's image."""
    return f"localhost/vdi-sidecar-demo-guest:{__version__}"


@pytest.fixture(scope="session")
def container(storage: Storage, sidecar_image: str) -> Container:
    """A container of it that nobody may change."""
    return Container(storage, sidecar_image)


@pytest.fixture(scope="session")
def other_container(storage: Storage, sidecar_image: str) -> Container:
    """Another one, into which `buildah run` puts its files."""
    return Container(storage, sidecar_image)
