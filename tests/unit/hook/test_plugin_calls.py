"""MutateDomain, as virt-launcher calls a plugin for a domain (facts: kubevirt 3)."""

import asyncio
import json
from collections.abc import AsyncIterator
from logging import WARNING
from pathlib import Path
from typing import TypeAlias
from xml.etree import ElementTree

import grpc.aio
import pytest
from hook_sides import Domains, MakeServer
from hypothesis import given
from hypothesis import strategies as st
from support.domain_samples import ADDRESS, DIRECTORY, NAMES, kept_by_kubevirt, options, sample

from sidecar.domain.command import define_domain
from sidecar.domain.rewrite import rewrite
from sidecar.errors import NotReady, SidecarError
from sidecar.hook.api.callbacks_v1alpha3_pb2 import OnDefineDomainParams
from sidecar.hook.api.callbacks_v1alpha3_pb2_grpc import CallbacksStub
from sidecar.hook.api.domain_hook_v1alpha1_pb2 import MutateDomainRequest, SidecarContext
from sidecar.hook.api.domain_hook_v1alpha1_pb2_grpc import DomainHookServiceStub
from sidecar.hook.definition import MAX_ANSWER, MAX_REQUEST
from sidecar.hook.plugin import InvocationContext, invocation_context
from sidecar.hook.server import HookServer
from sidecar.log import LineFormatter

CONTEXTS = [context.value for context in InvocationContext]
Apis: TypeAlias = tuple[grpc.aio.Channel, grpc.aio.Channel]
VMI = (DIRECTORY / "amd64-default-vnc.vmi.json").read_bytes()


def dbus_display(domain: bytes) -> list[dict[str, str]]:
    """What of a domain makes the D-Bus display and its sound."""
    elements = ElementTree.fromstring(domain).iterfind("devices//")
    return [dict(element.attrib) for element in elements if element.tag in ("graphics", "audio")]


