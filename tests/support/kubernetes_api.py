"""A test double of Kubernetes' API server: one VirtualMachineInstance after another, by HTTPS on loopback.

It stands in because a real one cannot be had from where the tests' parts come from: Debian 12 has kubectl
and etcd but no kube-apiserver, and what was found on PyPI and npm fetches its binaries from elsewhere. It
enforces what the real one does with what we send, as its source says (apiserver's
endpoints/handlers/patch.go, registry/rest/update.go, apimachinery's validation/objectmeta.go, json-patch
v4): bearer tokens, verbs, content types, RFC 7396 and RFC 6902, the immutable uid, the version that must be
the newest, the size of annotations, and the answer in part that an Accept header may ask for.
"""

import asyncio
import base64
import copy
import datetime
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAMESPACE, NAME, UID = "desk", "testvmi", "f4686d2c-6e8d-4335-b8fd-81bee22f4814"
OTHER_UID = "00000000-6e8d-4335-b8fd-81bee22f4814"
POD = "virt-launcher-testvmi-abcde"
VMI_PATH = f"/apis/kubevirt.io/v1/namespaces/{NAMESPACE}/virtualmachineinstances/{NAME}"
ANNOTATION_LIMIT = 256 * 1024

Misdeed = Callable[[web.Request], Awaitable[web.StreamResponse]]


def vmi(uid: str = UID, **status: Any) -> dict[str, Any]:
    """A VMI as KubeVirt has it, as far as anybody looks at it here."""
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "uid": uid,
            "resourceVersion": "100",
            "annotations": {"kubevirt.io/latest-observed-api-version": "v1", "example.org/theirs": "kept"},
        },
        "spec": {"domain": {}},
        "status": {"phase": "Running", **status},
    }


@dataclass(frozen=True)
class Seen:
    """One request."""

    method: str
    target: str
    content_type: str
    accept: str
    token: str
    body: bytes

    @property
    def patch(self) -> Any:
        return json.loads(self.body)


