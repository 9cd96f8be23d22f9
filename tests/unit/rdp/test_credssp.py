import contextlib
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import spnego
from spnego._credssp_structures import NegoData, TSRequest
from spnego._ntlm_raw.messages import Authenticate, Negotiate
from spnego._spnego import NegState, NegTokenInit, NegTokenResp, pack_mech_type_list, unpack_token
from spnego.exceptions import InvalidCredentialError
from support.certificate import write_certificate
from support.credssp_client import CredSspClient

from sidecar.access.certificate import CERTIFICATE, KEY, ServerCertificate, load, self_signed
from sidecar.access.grant import Candidate, Grant, LoginThrottled
from sidecar.rdp.authenticator import Authenticator, Identity
from sidecar.rdp.credssp import CredSsp, nla_available
from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.ntlm import nt_hash

KERBEROS, NTLM = "1.2.840.113554.1.2.2", "1.3.6.1.4.1.311.2.2.10"
LOGON_FAILURE = 0xC000006D - (1 << 32)
INVALID_PARAMETER = 0xC000000D - (1 << 32)
NOT_SUPPORTED = 0xC00000BB - (1 << 32)

ACCOUNT_LOCKED_OUT = 0xC0000234 - (1 << 32)

NOW = 1_760_000_000.0

SECRET = Candidate(Grant(), password="secret")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ServerCertificate:
    directory = tmp_path_factory.mktemp("tls")
    write_certificate(directory)
    return load(directory)


@pytest.fixture
def server(certificate: ServerCertificate) -> CredSsp:
    return serve(certificate)


def serve(
    certificate: ServerCertificate, candidates: Callable[[str], list[Candidate]] = lambda _: [SECRET]
) -> CredSsp:
    # the server's challenge is another one for each server
    seeds.append(len(seeds))
    seed = seeds[-1]
    return CredSsp(
        certificate, candidates, random=lambda count: (seed.to_bytes(4, "big") * count)[:count], now=NOW
    )


seeds: list[int] = []


def say(server: CredSsp, message: bytes) -> bytes:
    assert server.receive(message) == b""
    return server.outgoing()


def refusal(server: CredSsp, message: bytes) -> RemoteError:
    with pytest.raises(RemoteError) as caught:
        server.receive(message)
    assert server.identity is None
    return caught.value


def error_code(server: CredSsp) -> int | None:
    message = server.outgoing()
    return TSRequest.unpack(message).error_code if message else None


@pytest.mark.parametrize("protocol", ["ntlm", "negotiate"])
@pytest.mark.parametrize("version", [2, 3, 4, 5, 6, 7])
def test_a_client_of_any_version_comes_in(
    certificate: ServerCertificate, version: int, protocol: str
) -> None:
    server = serve(certificate)
    client = CredSspClient(certificate.public_key, "DOM\\me", version=version, protocol=protocol)
    client.check(say(server, client.authenticate(say(server, client.negotiate()))))
    assert server.identity is None
    assert server.receive(client.delegate() + b"MCS") == b"MCS"
    assert server.identity == Identity("me", "DOM", "secret")
    assert server.outgoing() == b""
    assert server.receive(b"more") == b"more"


def test_it_is_an_authenticator(server: CredSsp) -> None:
    authenticator: Authenticator = server
    assert authenticator.identity is None


def test_bytes_may_come_one_by_one(certificate: ServerCertificate, server: CredSsp) -> None:
    client = CredSspClient(certificate.public_key)

    def trickle(message: bytes) -> bytes:
        for byte in message[:-1]:
            assert say(server, bytes((byte,))) == b""
        return say(server, message[-1:])

    client.check(trickle(client.authenticate(trickle(client.negotiate()))))
    assert trickle(client.delegate()) == b""
    assert server.identity == Identity("me", "", "secret")


def test_the_key_may_be_bound_after_the_proof(certificate: ServerCertificate) -> None:
    for protocol in ("ntlm", "negotiate"):
        server = serve(certificate)
        client = CredSspClient(certificate.public_key, protocol=protocol)
        proof = client.prove(say(server, client.negotiate()))
        answer = say(server, client.request(nego_tokens=NegoData(proof)))
        assert bool(answer) is (protocol == "negotiate")
        if answer:
            client.context.step(TSRequest.unpack(answer).nego_tokens[0].nego_token)
        client.check(say(server, client.request(pub_key_auth=client.seal(client.binding()))))
        say(server, client.delegate())
        assert server.identity is not None


