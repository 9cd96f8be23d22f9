import pytest

from sidecar.rdp import neg_token, ts_request
from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.neg_token import NegState, NegToken
from sidecar.rdp.ts_request import TsPasswordCreds, TsRequest

WIRE = [
    ("3005a003020102", TsRequest(2)),
    ("300da003020106a4060204c000006d", TsRequest(6, error_code=0xC000006D - (1 << 32))),
    ("3010a003020106a10930073005a003040154", TsRequest(6, nego_token=b"T")),
    (
        "3011a003020106a203040141a30504034b4559",
        TsRequest(6, auth_info=b"A", pub_key_auth=b"KEY"),
    ),
    ("300ca003020105a5050403010203", TsRequest(5, client_nonce=b"\1\2\3")),
]


@pytest.mark.parametrize(("wire", "request_"), WIRE)
def test_a_request_is_packed_and_parsed(wire: str, request_: TsRequest) -> None:
    data = bytes.fromhex(wire)
    assert TsRequest.parse(data) == request_
    assert request_.pack() == data
    assert ts_request.size(data + b"more") == len(data)


def test_a_long_request_has_a_long_length() -> None:
    for length in (0x70, 0x80, 0x100, 0xFF00):
        request = TsRequest(6, pub_key_auth=bytes(length))
        data = request.pack()
        assert TsRequest.parse(data) == request
        assert ts_request.size(data) == len(data)
        assert ts_request.size(data[: len(data) // 2]) == len(data)


def test_the_first_of_several_tokens_counts() -> None:
    data = bytes.fromhex("3017a003020106a110300e3005a0030401543005a003040155")
    assert TsRequest.parse(data).nego_token == b"T"


def test_a_field_of_a_later_version_is_passed_over() -> None:
    assert TsRequest.parse(bytes.fromhex("300aa003020107a603020101")) == TsRequest(7)


def test_a_length_may_be_longer_than_it_need_be() -> None:
    assert TsRequest.parse(bytes.fromhex("30820005a003020106")) == TsRequest(6)


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        ("", Reason.TRUNCATED),
        ("30", Reason.TRUNCATED),
        ("3005a0030201", Reason.TRUNCATED),
        ("3005a00302010600", Reason.TRAILING),
        ("3006a00302010600", Reason.TRUNCATED),
        ("3003020106", Reason.MALFORMED),
        ("3000", Reason.MALFORMED),
        ("3004a0020200", Reason.MALFORMED),
        ("3007a0050201060500", Reason.TRAILING),
        ("300aa003020106a003020106", Reason.MALFORMED),
        ("3005a003040106", Reason.MALFORMED),
        ("3009a003020106a1023000", Reason.TRUNCATED),
        ("300ba003020106a10430023000", Reason.MALFORMED),
    ],
)
def test_what_is_no_request_is_refused(wire: str, reason: Reason) -> None:
    with pytest.raises(RemoteError) as caught:
        TsRequest.parse(bytes.fromhex(wire))
    assert caught.value.reason is reason


@pytest.mark.parametrize("data", [b"", b"\x30", b"\x30\x82", b"\x30\x82\x01", b"\x30\x84\x00\x00\x00"])
def test_the_size_of_what_has_just_begun_is_not_known(data: bytes) -> None:
    assert ts_request.size(data) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x03\x00", Reason.MALFORMED),
        (b"\x30\x80", Reason.MALFORMED),
        (b"\x30\x85\0\0\0\0\1", Reason.MALFORMED),
        (b"\x30\x83\1\0\0", Reason.OVERSIZED),
        (b"\x30\x84\xff\xff\xff\xff", Reason.OVERSIZED),
    ],
)
def test_the_size_of_what_is_no_request_is_refused(data: bytes, reason: Reason) -> None:
    with pytest.raises(RemoteError) as caught:
        ts_request.size(data)
    assert caught.value.reason is reason


def utf16(text: str) -> bytes:
    encoded = text.encode("utf-16-le")
    return bytes((4, len(encoded))) + encoded