def field(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes((number << 3 | 2, len(content))) + content


async def mutate(
    channel: grpc.aio.Channel,
    domain: bytes,
    vmi: bytes = b'{"metadata": {}}',
    *,
    domain_type: str = "libvirt",
    context: str = "Boot",
) -> bytes:
    request = MutateDomainRequest(
        domain_type=domain_type,
        domain=domain,
        vmi=vmi,
        sidecar_context=SidecarContext(invocation_context=context),
    )
    answer = await DomainHookServiceStub(channel).MutateDomain(request, timeout=30)
    assert isinstance(answer.domain, bytes)
    return answer.domain


async def define(channel: grpc.aio.Channel, domain: bytes, vmi: bytes) -> bytes:
    request = OnDefineDomainParams(domainXML=domain, vmi=vmi)
    answer = await CallbacksStub(channel).OnDefineDomain(request, timeout=60)
    assert isinstance(answer.domainXML, bytes)
    return answer.domainXML


async def refusal_of(channel: grpc.aio.Channel, *args: bytes, **more: str) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await mutate(channel, *args, **more)
    return refused.value


async def the_rewrite(domain: bytes, vmi: bytes) -> bytes:
    """What the daemon answers with."""
    return define_domain(vmi, domain, dbus_address=ADDRESS)


@pytest.fixture
async def apis(make_server: MakeServer, plugin_path: Path) -> AsyncIterator[Apis]:
    """Channels to the hook API and to the plugin API of a server that rewrites."""
    async with (
        make_server(plugin_socket=plugin_path, define_domain=the_rewrite) as server,
        grpc.aio.insecure_channel(f"unix:{server.socket}") as hook,
        grpc.aio.insecure_channel(f"unix:{server.plugin_socket}") as plugin,
    ):
        yield hook, plugin


@pytest.mark.parametrize("context", CONTEXTS)
async def test_the_messages_are_kubevirts_byte_by_byte(
    context: str, plugin_channel: grpc.aio.Channel, domains: Domains
) -> None:
    request = (
        field(1, b"libvirt")
        + field(2, b"<graphics type='vnc'/>")
        + field(3, b'{"kind":"VMI"}')
        + field(4, field(1, context.encode()))
    )
    call = plugin_channel.unary_unary("/kubevirt.hooks.plugins.v1alpha1.DomainHookService/MutateDomain")
    assert await call(request, timeout=30) == field(1, b"<graphics type='dbus'/>")
    assert domains.calls == [(b"<graphics type='vnc'/>", b'{"kind":"VMI"}')]


@pytest.mark.parametrize("domain_type", ["", "LIBVIRT", "cloud-hypervisor", "libvirt\n" * 500_000])
async def test_a_domain_that_is_not_libvirts_is_an_invalid_argument_in_one_line(
    domain_type: str, plugin_channel: grpc.aio.Channel, domains: Domains
) -> None:
    error = await refusal_of(plugin_channel, b"<domain/>", domain_type=domain_type)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    details = error.details() or ""
    assert details.startswith("the domain is of type ")
    assert details.endswith(", not 'libvirt'")
    assert len(details) < 100
    assert "\n" not in details
    assert domains.calls == []


@pytest.mark.parametrize("word", ["", "boot", "Restore", "Boot\nBoot", "x" * 1_000_000])
async def test_an_unknown_context_is_taken_for_a_boot_and_said_in_the_log(
    word: str, plugin_channel: grpc.aio.Channel, caplog: pytest.LogCaptureFixture
) -> None:
    assert await mutate(plugin_channel, b"vnc", context=word) == b"dbus"
    (warning,) = [record for record in caplog.records if record.levelno >= WARNING]
    line = LineFormatter().format(warning)
    assert "taken for a boot" in line
    assert len(line.splitlines()) == 1
    assert len(line) < 300


async def test_no_context_at_all_is_taken_for_a_boot(plugin_channel: grpc.aio.Channel) -> None:
    request = MutateDomainRequest(domain_type="libvirt", domain=b"vnc")
    answer = await DomainHookServiceStub(plugin_channel).MutateDomain(request, timeout=30)
    assert answer.domain == b"dbus"


@pytest.mark.parametrize("context", CONTEXTS)
def test_kubevirts_contexts_are_known_without_a_word(context: str, caplog: pytest.LogCaptureFixture) -> None:
    assert invocation_context(context).value == context
    assert caplog.records == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotReady("the bus is being started again"), grpc.StatusCode.FAILED_PRECONDITION),
        (SidecarError("the bus is\nnowhere"), grpc.StatusCode.INVALID_ARGUMENT),
        (ValueError("no such thing"), grpc.StatusCode.INTERNAL),
    ],
)
async def test_errors_get_the_codes_that_they_get_by_the_hook_api(
    error: Exception, code: grpc.StatusCode, both: HookServer, domains: Domains
) -> None:
    domains.error = error
    async with (
        grpc.aio.insecure_channel(f"unix:{both.socket}") as hook,
        grpc.aio.insecure_channel(f"unix:{both.plugin_socket}") as plugin,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as by_hook:
            await define(hook, b"<domain/>", b"{}")
        by_plugin = await refusal_of(plugin, b"<domain/>")
        assert by_plugin.code() is by_hook.value.code() is code
        said = (by_hook.value.details() or "").replace("OnDefineDomain", "MutateDomain")
        assert by_plugin.details() == said
        domains.error = None
        assert await mutate(plugin, b"vnc") == b"dbus"


async def test_an_oversized_request_never_reaches_the_rewrite(
    plugin_channel: grpc.aio.Channel, domains: Domains
) -> None:
    error = await refusal_of(plugin_channel, b"x" * (MAX_REQUEST + 1))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert domains.calls == []


async def test_an_answer_that_virt_launcher_would_not_take_is_refused_with_its_size(
    plugin_channel: grpc.aio.Channel, domains: Domains
) -> None:
    domains.answer = b"x" * MAX_ANSWER
    error = await refusal_of(plugin_channel, b"<domain/>")
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(MAX_ANSWER) in (error.details() or "")


async def test_the_apis_never_define_two_domains_at_once(make_server: MakeServer, plugin_path: Path) -> None:
    running = 0
    most = 0

    async def counted(domain: bytes, _vmi: bytes) -> bytes:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return domain

    async with (
        make_server(plugin_socket=plugin_path, define_domain=counted) as server,
        grpc.aio.insecure_channel(f"unix:{server.socket}") as hook,
        grpc.aio.insecure_channel(f"unix:{server.plugin_socket}") as plugin,
    ):
        names = [f"<name>{number}</name>".encode() for number in range(10)]
        calls = [define(hook, name, b"{}") for name in names[::2]]
        calls += [mutate(plugin, name) for name in names[1::2]]
        assert await asyncio.gather(*calls) == names[::2] + names[1::2]
    assert most == 1


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("name", NAMES)
async def test_every_domain_gets_the_same_rewrite_in_every_context(
    name: str, context: str, apis: Apis
) -> None:
    _, plugin = apis
    assert await mutate(plugin, sample(name), VMI, context=context) == rewrite(sample(name), options())


@pytest.mark.parametrize("name", NAMES)
async def test_what_the_hook_made_and_kubevirt_forgot_the_plugin_makes_again(name: str, apis: Apis) -> None:
    hook, plugin = apis
    received = sample(name)
    for _call in range(3):
        by_hook = await define(hook, received, VMI)
        # virt-launcher reads the hook's answer into its own copy, and asks the plugin for that one
        forgetful = kept_by_kubevirt(by_hook)
        by_plugin = await mutate(plugin, forgetful, VMI)
        assert dbus_display(by_plugin) == dbus_display(by_hook)
        assert await mutate(plugin, by_plugin, VMI) == by_plugin
        received = kept_by_kubevirt(by_plugin)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "amd64-no-graphics"])
