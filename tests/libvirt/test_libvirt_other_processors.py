"""Machines whose processor does not run the tests' guest: libvirt starts them, and they are seen."""

import numpy as np
import pytest
from support.domain_samples import kept_by_kubevirt, sample
from support.libvirt_machine import NAME, Machine
from support.libvirt_pod import Pod
from support.waiting import wait_until

from sidecar.domain.options import Graphics


@pytest.mark.parametrize("graphics", list(Graphics))
@pytest.mark.parametrize("name", ["arm64-virtio", "s390x-virtio"])
def test_a_machine_of_another_processor_is_seen(
    pod: Pod, machine: Machine, name: str, graphics: Graphics
) -> None:
    annotations = {"graphics": graphics}
    machine.define(pod.answer(machine.cut_down(sample(name)), **annotations))
    machine.define(pod.answer(kept_by_kubevirt(machine.definition()), **annotations))
    # it would find nothing to run, and some end then
    machine.libvirt.virsh("start", "--paused", NAME)
    wait_until(lambda: pod.status().vm.state == "attached", "the sidecar has found it")
    picture = machine.screendump()
    assert np.array_equal(machine.screenshot(), picture)
    with pod.viewer() as viewer:
        viewer.until_shown(picture)
