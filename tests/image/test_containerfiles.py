"""What can be said of the images without building them."""

import re
import subprocess
from pathlib import Path

import pytest
from support.buildah import BUILD, PROJECT

from sidecar import __version__

FILES = [PROJECT / "Containerfile", *sorted(PROJECT.glob("images/*/Containerfile"))]
IN_IMAGES = [path for path in sorted(PROJECT.glob("images/**/*")) if path.is_file()]
SCRIPTS = [path for path in IN_IMAGES if path.read_bytes().startswith(b"#!/bin/sh")]


def instructions() -> list[str]:
    """The sidecar's Containerfile without comments, a line for each instruction."""
    text = re.sub(r"^#.*\n", "", (PROJECT / "Containerfile").read_text(), flags=re.MULTILINE)
    return [line for line in text.replace("\\\n", " ").splitlines() if line]


def last_stage() -> list[str]:
    lines = instructions()
    return lines[max(index for index, line in enumerate(lines) if line.startswith("FROM ")) :]


def test_the_last_stage_has_nothing_but_what_was_put_together() -> None:
    stage = last_stage()
    assert stage[0] == "FROM scratch"
    assert [line for line in stage if line.startswith(("COPY", "ADD", "RUN"))] == [
        "COPY --from=build /image/ /"
    ]


def test_it_starts_without_a_shell_as_nobody_special() -> None:
    stage = last_stage()
    assert "USER 107:107" in stage
    for name in ("ENTRYPOINT", "CMD"):
        (line,) = [line for line in stage if line.startswith(name)]
        assert re.fullmatch(rf'{name} \[("[^"]*"(, )?)+\]', line), "exec form"
    assert not [line for line in instructions() if line.startswith("HEALTHCHECK")]


def test_nobody_gets_the_gpl_unasked() -> None:
    assert "ARG EXTRAS=nla" in instructions()


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.parent.name)
def test_every_image_has_its_labels_or_those_of_its_base(file: Path) -> None:
    text = file.read_text()
    if "FROM ${LAUNCHER}\n" in text:
        assert "LABEL" not in text
        return
    for name in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{name}=" in text
    assert f"ARG VERSION={__version__}\n" in text


def test_no_architecture_is_named() -> None:
    for path in (PROJECT / "Containerfile", PROJECT / "images" / "assemble.py", BUILD):
        assert not re.search(r"x86|amd64|aarch64|arm64", path.read_text()), path


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_sound(script: Path) -> None:
    subprocess.run(["sh", "-n", script], check=True)


def test_all_scripts_were_looked_at() -> None:
    assert {path.name for path in SCRIPTS} == {"build", "with-mounted-root", "add-modules", "rpm-paths"}


def build(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUILD, *arguments], capture_output=True, text=True)


def test_help_names_every_option() -> None:
    done = build("--help")
    assert done.returncode == 0
    for option in ("--tag", "--output", "--extras", "--base", "--suite"):
        assert option in done.stdout


@pytest.mark.parametrize("arguments", [("--bogus",), ("--tag",), ("demo-guest", "more")])
def test_wrong_use_is_one_line_and_status_2(arguments: tuple[str, ...]) -> None:
    done = build(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("images/build: ")
    assert done.stderr.count("\n") == 1
