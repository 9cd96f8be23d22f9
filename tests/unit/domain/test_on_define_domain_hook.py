"""`hooks/onDefineDomain`, called as KubeVirt's sidecar-shim calls it: by its name, with both texts."""

import pytest
from support.domain_samples import DIRECTORY, GRAPHICAL, options, sample
from support.sidecar_shim import call_as_the_shim

from sidecar.domain.rewrite import rewrite


@pytest.mark.parametrize("name", ["amd64-sound-ich9", "s390x-virtio"])
def test_the_rewritten_domain_comes_on_stdout_and_nothing_else(name: str) -> None:
    assert name in GRAPHICAL
    vmi = (DIRECTORY / f"{name}.vmi.json").read_text()
    answer = call_as_the_shim(vmi, sample(name).decode(), CONTAINER_NAME="hook-sidecar-0")
    assert (answer.returncode, answer.stderr) == (0, b"")
    assert answer.stdout == rewrite(sample(name), options())


def test_a_failure_is_one_line_on_stderr_and_an_exit_code() -> None:
    vmi = (DIRECTORY / "amd64-sound-ich9.vmi.json").read_text()
    answer = call_as_the_shim(vmi, "<!DOCTYPE domain><domain/>", CONTAINER_NAME="hook-sidecar-0")
    assert (answer.returncode, answer.stdout) == (1, b"")
    assert answer.stderr.count(b"\n") == 1
    assert b"DOCTYPE" in answer.stderr


def test_without_a_bus_address_it_is_told_what_to_give() -> None:
    vmi = (DIRECTORY / "amd64-sound-ich9.vmi.json").read_text()
    answer = call_as_the_shim(vmi, sample("amd64-sound-ich9").decode())
    assert (answer.returncode, answer.stdout) == (2, b"")
    assert b"CONTAINER_NAME" in answer.stderr
