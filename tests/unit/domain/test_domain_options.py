"""What the VMI's annotations and the environment say."""

from pathlib import Path

import pytest
from support.domain_samples import ADDRESS, DIRECTORY, options

from sidecar.domain.bus import bus_address
from sidecar.domain.errors import DomainError
from sidecar.domain.options import Graphics, RewriteOptions, options_from_vmi
from sidecar.domain.vmi import Vmi, read_vmi
from sidecar.errors import UsageError


def vmi(**annotations: str) -> Vmi:
    return Vmi(annotations={f"vdi-sidecar/{name}": value for name, value in annotations.items()})


@pytest.mark.parametrize("graphics", list(Graphics))
def test_the_annotation_chooses_the_mode(graphics: Graphics) -> None:
    assert options_from_vmi(vmi(graphics=graphics.value), options()).graphics is graphics


@pytest.mark.parametrize("name", ["screen", "audio", "input"])
@pytest.mark.parametrize(
    ("value", "meant"), [("true", True), ("false", False), ("True", True), ("FALSE", False)]
)
def test_annotations_ask_and_decline(name: str, value: str, meant: bool) -> None:
    assert getattr(options_from_vmi(vmi(**{name: value}), options()), name) is meant


def test_what_an_option_says_holds_against_the_annotation() -> None:
    said = options(Graphics.KEEP_VNC, screen=False, audio=True, input=True)
    annotated = vmi(graphics="commandline", screen="true", audio="false", input="false")
    assert options_from_vmi(annotated, said) == said


@pytest.mark.parametrize("path", sorted(DIRECTORY.glob("*.vmi.json")), ids=lambda path: path.stem)
def test_a_vmi_without_annotations_of_ours_changes_nothing(path: Path) -> None:
    assert options_from_vmi(read_vmi(path.read_bytes()), options()) == options()


@pytest.mark.parametrize(
    ("annotated", "reason"),
    [
        (vmi(graphics="Replace"), "vdi-sidecar/graphics must be one of replace, keep-vnc, commandline"),
        (vmi(screen="yes"), 'vdi-sidecar/screen must be "true" or "false"'),
        (vmi(audio="1"), "vdi-sidecar/audio must be"),
        (vmi(input=""), "vdi-sidecar/input must be"),
    ],
)
def test_a_value_that_means_nothing_is_refused_with_the_reason(annotated: Vmi, reason: str) -> None:
    with pytest.raises(DomainError, match=reason):
        options_from_vmi(annotated, options())


def test_the_address_follows_from_the_name_of_the_container() -> None:
    assert bus_address({"CONTAINER_NAME": "hook-sidecar-0"}) == ADDRESS


def test_a_given_address_comes_first() -> None:
    assert bus_address({"CONTAINER_NAME": "hook-sidecar-0"}, "unix:path=/run/bus") == "unix:path=/run/bus"
    assert bus_address({}, "unix:path=/a,guid=1;unix:abstract=b") == "unix:path=/a,guid=1;unix:abstract=b"


@pytest.mark.parametrize("environ", [{}, {"CONTAINER_NAME": ""}])
def test_without_an_address_and_a_container_it_is_told_what_to_give(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"--dbus-address .* or CONTAINER_NAME"):
        bus_address(environ)


@pytest.mark.parametrize("name", ["../evil", "a/b", "a,b", "A", "a b", "-a", "a" * 64, "a\n", "ä"])
def test_a_name_that_no_container_has_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not the name of a container"):
        bus_address({"CONTAINER_NAME": name})


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/run/bus",
        "unix:",
        "unix:path",
        "unix:path=/a b",
        "unix:path=/ä",
        "unix:path=/a\n",
        "unix:path=/a;",
        "unix:path=/\0",
        "unix:path=" + "a" * 2000,
    ],
)
def test_what_is_no_bus_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="is not a D-Bus address"):
        bus_address({}, address)
    with pytest.raises(UsageError, match="is not a D-Bus address"):
        RewriteOptions(address=address)