def meet(client: spnego.ContextProxy, server: CredSsp, context: ssl.SSLContext) -> None:
    """Has a whole client of CredSSP talk to the server through TLS until the server knows who it is."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    while server.identity is None:
        incoming.write(client.step(outgoing.read()) or b"")
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
            while True:
                message = tls.read()
                with contextlib.suppress(RemoteError):
                    server.receive(message)
                if answer := server.outgoing():
                    tls.write(answer)


@pytest.fixture(scope="module")
def self_signed_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("rsa")
    self_signed(directory)
    return directory


def test_a_whole_client_comes_in_by_tls(tmp_path: Path, self_signed_directory: Path) -> None:
    for name in (CERTIFICATE, KEY):
        shutil.copy(self_signed_directory / name, tmp_path)
    shown = load(tmp_path)
    # what becomes of the files later is of no interest to this connection
    write_certificate(tmp_path)
    server = serve(shown)
    client = spnego.client("me", "secret", protocol="credssp", credssp_min_protocol=6)
    meet(client, server, shown.context)
    assert client.complete
    assert server.identity == Identity("me", "", "secret")


def test_a_whole_client_is_told_of_a_wrong_password_by_tls(self_signed_directory: Path) -> None:
    shown = load(self_signed_directory)
    client = spnego.client("me", "wrong", protocol="credssp")
    with pytest.raises(InvalidCredentialError, match="NTStatus"):
        meet(client, serve(shown), shown.context)


@pytest.mark.parametrize("version", [2, 3, 4, 5, 6])
def test_a_wrong_password_is_told_to_those_who_can_hear_it(
    certificate: ServerCertificate, version: int
) -> None:
    server = serve(certificate)
    client = CredSspClient(certificate.public_key, password="wrong", version=version)
    answer = say(server, client.negotiate())
    assert refusal(server, client.authenticate(answer)).reason is Reason.LOGIN_FAILED
    assert error_code(server) == (None if version in (2, 5) else LOGON_FAILURE)
    assert refusal(server, b"\x30").reason is Reason.UNEXPECTED
    assert server.outgoing() == b""


def test_an_unknown_user_cannot_be_told_from_a_wrong_password(certificate: ServerCertificate) -> None:
    asked: list[str] = []

    def candidates(user: str) -> list[Candidate]:
        asked.append(user)
        return [SECRET] if user == "me" else []

    server = serve(certificate, candidates)
    client = CredSspClient(certificate.public_key, "you")
    error = refusal(server, client.authenticate(say(server, client.negotiate())))
    assert (error.reason, error_code(server)) == (Reason.LOGIN_FAILED, LOGON_FAILURE)
    server = serve(certificate, candidates)
    client = CredSspClient(certificate.public_key, "me", "wrong")
    assert refusal(server, client.authenticate(say(server, client.negotiate()))).text == error.text
    assert asked == ["you", "me"]


def test_what_was_proven_says_what_may_be_done(certificate: ServerCertificate) -> None:
    mine = Grant("user", user="alice", view_only=True)
    candidates = [
        Candidate(Grant("password"), password="another"),
        Candidate(mine, nt_hash=nt_hash("secret")),
        Candidate(Grant("ticket", ticket="t1"), password="third"),
    ]
    for password, grant in (
        ("secret", mine),
        ("third", candidates[2].grant),
        ("another", candidates[0].grant),
    ):
        server = serve(certificate, lambda _: candidates)
        client = CredSspClient(certificate.public_key, password=password)
        client.check(say(server, client.authenticate(say(server, client.negotiate()))))
        say(server, client.delegate())
        assert server.identity == Identity("me", "", password, grant)


def test_who_has_failed_too_often_is_told_that_no_password_is_looked_at(
    certificate: ServerCertificate,
) -> None:
    def candidates(_: str) -> list[Candidate]:
        raise LoginThrottled(5.0)

    server = serve(certificate, candidates)
    client = CredSspClient(certificate.public_key)
    error = refusal(server, client.authenticate(say(server, client.negotiate())))
    assert (error.reason, error_code(server)) == (Reason.LOGIN_THROTTLED, ACCOUNT_LOCKED_OUT)


@pytest.mark.parametrize("password", ["p\u00e4ssw\u00f6rt", "\u65e5\u672c\U0001f600", "x" * 1000, "a:b", " "])
def test_any_password_is_proven_by_who_knows_it(certificate: ServerCertificate, password: str) -> None:
    server = serve(certificate, lambda _: [Candidate(Grant(), password=password)])
    client = CredSspClient(certificate.public_key, password=password)
    client.check(say(server, client.authenticate(say(server, client.negotiate()))))
    say(server, client.delegate())
    assert server.identity == Identity("me", "", password)


@pytest.mark.parametrize(
    ("name", "user", "domain"),
    [
        ("me", "me", ""),
        (".\\me", "me", ""),
        ("DOM\\me", "me", "DOM"),
        ("vm\\J\u00fcrgen", "J\u00fcrgen", "vm"),
        ("me@example.org", "me@example.org", ""),
        ("VDI-SIDECAR\\me", "me", ""),
    ],
)
def test_a_name_is_taken_from_its_domain(
    certificate: ServerCertificate, name: str, user: str, domain: str
) -> None:
    server = serve(certificate)
    client = CredSspClient(certificate.public_key, name)
    client.check(say(server, client.authenticate(say(server, client.negotiate()))))
    say(server, client.delegate())
    assert server.identity == Identity(user, domain, "secret")


def test_the_name_that_is_delegated_proves_nothing(certificate: ServerCertificate, server: CredSsp) -> None:
    client = CredSspClient(certificate.public_key, "me")
    client.check(say(server, client.authenticate(say(server, client.negotiate()))))
    client.user = "administrator"
    say(server, client.delegate())
    assert server.identity == Identity("me", "", "secret")


def test_credentials_of_another_kind_are_not_looked_into(
    certificate: ServerCertificate, server: CredSsp
) -> None:
    client = CredSspClient(certificate.public_key)
    client.check(say(server, client.authenticate(say(server, client.negotiate()))))
    # credType 6, TSRemoteGuardCreds
    say(server, client.delegate_sealed(bytes.fromhex("300ca003020106a105040330010c")[:14]))
    assert server.identity == Identity("me")


@pytest.mark.parametrize("version", [4, 6])
def test_a_client_that_sees_another_key_is_refused(certificate: ServerCertificate, version: int) -> None:
    server = serve(certificate)
    other = certificate.public_key[:-1] + bytes((certificate.public_key[-1] ^ 1,))
    client = CredSspClient(other, version=version)
    error = refusal(server, client.authenticate(say(server, client.negotiate())))
    assert (error.reason, error_code(server)) == (Reason.MALFORMED, INVALID_PARAMETER)


def test_a_proof_is_of_no_use_a_second_time(certificate: ServerCertificate) -> None:
    server, later = serve(certificate), serve(certificate)
    client = CredSspClient(certificate.public_key)
    first = client.negotiate()
    message = client.authenticate(say(server, first))
    say(server, message)
    say(later, first)
    assert refusal(later, message).reason is Reason.LOGIN_FAILED


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_message_that_comes_twice_is_refused(certificate: ServerCertificate, which: int) -> None:
    server = serve(certificate)
    client = CredSspClient(certificate.public_key)
    messages = [client.negotiate()]
    messages.append(client.authenticate(say(server, messages[0])))
    if which:
        client.check(say(server, messages[1]))
    error = refusal(server, messages[max(which - 1, 0)])
    assert error.reason is Reason.UNEXPECTED


@pytest.mark.parametrize("level", ["0", "1", "2"])
def test_ntlmv1_is_refused_even_with_the_right_password(
    certificate: ServerCertificate, server: CredSsp, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    monkeypatch.setenv("LM_COMPAT_LEVEL", level)
    client = CredSspClient(certificate.public_key)
    if level == "0":
        # without extended session security there is nothing to begin with
        assert refusal(server, client.negotiate()).reason is Reason.REFUSED
        assert error_code(server) == NOT_SUPPORTED
        return
    error = refusal(server, client.authenticate(say(server, client.negotiate())))
    assert (error.reason, error_code(server)) == (Reason.LOGIN_FAILED, LOGON_FAILURE)


@pytest.mark.parametrize("responses", [(b"", b""), (b"\0", b""), (b"", bytes(60))])
def test_nobody_comes_in_without_a_name(
    certificate: ServerCertificate, server: CredSsp, responses: tuple[bytes, bytes]
) -> None:
    client = CredSspClient(certificate.public_key)
    say(server, client.negotiate())
    token = Authenticate(0xE2888235, *responses, encrypted_session_key=bytes(16)).pack()
    error = refusal(server, client.request(nego_tokens=NegoData(token)))
    assert (error.reason, error_code(server)) == (Reason.LOGIN_FAILED, LOGON_FAILURE)


@pytest.mark.parametrize("missing", [0x1, 0x10, 0x20, 0x80000, 0x20000000, 0x40000000])
def test_a_client_with_weak_ntlm_is_refused(
    certificate: ServerCertificate, server: CredSsp, missing: int
) -> None:
    client = CredSspClient(certificate.public_key)
    token = Negotiate(0xE2088237 & ~missing).pack()
    assert refusal(server, client.request(nego_tokens=NegoData(token))).reason is Reason.REFUSED


def test_a_client_bound_to_this_tls_channel_comes_in_and_one_bound_to_another_does_not(
    certificate: ServerCertificate,
) -> None:
    assert certificate.end_point is not None
    for end_point, right in ((certificate.end_point, True), (bytes(32), False)):
        server = serve(certificate)
        client = CredSspClient(certificate.public_key, end_point=end_point)
        message = client.authenticate(say(server, client.negotiate()))
        if right:
            client.check(say(server, message))
        else:
            assert refusal(server, message).reason is Reason.MALFORMED


def test_a_handshake_that_was_changed_on_its_way_is_noticed(certificate: ServerCertificate) -> None:
    client = CredSspClient(certificate.public_key)
    first = client.negotiate()
    # the flag for keys of 56 bits taken away: NEGOTIATE is covered by nothing but the MIC
    at = first.index(b"NTLMSSP\0") + 15
    changed = first[:at] + bytes((first[at] & 0x7F,)) + first[at + 1 :]
    assert changed != first
    server = serve(certificate)
    error = refusal(server, client.authenticate(say(server, changed)))
    assert (error.reason, "MIC" in error.text) == (Reason.MALFORMED, True)


class Negotiation:
    """A client that would rather have Kerberos, and says so."""

    MECHANISMS = (KERBEROS, NTLM)

    def __init__(self, certificate: ServerCertificate) -> None:
        self.client = CredSspClient(certificate.public_key)
        self.ntlm = self.client.context

    def begin(self, mechanisms: tuple[str, ...] = MECHANISMS, token: bytes = b"a ticket") -> bytes:
        return self._request(NegTokenInit(mech_types=list(mechanisms), mech_token=token).pack())

    def go_on(self, token: bytes | None, mic: bytes | None = None) -> bytes:
        return self._request(NegTokenResp(response_token=token, mech_list_mic=mic).pack())

    def answer(self, message: bytes) -> NegTokenResp:
        (token,) = TSRequest.unpack(message).nego_tokens
        found = unpack_token(token.nego_token)
        assert isinstance(found, NegTokenResp)
        return found

    def mic(self) -> bytes:
        mic: bytes = self.ntlm.sign(pack_mech_type_list(list(self.MECHANISMS)))
        self.ntlm._reset_ntlm_crypto_state()
        return mic

    def _request(self, token: bytes) -> bytes:
        return self.client.request(nego_tokens=NegoData(token))


def test_a_client_that_prefers_kerberos_is_led_to_ntlm(
    certificate: ServerCertificate, server: CredSsp
) -> None:
    negotiation = Negotiation(certificate)
    client = negotiation.client
    answer = negotiation.answer(say(server, negotiation.begin()))
    assert (answer.neg_state, answer.supported_mech) == (NegState.request_mic, NTLM)
    answer = negotiation.answer(say(server, negotiation.go_on(negotiation.ntlm.step())))
    assert answer.neg_state == NegState.accept_incomplete
    proof = negotiation.ntlm.step(answer.response_token)
    answer = negotiation.answer(say(server, negotiation.go_on(proof, negotiation.mic())))
    assert answer.neg_state == NegState.accept_complete
    negotiation.ntlm.verify(pack_mech_type_list(list(negotiation.MECHANISMS)), answer.mech_list_mic)
    negotiation.ntlm._reset_ntlm_crypto_state(outgoing=False)
    client.check(say(server, client.request(pub_key_auth=client.seal(client.binding()))))
    say(server, client.delegate())
    assert server.identity == Identity("me", "", "secret")


def test_a_wrong_mechlistmic_is_refused(certificate: ServerCertificate, server: CredSsp) -> None:
    negotiation = Negotiation(certificate)
    say(server, negotiation.begin())
    answer = negotiation.answer(say(server, negotiation.go_on(negotiation.ntlm.step())))
    proof = negotiation.ntlm.step(answer.response_token)
    mic = negotiation.ntlm.sign(pack_mech_type_list([NTLM]))
    assert refusal(server, negotiation.go_on(proof, mic)).reason is Reason.MALFORMED
    assert error_code(server) == INVALID_PARAMETER


def test_a_client_without_ntlm_is_refused(certificate: ServerCertificate, server: CredSsp) -> None:
    error = refusal(server, Negotiation(certificate).begin((KERBEROS,)))
    assert (error.reason, error_code(server)) == (Reason.REFUSED, NOT_SUPPORTED)


def test_a_client_that_only_lists_its_mechanisms_is_told_to_go_on(
    certificate: ServerCertificate, server: CredSsp
) -> None:
    negotiation = Negotiation(certificate)
    first = NegTokenInit(mech_types=[NTLM]).pack()
    answer = negotiation.answer(say(server, negotiation._request(first)))
    assert (answer.neg_state, answer.supported_mech) == (NegState.accept_incomplete, NTLM)
    answer = negotiation.answer(say(server, negotiation.go_on(negotiation.ntlm.step())))
    assert answer.response_token.startswith(b"NTLMSSP\0\x02")


@pytest.mark.parametrize("begun", [False, True])
def test_a_negotiation_out_of_order_is_refused(
    certificate: ServerCertificate, server: CredSsp, begun: bool
) -> None:
    negotiation = Negotiation(certificate)
    if begun:
        say(server, negotiation.begin())
        message = negotiation.begin()
    else:
        message = negotiation.go_on(negotiation.ntlm.step())
    assert refusal(server, message).reason is Reason.UNEXPECTED


def test_a_negotiation_that_does_not_go_on_is_refused(
    certificate: ServerCertificate, server: CredSsp
) -> None:
    negotiation = Negotiation(certificate)
    say(server, negotiation.begin())
    assert refusal(server, negotiation.go_on(None)).reason is Reason.UNEXPECTED


def test_a_client_that_gives_up_is_understood(certificate: ServerCertificate, server: CredSsp) -> None:
    negotiation = Negotiation(certificate)
    say(server, negotiation.begin())
    message = negotiation._request(NegTokenResp(neg_state=NegState.reject).pack())
    assert refusal(server, message).reason is Reason.REFUSED
    assert refusal(serve(certificate), TSRequest(6, error_code=LOGON_FAILURE).pack()).reason is Reason.REFUSED


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (TSRequest(1).pack(), Reason.REFUSED),
        (TSRequest(6).pack(), Reason.UNEXPECTED),
        (TSRequest(6, pub_key_auth=bytes(64)).pack(), Reason.UNEXPECTED),
        (TSRequest(6, auth_info=bytes(64)).pack(), Reason.UNEXPECTED),
        (TSRequest(6, nego_tokens=NegoData(b"")).pack(), Reason.TRUNCATED),
        (TSRequest(6, nego_tokens=NegoData(b"NTLMSSP\0")).pack(), Reason.TRUNCATED),
        (TSRequest(6, nego_tokens=NegoData(b"NTLMSSP\0\x03\0\0\0" + bytes(99))).pack(), Reason.UNEXPECTED),
        (TSRequest(6, nego_tokens=NegoData(b"NTLMSSQ\0\x01\0\0\0")).pack(), Reason.TRUNCATED),
        (b"\x03\0\0\x13\x0e\xe0", Reason.MALFORMED),
        (b"\x30\x84\xff\xff\xff\xff", Reason.OVERSIZED),
        (b"\x30\x83\x01\x00\x00", Reason.OVERSIZED),
        (b"\x30\x80", Reason.MALFORMED),
        (b"\x30\x85\x01", Reason.MALFORMED),
    ],
)
def test_what_does_not_begin_an_exchange_is_refused(server: CredSsp, message: bytes, reason: Reason) -> None:
    assert refusal(server, message).reason is reason


def test_a_newer_client_without_a_nonce_is_refused(certificate: ServerCertificate, server: CredSsp) -> None:
    client = CredSspClient(certificate.public_key)
    answer = say(server, client.negotiate())
    client.nonce = None
    assert refusal(server, client.authenticate(answer)).reason is Reason.MALFORMED


@pytest.mark.parametrize("size", [0, 15, 16, 40])
def test_a_binding_that_was_sealed_by_nobody_is_refused(
    certificate: ServerCertificate, server: CredSsp, size: int
) -> None:
    client = CredSspClient(certificate.public_key)
    token = NegoData(client.prove(say(server, client.negotiate())))
    error = refusal(server, client.request(nego_tokens=token, pub_key_auth=bytes(size)))
    assert error.reason is (Reason.TRUNCATED if size < 16 else Reason.MALFORMED)


@pytest.mark.parametrize("delegated", [None, b"", b"\x30\x00", b"\x30\x03\x02\x01\x01", bytes(100)])
def test_broken_credentials_are_refused(
    certificate: ServerCertificate, server: CredSsp, delegated: bytes | None
) -> None:
    client = CredSspClient(certificate.public_key)
    client.check(say(server, client.authenticate(say(server, client.negotiate()))))
    message = client.request() if delegated is None else client.delegate_sealed(delegated)
    assert refusal(server, message).reason is not Reason.LOGIN_FAILED


@pytest.mark.parametrize("protocol", ["ntlm", "negotiate"])
def test_a_token_that_ends_too_early_is_refused(certificate: ServerCertificate, protocol: str) -> None:
    server = serve(certificate)
    client = CredSspClient(certificate.public_key, protocol=protocol)
    first = client.negotiate()
    proof = client.prove(say(server, first))
    for length in range(len(proof)):
        server = serve(certificate)
        say(server, first)
        refusal(server, client.request(nego_tokens=NegoData(proof[:length])))


def test_a_request_as_long_as_may_be_is_taken_and_one_byte_more_is_not(
    certificate: ServerCertificate,
) -> None:
    padding = 0x10000 - len(TSRequest(6, nego_tokens=NegoData(bytes(0x8000))).pack()) + 0x8000
    message = TSRequest(6, nego_tokens=NegoData(bytes(padding))).pack()
    assert len(message) == 0x10000
    assert refusal(serve(certificate), message).reason is not Reason.OVERSIZED
    message = TSRequest(6, nego_tokens=NegoData(bytes(padding + 1))).pack()
    # its head says enough
    assert refusal(serve(certificate), message[:6]).reason is Reason.OVERSIZED


def test_nla_is_there_where_its_library_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert nla_available()
    monkeypatch.setitem(sys.modules, "spnego", None)
    assert not nla_available()


def test_nla_is_not_there_in_fips_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    # such a machine cannot be had here: this is how its hashlib answers
    def md5(_data: bytes = b"") -> None:
        raise ValueError("[digital envelope routines] unsupported")

    monkeypatch.setattr("hashlib.md5", md5)
    assert not nla_available()


def test_nothing_large_is_loaded_before_a_client_wants_nla() -> None:
    program = (
        "import sys; from sidecar.rdp.credssp import nla_available; nla_available();"
        "sys.exit(bool({'spnego', 'cryptography'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_secrets_are_not_shown(certificate: ServerCertificate, server: CredSsp) -> None:
    client = CredSspClient(certificate.public_key)
    client.check(say(server, client.authenticate(say(server, client.negotiate()))))
    say(server, client.delegate())
    assert server.identity is not None
    assert server.identity.password == "secret"
    assert "secret" not in repr(server.identity)
