"""Documents that nobody would write by hand: what is not the rewrite's business survives.

Another parser than the rewrite's own looks at it.
"""

from collections import Counter

from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree
from support.domain_samples import ADDRESS, NAMES, QEMU, options, sample

from sidecar.domain.errors import DomainError
from sidecar.domain.options import Graphics
from sidecar.domain.rewrite import rewrite

GAPS = [
    "",
    " ",
    "\n",
    "\n\t\t",
    "\r\n  ",
    "text",
    "&amp;&lt;",
    "<![CDATA[</devices>]]>",
    "<!-- <graphics> -->",
    "<?graphics type='vnc'?>",
    "ü€😀",
    "&#10;",
]
DEVICES = [
    "<disk/>",
    "<x:graphics xmlns:x='urn:x' type='vnc'/>",
    "<graphics xmlns='urn:y' type='vnc'><audio/></graphics>",
    '<video ><model type = "qxl"/></video\n>',
    "<input  bus='usb'\ttype='tablet' />",
    "<controller type='usb' model='none'></controller>",
    "<hostdev a='&lt;/devices&gt;' b=\"'\"/>",
    "<audio id='3' type='none' />",
    "<sound model='ich9'><audio id='3'/></sound>",
]
GRAPHICS = [
    "<graphics type='vnc'/>",
    "<graphics\n  type = 'vnc' ><!-- c --><listen type='socket'/></graphics >",
    '<graphics type="dbus"></graphics>',
    "<graphics type='dbus' p2p='yes' ><gl enable='no'/></graphics>",
    "<graphics type='spice'/>",
]
OUTSIDE = [
    "",
    "<metadata><k:vm xmlns:k='urn:k'><devices><graphics type='vnc'/></devices></k:vm></metadata>",
    f"<q:commandline xmlns:q='{QEMU[1:-1]}'><q:arg value='-s'/><!-- c --></q:commandline>",
    f"<commandline xmlns='{QEMU[1:-1]}'><arg value='-display'/><arg value='dbus'/></commandline>",
    "<os><type arch='s390x'>hvm</type></os>",
]
ROOTS = ["<domain>", "<domain type='kvm'>", f"<domain\n xmlns:qemu = '{QEMU[1:-1]}' xmlns='' >"]
PROLOGUES = ["", "<?xml version='1.0' encoding='UTF-8'?>\n", "\ufeff", "<!-- before -->\n<?pi?>"]


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Domains with graphics, in odd clothes."""
    gap = st.sampled_from(GAPS)
    items = draw(st.lists(st.sampled_from(DEVICES), max_size=5, unique=True))
    items.insert(draw(st.integers(0, len(items))), draw(st.sampled_from(GRAPHICS)))
    devices = "".join(draw(gap) + item for item in items) + draw(gap)
    outside = "".join(draw(gap) + draw(st.sampled_from(OUTSIDE)) for _ in range(2))
    before, after = draw(st.sampled_from([(outside, ""), ("", outside)]))
    body = f"{before}{draw(gap)}<devices >{devices}</devices >{after}"
    root = draw(st.sampled_from(ROOTS))
    return f"{draw(st.sampled_from(PROLOGUES))}{root}{body}</domain>\n<!-- after -->"


def not_owned(xml: bytes) -> Counter[tuple[str, ...]]:
    """Every node that the rewrite has no business with: its name, attributes, and text without blanks."""
    nodes: Counter[tuple[str, ...]] = Counter()

    def visit(node: etree._Element) -> None:
        text = "".join([node.text or "", *(child.tail or "" for child in node)])
        attributes = (f"{name}={value}" for name, value in sorted(node.attrib.items()))
        signature = (str(node.tag), "".join(text.split()), *attributes)
        if signature != (f"{QEMU}commandline", ""):
            nodes[signature] += 1
        for child in node:
            if not is_owned(child):
                visit(child)

    visit(etree.fromstring(xml))
    return nodes


def is_owned(node: etree._Element) -> bool:
    if node.getparent().tag == "devices":
        return node.tag in ("graphics", "audio", "input", "video")
    return node.tag == f"{QEMU}arg" and node.get("value", "").startswith(("-display", "dbus"))


@given(xml=documents(), graphics=st.sampled_from(Graphics))
def test_what_is_not_its_business_survives(xml: str, graphics: Graphics) -> None:
    received = xml.encode()
    answer = rewrite(received, options(graphics))
    assert not_owned(answer) == not_owned(received)
    root = etree.fromstring(answer)
    offered = root.findall("devices/graphics[@type='dbus']")
    passed = [argument for argument in root.iter(f"{QEMU}arg") if ADDRESS in argument.get("value")]
    by_commandline = graphics is Graphics.COMMANDLINE
    assert (len(offered), len(passed)) == ((0, 1) if by_commandline else (1, 0))
    assert rewrite(answer, options(graphics)) == answer


@given(xml=documents(), graphics=st.sampled_from(Graphics))
def test_nothing_but_whole_elements_and_tags_differs(xml: str, graphics: Graphics) -> None:
    """The text begins and ends as it did, and what no element owns is all there."""
    received = xml.encode()
    answer = rewrite(received, options(graphics))
    head = received[: received.index(b">", received.index(b"<domain"))]
    assert answer.startswith(head)
    assert answer.endswith(b"</domain>\n<!-- after -->")
    for mark in (b"<?", b"<![CDATA[", b"<hostdev a='&lt;/devices&gt;' b=\"'\"/>", b"\xc3\xbc", b"<metadata>"):
        assert answer.count(mark) == received.count(mark)


@example(b"")
@given(st.binary(max_size=200))
def test_random_bytes_are_a_domain_or_the_documented_error(data: bytes) -> None:
    try:
        rewrite(data, options(screen=True))
    except DomainError:
        return


@given(name=st.sampled_from(NAMES), data=st.data())
def test_a_damaged_domain_is_rewritten_or_the_documented_error(name: str, data: st.DataObject) -> None:
    xml = bytearray(sample(name))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(xml) - 1))
        end = data.draw(st.integers(at, min(len(xml), at + 20)))
        xml[at:end] = data.draw(
            st.sampled_from([b"", b"<", b">", b"/>", b"'", b'"', b"&", b"<graphics>", b"\xff"])
        )
    try:
        answer = rewrite(bytes(xml), options())
    except DomainError:
        return
    assert rewrite(answer, options()) == answer
