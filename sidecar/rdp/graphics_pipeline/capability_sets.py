"""Which version of the graphics pipeline is spoken with a client (MS-RDPEGFX 2.2.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag


class Version(IntEnum):
    """The versions that are told apart, oldest first."""

    VERSION8 = 0x00080004
    VERSION81 = 0x00080105
    VERSION10 = 0x000A0002
    VERSION101 = 0x000A0100
    VERSION102 = 0x000A0200
    VERSION103 = 0x000A0301
    VERSION104 = 0x000A0400
    VERSION105 = 0x000A0502
    VERSION106 = 0x000A0600
    VERSION106_ERR = 0x000A0601
    """what an edition of the specification had for 10.6; FreeRDP offers it too"""
    VERSION107 = 0x000A0701


class Flag(IntFlag):
    """The flags of a capability set, each from the version on that its comment names."""

    THINCLIENT = 0x01
    """8; not since 10"""
    SMALL_CACHE = 0x02
    """8"""
    AVC420_ENABLED = 0x10
    """8.1; not since 10"""
    AVC_DISABLED = 0x20
    """10"""
    AVC_THINCLIENT = 0x40
    """10.3"""
    SCALEDMAP_DISABLE = 0x80
    """10.7"""


@dataclass(frozen=True, slots=True)
class CapabilitySet:
    """One RDPGFX_CAPSET as it came. `data`: what follows its version and length."""

    version: int
    data: bytes

    @property
    def flags(self) -> int:
        """The first four bytes of the data; 0 in version 10.1, which has no flags but 16 reserved bytes."""
        return int.from_bytes(self.data[:4], "little")


@dataclass(frozen=True, slots=True)
class Chosen:
    """What both sides can do."""

    capability_set: CapabilitySet
    """What is confirmed: one of those that the client has advertised, unchanged."""
    version: Version
    flags: Flag
    avc420: bool
    """Whether AVC420 may be sent."""
    scaled_output: bool
    """Whether a surface may be mapped to an area of another size."""


def choose(sets: Sequence[CapabilitySet], *, want_avc420: bool) -> Chosen | None:
    """The best of what a client has advertised; None where nothing of it is known.

    The newest version, but before that one that allows AVC420 where `want_avc420` says that it would be used:
    a client that decodes AVC420 alone can say so in 8.1 only, since those of 10.0 and later promise AVC444.
    """
    known = [chosen for chosen in map(_read, sets) if chosen is not None]
    return max(
        known,
        key=lambda chosen: (want_avc420 and chosen.avc420, chosen.version),
        default=None,
    )


def _read(capability_set: CapabilitySet) -> Chosen | None:
    try:
        version = Version(capability_set.version)
    except ValueError:
        return None
    if len(capability_set.data) < 4:
        return None
    flags = Flag(capability_set.flags & _KNOWN)
    if version is Version.VERSION101:
        flags = Flag(0)
    if version >= Version.VERSION104:
        avc420 = Flag.AVC_DISABLED not in flags
    else:
        # 10.0 to 10.3 promise AVC444 only
        avc420 = version is Version.VERSION81 and Flag.AVC420_ENABLED in flags
    scaled_output = version >= Version.VERSION105 and Flag.SCALEDMAP_DISABLE not in flags
    return Chosen(capability_set, version, flags, avc420, scaled_output)


_KNOWN = sum(Flag)
