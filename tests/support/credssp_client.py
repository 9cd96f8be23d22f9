"""The client's side of CredSSP, step by step, made of pyspnego's messages and NTLM: none of our own code."""

import hashlib
import os

import spnego
from spnego._credssp_structures import NegoData, TSCredentials, TSPasswordCreds, TSRequest
from spnego.channel_bindings import GssChannelBindings

CLIENT_MAGIC = b"CredSSP Client-To-Server Binding Hash\0"
SERVER_MAGIC = b"CredSSP Server-To-Client Binding Hash\0"


class CredSspClient:
    """Every method makes one message of the client; `take` what the server answers in between."""

    def __init__(
        self,
        public_key: bytes,
        user: str = "me",
        password: str = "secret",
        *,
        version: int = 6,
        protocol: str = "ntlm",
        end_point: bytes | None = None,
    ) -> None:
        """`protocol`: `ntlm`, or `negotiate` for SPNEGO around it. `end_point`: the channel to bind to."""
        bindings = end_point and GssChannelBindings(application_data=b"tls-server-end-point:" + end_point)
        self.context = spnego.client(user, password, protocol=protocol, channel_bindings=bindings or None)
        self.public_key = public_key
        self.version = version
        self.nonce = os.urandom(32) if version >= 5 else None
        self.user = user
        self.password = password

    def negotiate(self) -> bytes:
        """The first token."""
        return self.request(nego_tokens=NegoData(self.context.step()))

    def authenticate(self, answer: bytes) -> bytes:
        """The second token, and the binding to the key."""
        return self.request(nego_tokens=NegoData(self.prove(answer)), pub_key_auth=self.seal(self.binding()))

    def prove(self, answer: bytes) -> bytes:
        """The second token alone, in answer to the server's first message."""
        (token,) = TSRequest.unpack(answer).nego_tokens
        proof = self.context.step(token.nego_token)
        assert proof is not None
        return proof

    def binding(self) -> bytes:
        """What the client says of the key."""
        if self.nonce is None:
            return self.public_key
        return hashlib.sha256(CLIENT_MAGIC + self.nonce + self.public_key).digest()

    def check(self, answer: bytes) -> None:
        """Fails unless the server has proven to hold the key."""
        request = TSRequest.unpack(answer)
        if request.nego_tokens:
            self.context.step(request.nego_tokens[0].nego_token)
        answer = self.context.unwrap(request.pub_key_auth).data
        if self.nonce is None:
            assert answer == bytes((self.public_key[0] + 1,)) + self.public_key[1:]
        else:
            assert answer == hashlib.sha256(SERVER_MAGIC + self.nonce + self.public_key).digest()

    def delegate(self) -> bytes:
        """The user's credentials."""
        domain, _, user = self.user.rpartition("\\")
        return self.delegate_sealed(TSCredentials(TSPasswordCreds(domain, user, self.password)).pack())

    def delegate_sealed(self, credentials: bytes) -> bytes:
        """Whatever the client gives as its credentials."""
        return self.request(auth_info=self.seal(credentials))

    def seal(self, data: bytes) -> bytes:
        """Signed and encrypted for the server."""
        return self.context.wrap(data).data

    def request(self, **fields: object) -> bytes:
        """A TSRequest of the client's version."""
        return TSRequest(self.version, client_nonce=self.nonce, **fields).pack()
