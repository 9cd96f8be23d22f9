"""Builds the Linux guests out of Debian's packages: `build.py small|agent` prints the directory of one.

That directory holds `kernel` and `initrd`. It lies in ${XDG_CACHE_HOME:-~/.cache}/vdi-sidecar-tests, under a
key made of the packages' versions and of everything here, so it is built once. Needs apt and dpkg-deb, not
root: what it downloads is unpacked there and not installed.
"""

import fcntl
import hashlib
import lzma
import math
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).parent
DEMO = HERE.parents[2] / "sidecar" / "demo"

# alone: the package that it is in needs all of the daemon
sys.path.insert(0, str(DEMO))
import cpio  # noqa: E402

PACKAGES = {
    "small": ("busybox-static", "alsa-utils"),
    "agent": ("busybox-static", "alsa-utils", "spice-vdagent", "xvfb", "xclip"),
}

KERNEL = "linux-image-amd64"
"""Depends on the real package. The smaller -cloud- kernel has neither sound nor USB nor graphics."""

PROGRAMS = {
    "small": ("usr/bin/aplay", "usr/bin/amixer"),
    "agent": (
        *("usr/bin/aplay", "usr/bin/amixer", "usr/bin/xclip", "usr/bin/Xvfb", "usr/bin/xkbcomp"),
        *("usr/bin/spice-vdagent", "usr/sbin/spice-vdagentd"),
    ),
}
"""Their libraries come with them."""

DATA = {
    "small": ("usr/share/alsa",),
    "agent": ("usr/share/alsa", "usr/share/X11/xkb"),
}

UNUSED = re.compile(
    "perl|llvm|mesa-dri|libgallium|icon-theme|libicu|fonts-|shared-mime"
    "|^(systemd|libsystemd-shared|libpam|dpkg|dbus|adduser|passwd|procps)"
)
"""Packages that are depended on and give no library to any of our programs."""

MODULES = (
    *("virtio_pci", "virtio_console", "virtio_input", "bochs", "virtio-gpu"),
    *("xhci-pci", "uhci-hcd", "ehci-pci", "usbhid", "hid-generic", "evdev", "uinput", "psmouse"),
    *("snd-hda-intel", "snd-hda-codec-generic", "snd-ens1370", "snd-intel8x0"),
)

UNUSED_MODULES = re.compile("/(drivers/(net|media|scsi|infiniband|staging|iio)|sound/soc|fs|net)/")
"""Not even kept while the package is read: all modules together are hundreds of megabytes."""

BUILTIN_LISTS = ("modules.builtin", "modules.builtin.modinfo", "modules.order")

LIBRARIES = "lib/x86_64-linux-gnu"
LOADER = "lib64/ld-linux-x86-64.so.2"

TONES = (440, 1000)
RATE = 48_000


