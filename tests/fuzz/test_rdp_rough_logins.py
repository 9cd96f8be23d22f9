"""Clients that stall, cheat or break off before they are in: X.224, TLS, CredSSP and the password."""

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from served_guest import until
from served_rdp_guest import ServedRdpGuest, served_rdp, tls_directory
from support import rdp_client_pdus as client
from support import rdp_server_pdus as server
from support.credssp_client import CredSspClient
from support.rdp_rough_client import BITMAPS, RoughClient, client_tls
from support.rdp_script import STEPS, Profile

from sidecar.access.logins import Logins
from sidecar.access.password import Passwords
from sidecar.rdp.access import Access
from sidecar.rdp.handshake import Nla
from sidecar.session.registry import Policy

PASSWORD = "open sesame"
NLA = Profile(protocols=client.SSL | client.HYBRID, password="")


def access(nla: Nla = Nla.OFF) -> Access:
    return Access(tls_directory(), Logins(Passwords(lambda: PASSWORD)), nla)


async def before_tls(here: ServedRdpGuest, profile: Profile = BITMAPS) -> RoughClient:
    """A client that may begin with TLS."""
    peer = await here.dial(profile)
    peer.send(peer.connection_request())
    await peer.expect(server.ConnectionConfirm)
    return peer


async def before_nla(here: ServedRdpGuest) -> RoughClient:
    """A client that may begin with CredSSP."""
    peer = await here.dial(NLA)
    await peer.negotiate()
    return peer


def client_hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    connection = client_tls().wrap_bio(ssl.MemoryBIO(), outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    "what",
    [
        b"\x16\x03\x01",
        b"GET / HTTP/1.0\r\n\r\n",
        bytes(4000),
        b"\x03\0\0\x08\x02\xf0\x80\x28",
        client_hello()[:44] + b"\xff" * 4000,
        b"\x15\x03\x03\0\x02\x02\x28",
    ],
    ids=["header", "http", "zeros", "rdp", "broken hello", "alert"],
)
async def test_garbage_in_place_of_tls_ends_the_connection_and_nothing_else(what: bytes) -> None:
    async with served_rdp() as here:
        witness = await here.connect()
        for _ in range(3):
            peer = await before_tls(here)
            peer.send(what)
            if what == b"\x16\x03\x01":
                peer.writer.write_eof()
            (line,) = await here.ends(peer)
            assert " info    TLS handshake failed session=r" in line
            assert 'cause=""' not in line
        await here.serves(witness)
        assert here.registry.waiting == 0
        await witness.close()


@pytest.mark.parametrize("what", [b"\x16", client_hello(), b"\x03\0\0\x08\x02\xf0\x80\x28"])
async def test_bytes_in_the_clear_behind_the_first_request_are_refused(what: bytes) -> None:
    async with served_rdp() as here:
        peer = await here.dial()
        peer.send(peer.connection_request() + what)
        assert "cause=unexpected" in await here.faulted(peer)


async def test_bytes_in_the_clear_while_tls_begins_are_never_read_as_if_they_had_come_by_it() -> None:
    async with served_rdp() as here:
        peer = await before_tls(here)
        peer.send(peer.connect_initial())
        (line,) = await here.ends(peer)
        assert "TLS handshake failed" in line


@pytest.mark.parametrize(
    ("protocols", "code"),
    [(0, 1), (None, 1), (client.HYBRID, 1), (0x10, 1)],
    ids=["standard security", "no request", "nla alone", "unknown"],
)
async def test_clients_without_tls_are_told_so(protocols: int | None, code: int) -> None:
    async with served_rdp() as here:
        peer = await here.dial(replace(BITMAPS, protocols=protocols))
        peer.send(peer.connection_request())
        confirm = await peer.expect(server.ConnectionConfirm)
        assert (confirm.kind, confirm.value) == (3, code)
        assert "cause=refused" in await here.faulted(peer)


