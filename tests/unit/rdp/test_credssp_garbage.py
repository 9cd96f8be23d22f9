"""Whatever comes, at whatever step: RemoteError, or nothing."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spnego._credssp_structures import NegoData, TSRequest
from support.certificate import write_certificate
from support.credssp_client import CredSspClient

from sidecar.access.certificate import ServerCertificate, load
from sidecar.access.grant import Candidate, Grant
from sidecar.rdp import ts_request
from sidecar.rdp.credssp import CredSsp
from sidecar.rdp.errors import RemoteError
from sidecar.rdp.neg_token import NegToken
from sidecar.rdp.ntlm_messages import Authenticate, ClientChallenge, parse_negotiate
from sidecar.rdp.ts_request import TsRequest

STEPS = ("negotiate", "authenticate", "delegate", "over")

protocols = st.sampled_from(["ntlm", "negotiate"])
versions = st.sampled_from([2, 5, 6])
optional = st.none() | st.binary(max_size=200)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ServerCertificate:
    directory = tmp_path_factory.mktemp("tls")
    write_certificate(directory)
    return load(directory)


class Conversation:
    """An exchange that has come to a step; `message` is what the client would say now."""

    def __init__(self, certificate: ServerCertificate, step: int, protocol: str, version: int = 6) -> None:
        self.server = CredSsp(
            certificate, lambda _: [Candidate(Grant(), password="secret")], random=bytes, now=0.0
        )
        self.client = CredSspClient(certificate.public_key, protocol=protocol, version=version)
        self.message = self.client.negotiate()
        if step > 0:
            self.message = self.client.authenticate(self._say())
        if step > 1:
            self.client.check(self._say())
            self.message = self.client.delegate()
        if step > 2:
            self._say()
            self.message = b""

    def survives(self, *messages: bytes) -> None:
        known = self.server.identity
        try:
            for message in messages:
                self.server.receive(message)
        except RemoteError:
            assert self.server.identity is known
            answer = self.server.outgoing()
            assert not answer or TSRequest.unpack(answer).error_code is not None
        else:
            self.server.outgoing()

    def _say(self) -> bytes:
        assert self.server.receive(self.message) == b""
        return self.server.outgoing()


@settings(max_examples=150, deadline=None)
@given(step=st.integers(0, 3), protocol=protocols, data=st.lists(st.binary(max_size=300), max_size=3))
def test_any_bytes(certificate: ServerCertificate, step: int, protocol: str, data: list[bytes]) -> None:
    Conversation(certificate, step, protocol).survives(*data)


@settings(max_examples=300, deadline=None)
@given(
    step=st.integers(0, 2),
    protocol=protocols,
    version=versions,
    at=st.floats(0, 1, exclude_max=True),
    change=st.integers(1, 255),
)
def test_a_message_with_one_byte_changed(
    certificate: ServerCertificate, step: int, protocol: str, version: int, at: float, change: int
) -> None:
    conversation = Conversation(certificate, step, protocol, version)
    message = bytearray(conversation.message)
    message[int(at * len(message))] ^= change
    conversation.survives(bytes(message))


@pytest.mark.parametrize("protocol", ["ntlm", "negotiate"])
@pytest.mark.parametrize("step", range(3))
def test_a_message_that_is_cut_off_anywhere_waits_for_the_rest(
    certificate: ServerCertificate, step: int, protocol: str
) -> None:
    conversation = Conversation(certificate, step, protocol)
    for byte in conversation.message[:-1]:
        assert conversation.server.receive(bytes((byte,))) == b""
    assert conversation.server.outgoing() == b""
    assert conversation.server.identity is None


@settings(max_examples=200, deadline=None)
@given(
    step=st.integers(0, 2),
    version=st.integers(-1, 9),
    token=optional,
    sealed=optional,
    credentials=optional,
    error=st.none() | st.integers(-(1 << 31), (1 << 31) - 1),
)
def test_a_request_with_any_fields(
    certificate: ServerCertificate,
    step: int,
    version: int,
    token: bytes | None,
    sealed: bytes | None,
    credentials: bytes | None,
    error: int | None,
) -> None:
    conversation = Conversation(certificate, step, "ntlm")
    request = TSRequest(
        version,
        nego_tokens=None if token is None else NegoData(token),
        pub_key_auth=sealed,
        auth_info=credentials,
        error_code=error,
    )
    conversation.survives(request.pack())


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_credentials_that_are_sealed_well(certificate: ServerCertificate, data: bytes) -> None:
    conversation = Conversation(certificate, 2, "ntlm")
    conversation.survives(conversation.client.delegate_sealed(data))


def mutations(example: bytes) -> st.SearchStrategy[bytes]:
    """Bytes like `example`, with some of them changed, and cut."""

    def mutate(changes: list[tuple[int, int]], end: int) -> bytes:
        changed = bytearray(example)
        for at, value in changes:
            changed[at] = value
        return bytes(changed[:end])

    return st.builds(
        mutate,
        st.lists(st.tuples(st.integers(0, len(example) - 1), st.integers(0, 255)), max_size=8),
        st.integers(0, len(example)),
    )


AUTHENTICATE = (
    b"NTLMSSP\0\x03\0\0\0"
    + b"".join(
        bytes((length, 0, length, 0, offset, 0, 0, 0))
        for length, offset in ((24, 72), (60, 96), (4, 156), (4, 160), (0, 0), (16, 164))
    )
    + b"\x35\x82\x88\xe2"
    + bytes(8)
    + bytes(24)
    + bytes(16)
    + b"\x01\x01"
    + bytes(26)
    + b"\x02\0\x04\0d\0d\0\0\0\0\0"
    + bytes(5)
    + b"d\0d\0u\0u\0"
    + bytes(16)
)
NEG_TOKEN = (
    bytes.fromhex("604006062b0601050502a0363034a00e300c060a2b06010401823702020aa2220420")
    + b"NTLMSSP\0\x01\0\0\0\x07\x82\x08\xa2"
    + bytes(16)
)
TS_REQUEST = TSRequest(6, nego_tokens=NegoData(b"token"), pub_key_auth=b"key", client_nonce=bytes(32)).pack()


@pytest.mark.parametrize(
    ("parse", "example"),
    [
        (TsRequest.parse, TS_REQUEST),
        (ts_request.size, TS_REQUEST),
        (ts_request.parse_credentials, bytes.fromhex("3017a003020101a110040e300ca0020400a1020400a2020400")),
        (NegToken.parse, NEG_TOKEN),
        (NegToken.parse, bytes.fromhex("a1123010a0030a0101a1090607") + b"token\0\0"),
        (parse_negotiate, b"NTLMSSP\0\x01\0\0\0\x07\x82\x08\xa2"),
        (Authenticate.parse, AUTHENTICATE),
        (lambda data: ClientChallenge.parse(data).attributes(), AUTHENTICATE[96:156]),
    ],
)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_parser_takes_it_or_raises_a_remote_error(
    parse: Callable[[bytes], object], example: bytes, data: st.DataObject
) -> None:
    parse(example)
    for strategy in (mutations(example), st.binary(max_size=200)):
        try:
            parse(data.draw(strategy))
        except RemoteError:
            continue