def credentials(*texts: str, kind: int = 1) -> bytes:
    fields = b"".join(bytes((0xA0 + n, len(text) * 2 + 2)) + utf16(text) for n, text in enumerate(texts))
    inner = bytes((0x30, len(fields))) + fields
    outer = bytes((0xA0, 3, 2, 1, kind, 0xA1, len(inner) + 2, 4, len(inner))) + inner
    return bytes((0x30, len(outer))) + outer


def test_credentials_are_read_with_and_without_terminators() -> None:
    expected = TsPasswordCreds("DOM", "me", "secret")
    assert ts_request.parse_credentials(credentials("DOM", "me", "secret")) == expected
    assert ts_request.parse_credentials(credentials("DOM\0", "me\0", "secret\0")) == expected
    assert "secret" not in repr(expected)


def test_credentials_of_another_kind_say_nothing() -> None:
    assert ts_request.parse_credentials(credentials("DOM", kind=2)) is None


@pytest.mark.parametrize("texts", [(), ("DOM",), ("DOM", "me")])
def test_credentials_that_lack_something_are_refused(texts: tuple[str, ...]) -> None:
    with pytest.raises(RemoteError):
        ts_request.parse_credentials(credentials(*texts))


def test_credentials_that_are_no_text_are_refused() -> None:
    broken = credentials("DOM", "me", "\ue000").replace("\ue000".encode("utf-16-le"), b"\x00\xd8")
    with pytest.raises(RemoteError):
        ts_request.parse_credentials(broken)


def test_an_answer_of_spnego_is_packed() -> None:
    ntlm = "060a2b06010401823702020a"
    answer = neg_token.pack_response(NegState.ACCEPT_INCOMPLETE, mechanism=neg_token.NTLM, token=b"T")
    assert answer.hex() == "a11a3018a0030a0101a10c" + ntlm + "a203040154"
    answer = neg_token.pack_response(NegState.REQUEST_MIC, mechanism=neg_token.NTLM)
    assert answer.hex() == "a1153013a0030a0103a10c" + ntlm
    answer = neg_token.pack_response(NegState.ACCEPT_COMPLETED, mic=b"M")
    assert answer.hex() == "a10c300aa0030a0100a30304014d"


def test_a_first_token_of_spnego_is_read() -> None:
    # reqFlags, which nobody sends any more, are passed over
    data = bytes.fromhex(
        "602b06062b0601050502a021301fa00e300c060a2b06010401823702020aa10403020780a203040154a3020400"
    )
    token = NegToken.parse(data)
    assert token == NegToken(b"T", b"", (neg_token.NTLM,), bytes.fromhex("300c060a2b06010401823702020a"))


def test_a_list_of_mechanisms_has_an_end() -> None:
    for count, fits in ((64, True), (65, False)):
        types = bytes.fromhex("060100") * count
        inner = b"\x30\x81" + bytes((len(types),)) + types
        inner = b"\xa0\x81" + bytes((len(inner),)) + inner
        inner = b"\x30\x81" + bytes((len(inner),)) + inner
        inner = bytes.fromhex("06062b0601050502") + b"\xa0\x81" + bytes((len(inner),)) + inner
        token = b"\x60\x81" + bytes((len(inner),)) + inner
        if fits:
            assert len(NegToken.parse(token).mechanisms) == count
            continue
        with pytest.raises(RemoteError) as caught:
            NegToken.parse(token)
        assert caught.value.reason is Reason.OVERSIZED


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        ("", Reason.TRUNCATED),
        ("6000", Reason.TRUNCATED),
        ("600806062b0601050502", Reason.MALFORMED),
        ("600806062b0601050503", Reason.REFUSED),
        ("600c06062b0601050502a002300000", Reason.TRAILING),
        ("600c06062b0601050502a0023000", Reason.MALFORMED),
        ("a100", Reason.TRUNCATED),
        ("a1023000ff", Reason.TRAILING),
        ("a1073005a0030a0102", Reason.REFUSED),
        ("a1073005a003020101", Reason.MALFORMED),
        ("a2023000", Reason.MALFORMED),
    ],
)
def test_what_is_no_token_is_refused(wire: str, reason: Reason) -> None:
    with pytest.raises(RemoteError) as caught:
        NegToken.parse(bytes.fromhex(wire))
    assert caught.value.reason is reason
