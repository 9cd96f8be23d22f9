"""Network level authentication of the scripted RDP client, over its TLS connection."""

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from spnego._credssp_structures import TSRequest
from support import rdp_client_pdus as client
from support.credssp_client import CredSspClient
from support.rdp_peer import RdpPeer

PROTOCOLS = client.SSL | client.HYBRID
"""What such a client asks for: `Profile.protocols`."""


class NlaRefused(Exception):
    """The server does not take the proof; the argument is the NTSTATUS that it tells."""


async def prove(peer: RdpPeer, user: str, password: str) -> None:
    """Through CredSSP, after `negotiate`. Raises NlaRefused."""
    certificate = peer._writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    key = x509.load_der_x509_certificate(certificate).public_key()
    if isinstance(key, rsa.RSAPublicKey):
        bound = key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    else:
        bound = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    credentials = CredSspClient(bound, user, password)
    peer.send(credentials.negotiate())
    peer.send(credentials.authenticate(await _request(peer)))
    answer = await _request(peer)
    error = TSRequest.unpack(answer).error_code
    if error is not None:
        raise NlaRefused(error & 0xFFFFFFFF)
    credentials.check(answer)
    peer.send(credentials.delegate())


async def _request(peer: RdpPeer) -> bytes:
    """The server's next TSRequest."""
    reader = peer._reader
    head = await reader.readexactly(2)
    octets = head[1] & 0x7F if head[1] & 0x80 else 0
    more = await reader.readexactly(octets)
    length = int.from_bytes(more, "big") if octets else head[1]
    return head + more + await reader.readexactly(length)
