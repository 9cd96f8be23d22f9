"""Every domain that KubeVirt makes, in every mode, through the three calls of one boot."""

import difflib

import pytest
from lxml import etree
from support.domain_samples import ADDRESS, GRAPHICAL, NAMES, QEMU, kept_by_kubevirt, options, sample

from sidecar.domain.options import Graphics
from sidecar.domain.rewrite import rewrite

MODES = list(Graphics)

DBUS = [f'\t\t<graphics type="dbus" address="{ADDRESS}">', '\t\t\t<audio id="1"/>', "\t\t</graphics>"]
AUDIO = ['\t\t<audio id="1" type="dbus"/>']
TABLET = ['\t\t<input type="tablet" bus="virtio"/>']
VNC = [
    '\t\t<graphics type="vnc">',
    '\t\t\t<listen type="socket" '
    'socket="/var/run/kubevirt-private/f4686d2c-6e8d-4335-b8fd-81bee22f4814/virt-vnc"></listen>',
]
BARE = ['\t\t<graphics type="dbus"></graphics>']
COMMANDLINE = [
    "\t<qemu:commandline>",
    '\t\t<qemu:arg value="-display"/>',
    f'\t\t<qemu:arg value="dbus,addr={ADDRESS}"/>',
    "\t</qemu:commandline>",
]


CHANGES = {
    ("amd64-default-vnc", Graphics.REPLACE): (VNC, [*DBUS[:2], *AUDIO, *TABLET]),
    ("amd64-default-vnc", Graphics.KEEP_VNC): ([], [*DBUS, *AUDIO, *TABLET]),
    ("amd64-default-vnc", Graphics.COMMANDLINE): ([], [*TABLET, *COMMANDLINE]),
    ("amd64-efi-bochs", Graphics.REPLACE): (VNC, [*DBUS[:2], *AUDIO, *TABLET]),
    ("amd64-sound-ich9", Graphics.REPLACE): (VNC, [*DBUS[:2], *AUDIO, *TABLET]),
    ("amd64-sound-ich9", Graphics.COMMANDLINE): ([], [*TABLET, *COMMANDLINE]),
    ("amd64-video-virtio", Graphics.REPLACE): (VNC, [*DBUS[:2], *AUDIO]),
    ("amd64-video-virtio", Graphics.KEEP_VNC): ([], [*DBUS, *AUDIO]),
    ("amd64-no-graphics", Graphics.REPLACE): ([], []),
    ("amd64-no-graphics", Graphics.KEEP_VNC): ([], []),
    ("amd64-no-graphics", Graphics.COMMANDLINE): ([], []),
    ("arm64-virtio", Graphics.REPLACE): (VNC, [*DBUS[:2], *AUDIO]),
    ("arm64-virtio", Graphics.COMMANDLINE): ([], COMMANDLINE),
    ("s390x-virtio", Graphics.REPLACE): (VNC, [*DBUS[:2], *AUDIO, *TABLET]),
    ("second-call-a_dbus", Graphics.REPLACE): (BARE, [*DBUS, *AUDIO, *TABLET]),
    ("second-call-a_dbus", Graphics.COMMANDLINE): (BARE, [*TABLET, *COMMANDLINE]),
    ("second-call-b_both", Graphics.REPLACE): ([*VNC, *BARE], [*DBUS[:2], *AUDIO, *TABLET]),
    ("second-call-b_both", Graphics.KEEP_VNC): (BARE, [*DBUS, *AUDIO, *TABLET]),
    ("libvirt-migratable-dbus", Graphics.REPLACE): ([], ["    <input type='tablet' bus='virtio'/>"]),
}


def changed_lines(before: bytes, after: bytes) -> tuple[list[str], list[str]]:
    lines = list(difflib.ndiff(before.decode().splitlines(), after.decode().splitlines()))
    return [line[2:] for line in lines if line[:2] == "- "], [line[2:] for line in lines if line[:2] == "+ "]


