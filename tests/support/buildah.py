"""Images made by `images/build`, and containers of them. Needs buildah and root."""

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from support.processes import Process
from support.waiting import wait_until

PROJECT = Path(__file__).parents[2]
BUILD = PROJECT / "images" / "build"
MOUNTED_ROOT = str(PROJECT / "images" / "with-mounted-root")

QEMU_USER = 107
"""KubeVirt's, for QEMU and the sidecar alike."""
HOOKS = "/var/run/kubevirt-hooks"

KUBEVIRT_ENVIRONMENT = {
    "CONTAINER_NAME": "hook-sidecar-0",
    "XDG_CACHE_HOME": "/var/run/kubevirt-private",
    "XDG_CONFIG_HOME": "/var/run/kubevirt-private",
    "XDG_RUNTIME_DIR": "/var/run",
}
"""What virt-controller gives to a hook sidecar that is not root (pkg/virt-controller/services)."""

ENTER_READ_ONLY = """
root=$1 hooks=$2 pid_file=$3
shift 3
echo $$ >"$pid_file"
mount --bind "$root" "$root"
mount --bind "$hooks" "$root/run/kubevirt-hooks"
mount --rbind /proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mount -o remount,ro,bind "$root/dev"
mount -o remount,ro,bind "$root"
exec "$@"
"""
"""The mounts of a container with a read-only root, in a mount namespace of its own.

buildah 1.28 cannot make one: `run` has no such option, and panics at its end where the root was made
read-only under it. It also ends with SIGKILL what it runs when it gets SIGTERM itself. Only util-linux is
needed here, which works in a chroot and without cgroups, too.
"""


RUN_HERE = ("images/build", "export ", "container=", "buildah ")
"""How lines of docs/images.md begin that need no engine and no cluster."""


def documented_commands() -> list[str]:
    """What docs/images.md tells to type, as far as it can be run here."""
    lines = (PROJECT / "docs" / "images.md").read_text().splitlines()
    return [line.strip() for line in lines if line.startswith("    ") and line.strip().startswith(RUN_HERE)]


@dataclass(frozen=True, slots=True)
class Documented:
    """What the commands of docs/images.md did: what they printed, and where they put their files."""

    printed: str
    directory: Path


class Storage:
    """Where images and containers are kept, in a directory that the caller removes."""

    def __init__(self, directory: Path) -> None:
        configuration = directory / "storage.conf"
        configuration.write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{directory}/graph"\nrunroot = "{directory}/run"\n'
        )
        self.environment = {
            **os.environ,
            "CONTAINERS_STORAGE_CONF": str(configuration),
            "STORAGE_DRIVER": "vfs",
            "BUILDAH_ISOLATION": "chroot",
        }

    def build(self, *arguments: str) -> str:
        """Runs `images/build ARGUMENTS`; what it prints. AssertionError with all it says when it fails."""
        done = subprocess.run([BUILD, *arguments], env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, f"images/build {' '.join(arguments)} failed:\n{done.stderr}"
        return done.stdout

    def shell(self, commands: Sequence[str], directory: Path) -> str:
        """Runs shell commands in a directory until one fails (AssertionError); what they print."""
        script = "\n".join(("set -e", *commands))
        done = subprocess.run(
            [MOUNTED_ROOT, "sh", "-c", script],
            cwd=directory,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{script}\n{done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def buildah(self, *arguments: str) -> str:
        """Runs buildah; its output. AssertionError with its messages when it fails."""
        command = [MOUNTED_ROOT, "buildah", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def configuration(self, image: str) -> dict[str, Any]:
        """The `config` of an image, as the OCI image specification has it."""
        inspected = json.loads(self.buildah("inspect", "--type", "image", image))
        config: dict[str, Any] = inspected["OCIv1"]["config"]
        return config


class Container:
    """A container of an image, for as many processes as are wanted."""

    def __init__(self, storage: Storage, image: str) -> None:
        self._storage = storage
        self._image = image
        self._name = storage.buildah("from", "--pull-never", image).strip()

    @cached_property
    def root(self) -> Path:
        """Its root directory."""
        return Path(self._storage.buildah("mount", self._name).strip())

    def run(self, *command: str, hooks: Path | None = None) -> str:
        """`buildah run`, as the image's own user with no capability; its output."""
        volume = ["--volume", f"{hooks}:{HOOKS}"] if hooks else []
        options = ["--cap-drop", "all", "--network", "host", *volume]
        return self._storage.buildah("run", *options, self._name, "--", *command)

    def start_read_only(self, command: Sequence[str], hooks: Path, directory: Path) -> "ContainedProcess":
        """Runs it as 107 with no capability, a read-only root and `hooks` as its one volume.

        `directory`: where its output is kept.
        """
        environment = [*self._storage.configuration(self._image)["Env"]]
        environment += [f"{name}={value}" for name, value in KUBEVIRT_ENVIRONMENT.items()]
        # what is left in the bounding set is what chroot itself needs; without new privileges it is of no use
        bounds = "-all,+sys_chroot,+setuid,+setgid"
        pid_file = directory / "container.pid"
        return ContainedProcess(
            [
                *(
                    MOUNTED_ROOT,
                    "unshare",
                    "--mount",
                    "--propagation",
                    "private",
                    "sh",
                    "-euc",
                    ENTER_READ_ONLY,
                    "enter",
                ),
                *(str(self.root), str(hooks), str(pid_file), "env", "-i", *environment),
                *("/usr/bin/setpriv", f"--bounding-set={bounds}", "--inh-caps=-all", "--no-new-privs"),
                *("/usr/sbin/chroot", f"--userspec={QEMU_USER}:{QEMU_USER}", f"--groups={QEMU_USER}"),
                *(str(self.root), *command),
            ],
            directory / "container.log",
            pid_file,
        )


class ContainedProcess(Process):
    """A process in a container; `contained_pid` is its own number, seen from outside."""

    def __init__(self, command: Sequence[str], log: Path, pid_file: Path) -> None:
        super().__init__(command, log)
        self._pid_file = pid_file

    @cached_property
    def contained_pid(self) -> int:
        return int(
            wait_until(lambda: self._pid_file.exists() and self._pid_file.read_text(), "it has started")
        )

    def terminate(self) -> int:
        """What the kubelet does: SIGTERM to the process itself; its exit status."""
        os.kill(self.contained_pid, signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Ends it at once, and what was wrapped around it."""
        if self.is_running:
            os.kill(self.contained_pid, signal.SIGKILL)
            self.wait()
