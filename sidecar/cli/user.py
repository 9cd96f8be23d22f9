"""`vdi-sidecar user`: what belongs into the file of users."""

import os
import stat
from pathlib import Path
from typing import cast

import click

from sidecar.cli.rights import console_option
from sidecar.cli.secret import asked_secret, given_secret
from sidecar.cli.setting import SettingsCommand, setting
from sidecar.cli.shared import FILE
from sidecar.errors import UsageError

PROTOCOLS = ("vnc", "rdp", "web", "api")
ROLES = ("viewer", "operator", "admin")


@click.group(short_help="Make and check a file of users.")
def user() -> None:
    """Make and check what --users-file names."""


@user.command(
    "hash",
    cls=SettingsCommand,
    short_help="Print a user's section, with the hash of a password.",
    epilog="""\b
Examples:
  vdi-sidecar user hash ann >> users.toml
  vdi-sidecar user hash ann --role operator --password-file ann.password >> users.toml""",
)
@click.argument("name")
@click.option(
    "--nla",
    is_flag=True,
    help="Add the NT hash, without which RDP clients cannot log in by NLA. It is as good as the password to "
    "whoever reads it.",
)
@click.option("--view-only", is_flag=True, help="The user can look and do nothing else.")
@click.option("--protocol", "protocols", type=click.Choice(PROTOCOLS), multiple=True, help="Only by these.")
@console_option
@click.option("--role", type=click.Choice(ROLES), help="What the user may do in the management API.")
@click.option("--password-file", type=FILE, metavar="PATH", help="Take the password from a file.")
@click.option("--password-stdin", is_flag=True, help="Take the password from standard input.")
def hash_password(
    *,
    name: str,
    nla: bool,
    view_only: bool,
    protocols: tuple[str, ...],
    consoles: tuple[str, ...],
    role: str | None,
    password_file: Path | None,
    password_stdin: bool,
) -> None:
    """Print the section of user NAME for the file of users; the password is asked for."""
    from sidecar.access import scrypt
    from sidecar.access.grant import LoginProtocol
    from sidecar.access.users_file import User, UsersFileUnusable, check_name, parse, section

    try:
        check_name(name)
    except UsersFileUnusable as error:
        raise UsageError(str(error)) from None
    password = given_secret(password_file, password_stdin)
    if password is None:
        password = asked_secret(name)
    made = User(
        name,
        scrypt.make(password, os.urandom),
        _nt_hash(password) if nla else None,
        view_only,
        frozenset(consoles) or None,
        cast("frozenset[LoginProtocol]", frozenset(protocols)) or None,
        role or "",
    )
    text = section(made)
    try:
        parse(text.encode("utf-8", "surrogatepass"))
    except UsersFileUnusable as error:
        raise UsageError(str(error)) from None
    click.echo(text)


@user.command(
    "check",
    cls=SettingsCommand,
    short_help="Say whether a file of users can be used.",
    epilog="""\b
Example:
  vdi-sidecar user check --users-file users.toml""",
)
@setting("--users-file", section="Options", type=FILE, metavar="PATH", required=True, help="The file.")
def check(users_file: Path) -> None:
    """List the users in a file and what they may do, or say what is wrong with it."""
    from sidecar.access.users import read_users

    users = read_users(users_file)
    for each in users:
        words = [" ".join(sorted(each.protocols)) if each.protocols is not None else "all protocols"]
        words += ["view-only"] if each.view_only else []
        words += [f"console {' '.join(sorted(each.consoles))}"] if each.consoles is not None else []
        words += [each.role] if each.role else []
        words += ["NLA"] if each.nt_hash is not None else []
        click.echo(f"{each.name}: {', '.join(words)}")
    click.echo(f"{len(users)} user{'' if len(users) == 1 else 's'}")
    if users_file.stat().st_mode & stat.S_IROTH:
        click.echo(f"warning: everybody can read {users_file}: chmod 640", err=True)


def _nt_hash(password: str) -> bytes:
    from sidecar.rdp.ntlm import nt_hash

    try:
        return nt_hash(password)
    except ImportError:
        raise UsageError("--nla needs the library pyspnego: pip install 'vdi-sidecar[nla]'") from None