@pytest.mark.parametrize(("name", "graphics"), list(CHANGES))
def test_exactly_these_lines_change(name: str, graphics: Graphics) -> None:
    removed, added = changed_lines(sample(name), rewrite(sample(name), options(graphics)))
    assert (sorted(removed), sorted(added)) == tuple(sorted(lines) for lines in CHANGES[name, graphics])


def assert_shown_on_the_bus(domain: bytes, graphics: Graphics) -> None:
    root = etree.fromstring(domain)
    shown = [element.get("type") for element in root.findall("devices/graphics")]
    arguments = [element.get("value") for element in root.iter(f"{QEMU}arg")]
    if graphics is Graphics.COMMANDLINE:
        assert "dbus" not in shown
        assert arguments[-2:] == ["-display", f"dbus,addr={ADDRESS}"]
        assert arguments.count("-display") == 1
    else:
        assert shown.count("dbus") == 1
        assert "-display" not in arguments
        dbus = root.find("devices/graphics[@type='dbus']")
        assert dbus.get("address") == ADDRESS
        (inner,) = dbus.findall("audio")
        (outer,) = root.findall(f"devices/audio[@id='{inner.get('id')}']")
        assert outer.get("type") == "dbus"
    assert graphics is not Graphics.REPLACE or "vnc" not in shown
    assert len(root.findall("devices/input[@type='tablet']")) == 1
    assert len(root.findall("devices/video")) == 1


@pytest.mark.parametrize("graphics", MODES)
@pytest.mark.parametrize("name", GRAPHICAL)
def test_the_display_is_whole_after_each_of_the_three_calls_of_a_boot(name: str, graphics: Graphics) -> None:
    received = sample(name)
    answers = []
    for _call in range(3):
        answers.append(rewrite(received, options(graphics)))
        assert_shown_on_the_bus(answers[-1], graphics)
        received = kept_by_kubevirt(answers[-1])
    devices = [sorted(child.tag for child in etree.fromstring(answer).find("devices")) for answer in answers]
    if graphics is Graphics.COMMANDLINE:  # no audio is asked for, and what the first call had is lost
        devices[0] = [name for name in devices[0] if name != "audio"]
    assert devices[0] == devices[1] == devices[2]


@pytest.mark.parametrize("graphics", [None, *MODES])
@pytest.mark.parametrize("name", NAMES)
def test_a_rewritten_domain_is_not_changed_again(name: str, graphics: Graphics | None) -> None:
    once = rewrite(sample(name), options(graphics, screen=True))
    assert rewrite(once, options(graphics, screen=True)) == once


@pytest.mark.parametrize("last", MODES)
@pytest.mark.parametrize("first", MODES)
def test_a_change_of_mode_leaves_one_display_on_the_bus(first: Graphics, last: Graphics) -> None:
    domain = rewrite(sample("second-call-b_both"), options(first))
    assert_shown_on_the_bus(rewrite(domain, options(last)), last)


@pytest.mark.parametrize("graphics", MODES)
@pytest.mark.parametrize("name", [name for name in GRAPHICAL if not name.startswith(("second", "libvirt"))])
def test_vnc_goes_with_replace_only(name: str, graphics: Graphics) -> None:
    root = etree.fromstring(rewrite(sample(name), options(graphics)))
    vnc = [element.find("listen").get("type") for element in root.findall("devices/graphics[@type='vnc']")]
    assert vnc == ([] if graphics is Graphics.REPLACE else ["socket"])


@pytest.mark.parametrize("name", GRAPHICAL)
def test_what_plugins_leave_of_the_commandline_mode_still_shows_the_screen(name: str) -> None:
    left = kept_by_kubevirt(rewrite(sample(name), options(Graphics.COMMANDLINE)))
    assert_shown_on_the_bus(left, Graphics.COMMANDLINE)


def test_replace_is_the_default() -> None:
    domain = sample("amd64-sound-ich9")
    assert rewrite(domain, options()) == rewrite(domain, options(Graphics.REPLACE))