async def test_the_source_of_a_migration_is_told_what_the_target_booted_with(name: str, apis: Apis) -> None:
    _, plugin = apis
    booted = await mutate(plugin, sample(name), VMI, context="Boot")
    # the target's domain comes from the source, so both sides' answers must name one bus
    for context in ("MigrationSource", "MigrationTarget"):
        assert await mutate(plugin, booted, VMI, context=context) == booted
    assert dbus_display(booted)[0].get("address") == ADDRESS


async def test_a_vmi_that_is_not_sent_wishes_nothing(apis: Apis) -> None:
    _, plugin = apis
    assert await mutate(plugin, sample("amd64-default-vnc"), b"") == rewrite(
        sample("amd64-default-vnc"), options()
    )


BAD_VMIS = {
    "no JSON": b"apiVersion: v1",
    "torn": VMI[:-20],
    "not text": b"\xff\xfe",
    "another kind": b"[]",
    "no metadata": b"{}",
    "annotations of another kind": b'{"metadata": {"annotations": []}}',
    "a wish that cannot be": b'{"metadata": {"annotations": {"vdi-sidecar/graphics": "spice"}}}',
    "a flag that is none": b'{"metadata": {"annotations": {"vdi-sidecar/audio": 1}}}',
    "nested too deep": b"[" * 200_000,
    "too long": json.dumps({"metadata": {"name": "x" * 2_100_000}}).encode(),
}

BAD_DOMAINS = {
    "nothing": b"",
    "torn": sample("amd64-default-vnc")[:-30],
    "another root": b"<network/>",
    "not text": b"\xff\xfe\x00",
    "zeros": b"\0" * 1000,
    "entities": b'<!DOCTYPE domain [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><domain>&b;</domain>',
    "nested too deep": b"<domain>" + b"<a>" * 100_000,
}


@pytest.mark.parametrize("vmi", BAD_VMIS.values(), ids=BAD_VMIS.keys())
async def test_a_bad_vmi_is_an_invalid_argument_by_both_apis(vmi: bytes, apis: Apis) -> None:
    await assert_refused_by_both(apis, sample("amd64-default-vnc"), vmi)


@pytest.mark.parametrize("domain", BAD_DOMAINS.values(), ids=BAD_DOMAINS.keys())
async def test_a_bad_domain_is_an_invalid_argument_by_both_apis(domain: bytes, apis: Apis) -> None:
    await assert_refused_by_both(apis, domain, VMI)


async def assert_refused_by_both(apis: Apis, domain: bytes, vmi: bytes) -> None:
    """In one line; and the next domain, a good one, is defined as ever."""
    hook, plugin = apis
    for call in (define(hook, domain, vmi), mutate(plugin, domain, vmi)):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        details = refused.value.details() or ""
        assert 0 < len(details) <= 500
        assert "\n" not in details
    good = sample("amd64-default-vnc")
    assert await define(hook, good, VMI) == await mutate(plugin, good, VMI) == rewrite(good, options())


SNIPPETS = [
    b"",
    b"<",
    b">",
    b"&",
    b"'",
    b'"',
    b"]]>",
    b"<!--",
    b"<graphics type='dbus'/>",
    b"<devices>",
    b"\xff",
]


@given(st.integers(0, len(sample("amd64-sound-ich9"))), st.sampled_from(SNIPPETS) | st.binary(max_size=4))
async def test_whatever_stands_in_a_domain_the_answer_is_a_whole_one_or_a_refusal(
    place: int, inserted: bytes
) -> None:
    domain = sample("amd64-sound-ich9")
    try:
        answered = await the_rewrite(domain[:place] + inserted + domain[place:], VMI)
    except SidecarError:
        return
    displays = [element for element in dbus_display(answered) if element.get("type") == "dbus"]
    assert {"type": "dbus", "address": ADDRESS} in displays
    assert await the_rewrite(answered, VMI) == answered