class Apt:
    """Debian's packages as apt knows them, taken for a machine on which nothing is installed."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._options = ["-o", f"Dir::State::status={os.devnull}"]

    def versions(self, packages: Iterable[str]) -> dict[str, str]:
        """The candidate of each. Brings lists of packages here if the machine has none."""
        names = tuple(packages)
        if len(found := self._candidates(names)) < len(names):
            self.update()
            found = self._candidates(names)
        assert len(found) == len(names), f"apt offers only {found} of {names}"
        return found

    def _candidates(self, packages: tuple[str, ...]) -> dict[str, str]:
        text = self._run("apt-cache", "policy", *packages)
        found = re.findall(r"^(\S+):\n(?:.*\n)*?  Candidate: (\S+)$", text, re.MULTILINE)
        return {name: version for name, version in found if version != "(none)"}

    def update(self) -> None:
        """Fetches lists of packages of our own: the machine's are old or missing, and not ours to renew."""
        for name in ("lists/partial", "archives/partial"):
            (self._cache / "apt" / name).mkdir(parents=True, exist_ok=True)
        self._options += ["-o", f"Dir::State::lists={self._cache}/apt/lists"]
        self._options += ["-o", f"Dir::Cache={self._cache}/apt", "-o", "APT::Sandbox::User="]
        self._run("apt-get", "-qq", "update")

    def kernel(self) -> str:
        """The package of the newest kernel."""
        text = self._run("apt-cache", "depends", "--important", KERNEL)
        match = re.search(r"Depends: (linux-image-\S+)", text)
        assert match, text
        return match[1]

    def with_dependencies(self, packages: Iterable[str]) -> list[str]:
        """The packages and what they need, each as NAME=VERSION."""
        text = self._run("apt-get", "-s", "--no-install-recommends", "install", *packages)
        return [f"{name}={version}" for name, version in re.findall(r"^Inst (\S+) \((\S+)", text, re.M)]

    def download(self, packages: Iterable[str], directory: Path) -> None:
        """Puts the packages' files there."""
        command = ("apt-get", "-qq", "-o", "APT::Sandbox::User=", "download", *packages)
        self._run(*command, directory=directory)

    def _run(self, *command: str, directory: Path | None = None) -> str:
        program, *arguments = command
        done = subprocess.run(
            (program, *self._options, *arguments),
            cwd=directory,
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout


def cached(kind: str) -> Path:
    """The directory of an image, built now if it is not there."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = home / "vdi-sidecar-tests"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        apt = Apt(cache)
        key = _key(kind, apt)
        target = cache / f"{kind}-{key}"
        if not target.exists():
            for left in cache.glob("*.new"):
                # we have the lock: whoever made it was killed
                shutil.rmtree(left)
            scratch = Path(tempfile.mkdtemp(prefix=f"{kind}-", suffix=".new", dir=cache))
            try:
                try:
                    _build(kind, apt, scratch)
                except RuntimeError:
                    # lists that are out of date name packages that are gone
                    apt.update()
                    _build(kind, apt, scratch)
                scratch.chmod(0o755)
                scratch.rename(target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        return target


def _key(kind: str, apt: Apt) -> str:
    digest = hashlib.sha256(repr(sorted(apt.versions((KERNEL, *PACKAGES[kind])).items())).encode())
    for path in sorted((*HERE.rglob("*"), Path(cpio.__file__))):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(f"{path.name}\0{path.stat().st_mode & 0o111}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _build(kind: str, apt: Apt, target: Path) -> None:
    """Writes `kernel` and `initrd` into `target`, and nothing else."""
    with tempfile.TemporaryDirectory(dir=target) as name:
        archives, tree, image = (Path(name) / part for part in ("archives", "tree", "image"))
        archives.mkdir()
        kernel = apt.kernel()
        wanted = apt.with_dependencies(PACKAGES[kind])
        apt.download((kernel, *(package for package in wanted if not UNUSED.search(package))), archives)
        for package in archives.glob("*.deb"):
            if not package.name.startswith("linux-image"):
                subprocess.run(["dpkg-deb", "-x", str(package), str(tree)], check=True)
        _lay_out(kind, tree, image)
        _write_kernel(next(archives.glob("linux-image-*.deb")), tree, image, target / "kernel")
        (target / "initrd").write_bytes(cpio.archive(_entries(image)))


def _lay_out(kind: str, tree: Path, image: Path) -> None:
    """The guest's files but for its kernel's modules."""
    busybox = _find(tree, "bin/busybox")
    for name in (
        "bin",
        "sbin",
        "usr/bin",
        "usr/sbin",
        "dev",
        "proc",
        "sys",
        "run",
        "tmp",
        "root",
        "etc",
        LIBRARIES,
    ):
        (image / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(busybox, image / "bin/busybox")
    applets = subprocess.run(
        [busybox, "--list-full"], capture_output=True, text=True, check=True
    ).stdout.split()
    for applet in applets:
        path = image / applet
        if not path.exists() and path.parent.is_dir():
            path.symlink_to("/bin/busybox")
    _copy_programs(kind, tree, image)
    for name in DATA[kind]:
        shutil.copytree(_find(tree, name), image / name, symlinks=True)
    tones = image / "usr/share/tones"
    tones.mkdir(parents=True)
    for frequency in TONES:
        (tones / str(frequency)).write_bytes(_one_second(frequency))
    for layer in ("root", f"root-{kind}"):
        if (HERE / layer).is_dir():
            shutil.copytree(HERE / layer, image, symlinks=True, dirs_exist_ok=True)


def _copy_programs(kind: str, tree: Path, image: Path) -> None:
    loader = _find(tree, LOADER)
    paths = ":".join(str(tree / part / "x86_64-linux-gnu") for part in ("usr/lib", "lib"))
    for name in PROGRAMS[kind]:
        program = _find(tree, name)
        shutil.copy(program, image / name)
        command = (str(loader), "--inhibit-cache", "--library-path", paths, "--list", str(program))
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for library, path in re.findall(r"^\s*([^/\s]+) => (/\S+)", listed, re.MULTILINE):
            assert Path(path).is_relative_to(tree), (
                f"{name} needs {library}, which came from this machine: {path}"
            )
            shutil.copy(path, image / LIBRARIES / library)
    (image / LOADER).parent.mkdir(exist_ok=True)
    shutil.copy(loader, image / LOADER)


def _find(tree: Path, name: str) -> Path:
    """A file of the unpacked packages, which may have /bin, /sbin and /lib in /usr or beside it."""
    for path in (tree / name, tree / "usr" / name, tree / name.removeprefix("usr/")):
        if path.exists():
            return path.resolve()
    raise FileNotFoundError(f"no package has {name}")


def _write_kernel(package: Path, tree: Path, image: Path, target: Path) -> None:
    """The kernel, and the modules that we want with those that they need."""
    stored: dict[str, bytes] = {}
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as unpacked,
        tarfile.open(fileobj=unpacked.stdout, mode="r|") as archive,
    ):
        for member in archive:
            name = member.name.removeprefix("./").removeprefix("usr/")
            if UNUSED_MODULES.search(name):
                continue
            if name.startswith("boot/vmlinuz") or re.match(
                r"lib/modules/.*(\.ko|\.ko\.xz|/modules\.\w+)", name
            ):
                content = archive.extractfile(member)
                if content:
                    stored[name] = content.read()
    vmlinuz = next(data for name, data in stored.items() if name.startswith("boot/"))
    target.write_bytes(_uncompressed(vmlinuz))
    modules = {
        _module_name(name): (name.removesuffix(".xz"), data) for name, data in stored.items() if ".ko" in name
    }
    wanted = list(map(_module_name, MODULES))
    for module in wanted:
        if module not in modules:
            # built into this kernel, or of another time: what is missing shows where a test needs it
            continue
        name, data = modules[module]
        if data.startswith(b"\xfd7zXZ"):
            data = lzma.decompress(data)
        wanted += (each for each in _needs(data) if each not in wanted)
        path = image / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    version = next(iter(modules.values()))[0].split("/")[2]
    for name in BUILTIN_LISTS:
        listed = f"lib/modules/{version}/{name}"
        if listed in stored:
            (image / listed).write_bytes(stored[listed])
    subprocess.run([_find(tree, "bin/busybox"), "depmod", "-b", str(image), version], check=True)


def _module_name(path: str) -> str:
    return path.rpartition("/")[2].partition(".ko")[0].replace("-", "_")


def _needs(module: bytes) -> list[str]:
    """The modules that one says to need; "soft" ones too."""
    hard = re.findall(rb"\0depends=([^\0]*)\0", module)
    soft = re.findall(rb"\0softdep=(?:pre|post): ([^\0]*)\0", module)
    names = re.split(r"[,\s]+", b",".join((*hard, *soft)).decode())
    return [_module_name(name) for name in names if name and ":" not in name]


def _uncompressed(vmlinuz: bytes) -> bytes:
    """The kernel as QEMU starts it by PVH, where it need not unpack itself for seconds; or as it was.

    Source: the kernel's Documentation/arch/x86/boot.rst, payload_offset and payload_length.
    """
    sectors = vmlinuz[0x1F1] or 4
    offset, length = struct.unpack_from("<II", vmlinuz, 0x248)
    payload = vmlinuz[(sectors + 1) * 512 + offset :][:length]
    if not payload.startswith(b"\xfd7zXZ"):
        return vmlinuz
    return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload)


def _one_second(frequency: int) -> bytes:
    """A sine of half the full amplitude: 16 bits, little-endian, two channels."""
    values = (round(16383 * math.sin(2 * math.pi * frequency * i / RATE)) for i in range(RATE))
    return b"".join(struct.pack("<hh", value, value) for value in values)


def _entries(image: Path) -> Iterator[cpio.Entry]:
    for path in sorted(image.rglob("*")):
        name = str(path.relative_to(image))
        if path.is_symlink():
            yield cpio.link(name, os.readlink(path))
        elif path.is_dir():
            yield cpio.directory(name)
        else:
            yield cpio.file(name, path.read_bytes(), path.stat().st_mode & 0o777)


if __name__ == "__main__":
    print(cached(sys.argv[1]))
