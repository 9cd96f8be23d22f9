"""Calls with junk in them: a documented code and one line, or a correct rewrite; never a half one."""

import asyncio
import codecs
import copy
import json
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from served_hook import DEFINE, MUTATE, served_hook
from support.domain_samples import DIRECTORY, NAMES, sample
from support.libvirt_schema import made_valid

from sidecar.hook.answers import MAX_DETAILS
from sidecar.hook.api.callbacks_v1alpha3_pb2 import OnDefineDomainParams, OnDefineDomainResult
from sidecar.hook.api.domain_hook_v1alpha1_pb2 import MutateDomainRequest, MutateDomainResponse
from sidecar.hook.definition import MAX_ANSWER, MAX_REQUEST

REFUSALS = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}
DOMAIN = sample("amd64-default-vnc")
VMI = (DIRECTORY / "amd64-default-vnc.vmi.json").read_bytes()
SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")


class Launcher:
    """Calls a server that runs on a thread of its own."""

    def __init__(self, hook: grpc.Channel, plugin: grpc.Channel) -> None:
        self._hook = hook
        self._plugin = plugin

    def define(self, domain: bytes, vmi: bytes = VMI) -> bytes | str:
        """The domain, or the line that says why there is none."""
        request = OnDefineDomainParams(domainXML=domain, vmi=vmi).SerializeToString()
        answer = self.raw(self._hook, DEFINE, request)
        return answer if isinstance(answer, str) else OnDefineDomainResult.FromString(answer).domainXML

    def mutate(self, domain: bytes, vmi: bytes = VMI, domain_type: str = "libvirt") -> bytes | str:
        """The same by the plugin API."""
        request = MutateDomainRequest(domain=domain, vmi=vmi, domain_type=domain_type).SerializeToString()
        answer = self.raw(self._plugin, MUTATE, request)
        return answer if isinstance(answer, str) else MutateDomainResponse.FromString(answer).domain

    def raw(self, channel: grpc.Channel, method: str, request: bytes) -> bytes | str:
        # a future, since a call that is refused raises otherwise
        call = channel.unary_unary(method).future(request, timeout=30)
        if call.exception() is None:
            answer: bytes = call.result()
            return answer
        assert call.code() in REFUSALS, call
        details = str(call.details())
        assert details.isprintable(), details
        assert 0 < len(details) <= MAX_DETAILS
        return details


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    leave: asyncio.Event
    ready = threading.Event()
    with tempfile.TemporaryDirectory(prefix="vdi-", dir="/tmp") as directory:

        async def serve() -> None:
            nonlocal leave
            leave = asyncio.Event()
            async with served_hook(Path(directory)) as hook:
                paths.extend((hook.socket, hook.plugin_socket))
                loops.append(asyncio.get_running_loop())
                ready.set()
                await leave.wait()

        paths: list[Path] = []
        loops: list[asyncio.AbstractEventLoop] = []
        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        assert ready.wait(30)
        options = (("grpc.max_receive_message_length", MAX_ANSWER), ("grpc.max_send_message_length", -1))
        hook, plugin = (grpc.insecure_channel(f"unix:{path}", options=options) for path in paths)
        with hook, plugin:
            yield Launcher(hook, plugin)
        loops[0].call_soon_threadsafe(leave.set)
        thread.join()


def assert_is_whole(answer: bytes) -> None:
    """It is XML, and a domain with a D-Bus display."""
    root = etree.fromstring(answer)
    assert root.tag == "domain"
    assert root.xpath("devices/graphics[@type='dbus']") or b"-display" in answer


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*path, key))


SAMPLE = json.loads(VMI)
ODD = st.sampled_from(
    [None, True, 0, -1, 2**63, 10**400, 1.5, float("nan"), "", "\ud800", "a\nb\0", "x" * 5000, [], {}, [None]]
)
VALUES = ODD | st.recursive(
    ODD, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
)


@settings(deadline=None)
@given(st.sampled_from(list(places(SAMPLE))), VALUES)
def test_a_vmi_with_something_else_in_any_place(
    launcher: Launcher, place: tuple[Any, ...], value: Any
) -> None:
    document = copy.deepcopy(SAMPLE)
    if place:
        container = document
        for key in place[:-1]:
            container = container[key]
        container[place[-1]] = value
    else:
        document = value
    vmi = json.dumps(document).encode()
    answer = launcher.define(DOMAIN, vmi)
    if isinstance(answer, bytes):
        assert_is_whole(answer)
    assert launcher.mutate(DOMAIN, vmi) == answer


JUNK = [
    b"<graphics type='dbus' p2p='yes'/>",
    b"<graphics type='dbus' address='unix:path=/x'><audio id='7'/></graphics>",
    b"<graphics type='vnc'/>",
    b"<graphics type='egl-headless'/>",
    b"<audio id='1' type='none'/>",
    b"<audio id=' 2 ' type='spice'/>",
    b"<input type='keyboard' bus='ps2'/>",
    b"<controller type='usb' index='0' model='none'/>",
    b"<devices/>",
    b"<x:commandline xmlns:x='http://libvirt.org/schemas/domain/qemu/1.0'><x:arg value='-display'/>"
    b"<x:arg value='dbus'/></x:commandline>",
    b"<y xmlns='urn:y'><graphics type='vnc'/></y>",
    b"<metadata><!--<graphics type='vnc'/>--><?graphics type='vnc'?></metadata>",
]


