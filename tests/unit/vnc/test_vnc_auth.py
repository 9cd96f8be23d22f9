import subprocess
import sys

import pytest

from sidecar.vnc.events import VncAuthResponse
from sidecar.vnc.security.vnc_auth import encrypt_challenge, response_matches

CHALLENGE = bytes(range(16))


def test_the_response_is_that_of_known_clients() -> None:
    assert encrypt_challenge(CHALLENGE, "password").hex() == "b866924125c8eebb9debc1db61c538e2"


def test_only_eight_bytes_of_a_password_count() -> None:
    assert encrypt_challenge(CHALLENGE, "password1") == encrypt_challenge(CHALLENGE, "password2")


@pytest.mark.parametrize("password", ["a", "short", "p\u00e4ss", "\u65e5\u672c\u8a9e"])
def test_short_and_foreign_passwords_match_themselves_alone(password: str) -> None:
    event = VncAuthResponse(CHALLENGE, encrypt_challenge(CHALLENGE, password))
    assert response_matches(event, password)
    assert not response_matches(event, "x" + password)


def test_an_empty_password_lets_nobody_in() -> None:
    event = VncAuthResponse(CHALLENGE, encrypt_challenge(CHALLENGE, "\0"))
    assert not response_matches(event, "")


def test_the_protocol_core_does_not_load_openssl_before_a_password_is_checked() -> None:
    program = "import sys, sidecar.vnc.connection; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
