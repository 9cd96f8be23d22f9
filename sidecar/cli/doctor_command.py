"""What `vdi-sidecar doctor -- COMMAND OPTIONS` finds: whether that command would get what it names."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from sidecar.access.certificate import CERTIFICATE, CertificateUnusable, load
from sidecar.access.users import read_users
from sidecar.cli.daemon import demo, demo_options, hook, hook_options, serve, serve_options
from sidecar.cli.finding import Finding, Verdict
from sidecar.config.address import ListenAddress
from sidecar.config.credentials import found_secrets
from sidecar.config.options import DaemonOptions, ServeOptions
from sidecar.config.password import read_password
from sidecar.entrance import closed_to_users
from sidecar.errors import SidecarError, UsageError

SOON: Final = timedelta(days=14)
"""A certificate that ends within this time is worth a word."""

_OPTIONS: Final[dict[str, Callable[[click.Context, dict[str, Any]], DaemonOptions]]] = {
    "serve": serve_options,
    "hook": hook_options,
    "demo": demo_options,
}


def examine_command(words: Sequence[str]) -> list[Finding]:
    """Every check of a command that serves, with its file of settings, this environment and found secrets.

    Raises UsageError where the first word is no such command.
    """
    command = next((each for each in (serve, hook, demo) if each.name == words[0]), None)
    if command is None:
        raise UsageError(f"{words[0]!a} serves nothing: write `doctor -- serve OPTIONS`, hook or demo")
    name = f"options of {command.name}"
    try:
        # a parent, so that a file of settings may have other commands' too
        with click.Context(_whole_program(), info_name="vdi-sidecar") as parent:
            ctx = command.make_context(command.name, list(words[1:]), parent=parent)
            options = _OPTIONS[words[0]](ctx, ctx.params)
    except click.ClickException as error:
        return [Finding(name, Verdict.DEGRADED, "it would end at once", _one_line(error.format_message()))]
    except SidecarError as error:
        return [Finding(name, Verdict.DEGRADED, "it would end at once", _one_line(str(error)))]
    return [Finding(name, Verdict.OK, "understood"), *examine_options(options)]


def examine_options(options: DaemonOptions, now: datetime | None = None) -> list[Finding]:
    """What stands in the way of a daemon with these options. `now`: by default this moment."""
    now = now or datetime.now(UTC)
    return [
        *_passwords(options),
        *_users(options),
        *_certificate(options, now),
        *_client_authorities(options, now),
        *_roles(options),
        *_api(options),
        *_libvirt(options),
    ]


def check_found_secrets(environment: Mapping[str, str]) -> list[Finding]:
    """Secrets that a daemon with this environment would take by itself; nothing where there are none."""
    found = found_secrets(environment)
    named = [("password", found.password_file), ("users", found.users_file), ("TLS", found.tls_dir)]
    places = [f"{what} in {path}" for what, path in named if path is not None]
    return [Finding("found secrets", Verdict.OK, ", ".join(places))] if places else []


def _passwords(options: DaemonOptions) -> list[Finding]:
    path = options.password_file
    if path is None:
        return []
    return [_checked("password file", lambda: read_password(path) and str(path))]


def _users(options: DaemonOptions) -> list[Finding]:
    path = options.users_file
    if path is None:
        return []
    try:
        users = read_users(path)
    except SidecarError as error:
        return [Finding("users file", Verdict.DEGRADED, "nobody of it gets in", str(error))]
    findings = [Finding("users file", Verdict.OK, f"{len(users)} {'user' if len(users) == 1 else 'users'}")]
    address = closed_to_users(options)
    if address is not None:
        advice = "VNC's own authentication cannot look at hashed passwords: add --tls-dir; tickets get in"
        findings.append(Finding("users over VNC", Verdict.WARNING, f"none can log in at {address}", advice))
    without = [user.name for user in users if user.nt_hash is None and user.may_use("rdp")]
    if options.rdp and options.rdp_security == "nla" and without:
        found = f"{len(without)} without nt-hash, such as {without[0]!a}"
        advice = "--rdp-security nla keeps them out: `vdi-sidecar user hash --nla`, or leave the option out"
        findings.append(Finding("users over RDP", Verdict.WARNING, found, advice))
    return findings


def _certificate(options: DaemonOptions, now: datetime) -> list[Finding]:
    directory = options.tls_dir
    if directory is None:
        return []
    try:
        load(directory)
        content = (directory / CERTIFICATE).read_bytes()
    except (OSError, CertificateUnusable) as error:
        return [Finding("TLS certificate", Verdict.DEGRADED, "it would end at once", str(error))]
    return [_validity("TLS certificate", content, now, leaf=True)]


def _client_authorities(options: DaemonOptions, now: datetime) -> list[Finding]:
    path = options.api_client_ca
    if path is None or options.tls_dir is None:
        return []
    # loaded here: aiohttp's room is of no use to other checks
    from sidecar.web.tls import TlsFiles

    try:
        TlsFiles(options.tls_dir, path)
        content = path.read_bytes()
    except (OSError, CertificateUnusable) as error:
        return [
            Finding("client authorities", Verdict.DEGRADED, "no client's certificate is good", str(error))
        ]
    return [_validity("client authorities", content, now, leaf=False)]


def _roles(options: DaemonOptions) -> list[Finding]:
    path = options.api_roles
    if path is None:
        if options.api_client_ca is None:
            return []
        advice = "without --api-roles FILE every client with a certificate gets 403"
        return [Finding("roles file", Verdict.WARNING, "none, and clients show certificates", advice)]
    # loaded here: msgspec
    from sidecar.control.roles import read_roles

    try:
        roles = read_roles(path)
    except SidecarError as error:
        return [Finding("roles file", Verdict.DEGRADED, "nobody has a role by it", str(error))]
    found = f"{len(roles.certificates)} by certificate, {len(roles.users)} local"
    if not options.api:
        return [Finding("roles file", Verdict.WARNING, found, "--api says where the API is: it is off")]
    if roles.certificates and options.api_client_ca is None:
        advice = "no client is asked for a certificate: add --api-client-ca FILE"
        return [Finding("roles file", Verdict.WARNING, found, advice)]
    return [Finding("roles file", Verdict.OK, found)]


def _api(options: DaemonOptions) -> list[Finding]:
    if not options.api:
        return []
    found = ", ".join(map(str, options.api))
    outside = _reachable(options.api)
    if outside is None:
        return [Finding("management API", Verdict.OK, found)]
    if options.auth == "none" and options.api_client_ca is None:
        advice = "it shows sessions and the screen to everybody: add --api-client-ca FILE or --password-file"
        return [Finding("management API", Verdict.WARNING, f"nobody need log in at {outside}", advice)]
    if options.tls_dir is None:
        advice = "passwords and tickets are sent in the clear: add --tls-dir DIR"
        return [Finding("management API", Verdict.WARNING, f"no TLS at {outside}", advice)]
    return [Finding("management API", Verdict.OK, found)]


def _libvirt(options: DaemonOptions) -> list[Finding]:
    if not isinstance(options, ServeOptions) or options.libvirt is None:
        return []
    if importlib.util.find_spec("libvirt") is not None:
        return []
    from sidecar.libvirt_domain.library import NOT_INSTALLED

    return [Finding("libvirt-python", Verdict.MISSING, "not installed", NOT_INSTALLED)]


def _reachable(addresses: Sequence[ListenAddress]) -> ListenAddress | None:
    return next((each for each in addresses if not each.is_local), None)


def _checked(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, Verdict.OK, check())
    except SidecarError as error:
        return Finding(name, Verdict.DEGRADED, "it would end at once", str(error))


def _validity(name: str, content: bytes, now: datetime, *, leaf: bool) -> Finding:
    """How long certificates in PEM hold: the first (`leaf`), or the one that ends first."""
    from cryptography import x509

    try:
        certificates = x509.load_pem_x509_certificates(content)
    except ValueError as error:
        # OpenSSL takes what this parser does not
        return Finding(name, Verdict.WARNING, "in use, and not to be read here", str(error))
    certificate = certificates[0] if leaf else min(certificates, key=lambda each: each.not_valid_after_utc)
    until = certificate.not_valid_after_utc
    found = f"valid until {until:%Y-%m-%d}"
    if now < certificate.not_valid_before_utc:
        found = f"not valid before {certificate.not_valid_before_utc:%Y-%m-%d}"
        return Finding(name, Verdict.DEGRADED, found, "look at this machine's clock, or make another one")
    if now > until:
        return Finding(name, Verdict.DEGRADED, f"expired on {until:%Y-%m-%d}", "put a new one in its place")
    if now > until - SOON:
        return Finding(name, Verdict.WARNING, found, "put a new one in its place; nothing need be restarted")
    return Finding(name, Verdict.OK, found)


def _whole_program() -> click.Command:
    # it is what loads this module
    from sidecar.cli.program import program

    return program


def _one_line(text: str) -> str:
    return " ".join(text.split())
