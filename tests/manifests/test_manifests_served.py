"""The command lines of `manifests/examples/api` and `tickets`: who gets in at the sidecar that they start."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from manifest_machines import Machine, copy, machines
from support.authority import Authority
from support.daemon import COMMAND
from support.hook_sidecar import HookSidecar
from support.ports import free_port, is_listening
from support.rfb_client import RfbClient
from support.waiting import wait_until

from sidecar.access import scrypt
from sidecar.access.users_file import User, section

VOLUME = "/var/vdi"


def machine_of(example: str) -> Machine:
    (machine,) = [each for each in machines() if each.directory == f"manifests/examples/{example}"]
    return machine


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("signs") / "authority")


@pytest.fixture
def volume(short_dir: Path, authority: Authority) -> Path:
    """What the Job makes of the Secret and of the ConfigMap with the roles."""
    secret = authority.server(short_dir / "secret")
    (secret / "password").write_text("opensesame\n")
    (secret / "users").write_text(section(User("bob", scrypt.make("letmein", os.urandom), role="operator")))
    (secret / "client-ca.crt").write_bytes(authority.path.read_bytes())
    (secret / "roles.toml").write_text('[[certificate]]\nrole = "viewer"\nsubject = "CN=ann,O=Example"\n')
    volume = short_dir / "volume"
    volume.mkdir()
    done = copy(secret, volume)
    assert done.returncode == 0, done.stderr
    return volume


@contextmanager
def started(machine: Machine, directory: Path, volume: Path, ports: dict[str, int]) -> Iterator[HookSidecar]:
    """Its sidecar, on loopback and on other ports, with `volume` where its volume is."""
    (sidecar,) = machine.sidecars
    arguments = list(sidecar["args"])
    at = arguments.index("--vnc")
    # the sidecar of tests has a VNC port of its own
    del arguments[at : at + 2]
    here = {
        f":{number}": f"127.0.0.1:{ports.setdefault(f':{number}', free_port())}" for number in (3389, 8697)
    }
    arguments = [here.get(each, each).replace(VOLUME, str(volume)) for each in arguments]
    hook = HookSidecar(directory, *arguments, auth=())
    try:
        yield hook
    finally:
        hook.process.kill()


def asked(port: int, path: str, *options: str | Path) -> int:
    """The status that curl gets."""
    url = f"https://127.0.0.1:{port}{path}"
    done = subprocess.run(
        ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *map(str, options), url],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return int(done.stdout)


def test_the_api_is_for_certificates_with_a_role_and_for_users_with_one(
    short_dir: Path, volume: Path, authority: Authority
) -> None:
    ports: dict[str, int] = {}
    with started(machine_of("api"), short_dir, volume, ports):
        port = ports[":8697"]
        wait_until(lambda: is_listening(port), "the API listens")
        server, settings = ("--cacert", authority.path), "/api/v1/settings"
        ann, eve = ("--cert", authority.sign("ann")), ("--cert", authority.sign("eve"))
        change = ("-X", "PATCH", "-H", "Content-Type: application/json", "-d", '{"view_only": true}')
        assert asked(port, "/api/v1/sessions", *server, *ann) == 200
        assert asked(port, settings, *server, *ann, *change) == 403
        assert asked(port, "/api/v1/sessions", *server, *eve) == 403
        assert asked(port, "/api/v1/sessions", *server) == 401
        assert asked(port, "/api/v1/tickets", *server, "-u", "bob:letmein") == 200
        # a pod has no monitor to ask the machine by
        assert asked(port, "/api/v1/machine", *server, *ann) == 501


def test_with_tickets_alone_who_may_exec_lets_people_in(short_dir: Path, volume: Path) -> None:
    with started(machine_of("tickets"), short_dir, volume, {}) as sidecar:
        wait_until(lambda: is_listening(sidecar.port), "it listens")
        command = [*COMMAND, "ticket", "create", "--json", "--valid", "10m", "--view-only"]
        # as it is set in the image
        environment = {**os.environ, "VDI_SIDECAR_RUN_DIR": str(sidecar.run_directory)}
        made = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True)
        with RfbClient(sidecar.address, password=json.loads(made.stdout)["secret"]):
            listed = subprocess.run(
                [*COMMAND, "sessions", "--json"], env=environment, capture_output=True, timeout=60, check=True
            )
            (session,) = json.loads(listed.stdout)
            assert (session["ticket"], session["view_only"]) == ("t1", True)
