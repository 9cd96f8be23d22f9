"""Tests here build the images and run them: with buildah, as root, for no engine is needed but mounts are."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.buildah import Container, Storage


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
def sidecar_image(storage: Storage) -> str:
    """The sidecar's image, built as its users build it."""
    name = "localhost/vdi-sidecar-test:1"
    storage.build("--tag", name)
    return name


@pytest.fixture(scope="session")
def container(storage: Storage, sidecar_image: str) -> Container:
    """A container of it that nobody may change."""
    return Container(storage, sidecar_image)


@pytest.fixture(scope="session")
def other_container(storage: Storage, sidecar_image: str) -> Container:
    """Another one, into which `buildah run` puts its files."""
    return Container(storage, sidecar_image)
