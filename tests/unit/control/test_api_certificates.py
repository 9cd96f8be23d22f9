"""Who may do what by a client certificate: real ones by openssl, asked with curl and by every operation."""

import asyncio
import contextlib
import os
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from api_house import ApiHouse
from support.authority import Authority, openssl
from support.waiting import eventually

from sidecar.control.api_access import ApiAccess
from sidecar.control.role import Role
from sidecar.control.roles import RolesFile
from sidecar.web.tls import TlsFiles

STATUS, SESSIONS = "/api/v1/status", "/api/v1/sessions"

ROLES = """
[[certificate]]
role = "viewer"
subject = "CN=viewer,O=Example"

[[certificate]]
role = "operator"
uri = "spiffe://example.org/operator"

[[certificate]]
role = "admin"
fingerprint = "{fingerprint}"
"""


class Certificates:
    """Those of this file, and the files that the server reads."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory / "ca")
        foreign = Authority(directory / "foreign", "foreign authority")
        self.server = self.authority.server(directory / "tls")
        sign = self.authority.sign
        self.pairs = {
            "viewer": sign("viewer"),
            "operator": sign("op", alternatives="URI:spiffe://example.org/operator,email:op@example.org"),
            "admin": sign("boss", subject="/CN=boss"),
            "unknown": sign("unknown", subject="/O=Example\\, Inc/CN=unknown"),
            "expired": sign("viewer-of-old", subject="/O=Example/CN=viewer", until="20200102000000Z"),
            "foreign": foreign.sign("viewer"),
            "self-signed": self.authority.self_signed_client("viewer-alone"),
            "server's": self.authority.sign("other", kind="server"),
        }
        told = openssl("x509", "-noout", "-fingerprint", "-sha256", "-in", self.pairs["admin"])
        self.roles = directory / "roles.toml"
        self.roles.write_text(ROLES.format(fingerprint=told.strip().partition("=")[2]))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


class Place:
    """A server that takes certificates, and what it is about."""

    def __init__(self, house: ApiHouse, port: int, certificates: Certificates) -> None:
        self.house = house
        self.port = port
        self.certificates = certificates

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def client(self, who: str | None) -> AsyncIterator[aiohttp.ClientSession]:
        context = ssl.create_default_context(cafile=str(self.certificates.authority.path))
        if who is not None:
            context.load_cert_chain(self.certificates.pairs[who])
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(self.url, connector=connector) as session:
            yield session

    async def curl(self, path: str, who: str | None, *arguments: str) -> tuple[int, str, str]:
        """curl's exit code, what it was answered, and what it says."""
        command = ["curl", "--silent", "--show-error", "--max-time", "60"]
        command += ["--cacert", str(self.certificates.authority.path), "--write-out", " %{http_code}"]
        if who is not None:
            command += ["--cert", str(self.certificates.pairs[who])]

        def run() -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                [*command, *arguments, self.url + path],
                check=False,
                capture_output=True,
                text=True,
                timeout=90,
            )

        done = await asyncio.to_thread(run)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def house() -> Iterator[ApiHouse]:
    with contextlib.closing(ApiHouse()) as house:
        yield house


@pytest.fixture
async def place(house: ApiHouse, certificates: Certificates) -> AsyncIterator[Place]:
    access = ApiAccess(roles=RolesFile(certificates.roles), takes_certificates=True)
    tls = TlsFiles(certificates.server, certificates.authority.path)
    async with house.serving(access, ssl=tls.context) as server:
        yield Place(house, await server.listen_tcp("127.0.0.1", 0), certificates)


def audit_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(record)["sidecar_context"] for record in caplog.records if record.message == "audit"]


async def operations(session: aiohttp.ClientSession) -> list[tuple[str, str, str, Any]]:
    """Method, path, role and an example of a body, of everything that the document served has."""
    async with session.get("/openapi.json") as answer:
        document = await answer.json()
    bodies = {"changeSession": {"view_only": True}, "changeSettings": {"max_sessions": 1}}
    return [
        (
            method.upper(),
            path,
            told["x-role"],
            bodies.get(told["operationId"], {}) if "requestBody" in told else None,
        )
        for path, methods in document["paths"].items()
        for method, told in methods.items()
    ]