async def test_those_who_stall_anywhere_are_ended_when_their_time_is_over() -> None:
    async with served_rdp(auth_timeout=3.0, access=access(Nla.OFFERED)) as here:
        proven = Profile(password=PASSWORD)
        witness = await here.connect(proven)
        stalled = [await here.dial(proven) for _ in STEPS]
        for peer, step in zip(stalled, STEPS, strict=True):
            await peer.until_step(step)
        # TLS: nothing of it, half of its beginning
        stalled += [await before_tls(here), await before_tls(here)]
        stalled[-1].send(client_hello()[:100])
        # NLA: nothing of it, a header of a long token
        stalled += [await before_nla(here), await before_nla(here)]
        stalled[-1].send(b"\x30\x82\xff\x00")
        for peer in stalled:
            lines = await here.ends(peer)
            assert "login timed out" in lines[0] or "TLS handshake failed" in lines[0], lines
        await here.serves(witness)
        await witness.close()


async def test_a_token_that_drips_is_cut_off_when_its_time_is_over() -> None:
    async with served_rdp(auth_timeout=3.0, access=access(Nla.OFFERED)) as here:
        for peer, data in (
            (await before_nla(here), b"\x30\x82\xff\x00" + bytes(1000)),
            (await here.dial(), b"\x03\0\xff\xff" + bytes(1000)),
        ):

            async def drip(peer: RoughClient = peer, data: bytes = data) -> None:
                for octet in data:
                    peer.send(bytes((octet,)))
                    await asyncio.sleep(0.02)

            dripping = asyncio.create_task(drip())
            (line,) = await here.ends(peer)
            assert "login timed out" in line or "oversized" in line
            dripping.cancel()


GONE: tuple[Callable[[RoughClient], None], ...] = (
    lambda peer: peer.writer.close(),
    lambda peer: peer.abort(),
    lambda peer: peer.writer.write_eof() if peer.writer.can_write_eof() else peer.writer.close(),
)


async def test_clients_that_leave_at_any_stage_are_forgotten() -> None:
    async with served_rdp(access=access(Nla.OFFERED)) as here:
        witness = await here.connect(Profile(password=PASSWORD))
        for step, go in itertools.product((*STEPS, ""), GONE):
            peer = await here.dial(Profile(password=PASSWORD))
            await peer.until_step(step)
            go(peer)
            await peer.close()
            half = await here.dial(Profile(password=PASSWORD))
            await half.until_step(step)
            if step:
                half.send(half.step(step)[:-1])
                await half.flush()
            go(half)
            await half.close()
        for start, go in itertools.product((before_tls, before_nla), GONE):
            peer = await start(here)
            peer.send(client_hello()[:70] if start is before_tls else b"\x30\x20")
            await peer.flush()
            go(peer)
            await peer.close()
        await until(lambda: len(here.server.viewers) == 1, "only the witness is left")
        await here.serves(witness)
        await witness.close()


async def test_the_server_ends_while_clients_are_at_every_stage() -> None:
    async with served_rdp(access=access(Nla.OFFERED)) as here:
        for step in (*STEPS, ""):
            await (await here.dial(Profile(password=PASSWORD))).until_step(step)
        await before_tls(here)
        await before_nla(here)


async def test_a_client_that_is_crowded_out_at_any_stage_is_forgotten() -> None:
    async with served_rdp(Policy(max_waiting=4)) as here:
        witness = await here.connect()
        early = [await here.dial() for _ in STEPS]
        for peer, step in zip(early, STEPS, strict=True):
            with contextlib.suppress(EOFError, ConnectionError, RuntimeError):
                await peer.until_step(step)
            assert here.registry.waiting <= 4
        last = await here.connect()
        await here.serves(witness)
        await here.serves(last)
        for peer in (*early, witness, last):
            await peer.close()


def public_key(peer: RoughClient) -> bytes:
    certificate = peer.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    key = x509.load_der_x509_certificate(certificate).public_key()
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


async def answer(peer: RoughClient) -> bytes:
    """The server's TSRequest."""
    head = await peer.reader_stream.readexactly(2)
    octets = head[1] & 0x7F if head[1] & 0x80 else 0
    more = await peer.reader_stream.readexactly(octets)
    length = int.from_bytes(more, "big") if octets else head[1]
    return head + more + await peer.reader_stream.readexactly(length)


