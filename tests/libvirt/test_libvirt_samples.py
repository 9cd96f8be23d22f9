"""libvirt takes and starts what the hook makes of KubeVirt's domains, and viewers see the machine."""

import numpy as np
import pytest
from support.domain_samples import NAMES, sample
from support.guest_image import Mode, desktop, typed
from support.libvirt_machine import Machine
from support.libvirt_pod import Pod
from support.rfb_wire import key_event

from sidecar.domain.options import Graphics

PC = [name for name in NAMES if not name.startswith(("arm64", "s390x"))]
"""Those whose processor runs the guest of the tests."""

A_KEY = 0x1E


@pytest.mark.parametrize("graphics", list(Graphics))
@pytest.mark.parametrize("name", PC)
def test_a_machine_boots_and_is_seen_and_driven(
    pod: Pod, machine: Machine, name: str, graphics: Graphics
) -> None:
    pod.boot(machine, sample(name), graphics=graphics, screen="true")
    machine.show(Mode.DESKTOP)
    picture = machine.screendump()
    # the firmware knows one size for bochs-display, 1280x800, and draws into a part of it
    assert np.array_equal(picture[:768, :1024], desktop())
    assert np.array_equal(machine.screenshot(), picture)
    with pod.viewer() as viewer:
        viewer.until_shown(picture)
        viewer.send(key_event(ord("a"), True) + key_event(ord("a"), False))
        machine.com1.wait_for(typed(A_KEY))
    if graphics is Graphics.REPLACE:
        pod.assert_rdp_shows(picture)