class Refused(Exception):
    def __init__(self, status: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.details = details


class KubernetesApi:
    """`misdeeds`: what it does to the next requests in place of an answer."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {VMI_PATH: vmi()}
        self.tokens = {service_token()}
        self.verbs = {"get", "patch"}
        self.seen: list[Seen] = []
        self.misdeeds: list[Misdeed] = []
        self.conflicts = 0
        """So many writes of others come in between the next reading and writing."""
        self.port = 0
        self.under_way = self.most_under_way = 0

    @property
    def annotations(self) -> dict[str, str]:
        """Those of the VMI."""
        found: dict[str, str] = self.objects[VMI_PATH]["metadata"]["annotations"]
        return found

    def methods(self) -> list[str]:
        """What was asked, in order."""
        return [each.method for each in self.seen]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append(
            Seen(
                request.method,
                request.path_qs,
                request.headers.get("Content-Type", ""),
                request.headers.get("Accept", ""),
                request.headers.get("Authorization", ""),
                body,
            )
        )
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self.misdeeds:
                return await self.misdeeds.pop(0)(request)
            return self._answer(request, body)
        except Refused as refused:
            return web.json_response(
                {
                    "kind": "Status",
                    "apiVersion": "v1",
                    "status": "Failure",
                    "message": str(refused),
                    "reason": refused.reason,
                    "details": refused.details,
                    "code": refused.status,
                },
                status=refused.status,
            )
        finally:
            self.under_way -= 1

    def _answer(self, request: web.Request, body: bytes) -> web.Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self.tokens:
            raise Refused(401, "Unauthorized", "Unauthorized")
        verb = request.method.lower()
        if verb not in self.verbs:
            raise Refused(403, "Forbidden", f'virtualmachineinstances.kubevirt.io "{NAME}" is forbidden')
        found = self.objects.get(request.path)
        if found is None:
            raise Refused(404, "NotFound", f'virtualmachineinstances.kubevirt.io "{NAME}" not found')
        if verb == "patch":
            found = self._patched(found, request.headers.get("Content-Type", ""), body)
            self.objects[request.path] = found
        if "as=PartialObjectMetadata" in request.headers.get("Accept", ""):
            found = {"kind": "PartialObjectMetadata", "metadata": found["metadata"]}
        return web.json_response(found)

    def _patched(self, old: dict[str, Any], content_type: str, body: bytes) -> dict[str, Any]:
        if self.conflicts:
            self.conflicts -= 1
            _touch(old)
        patches = {
            "application/merge-patch+json": merge_patch,
            "application/json-patch+json": json_patch,
        }
        if content_type not in patches:
            raise Refused(415, "UnsupportedMediaType", "the body of the request was in an unknown format")
        try:
            patch = json.loads(body)
        except ValueError as error:
            raise Refused(400, "BadRequest", str(error)) from None
        new = patches[content_type](copy.deepcopy(old), patch)
        before, after = old["metadata"], new["metadata"]
        if after["uid"] != before["uid"]:
            raise Refused(422, "Invalid", "metadata.uid: Invalid value: field is immutable")
        if after["resourceVersion"] != before["resourceVersion"]:
            raise Refused(409, "Conflict", "the object has been modified; please apply your changes")
        if (after["namespace"], after["name"]) != (before["namespace"], before["name"]):
            raise Refused(400, "BadRequest", "the name of the object does not match the name on the URL")
        if new["spec"] != old["spec"] or new["status"] != old["status"]:
            raise Refused(422, "Invalid", "update of VMI object is restricted")
        annotations = after.get("annotations", {})
        if not all(isinstance(value, str) for value in annotations.values()):
            raise Refused(400, "BadRequest", "json: cannot unmarshal into Go struct field of type string")
        if sum(len(name) + len(value) for name, value in annotations.items()) > ANNOTATION_LIMIT:
            raise Refused(422, "Invalid", "metadata.annotations: Too long")
        if new != old:
            _touch(new)
        return new


def _touch(document: dict[str, Any]) -> None:
    version = int(document["metadata"]["resourceVersion"])
    document["metadata"]["resourceVersion"] = str(version + 1)


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396 section 2."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def json_patch(target: Any, patch: Any) -> Any:
    """RFC 6902, of its operations test, add, replace and remove on objects; all of them or none."""
    if not isinstance(patch, list):
        raise Refused(400, "BadRequest", "cannot unmarshal into jsonpatch.Patch")
    for operation in patch:
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        place = target
        for part in way:
            if part not in place:
                raise Refused(422, "Invalid", f"{operation['op']} operation does not apply: missing path")
            place = place[part]
        if operation["op"] != "add" and last not in place:
            raise Refused(422, "Invalid", f"{operation['op']} operation does not apply: missing path")
        if operation["op"] == "test":
            if place[last] != operation["value"]:
                raise Refused(422, "Invalid", f"testing value {operation['path']} failed: test failed")
        elif operation["op"] == "remove":
            del place[last]
        elif operation["op"] in ("add", "replace"):
            place[last] = operation["value"]
        else:
            raise Refused(422, "Invalid", "Unexpected kind")
    return target


def service_token(pod: str = POD, serial: int = 1) -> str:
    """A token such as Kubernetes binds to a pod; the double knows it by heart and checks no signature."""
    claims = {
        "sub": "system:serviceaccount:desk:vdi",
        "jti": str(serial),
        "kubernetes.io": {
            "namespace": NAMESPACE,
            "pod": {"name": pod, "uid": "p"},
            "serviceaccount": {"name": "vdi", "uid": "s"},
        },
    }
    parts = [json.dumps({"alg": "RS256"}).encode(), json.dumps(claims).encode(), b"signature"]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


class Authority:
    """A CA as a cluster has one: its certificate lacks what `VERIFY_X509_STRICT` wants of it."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
        self.certificate = self._sign(self._name, self._key, x509.BasicConstraints(ca=True, path_length=None))

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def server_context(self, directory: Path, *addresses: str) -> ssl.SSLContext:
        """A server's context with a certificate for these IP addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName(
            [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        )
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
        certificate = self._sign(subject, key, names)
        path = directory / "server.pem"
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(path)
        return context

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(extension, critical=False)
            .sign(self._key, hashes.SHA256())
        )


class Mounted:
    """The service account's directory in a container, and the environment of it."""

    def __init__(self, directory: Path, api: KubernetesApi, authority: Authority, host: str) -> None:
        self.directory = directory
        self.environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(api.port)}
        (directory / "ca.crt").write_bytes(authority.pem)
        (directory / "namespace").write_text(NAMESPACE)
        self.rotate(service_token())

    def rotate(self, token: str) -> None:
        """Puts another token there, as the kubelet does."""
        new = self.directory / ".token"
        new.write_text(token)
        new.rename(self.directory / "token")


@asynccontextmanager
async def kubernetes_api(
    directory: Path, *, host: str = "127.0.0.1", named: str | None = None
) -> AsyncIterator[tuple[KubernetesApi, Mounted]]:
    """An API server and what a pod has of it. `named`: the address in its certificate, if another."""
    api = KubernetesApi()
    authority = Authority()
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", api.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        context = authority.server_context(directory, named or host)
        site = web.TCPSite(runner, host, 0, ssl_context=context)
        await site.start()
        api.port = runner.addresses[0][1]
        yield api, Mounted(directory, api, authority, host)
    finally:
        await runner.cleanup()


def answering(status: int, body: bytes = b"{}", **headers: str) -> Misdeed:
    """Answers so, whatever was asked."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}

    async def misdeed(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=sent)

    return misdeed


async def hanging(_request: web.Request) -> web.StreamResponse:
    """Never answers."""
    await asyncio.Event().wait()
    raise AssertionError


async def dripping(request: web.Request) -> web.StreamResponse:
    """Sends a head, and then a byte now and then."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.02)


async def endless(request: web.Request) -> web.StreamResponse:
    """Sends more than anybody can want."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"[" * 65536)
        await asyncio.sleep(0)


async def babbling(request: web.Request) -> web.StreamResponse:
    """Does not speak HTTP."""
    assert request.transport is not None
    request.transport.write(b"\x00\xff SSH-2.0 hello\r\n\r\n")
    request.transport.close()
    return web.Response()


async def hanging_up(request: web.Request) -> web.StreamResponse:
    """Closes without a word."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()
