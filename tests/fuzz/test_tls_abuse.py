"""TLS inside VNC (VeNCrypt) with clients that break it off, stall it or cheat."""

import asyncio
import contextlib
import ssl
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from served_guest import ServedGuest, served, until, until_closed
from support.certificate import write_certificate
from support.rfb_client import no_verification
from support.rfb_session import X509_NONE, X509_VNC, Refused

from sidecar.access.certificate import CertificateUnusable, server_context
from sidecar.access.logins import Logins
from sidecar.access.password import Passwords
from sidecar.session.registry import Policy
from sidecar.vnc.access import Access

CHOICE = b"RFB 003.008\n\x13\x00\x02" + struct.pack(">I", X509_NONE)
"""All that a client says in the clear."""

UP_TO_TLS = 12 + 2 + 2 + 1 + 1 + 4 + 1
"""Bytes of the server up to its consent to TLS: version, types, VeNCrypt's version, subtypes."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_certificate(tmp_path)
    return tmp_path


async def before_tls(here: ServedGuest) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that may begin with TLS."""
    reader, writer = await here.dial()
    writer.write(CHOICE)
    assert (await reader.readexactly(UP_TO_TLS))[-1:] == b"\x01"
    return reader, writer


@pytest.mark.parametrize("subtype", [X509_NONE, X509_VNC])
async def test_a_client_comes_in_by_tls(directory: Path, subtype: int) -> None:
    password = None if subtype == X509_NONE else "secret"
    access = Access(Logins(Passwords(None if password is None else lambda: "secret")), directory)
    async with served(access=access) as here:
        async with await here.connect(password=password or "") as client:
            await client.until_shown(here.console.surface.frame.pixels)
            assert [session.tls for session in here.registry] == [True]
            assert subtype in client.offered_subtypes
        await until(lambda: not here.server.viewers)


async def test_a_wrong_password_inside_tls_is_refused_with_the_reason(directory: Path) -> None:
    async with served(access=Access(Logins(Passwords(lambda: "secret")), directory)) as here:
        with pytest.raises(Refused, match="Authentication failed"):
            await here.connect(password="wrong")
        with pytest.raises(Refused, match="Authentication failed"):
            await here.connect(user="me", password="wrong")
        await until(lambda: not here.server.viewers)


@pytest.mark.parametrize("what", [b"\x16\x03\x01", b"GET / HTTP/1.0\r\n\r\n", bytes(4000), b"\x01" * 40])
async def test_garbage_in_place_of_tls_ends_the_connection_and_nothing_else(
    directory: Path, what: bytes
) -> None:
    async with served(access=Access(Logins(), directory)) as here, await here.connect() as good:
        for _ in range(5):
            reader, writer = await before_tls(here)
            writer.write(what)
            if what == b"\x16\x03\x01":
                writer.write_eof()
            await until_closed(reader)
            writer.close()
        await until(lambda: len(here.server.viewers) == 1, "the broken ones are forgotten")
        await good.refresh()
        assert here.registry.waiting == 0


async def test_a_client_that_leaves_amid_tls_is_forgotten(directory: Path) -> None:
    async with served(access=Access(Logins(), directory)) as here:
        for abort in (False, True):
            _, writer = await before_tls(here)
            hello = ssl.MemoryBIO()
            client = no_verification().wrap_bio(ssl.MemoryBIO(), hello)
            with contextlib.suppress(ssl.SSLWantReadError):
                client.do_handshake()
            writer.write(hello.read()[:100])
            await writer.drain()
            if abort:
                writer.transport.abort()
            else:
                writer.close()
        await until(lambda: not here.server.viewers and not here.registry.waiting)


async def test_a_stalled_tls_handshake_ends_with_the_time_to_log_in(directory: Path) -> None:
    async with served(access=Access(Logins(), directory), auth_timeout=1.0) as here:
        reader, writer = await before_tls(here)
        await until_closed(reader)
        writer.close()
        await until(lambda: not here.server.viewers and not here.registry.waiting)


async def test_a_connection_crowded_out_amid_tls_is_forgotten(directory: Path) -> None:
    async with served(Policy(max_waiting=1), access=Access(Logins(), directory)) as here:
        reader, writer = await before_tls(here)
        async with await here.connect() as client:
            await client.refresh()
            await until_closed(reader)
            writer.close()
            await until(lambda: len(here.server.viewers) == 1)


async def test_the_server_ends_while_a_tls_handshake_stalls(directory: Path) -> None:
    async with served(access=Access(Logins(), directory)) as here:
        _, writer = await before_tls(here)
    writer.close()


async def test_what_was_sent_in_the_clear_is_never_read_as_if_it_had_come_by_tls(directory: Path) -> None:
    # a shared flag and a key: they would be the client's first words inside TLS
    injected = b"\x01\x04\x01\0\0\0\0\0\x61"
    async with served(access=Access(Logins(), directory)) as here:
        reader, writer = await here.dial()
        writer.write(CHOICE + injected)
        await until_closed(reader)
        writer.close()
        reader, writer = await before_tls(here)
        writer.write(injected)
        await until_closed(reader)
        writer.close()
        await until(lambda: not here.server.viewers)
        assert here.console.keyboard.log == []


async def test_a_certificate_that_is_replaced_counts_from_the_next_client(directory: Path) -> None:
    async with served(access=Access(Logins(), directory)) as here:
        for _ in range(2):
            expected = write_certificate(directory)
            async with await here.connect() as client:
                connection = client.writer.get_extra_info("ssl_object")
                assert connection.getpeercert(binary_form=True) == expected
        (directory / "tls.crt").write_text("no certificate")
        reader, writer = await before_tls(here)
        await until_closed(reader)
        writer.close()
        write_certificate(directory)
        async with await here.connect() as client:
            await client.refresh()


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(tmp_path: Path) -> None:
    write_certificate(tmp_path)
    key = serialization.load_pem_private_key((tmp_path / "tls.key").read_bytes(), None)
    (tmp_path / "tls.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(CertificateUnusable, match=r"tls\.key"):
        server_context(tmp_path)
