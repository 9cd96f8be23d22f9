"""The file that says who has which role."""

import errno
import os
import pwd
from pathlib import Path
from unittest.mock import Mock

import pytest

from sidecar.control import roles as roles_module
from sidecar.control.certificate_names import ClientCertificate, client_certificate
from sidecar.control.role import Role
from sidecar.control.roles import Roles, RolesFile, RolesUnusable, read_roles


def certificate(**names: object) -> ClientCertificate:
    alternatives = tuple(
        (kind, value)
        for kind, key in (("URI", "uri"), ("DNS", "dns"), ("email", "email"))
        if (value := names.get(key)) is not None
    )
    subject = ((("organizationName", "Example"),), (("commonName", str(names.get("cn", "ann"))),))
    return client_certificate({"subject": subject, "subjectAltName": alternatives}, b"der")


def read(path: Path, text: str) -> Roles:
    path.write_text(text)
    return read_roles(path)


def test_a_certificate_has_the_highest_role_of_its_names_compared_exactly(tmp_path: Path) -> None:
    roles = read(
        tmp_path / "roles",
        """
        [[certificate]]
        role = "viewer"
        cn = "ann"
        [[certificate]]
        role = "admin"
        uri = "spiffe://example.org/a"
        [[certificate]]
        role = "operator"
        subject = "CN=bob,O=Example"
        [[certificate]]
        role = "viewer"
        subject = "CN=bob,O=Example"
        [[certificate]]
        role = "operator"
        email = "eve@example.org"
        """,
    )
    assert roles.of_certificate(certificate()) is Role.VIEWER
    assert roles.of_certificate(certificate(uri="spiffe://example.org/a")) is Role.ADMIN
    assert roles.of_certificate(certificate(cn="bob")) is Role.OPERATOR
    assert roles.of_certificate(certificate(cn="x", email="eve@example.org")) is Role.OPERATOR
    for nobody in (
        certificate(cn="Ann"),
        certificate(cn="ann "),
        certificate(cn="x", uri="spiffe://example.org/a/b"),
        # a name of one kind is none of another
        certificate(cn="eve@example.org"),
        certificate(cn="x", dns="ann"),
        certificate(cn="bob,O=Example"),
    ):
        assert roles.of_certificate(nobody) is None, nobody


def test_local_users_are_known_by_name_or_number_and_this_one_and_root_are_admins(tmp_path: Path) -> None:
    name = pwd.getpwuid(65534).pw_name
    roles = read(
        tmp_path / "roles",
        f'[[user]]\nrole = "viewer"\nname = "{name}"\n[[user]]\nrole = "operator"\nuid = 4000000000\n',
    )
    assert roles.of_user(65534) is Role.VIEWER
    assert roles.of_user(4_000_000_000) is Role.OPERATOR
    assert roles.of_user(4_000_000_001) is None
    assert (roles.of_user(0), roles.of_user(os.geteuid())) == (Role.ADMIN, Role.ADMIN)
    assert read(tmp_path / "roles", '[[user]]\nrole = "viewer"\nuid = 0\n').of_user(0) is Role.VIEWER


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[[certificate]]\nrole = "root"\ncn = "x"', "Invalid enum value 'root'"),
        ('[[certificate]]\nrole = "admin"', "needs one of subject"),
        ('[[certificate]]\nrole = "admin"\ncn = "x"\ndns = "y"', "needs one of subject"),
        ('[[certificate]]\nrole = "admin"\ncn = ""', "length >= 1"),
        ('[[certificate]]\nrole = "admin"\nfingerprint = "ab:cd"', "64 hexadecimal digits"),
        ('[[certificate]]\nrole = "admin"\nname = "x"', "unknown field `name`"),
        ('[[user]]\nrole = "admin"', "a name or a uid"),
        ('[[user]]\nrole = "admin"\nname = "nobody-has-this"', "there is no user 'nobody-has-this'"),
        ('[[users]]\nrole = "admin"\nuid = 1', "unknown field `users`"),
        ("[[", "cannot use the roles"),
        ("#" * (roles_module.LONGEST_FILE + 1), "longer than"),
    ],
)
def test_a_file_that_says_what_cannot_be_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(RolesUnusable, match=why):
        read(tmp_path / "roles", text)
    with pytest.raises(RolesUnusable):
        RolesFile(tmp_path / "roles")


def test_a_file_that_goes_takes_its_roles_along(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "roles"
    path.write_text('[[certificate]]\nrole = "admin"\ncn = "ann"\n')
    file = RolesFile(path)
    assert file.now().of_certificate(certificate()) is Role.ADMIN
    path.unlink()
    for _ in range(2):
        assert file.now().of_certificate(certificate()) is None
    assert caplog.text.count("nobody has a role by the roles file") == 1


def test_a_file_that_could_not_be_read_for_a_moment_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "roles"
    path.write_text('[[certificate]]\nrole = "viewer"\ncn = "ann"\n')
    file = RolesFile(path)
    path.write_text('[[certificate]]\nrole = "operator"\ncn = "ann"\n')
    with monkeypatch.context() as patched:
        patched.setattr(
            roles_module, "read_regular", Mock(side_effect=OSError(errno.EMFILE, "Too many open files"))
        )
        assert file.now().of_certificate(certificate()) is None
    assert file.now().of_certificate(certificate()) is Role.OPERATOR


def test_a_pipe_or_a_file_that_everybody_can_write_gives_nobody_a_role(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RolesUnusable, match="not a regular file"):
        RolesFile(tmp_path / "pipe")
    path = tmp_path / "roles"
    path.write_text('[[certificate]]\nrole = "viewer"\ncn = "ann"\n')
    file = RolesFile(path)
    path.chmod(0o666)
    assert file.now().of_certificate(certificate()) is None
    with pytest.raises(RolesUnusable, match="everybody can write it"):
        RolesFile(path)
    path.chmod(0o644)
    assert file.now().of_certificate(certificate()) is Role.VIEWER


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a,O=Example", "CN=a\\,O=Example"),
        ("#x", "CN=\\#x"),
        (" x ", "CN=\\ x\\ "),
        (" ", "CN=\\ "),
        ('"+;<>\\', 'CN=\\"\\+\\;\\<\\>\\\\'),
        ("a\0b", "CN=a\\00b"),
        ("Ünï", "CN=Ünï"),
    ],
)
def test_no_name_can_pass_for_another_subject(value: str, written: str) -> None:
    told = client_certificate({"subject": ((("commonName", value),),)}, b"")
    assert told.subject == written


def test_parts_of_several_names_and_types_that_rfc_4514_does_not_name() -> None:
    subject = (
        (("countryName", "DE"),),
        (("commonName", "a"), ("userId", "b")),
        (("emailAddress", "x@y"),),
    )
    assert client_certificate({"subject": subject}, b"").subject == "emailAddress=x@y,CN=a+UID=b,C=DE"