async def test_every_role_may_what_it_may_and_no_more_by_every_operation_served(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    house = place.house
    async with place.client("viewer") as viewer:
        table = await operations(viewer)
    changing = [each for each in table if each[0] != "GET"]
    assert len(table) > 10
    assert len(changing) >= 4
    assert all(role != "viewer" for _, _, role, _ in changing)
    session = house.log_in()

    def state() -> object:
        return house.feed.status(), house.registry.policy, house.settings.screenshots

    before = state()
    for who in ("viewer", "unknown", None):
        async with place.client(who) as client:
            for method, path, role, body in table:
                target = path.replace("{id}", session.id).replace("{", "").replace("}", "")
                if who == "viewer" and role == "viewer":
                    continue
                caplog.clear()
                async with client.request(method, target, json=body) as answer:
                    assert answer.status == (401 if who is None else 403), (who, method, path)
                (line,) = audit_lines(caplog)
                assert (line["outcome"], line["status"], line["path"]) == ("refused", answer.status, target)
            assert state() == before
    async with place.client("operator") as operator:
        for method, path, role, body in table:
            if role == "admin":
                async with operator.request(method, path, json=body) as answer:
                    assert answer.status == 403, (method, path)
    assert state() == before


async def test_those_with_a_role_do_what_it_is_for(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    session = place.house.log_in()
    async with place.client("operator") as operator:
        async with operator.delete(f"{SESSIONS}/{session.id}?reason=done") as answer:
            assert answer.status == 204
    async with place.client("admin") as admin:
        async with admin.patch("/api/v1/settings", json={"max_sessions": 5}) as answer:
            assert answer.status == 200
    ended, changed = audit_lines(caplog)
    assert (ended["caller"], ended["how"], ended["role"]) == ("CN=op,O=Example", "certificate", "operator")
    assert (ended["operation"], ended["given"]) == ("endSession", {"reason": "done"})
    assert (changed["caller"], changed["given"]) == ("CN=boss", {"max_sessions": 5})


async def test_who_has_no_role_learns_nothing_not_even_what_is_there(place: Place) -> None:
    async with place.client("unknown") as unknown:
        for path in (STATUS, "/api/v1/nothing", "/"):
            async with unknown.get(path) as answer:
                assert (answer.status, await answer.json()) == (
                    403,
                    {"error": "CN=unknown,O=Example\\, Inc has no role in this API"},
                )


async def test_curl_is_told_what_is_wrong(place: Place) -> None:
    assert (await place.curl("/api/v1/sessions", "viewer"))[:2] == (0, '{"sessions":[]} 200')
    code, told, _ = await place.curl("/api/v1/sessions", None)
    assert (code, told[-4:], "client certificate" in told) == (0, " 401", True)
    code, told, _ = await place.curl("/api/v1/sessions", "viewer", "--request", "DELETE")
    assert (code, told) == (0, '{"error":"this needs the role operator"} 403')


@pytest.mark.parametrize(
    ("who", "alert", "cause"),
    [
        ("expired", "certificate expired", "certificate has expired"),
        ("foreign", "unknown ca", "unable to get local issuer certificate"),
        ("self-signed", "unknown ca", "self-signed certificate"),
        ("server's", "certificate", "purpose"),
    ],
)
async def test_a_bad_certificate_fails_the_handshake_with_its_alert_and_one_line_in_the_log(
    place: Place, caplog: pytest.LogCaptureFixture, who: str, alert: str, cause: str
) -> None:
    code, told, error = await place.curl(STATUS, who)
    assert (code != 0, told) == (True, " 000")
    assert f"alert {alert}" in error or f"alert unsupported {alert}" in error

    def lines() -> list[dict[str, Any]]:
        failed = [record for record in caplog.records if record.message == "TLS handshake failed"]
        return [vars(record)["sidecar_context"] for record in failed]

    # curl leaves with the alert, and the server hears of that a little later
    await eventually(lambda: bool(lines()), "the log says so")
    (context,) = lines()
    assert cause in context["cause"].replace("self signed", "self-signed")
    assert context["address"].startswith("127.0.0.1:")
    assert "Traceback" not in caplog.text
    # and nobody else notices
    assert (await place.curl(STATUS, "viewer"))[0] == 0


async def test_roles_and_authorities_are_read_again_when_they_change(
    house: ApiHouse, certificates: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    roles, authorities = tmp_path / "roles.toml", tmp_path / "ca.crt"
    roles.write_text('[[certificate]]\nrole = "viewer"\ncn = "viewer"\n')
    authorities.write_bytes(certificates.authority.path.read_bytes())
    access = ApiAccess(roles=RolesFile(roles), takes_certificates=True)
    tls = TlsFiles(certificates.server, authorities)
    async with house.serving(access, ssl=tls.context) as server:
        place = Place(house, await server.listen_tcp("127.0.0.1", 0), certificates)

        async def status() -> tuple[int, str]:
            code, told, _ = await place.curl(STATUS, "viewer")
            return code, told[-3:]

        assert await status() == (0, "200")
        roles.write_text('[[certificate]]\nrole = "viewer"\ncn = "somebody else"\n')
        assert await status() == (0, "403")
        roles.write_text("[[certificate]\n")
        assert await status() == (0, "403")
        assert "nobody has a role by the roles file" in caplog.text
        roles.write_text('[[certificate]]\nrole = "admin"\ncn = "viewer"\n')
        assert await status() == (0, "200")
        authorities.write_text("nonsense")
        assert (await status())[1] == "000"
        assert "no client's certificate is good" in caplog.text
        authorities.write_bytes(certificates.authority.path.read_bytes())
        assert await status() == (0, "200")


def test_the_subject_is_written_as_openssl_writes_it(certificates: Certificates) -> None:
    roles = RolesFile(certificates.roles).now()
    told = openssl("x509", "-noout", "-subject", "-nameopt", "RFC2253", "-in", certificates.pairs["viewer"])
    assert roles.certificates["subject", told.strip().partition("=")[2].strip()] is Role.VIEWER
    assert roles.of_user(os.geteuid()) is Role.ADMIN
