"""Puts together the file system of the sidecar's image, inside the build (Containerfile).

    python3 assemble.py TARGET PACKAGES

TARGET gets this Python with what it needs of its standard library, the PACKAGES (a directory made by `pip
install --target`), dbus-daemon, the shared libraries of all of these, the users, and for every Debian package
that a file comes from its licence and its entry for scanners. Needs a Debian or Ubuntu, ldd and strip.
"""

import compileall
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

STDLIB = Path(sysconfig.get_path("stdlib"))
SITE = Path(sysconfig.get_path("purelib"))
DBUS_DAEMON = Path("/usr/bin/dbus-daemon")

LEFT_OUT_OF_STDLIB = (
    *("test", "tests", "idlelib", "idle_test", "lib2to3", "tkinter", "turtledemo", "turtle.py", "pydoc_data"),
    *("ensurepip", "venv", "distutils", "config-*", "__pycache__", "EXTERNALLY-MANAGED", "sitecustomize.py"),
    # extension modules that only bring libraries along
    *("_curses*.so", "_dbm*.so", "_gdbm*.so", "_sqlite3*.so", "_tkinter*.so", "nis.*.so", "readline.*.so"),
    *("_crypt.*.so", "_test*.so", "xxlimited*.so", "_ctypes_test*.so"),
)
LEFT_OUT_OF_PACKAGES = (
    *("tests", "__pycache__", "*.pyi", "*.pyx", "*.pxd", "*.pxi", "*.h", "*.hpp", "*.c", "*.cpp", "*.a"),
    # names files that are not there any more
    "RECORD",
)

USERS = """\
root:x:0:0:root:/:/sbin/nologin
qemu:x:107:107:qemu:/:/sbin/nologin
"""
"""dbus-daemon lets in nobody else. KubeVirt runs a sidecar as 107, or as root where its gate `Root` is on."""
GROUPS = """\
root:x:0:
qemu:x:107:
"""
NAME_SERVICES = """\
passwd: files
group: files
hosts: files dns
"""
COMMAND = """\
#!/usr/bin/python3 -I
import sys
from sidecar.cli import main
sys.exit(main())
"""
EMPTY_DIRECTORIES = (
    *(
        "dev",
        "etc",
        "proc",
        "run/kubevirt-hooks",
        "run/kubevirt-plugin",
        "sys",
        "tmp",
        "var/lib/dpkg/status.d",
    ),
)


def lay_out(target: Path) -> None:
    """The directories, and the links that make /bin, /lib, /lib64 part of /usr where they are so here."""
    for name in EMPTY_DIRECTORIES:
        (target / name).mkdir(parents=True, exist_ok=True)
    (target / "tmp").chmod(0o1777)
    (target / "var/run").symlink_to("../run")
    for name in ("bin", "lib", "lib64"):
        link = Path("/", name)
        if link.is_symlink():
            (target / link.readlink()).mkdir(parents=True, exist_ok=True)
            (target / name).symlink_to(link.readlink())
    (target / "etc/passwd").write_text(USERS)
    (target / "etc/group").write_text(GROUPS)
    (target / "etc/nsswitch.conf").write_text(NAME_SERVICES)


def take(path: Path, target: Path) -> None:
    """Copies a file, and if it is a link, the links and the file that it leads to."""
    goal = target / path.relative_to("/")
    if goal.is_symlink() or goal.exists():
        return
    goal.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        goal.symlink_to(path.readlink())
        take(path.parent / path.readlink(), target)
    else:
        shutil.copy2(path, goal)


def is_elf(path: Path) -> bool:
    """Whether it is a program or a shared library."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def elf_files(tree: Path) -> list[Path]:
    """The programs and shared libraries in a tree."""
    return [path for path in sorted(tree.rglob("*")) if is_elf(path)]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """A program of the base image, run to its end."""
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - words of this file


def libraries_of(files: Iterable[Path]) -> set[Path]:
    """The shared libraries, loader included, that these need from outside their tree."""
    found = set()
    for file in files:
        said = run("ldd", file).stdout
        missing = re.findall(r"^\s*(\S+) => not found", said, re.MULTILINE)
        if missing:
            raise SystemExit(f"{file} needs {', '.join(missing)}, which this base image does not have")
        found |= {
            Path(os.path.normpath(path)) for path in re.findall(r"(?:=> |^\s+)(/\S+) \(", said, re.MULTILINE)
        }
    return found


def strip(package_tree: Path) -> None:
    """Takes the symbols of linkers and debuggers away.

    Not where a wheel has brought libraries along in `*.libs`: their ELF headers were rewritten
    (patchelf), and strip makes such files unloadable.
    """
    repaired = [libs.name.removesuffix(".libs") for libs in package_tree.glob("*.libs")]
    for file in elf_files(package_tree):
        top = file.relative_to(package_tree).parts[0]
        if top.removesuffix(".libs") not in repaired:
            run("strip", "--strip-unneeded", file).check_returncode()


def copy_tree(source: Path, goal: Path, left_out: tuple[str, ...]) -> None:
    """Adds a directory's files, links replaced by what they lead to."""
    shutil.copytree(
        source,
        goal,
        ignore=shutil.ignore_patterns(*left_out),
        ignore_dangling_symlinks=True,
        dirs_exist_ok=True,
    )


def package_of(path: Path) -> str | None:
    """The Debian package that has installed a file, under its name before or after /usr was merged."""
    for name in (path, Path(str(path).removeprefix("/usr")), path.resolve()):
        for line in run("dpkg-query", "--search", name).stdout.splitlines():
            # NAME[:ARCHITECTURE]: /PATH; several owners have commas between them
            if not line.startswith("diversion by "):
                return line.partition(": ")[0].partition(",")[0]
    return None


def state_origins(files: Iterable[Path], target: Path) -> None:
    """Licences, and dpkg's entries in the place where scanners look for them in images without dpkg."""
    packages = {package for path in files if (package := package_of(path))}
    for package in sorted(packages):
        name = package.partition(":")[0]
        entry = run("dpkg-query", "--status", package)
        entry.check_returncode()
        (target / "var/lib/dpkg/status.d" / name).write_text(entry.stdout)
        licence = Path("/usr/share/doc", name, "copyright")
        if licence.exists():
            copied = target / licence.relative_to("/")
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(licence, copied)


def main(target: Path, packages: Path) -> None:
    """Makes the tree."""
    lay_out(target)
    site = target / SITE.relative_to("/")
    copy_tree(packages, site, LEFT_OUT_OF_PACKAGES)
    shutil.rmtree(site / "bin", ignore_errors=True)
    strip(site)
    stdlib = target / STDLIB.relative_to("/")
    copy_tree(STDLIB, stdlib, LEFT_OUT_OF_STDLIB)
    python = Path("/usr/bin/python3")
    programs = {python, python.resolve(), DBUS_DAEMON}
    programs |= libraries_of({*programs, *elf_files(site), *elf_files(stdlib)})
    for path in programs:
        # the wheels' own libraries are there already
        if target not in path.parents:
            take(path, target)
    # no file of a read-only root can be compiled later, and none can change, so none is looked at
    for tree in (site, stdlib):
        compileall.compile_dir(
            tree,
            quiet=1,
            workers=0,
            stripdir=target,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    command = target / "usr/bin/vdi-sidecar"
    command.write_text(COMMAND)
    command.chmod(0o755)
    # Debian has cut its standard library in two
    library = {STDLIB / "os.py", STDLIB / "asyncio" / "events.py"}
    state_origins({path for path in programs if target not in path.parents} | library, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]))
