"""The function behind `vdi-sidecar define-domain`."""

import json
import os

import pytest
from support.domain_samples import ADDRESS, DIRECTORY, options, sample

from sidecar.domain.command import define_domain
from sidecar.domain.errors import DomainError
from sidecar.domain.options import Graphics
from sidecar.domain.rewrite import rewrite
from sidecar.domain.vmi import Vmi, read_vmi
from sidecar.errors import UsageError

ENVIRON = {"CONTAINER_NAME": "hook-sidecar-0"}
XML = sample("amd64-sound-ich9")
VMI = (DIRECTORY / "amd64-sound-ich9.vmi.json").read_bytes()


def annotated(**annotations: str) -> str:
    vmi = json.loads(VMI)
    vmi["metadata"]["annotations"] |= {f"vdi-sidecar/{name}": value for name, value in annotations.items()}
    return json.dumps(vmi)


@pytest.mark.parametrize("vmi", [VMI, VMI.decode(), read_vmi(VMI), None])
@pytest.mark.parametrize("domain", [XML, XML.decode()])
def test_text_and_bytes_are_the_same(vmi: Vmi | str | bytes | None, domain: str | bytes) -> None:
    assert define_domain(vmi, domain, environ=ENVIRON) == rewrite(XML, options())


def test_the_annotation_decides_what_no_option_says() -> None:
    vmi = annotated(graphics="keep-vnc", audio="false")
    assert define_domain(vmi, XML, environ=ENVIRON) == rewrite(XML, options(Graphics.KEEP_VNC, audio=False))
    said = define_domain(vmi, XML, graphics="replace", audio=True, environ=ENVIRON)
    assert said == rewrite(XML, options(Graphics.REPLACE))


def test_a_vmi_that_was_read_already_decides_as_well() -> None:
    vmi = annotated(graphics="keep-vnc")
    read = read_vmi(vmi.encode())
    assert define_domain(read, XML, environ=ENVIRON) == define_domain(vmi, XML, environ=ENVIRON)


def test_a_screen_can_be_asked_for_by_annotation_and_by_option() -> None:
    xml = sample("amd64-no-graphics")
    assert define_domain(VMI, xml, environ=ENVIRON) == xml
    asked = define_domain(VMI, xml, screen=True, environ=ENVIRON)
    assert asked == define_domain(annotated(screen="true"), xml, environ=ENVIRON) != xml


def test_the_address_can_be_given() -> None:
    answer = define_domain(VMI, XML, dbus_address="unix:path=/run/bus", environ=ENVIRON)
    assert answer == rewrite(XML, options()).replace(ADDRESS.encode(), b"unix:path=/run/bus")


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINER_NAME", "hook-sidecar-0")
    assert define_domain(VMI, XML) == rewrite(XML, options())
    monkeypatch.delenv("CONTAINER_NAME")
    with pytest.raises(UsageError, match="which bus"):
        define_domain(VMI, XML)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(UsageError, match="none of replace, keep-vnc, commandline"):
        define_domain(VMI, XML, graphics="vnc", environ=ENVIRON)


def test_arguments_that_are_no_utf8_are_judged_as_the_bytes_they_were() -> None:
    with pytest.raises(DomainError, match="not utf-8"):
        define_domain(None, os.fsdecode(b"<domain>\xe4</domain>"), environ=ENVIRON)
    with pytest.raises(DomainError, match="not text"):
        define_domain(None, "<domain>\ud800</domain>", environ=ENVIRON)
