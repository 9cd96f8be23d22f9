"""What KubeVirt hands to a hook, and what it keeps of the answer until it calls again."""

from pathlib import Path

from lxml import etree

from sidecar.domain.options import Graphics, RewriteOptions

DIRECTORY = Path(__file__).parents[1] / "unit" / "domain" / "samples"
NAMES = sorted(path.stem for path in DIRECTORY.glob("*.xml"))
GRAPHICAL = [name for name in NAMES if name != "amd64-no-graphics"]
ADDRESS = "unix:path=/var/run/kubevirt-hooks/hook-sidecar-0/dbus/bus"
QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"

KEPT_ATTRIBUTES = {
    "graphics": {"autoport", "defaultMode", "passwdValidTo", "port", "tlsPort", "type"},
    "input": {"type", "bus", "model"},
}
WITH_SOURCE = ("channel", "console", "redirdev", "serial")
KEPT_OF_A_SOURCE = {"mode", "path"}
KEPT_CHILDREN = {"graphics": {"listen"}, "input": {"alias", "address"}}


def sample(name: str) -> bytes:
    return (DIRECTORY / f"{name}.xml").read_bytes()


def options(graphics: Graphics | None = None, **more: object) -> RewriteOptions:
    return RewriteOptions(address=ADDRESS, graphics=graphics, **more)  # type: ignore[arg-type]


def kept_by_kubevirt(domain: bytes) -> bytes:
    """The copy that survives between two calls: no `<audio>`, and of graphics, input and character devices
    only what KubeVirt's own Go types know (facts: kubevirt 2)."""
    root = etree.fromstring(domain)
    for audio in root.findall("devices/audio"):
        audio.getparent().remove(audio)
    for name, known in KEPT_ATTRIBUTES.items():
        for element in root.findall(f"devices/{name}"):
            for attribute in set(element.attrib) - known:
                del element.attrib[attribute]
            for child in list(element):
                if child.tag not in KEPT_CHILDREN[name]:
                    element.remove(child)
    for name in WITH_SOURCE:
        for source in root.findall(f"devices/{name}/source"):
            for attribute in set(source.attrib) - KEPT_OF_A_SOURCE:
                del source.attrib[attribute]
            for child in list(source):
                source.remove(child)
    return etree.tostring(root, encoding="utf-8")
