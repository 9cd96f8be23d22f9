"""libvirt's own schema takes what comes out where it took what went in."""

from pathlib import Path

import pytest
from support.domain_samples import GRAPHICAL, NAMES, kept_by_kubevirt, options, sample
from support.libvirt_schema import made_valid, verdict

from sidecar.domain.options import Graphics
from sidecar.domain.rewrite import rewrite


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_as_it_is_is_judged_the_same_before_and_after(name: str, tmp_path: Path) -> None:
    assert verdict(tmp_path, rewrite(sample(name), options())) == verdict(tmp_path, sample(name))


@pytest.mark.parametrize("graphics", list(Graphics))
@pytest.mark.parametrize("name", NAMES)
def test_a_valid_domain_stays_valid(name: str, graphics: Graphics, tmp_path: Path) -> None:
    valid = made_valid(sample(name))
    assert verdict(tmp_path, valid) == ""
    answer = rewrite(valid, options(graphics, screen=True, audio=True))
    assert verdict(tmp_path, answer) == ""
    assert verdict(tmp_path, rewrite(kept_by_kubevirt(answer), options(graphics))) == ""


@pytest.mark.parametrize("name", GRAPHICAL)
def test_declined_sound_and_input_are_valid(name: str, tmp_path: Path) -> None:
    valid = made_valid(sample(name))
    assert verdict(tmp_path, rewrite(valid, options(audio=False, input=False))) == ""


def test_the_schema_refuses_what_is_wrong(tmp_path: Path) -> None:
    wrong = made_valid(sample("amd64-default-vnc")).replace(b'type="vnc"', b'type="nothing"')
    assert verdict(tmp_path, wrong) != ""