@st.composite
def domains(draw: st.DrawFn) -> bytes:
    """A sample in which elements were taken away, doubled, given other attributes or joined by others."""
    root = etree.fromstring(made_valid(sample(draw(st.sampled_from(NAMES)))))
    for _ in range(draw(st.integers(1, 3))):
        elements = [each for each in root.iter() if isinstance(each.tag, str) and each is not root]
        element = draw(st.sampled_from(elements))
        match draw(st.sampled_from(["away", "twice", "attribute", "among", "text"])):
            case "away":
                element.getparent().remove(element)
            case "twice":
                element.addnext(copy.deepcopy(element))
            case "attribute" if element.attrib:
                name = draw(st.sampled_from(sorted(element.attrib)))
                element.set(
                    name, draw(st.sampled_from(["", "\n", "vnc", "dbus", "none", "1", "&<\"'>", "€"]))
                )
            case "text":
                element.text = draw(st.sampled_from(["x", "\n    ", "]]>"]))
            case _:
                element.addnext(etree.fromstring(draw(st.sampled_from(JUNK))))
    encoding = draw(st.sampled_from(["utf-8", "iso-8859-1", "ascii"]))
    return bytes(etree.tostring(root, encoding=encoding, xml_declaration=draw(st.booleans()) or None))


@settings(deadline=None)
@given(domains())
def test_a_domain_with_something_else_in_any_place(launcher: Launcher, domain: bytes) -> None:
    schema = etree.RelaxNG(etree.parse(SCHEMA))
    answer = launcher.define(domain)
    assert isinstance(answer, bytes), answer
    if schema.validate(etree.fromstring(domain)):
        assert schema.validate(etree.fromstring(answer)), schema.error_log.last_error
    else:
        etree.fromstring(answer)
    assert launcher.define(answer) == answer
    assert launcher.mutate(domain) == answer


@settings(deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes(launcher: Launcher, junk: bytes, by_plugin: bool) -> None:
    call = launcher.mutate if by_plugin else launcher.define
    for domain, vmi in ((junk, VMI), (DOMAIN, junk or b"?"), (DOMAIN[:500] + junk + DOMAIN[500:], VMI)):
        answer = call(domain, vmi)
        if isinstance(answer, bytes):
            assert_is_whole(answer)


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "domain",
    [
        f'<!DOCTYPE d [<!ENTITY l0 "ha">{LAUGHS}]><domain>&l9;</domain>'.encode(),
        b"<domain>" + b"<a>" * 100_000,
        b"<a>" * 500_000 + b"</a>" * 500_000,
        b"<domain " + b" ".join(b"a%d='x'" % number for number in range(300_000)) + b">",
        DOMAIN.decode().encode("utf-16"),
        DOMAIN.decode().encode("utf-32-le"),
        codecs.BOM_UTF8 * 2 + DOMAIN,
        b'<?xml version="1.0" encoding="idna"?>' + DOMAIN,
        b'<?xml version="1.0" encoding="utf-7"?>+ADw-domain/+AD4-',
        DOMAIN.replace(b"</domain>", b"\0</domain>"),
        b"<domain xmlns='urn:x'><devices/></domain>",
        b"<" + b"x" * 1_000_000 + b"/>",
        b"\xff" * 1_000_000,
        b"",
    ],
    ids=lambda domain: ascii(domain[:20]),
)
def test_what_is_no_domain_is_refused(launcher: Launcher, domain: bytes) -> None:
    assert isinstance(launcher.define(domain), str)
    assert isinstance(launcher.mutate(domain), str)


def test_each_limit_and_one_byte_more(launcher: Launcher) -> None:
    rewritten = launcher.define(DOMAIN)
    assert isinstance(rewritten, bytes)
    framing = 16
    most = MAX_ANSWER - framing - (len(rewritten) - len(DOMAIN))
    assert isinstance(launcher.define(padded(DOMAIN, most)), bytes)
    assert "virt-launcher takes" in launcher.define(padded(DOMAIN, most + 1))
    assert "more than the" in launcher.define(padded(DOMAIN, MAX_ANSWER + 1))
    assert isinstance(launcher.define(DOMAIN, VMI + b" " * (2 * 1024 * 1024 - len(VMI))), bytes)
    assert "more than the" in launcher.define(DOMAIN, VMI + b" " * (2 * 1024 * 1024 - len(VMI) + 1))
    around = OnDefineDomainParams(domainXML=DOMAIN, vmi=b"[" * MAX_ANSWER).ByteSize() - MAX_ANSWER
    room = MAX_REQUEST - around
    assert "more than the" in launcher.define(DOMAIN, b"[" * room)
    assert "larger than max" in launcher.define(DOMAIN, b"[" * (room + 1))


def padded(domain: bytes, size: int) -> bytes:
    return domain.replace(b"</domain>", b" " * (size - len(domain)) + b"</domain>")
