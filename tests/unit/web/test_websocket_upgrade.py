"""Who gets a WebSocket, and what the answer says."""

import pytest
from multidict import CIMultiDict

from sidecar.web.upgrade import OriginPolicy, UpgradeRefused, accept, is_upgrade


def headers(**values: str) -> CIMultiDict[str]:
    request = {
        "Host": "127.0.0.1:5700",
        "Upgrade": "websocket",
        "Connection": "keep-alive, Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    return CIMultiDict({**request, **{name.replace("_", "-"): value for name, value in values.items()}})


def test_the_example_of_the_rfc_is_answered_as_it_says() -> None:
    answer = accept(headers())
    assert answer["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert answer["Upgrade"] == "websocket"
    assert answer["Connection"] == "Upgrade"


@pytest.mark.parametrize(
    ("offered", "answered"),
    [
        ("binary", "binary"),
        ("base64, binary", "binary"),
        ("base64", None),
        ("chat,superchat", None),
        ("", None),
    ],
)
def test_the_subprotocol_is_answered_only_if_it_was_offered(offered: str, answered: str | None) -> None:
    assert accept(headers(Sec_WebSocket_Protocol=offered)).get("Sec-WebSocket-Protocol") == answered


def test_compression_is_never_accepted() -> None:
    answer = accept(headers(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"))
    assert "Sec-WebSocket-Extensions" not in answer


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"Sec_WebSocket_Version": "8"}, 426),
        ({"Sec_WebSocket_Version": ""}, 426),
        ({"Sec_WebSocket_Key": ""}, 400),
        ({"Sec_WebSocket_Key": "c2hvcnQ="}, 400),
        ({"Sec_WebSocket_Key": "not base64 at all!!!!!!!"}, 400),
        ({"Sec_WebSocket_Key": "käse"}, 400),
    ],
)
def test_a_wrong_handshake_is_refused(change: dict[str, str], status: int) -> None:
    with pytest.raises(UpgradeRefused) as caught:
        accept(headers(**change))
    assert caught.value.status == status


def test_a_plain_request_is_no_upgrade() -> None:
    assert is_upgrade(headers())
    assert not is_upgrade(CIMultiDict({"Host": "x"}))
    assert not is_upgrade(headers(Upgrade="h2c"))
    assert not is_upgrade(headers(Connection="keep-alive"))


@pytest.mark.parametrize(
    ("request_headers", "admitted"),
    [
        pytest.param({}, True, id="no browser"),
        pytest.param({"Origin": "http://127.0.0.1:5700"}, True, id="our own page"),
        pytest.param({"Origin": "http://127.0.0.1:8000"}, True, id="a page of another port"),
        pytest.param({"Origin": "http://LOCALHOST", "Host": "localhost:5700"}, True, id="localhost"),
        pytest.param({"Origin": "http://[::1]:80", "Host": "[::1]:5700"}, True, id="IPv6"),
        pytest.param({"Origin": "https://evil.example"}, False, id="a foreign page"),
        pytest.param({"Origin": "null"}, False, id="a page without origin"),
        pytest.param({"Origin": "http://[::1"}, False, id="nonsense"),
        pytest.param(
            {"Origin": "https://evil.example", "Host": "evil.example:5700"}, False, id="DNS rebinding"
        ),
        pytest.param(
            {"Origin": "https://vms.example", "X_Forwarded_Host": "vms.example"}, True, id="behind a proxy"
        ),
        pytest.param(
            {"Origin": "https://evil.example", "X_Forwarded_Host": "vms.example"},
            False,
            id="foreign, by proxy",
        ),
    ],
)
def test_pages_of_the_same_host_may_connect_to_loopback(
    request_headers: dict[str, str], admitted: bool
) -> None:
    assert OriginPolicy().admits(headers(**request_headers), "127.0.0.1") is admitted


def test_a_page_of_the_same_name_may_connect_from_the_network() -> None:
    request = headers(Origin="https://vm.example", Host="vm.example:5700")
    assert OriginPolicy().admits(request, "10.0.0.7")
    assert not OriginPolicy().admits(headers(Origin="https://evil.example", Host="vm.example"), "10.0.0.7")


def test_an_allowed_origin_may_connect_from_anywhere() -> None:
    request = headers(Origin="https://vms.example")
    assert OriginPolicy(["https://VMS.example"]).admits(request, "127.0.0.1")
    assert OriginPolicy(["*"]).admits(request, "127.0.0.1")
    assert not OriginPolicy(["https://other.example"]).admits(request, "127.0.0.1")
    assert not OriginPolicy(["http://vms.example"]).admits(request, "127.0.0.1")
