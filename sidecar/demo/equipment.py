"""What the QEMU that is installed can give the demo's guest beside a screen."""

import asyncio
from dataclasses import dataclass

QEMU = "qemu-system-x86_64"

PATIENCE = 20.0
"""Seconds that QEMU may take to list what it has; it takes a twentieth of one."""


@dataclass(frozen=True, slots=True)
class Equipment:
    """`sound`: sound on the D-Bus display. `clipboard`: its end of spice-vdagent."""

    sound: bool = False
    clipboard: bool = False


async def equipment() -> Equipment:
    """Asks QEMU. What cannot be asked is not there: the demo goes without."""
    drivers, backends, devices = await asyncio.gather(
        _listed("-audiodev", "help"), _listed("-chardev", "help"), _listed("-device", "help")
    )
    return Equipment(
        sound="dbus" in drivers and {'"intel-hda"', '"hda-duplex"'} <= devices,
        clipboard="qemu-vdagent" in backends and '"virtserialport"' in devices,
    )


async def _listed(*options: str) -> set[str]:
    """The words of what QEMU says to an option."""
    try:
        process = await asyncio.create_subprocess_exec(
            *(QEMU, *options),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            # it complains there about the modules that this system has no use for
            stderr=asyncio.subprocess.DEVNULL,
        )
    except FileNotFoundError:
        return set()
    try:
        async with asyncio.timeout(PATIENCE):
            output, _ = await process.communicate()
    except TimeoutError:
        return set()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return set(output.decode(errors="replace").replace(",", " ").split())