async def log_in(peer: RoughClient, user: str = "alice", password: str = PASSWORD) -> None:
    """Through CredSSP."""
    credentials = CredSspClient(public_key(peer), user, password)
    peer.send(credentials.negotiate())
    peer.send(credentials.authenticate(await answer(peer)))
    credentials.check(await answer(peer))
    peer.send(credentials.delegate())


async def test_nla_lets_in_who_knows_the_password() -> None:
    async with served_rdp(access=access(Nla.REQUIRED)) as here:
        peer = await before_nla(here)
        await log_in(peer)
        for name in ("connect_initial",):
            peer.send(peer.step(name))
        await peer.expect(server.ConnectResponse)
        await peer.close()


NTLM_NEGOTIATE = b"NTLMSSP\0\x01\0\0\0" + bytes(24)


def request(*fields: bytes) -> bytes:
    return client.ber(b"\x30", client.ber(b"\xa0", client.ber_integer(6)) + b"".join(fields))


def token(data: bytes) -> bytes:
    inner = client.ber(b"\x30", client.ber(b"\xa0", client.ber(b"\x04", data)))
    return client.ber(b"\xa1", client.ber(b"\x30", inner))


@pytest.mark.parametrize(
    "what",
    [
        b"\xff" * 40,
        b"GET / HTTP/1.0\r\n\r\n",
        b"\x03\0\0\x08\x02\xf0\x80\x28",
        b"\x30\x80" + bytes(40),
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x83\x01\x00\x00",
        b"\x30\x89" + bytes(12),
        b"\x30\x00",
        request(),
        request(token(b"")),
        request(token(b"NTLMSSP\0\x02\0\0\0" + bytes(40))),
        request(token(b"NTLMSSP\0\x03\0\0\0" + b"\xff" * 80)),
        request(token(b"NTLMSSP\0" + bytes(3))),
        request(token(bytes(60000))),
        request(token(b"\x60\x82\xff\xff\x06")),
        request(client.ber(b"\xa2", client.ber(b"\x04", bytes(64)))),
        request(client.ber(b"\xa3", client.ber(b"\x04", bytes(64)))),
        request(client.ber(b"\xa4", client.ber(b"\x02", b"\xc0\0\0\x6d"))),
        client.ber(b"\x30", client.ber(b"\xa0", client.ber_integer(1)) + token(NTLM_NEGOTIATE)),
        request(token(NTLM_NEGOTIATE)) + request(token(NTLM_NEGOTIATE)),
        request(token(NTLM_NEGOTIATE)) + request(token(b"NTLMSSP\0\x03\0\0\0" + bytes(76))),
    ],
    ids=lambda what: what[:12].hex(),
)
async def test_garbage_in_place_of_credssp_ends_the_connection(what: bytes) -> None:
    async with served_rdp(access=access(Nla.OFFERED)) as here:
        witness = await here.connect(Profile(password=PASSWORD))
        peer = await before_nla(here)
        # what the server answers is not RDP
        peer.receive = lambda data: []  # type: ignore[method-assign]
        peer.send(what)
        (line,) = await here.ends(peer)
        assert "connection ended by a fault of the client" in line or "login failed" in line
        await here.serves(witness)
        await witness.close()


@contextlib.asynccontextmanager
async def refused_by_nla(here: ServedRdpGuest) -> AsyncIterator[RoughClient]:
    peer = await before_nla(here)
    peer.receive = lambda data: []  # type: ignore[method-assign]
    yield peer
    (line,) = await here.ends(peer)
    assert "login failed" in line


