"""Domains of KubeVirt cut down to what runs without KVM, and the machines that libvirt makes of them."""

import json
import shutil
from pathlib import Path

import numpy as np
from lxml import etree
from numpy.typing import NDArray
from support.guest_image import Mode
from support.libvirt_daemon import Libvirt, LibvirtError
from support.pictures import read_picture
from support.qemu import Com1, read_ppm

NAME = "machine"

DISK_SIZE = 1 << 20
"""Bytes: the firmware cannot read a virtio disk of the image's own 8 KB."""


class Machine:
    """A domain of libvirt's with the guest of `image` on its disk; it makes `directory` for its files.

    Defined by `define`; `start` returns when the guest is up.
    """

    def __init__(self, libvirt: Libvirt, directory: Path, image: Path) -> None:
        self.libvirt = libvirt
        self.directory = directory
        libvirt.make(directory)
        self.disk = Path(shutil.copy(image, directory / "disk.img"))
        with self.disk.open("ab") as disk:
            disk.truncate(DISK_SIZE)
        libvirt.give(self.disk)
        self.vnc_socket = directory / "vnc"
        self._com1: Com1 | None = None

    @property
    def com1(self) -> Com1:
        """The guest's serial port, while it runs."""
        assert self._com1 is not None, "the machine does not run"
        return self._com1

    def cut_down(self, domain: bytes) -> bytes:
        """KubeVirt's domain without what is not there: KVM, the node's CPU and memory, files of the pod.

        * type `qemu`, one plain CPU, 64 MB;
        * no firmware but QEMU's default, since the guest is a boot sector; ACPI on x86 alone;
        * no interface, because `tap0` is the pod's; one disk, cached, because O_DIRECT is not for every
          file system; sockets in the machine's own directory;
        * vmport on: by it the guest reads its pointer.
        """
        root = etree.fromstring(domain)
        root.set("type", "qemu")
        root.find("name").text = NAME
        memory = root.find("memory")
        memory.set("unit", "MiB")
        memory.text = "64"
        disks = root.findall("devices/disk")
        surplus = [*disks[1:], *root.findall("devices/interface"), *root.findall("os/loader")]
        for name in ("currentMemory", "cpu", "vcpu", "vcpus", "os/nvram", "devices/emulator"):
            surplus += root.findall(name)
        if root.find("os/type").get("arch") != "x86_64":
            surplus += root.findall("features/acpi")
        for element in surplus:
            element.getparent().remove(element)
        if disks:
            disks[0].find("source").set("file", str(self.disk))
            disks[0].find("driver").set("cache", "writeback")
        else:
            root.find("devices").append(self._plain_disk())
        for vmport in root.findall("features/vmport"):
            vmport.set("state", "on")
        for listen in root.findall("devices/graphics/listen"):
            listen.set("socket", str(self.vnc_socket))
        for serial in root.findall("devices/serial") or [self._new_serial(root)]:
            serial.find("source").set("path", str(self.directory / "com1"))
            for log in serial.findall("log"):
                log.set("file", str(self.directory / "com1.log"))
        return etree.tostring(root)

    def _plain_disk(self) -> etree._Element:
        """For the samples that were made without one."""
        return etree.fromstring(
            f"<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
            f"<source file='{self.disk}'/><target dev='vda' bus='virtio'/></disk>"
        )

    def _new_serial(self, root: etree._Element) -> etree._Element:
        serial = etree.fromstring("<serial type='unix'><source mode='bind'/><target port='0'/></serial>")
        root.find("devices").append(serial)
        return serial

    def define(self, domain: bytes) -> None:
        self.libvirt.define(domain)

    def definition(self, *options: str) -> bytes:
        """The domain as libvirt has it; `options` of `virsh dumpxml`."""
        return self.libvirt.virsh("dumpxml", *options, NAME).encode()

    def start(self) -> None:
        """Raises LibvirtError when it does not start."""
        self.libvirt.virsh("start", "--paused", NAME)
        self.resume()
        self.com1.wait_for("READY")

    def resume(self) -> None:
        """Lets a machine that libvirt has started go on, with its serial port connected."""
        self._com1 = Com1(self.directory / "com1")
        self.libvirt.virsh("resume", NAME)

    @property
    def state(self) -> str:
        """`running`, `paused`, `shut off`, …"""
        return self.libvirt.virsh("domstate", NAME).strip()

    def save(self, path: Path) -> None:
        self.hang_up()
        self.libvirt.virsh("save", NAME, str(path))

    def restore(self, path: Path, domain: bytes | None = None) -> None:
        """Goes on with what `save` wrote, as `domain` if it is given."""
        changed = () if domain is None else ("--xml", self.libvirt.write("restored.xml", domain))
        self.libvirt.virsh("restore", "--paused", str(path), *changed)
        self.resume()

    def destroy(self) -> None:
        """As when the plug is pulled."""
        self.hang_up()
        self.libvirt.virsh("destroy", NAME)

    def undefine(self) -> None:
        """Ends it if it runs; libvirt forgets it."""
        try:
            if self.state != "shut off":
                self.destroy()
        except LibvirtError as error:
            # it was never defined
            if "failed to get domain" not in str(error):
                raise
            return
        self.libvirt.virsh("undefine", NAME)

    def hang_up(self) -> None:
        """Leaves the serial port, before the machine goes."""
        if self._com1 is not None:
            self._com1.close()
            self._com1 = None

    def show(self, mode: Mode) -> None:
        """Changes the guest's mode and waits until its first picture stands."""
        self.com1.forget()
        self.com1.send(mode.command)
        self.com1.wait_for(f"MODE {mode:02X}")

    def screenshot(self) -> NDArray[np.uint32]:
        """What `virsh screenshot` shows."""
        path = self.directory / "screenshot"
        path.unlink(missing_ok=True)
        self.libvirt.virsh("screenshot", NAME, str(path))
        return read_picture(path)

    def screendump(self) -> NDArray[np.uint32]:
        """What QEMU's own monitor says."""
        path = self.directory / "screen.ppm"
        path.unlink(missing_ok=True)
        self.monitor("screendump", filename=str(path))
        return read_ppm(path)

    def monitor(self, command: str, **arguments: object) -> object:
        """The answer of QEMU's monitor, past libvirt."""
        request = json.dumps({"execute": command, "arguments": arguments})
        return json.loads(self.libvirt.virsh("qemu-monitor-command", NAME, request))["return"]
