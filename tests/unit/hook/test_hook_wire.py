"""The messages as virt-launcher writes and reads them, byte by byte (facts: kubevirt 1)."""

import grpc.aio
import pytest
from hook_sides import Domains


def field(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes((number << 3 | 2, len(content))) + content


async def call(channel: grpc.aio.Channel, method: str, request: bytes) -> bytes:
    answer: bytes = await channel.unary_unary(method)(request, timeout=30)
    return answer


async def test_info_names_the_versions_and_the_hook_points(channel: grpc.aio.Channel) -> None:
    answer = await call(channel, "/kubevirt.hooks.info.Info/Info", b"")
    assert answer == (
        field(1, b"vdi-sidecar")
        + field(3, field(1, b"OnDefineDomain"))
        + field(3, field(1, b"Shutdown"))
        + field(4, b"v1alpha1")
        + field(4, b"v1alpha2")
        + field(4, b"v1alpha3")
    )


async def test_nobody_is_asked_to_call_pre_cloud_init_iso(channel: grpc.aio.Channel) -> None:
    assert b"PreCloudInitIso" not in await call(channel, "/kubevirt.hooks.info.Info/Info", b"")


@pytest.mark.parametrize("version", ["v1alpha1", "v1alpha2", "v1alpha3"])
async def test_every_version_defines_the_domain(
    version: str, channel: grpc.aio.Channel, domains: Domains
) -> None:
    request = field(1, b"<graphics type='vnc'/>") + field(2, b'{"kind":"VMI"}')
    answer = await call(channel, f"/kubevirt.hooks.{version}.Callbacks/OnDefineDomain", request)
    assert answer == field(1, b"<graphics type='dbus'/>")
    assert domains.calls == [(b"<graphics type='vnc'/>", b'{"kind":"VMI"}')]


@pytest.mark.parametrize("version", ["v1alpha2", "v1alpha3"])
async def test_cloud_init_comes_back_unchanged(version: str, channel: grpc.aio.Channel) -> None:
    request = field(1, b'{"userDataBase64":"eA=="}') + field(2, b"{}") + field(3, b'{"NoCloudMetaData":{}}')
    answer = await call(channel, f"/kubevirt.hooks.{version}.Callbacks/PreCloudInitIso", request)
    assert answer == field(1, b'{"userDataBase64":"eA=="}') + field(3, b'{"NoCloudMetaData":{}}')


async def test_shutdown_is_answered_with_nothing(channel: grpc.aio.Channel) -> None:
    assert await call(channel, "/kubevirt.hooks.v1alpha3.Callbacks/Shutdown", b"") == b""


async def test_a_priority_is_told_for_each_hook_point(make_server, socket_path) -> None:
    async with (
        make_server(priority=7),
        grpc.aio.insecure_channel(f"unix:{socket_path}") as channel,
    ):
        answer = await call(channel, "/kubevirt.hooks.info.Info/Info", b"")
    assert field(3, field(1, b"OnDefineDomain") + b"\x10\x07") in answer
    assert field(3, field(1, b"Shutdown") + b"\x10\x07") in answer


async def test_get_tells_the_counts_where_the_vep_has_them(channel: grpc.aio.Channel, screens) -> None:
    screens.watched_by(3)
    answer = await call(channel, "/vdi.sidecar.v1alpha1.SessionStatus/Get", b"")
    service = field(2, field(1, b"\x08\x03") + field(2, b""))
    assert answer.startswith(b"\x08\x02" + service)


@pytest.mark.parametrize(
    "method",
    [
        "/kubevirt.hooks.v1alpha1.Callbacks/PreCloudInitIso",
        "/kubevirt.hooks.v1alpha2.Callbacks/Shutdown",
        "/kubevirt.hooks.v1alpha4.Callbacks/OnDefineDomain",
    ],
)
async def test_what_a_version_does_not_know_is_unimplemented(method: str, channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(channel, method, b"")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