async def test_wrong_passwords_and_users_are_refused_and_never_logged() -> None:
    async with served_rdp(access=access(Nla.OFFERED)) as here:
        for number in range(10):
            async with refused_by_nla(here) as peer:
                credentials = CredSspClient(public_key(peer), "alice", f"mistake{number}")
                peer.send(credentials.negotiate())
                peer.send(credentials.authenticate(await answer(peer)))
            refused = await here.dial(Profile(password=f"guess{number}"))
            with contextlib.suppress(EOFError):
                await refused.until_step("confirm_active")
            (line,) = await here.ends(refused)
            assert "login failed" in line
        good = await here.connect(Profile(password=PASSWORD))
        await here.serves(good)
        await good.close()
        text = "\n".join(here.log.seen)
        for secret in ("sesame", "mistake", "guess", "NTLMSSP"):
            assert secret not in text


UGLY = "\x1b[31mroot\n2026 info  all is well\x00\u202e\ufeff\ud7ff" + "x" * 400


async def test_names_that_clients_give_themselves_are_harmless_in_the_log() -> None:
    async with served_rdp() as here:
        for user in (UGLY, UGLY.replace("\0", ""), "\x07" * 500, 'a=b c"d\\', "\u0080\u2028\u2029"):
            peer = await here.connect(Profile(user=user, domain=user, password="open sesame", line=b""))
            (session,) = here.registry
            assert len(session.user) <= 64
            assert session.user.isprintable()
            await peer.close()
            await until(lambda: not here.server.viewers)
        for length in (513, 5000, 7500):
            peer = await here.dial(Profile(user="x" * length))
            with contextlib.suppress(EOFError):
                await peer.until_step("confirm_active")
            assert "x" * 70 not in await here.faulted(peer)
        assert all(line.isprintable() and len(line) < 600 for line in here.log.seen)
        assert "sesame" not in "".join(here.log.seen)


async def test_names_of_machines_channels_and_cookies_are_harmless_in_the_log() -> None:
    async with served_rdp() as here:
        profile = Profile(
            line=b"Cookie: mstshash=\x1b[31m\xff" + b"y" * 200 + b"\r\n",
            channels=("\x1b[31m\n", "drdynvc", "drdynvc", "\x7f" * 7),
        )
        peer = await here.connect(profile)
        await here.serves(peer)
        await peer.close()
        assert all(line.isprintable() and "yyyy" not in line for line in here.log.seen)


async def relay(here: ServedRdpGuest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Goes through X.224 on behalf of a TLS client that knows nothing of it."""
    peer = await before_tls(here)

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):
            while data := await source.read(1 << 16):
                sink.write(data)
        sink.close()

    await asyncio.gather(carry(reader, peer.writer), carry(peer.reader_stream, writer))


async def test_a_client_that_wants_to_renegotiate_tls_is_refused() -> None:
    async with served_rdp() as here:
        witness = await here.connect()
        relays = await asyncio.start_server(lambda *ends: relay(here, *ends), "127.0.0.1", 0)
        port = relays.sockets[0].getsockname()[1]
        openssl = await asyncio.create_subprocess_exec(
            *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_2"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert openssl.stdin is not None
        assert openssl.stdout is not None
        said = b""
        while b"Verify return code" not in said:
            said += await openssl.stdout.read(4096)
        openssl.stdin.write(b"R\n")
        said, _ = await openssl.communicate()
        assert b"RENEGOTIATING" in said
        assert b"no renegotiation" in said
        relays.close()
        await here.serves(witness)
        await until(lambda: len(here.server.viewers) == 1, "it is forgotten")


async def test_two_hundred_silent_connections_and_thirty_two_sessions_in_one_instant() -> None:
    async with served_rdp() as here:
        await asyncio.gather(*(here.dial() for _ in range(200)))
        crowd = await asyncio.gather(*(here.connect() for _ in range(32)))
        assert here.registry.count() == 32
        late = await here.dial()
        with contextlib.suppress(EOFError):
            await late.until_step("confirm_active")
        assert "cause=full" in (await here.ends(late))[0]
        told = [data.body for data in late.heard(server.ShareData) if data.kind == server.SET_ERROR_INFO]
        assert told == [b"\x07\0\0\0"]
        assert here.registry.waiting <= here.registry.policy.max_waiting
        for peer in crowd:
            await here.serves(peer)
