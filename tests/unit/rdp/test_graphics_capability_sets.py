"""Which version of the graphics pipeline is chosen, by the lists of real clients."""

import pytest

from sidecar.rdp.graphics_pipeline.capability_sets import CapabilitySet, Chosen, Flag, Version, choose

AVC_OFF = Flag.AVC_DISABLED


def capability_set(version: int, flags: int = 0) -> CapabilitySet:
    length = 16 if version == Version.VERSION101 else 4
    return CapabilitySet(version, int(flags).to_bytes(length, "little"))


def generations(flags: int) -> list[CapabilitySet]:
    """10.0 to 10.7 as FreeRDP lists them: 10.1 cannot say anything."""
    versions = [version for version in Version if version >= Version.VERSION10]
    return [capability_set(version, 0 if version is Version.VERSION101 else flags) for version in versions]


FREERDP_PLAIN = [
    capability_set(Version.VERSION8),
    capability_set(Version.VERSION81),
    *generations(AVC_OFF),
]
"""xfreerdp /gfx of a build without H.264, or /gfx:rfx."""

FREERDP_AVC420 = [
    capability_set(Version.VERSION8),
    capability_set(Version.VERSION81, Flag.AVC420_ENABLED),
]
"""xfreerdp /gfx:AVC420: it leaves out whatever would promise AVC444."""

FREERDP_AVC444 = [
    capability_set(Version.VERSION8),
    capability_set(Version.VERSION81, Flag.AVC420_ENABLED),
    *generations(0),
]

FREERDP_2_SMALL = [
    capability_set(Version.VERSION8, Flag.SMALL_CACHE),
    capability_set(Version.VERSION81, Flag.SMALL_CACHE),
    *generations(AVC_OFF | Flag.SMALL_CACHE)[:7],
]

MSTSC_THIN = [
    capability_set(Version.VERSION8, Flag.THINCLIENT),
    capability_set(Version.VERSION81, Flag.THINCLIENT),
    *generations(AVC_OFF)[:7],
]
"""Windows without a decoder that it would use."""

MSTSC = [
    capability_set(Version.VERSION8),
    capability_set(Version.VERSION81, Flag.SMALL_CACHE | Flag.AVC420_ENABLED),
    *generations(0),
]

MOBILE = [capability_set(Version.VERSION8, Flag.THINCLIENT), capability_set(Version.VERSION81, 1)]
"""Microsoft's for Android and macOS, which name no H.264."""

OLD_WINDOWS = [capability_set(Version.VERSION8), capability_set(Version.VERSION81)]

NO_AVC444 = [
    capability_set(Version.VERSION81, Flag.AVC420_ENABLED),
    *generations(AVC_OFF),
]
"""8.1 with AVC420, and no AVC in anything newer."""


@pytest.mark.parametrize(
    ("sets", "want_avc420", "version", "avc420"),
    [
        (FREERDP_PLAIN, True, Version.VERSION107, False),
        (FREERDP_AVC420, True, Version.VERSION81, True),
        (FREERDP_AVC420, False, Version.VERSION81, True),
        (FREERDP_AVC444, True, Version.VERSION107, True),
        (FREERDP_2_SMALL, True, Version.VERSION106, False),
        (MSTSC_THIN, True, Version.VERSION106, False),
        (MSTSC, True, Version.VERSION107, True),
        (MOBILE, True, Version.VERSION81, False),
        (OLD_WINDOWS, True, Version.VERSION81, False),
        (NO_AVC444, True, Version.VERSION81, True),
        (NO_AVC444, False, Version.VERSION107, False),
        ([capability_set(Version.VERSION8)], True, Version.VERSION8, False),
        ([capability_set(Version.VERSION8, Flag.AVC420_ENABLED)], True, Version.VERSION8, False),
        (generations(0)[:1], True, Version.VERSION10, False),
        (generations(0)[:4], True, Version.VERSION103, False),
        (generations(0)[:5], True, Version.VERSION104, True),
        (
            [capability_set(Version.VERSION8), capability_set(Version.VERSION101)],
            True,
            Version.VERSION101,
            False,
        ),
    ],
)
def test_the_newest_version_is_chosen_that_gives_what_is_wanted(
    sets: list[CapabilitySet], want_avc420: bool, version: Version, avc420: bool
) -> None:
    for order in (sets, sets[::-1]):
        chosen = choose(order, want_avc420=want_avc420)
        assert chosen is not None
        assert (chosen.version, chosen.avc420) == (version, avc420)
        assert chosen.capability_set in sets


def chosen_of(*sets: CapabilitySet) -> Chosen:
    chosen = choose(sets, want_avc420=True)
    assert chosen is not None
    return chosen


@pytest.mark.parametrize(
    ("version", "flags", "scaled_output"),
    [
        (Version.VERSION81, 0, False),
        (Version.VERSION104, 0, False),
        (Version.VERSION105, AVC_OFF, True),
        (Version.VERSION106_ERR, AVC_OFF, True),
        (Version.VERSION107, AVC_OFF, True),
        (Version.VERSION107, Flag.SCALEDMAP_DISABLE, False),
    ],
)
def test_surfaces_are_scaled_since_10_5(version: Version, flags: int, scaled_output: bool) -> None:
    assert chosen_of(capability_set(version, flags)).scaled_output is scaled_output


def test_unknown_flags_do_no_harm() -> None:
    chosen = chosen_of(capability_set(Version.VERSION107, 0xFFFFFF00 | Flag.SMALL_CACHE))
    assert chosen.flags == Flag.SMALL_CACHE
    assert chosen.avc420


def test_unknown_versions_are_skipped() -> None:
    known, later = capability_set(Version.VERSION8), capability_set(0x000B0701)
    assert chosen_of(later, known).capability_set == known
    assert choose([later], want_avc420=True) is None


def test_sets_without_flags_are_skipped() -> None:
    assert choose([CapabilitySet(Version.VERSION107, b"\0\0\0")], want_avc420=False) is None
    assert choose([], want_avc420=False) is None
