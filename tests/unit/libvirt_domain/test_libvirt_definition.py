"""What is read out of a domain's XML."""

import pytest

from sidecar.libvirt_domain.definition import (
    Display,
    devices,
    display,
    has_balloon,
    has_pluggable_cpus,
    has_power_button,
    offers_kvm,
    parse,
)
from sidecar.machine import Device

LABEL = "<seclabel type='dynamic' model='dac' relabel='yes'><label>+64055:+108</label></seclabel>"


def with_devices(inner: str, rest: str = "") -> str:
    return f"<domain type='kvm'><devices>{inner}</devices>{rest}</domain>"


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        (with_devices(""), None),
        (with_devices("<graphics type='vnc' port='-1'/>"), None),
        (with_devices("<graphics type='dbus'/>"), Display(0, "", None)),
        (with_devices("<graphics type='dbus' address='unix:path=/x'/>"), Display(0, "unix:path=/x", None)),
        (with_devices("<graphics type='dbus' p2p='yes'/>"), Display(0, None, None)),
        (with_devices("<graphics type='vnc'/><graphics type='dbus' p2p='yes'/>"), Display(1, None, None)),
        (with_devices("<graphics type='dbus' p2p='yes'/>", LABEL), Display(0, None, 64055)),
        (with_devices("<graphics type='dbus' p2p='no'/>", LABEL.replace("+", "")), Display(0, "", 64055)),
    ],
)
def test_the_display_is_the_first_graphics_of_its_kind(xml: str, expected: Display | None) -> None:
    assert display(parse(xml)) == expected


def test_devices_are_told_as_people_call_them() -> None:
    xml = with_devices(
        """
        <disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
          <source file='/var/lib/images/root.qcow2' index='2'/><target dev='vda' bus='virtio'/>
          <alias name='virtio-disk0'/></disk>
        <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
        <disk type='network' device='disk'><source protocol='rbd' name='pool/image'/>
          <target dev='vdb' bus='virtio'/></disk>
        <controller type='usb' index='0' model='qemu-xhci'/>
        <interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/>
          <target dev='vnet3'/><model type='virtio'/></interface>
        <graphics type='dbus'/>
        <sound model='ich9'><alias name='sound0'/></sound>
        <redirdev bus='usb' type='dbus'><source channel='org.qemu.usbredir'/></redirdev>
        <memballoon model='virtio'/>
        """
    )
    assert devices(parse(xml)) == (
        Device("disk", "vda", "virtio", "root.qcow2"),
        Device("cdrom", "sda", "sata", ""),
        Device("disk", "vdb", "virtio", "image"),
        Device("network", "vnet3", "virtio", "br0"),
        Device("graphics", "dbus", "dbus", ""),
        Device("sound", "sound0", "ich9", ""),
        Device("usb", "dbus", "usb", "org.qemu.usbredir"),
        Device("balloon", "balloon", "virtio", ""),
    )


@pytest.mark.parametrize(
    ("vcpus", "pluggable"),
    [
        ("<vcpu>4</vcpu>", False),
        ("<vcpu current='1'>4</vcpu>", True),
        (
            "<vcpu>2</vcpu><vcpus><vcpu id='0' hotpluggable='no'/><vcpu id='1' hotpluggable='yes'/></vcpus>",
            True,
        ),
        ("<vcpu>1</vcpu><vcpus><vcpu id='0' hotpluggable='no'/></vcpus>", False),
    ],
)
def test_processors_come_and_go_where_the_definition_leaves_room(vcpus: str, pluggable: bool) -> None:
    assert has_pluggable_cpus(parse(f"<domain>{vcpus}</domain>")) is pluggable


@pytest.mark.parametrize(
    ("architecture", "features", "button"),
    [("x86_64", "<acpi/>", True), ("x86_64", "<apic/>", False), ("aarch64", "", True), ("s390x", "", True)],
)
def test_only_x86_needs_acpi_for_the_power_button(architecture: str, features: str, button: bool) -> None:
    xml = f"<domain><os><type arch='{architecture}'>hvm</type></os><features>{features}</features></domain>"
    assert has_power_button(parse(xml)) is button


@pytest.mark.parametrize(
    ("inner", "balloon"),
    [("<memballoon model='virtio'/>", True), ("<memballoon model='none'/>", False), ("", False)],
)
def test_memory_is_given_back_by_a_balloon_only(inner: str, balloon: bool) -> None:
    assert has_balloon(parse(with_devices(inner))) is balloon


def test_kvm_is_there_for_an_architecture_or_not() -> None:
    capabilities = parse(
        "<capabilities><guest><arch name='x86_64'><domain type='qemu'/><domain type='kvm'/></arch></guest>"
        "<guest><arch name='aarch64'><domain type='qemu'/></arch></guest></capabilities>"
    )
    assert offers_kvm(capabilities, "x86_64")
    assert not offers_kvm(capabilities, "aarch64")
    assert not offers_kvm(capabilities, "riscv64")
