"""The rewrite with everything that decides it: what `vdi-sidecar define-domain` and the hook call."""

import os
from collections.abc import Mapping

from sidecar.domain.bus import bus_address
from sidecar.domain.errors import DomainError
from sidecar.domain.options import Graphics, RewriteOptions, options_from_vmi
from sidecar.domain.rewrite import rewrite
from sidecar.domain.vmi import Vmi, read_vmi
from sidecar.errors import UsageError


def define_domain(
    vmi: Vmi | str | bytes | None,
    domain: str | bytes,
    *,
    dbus_address: str | None = None,
    graphics: str | None = None,
    screen: bool | None = None,
    audio: bool | None = None,
    input: bool | None = None,
    serial_console: bool | None = None,
    clipboard_channel: bool | None = None,
    usb_slots: int | None = None,
    environ: Mapping[str, str] | None = None,
) -> bytes:
    """The domain XML with its D-Bus display.

    `vmi`: the VirtualMachineInstance, as JSON or read already; None: there is none. Text is taken as it
    comes from the command line. What an option leaves open (None), the VMI's annotations decide. `environ`:
    the process's own if None; its CONTAINER_NAME gives the bus address if `dbus_address` is None. Raises
    DomainError for XML or a VMI that cannot be read, UsageError for options that mean nothing.
    """
    options = RewriteOptions(
        address=bus_address(os.environ if environ is None else environ, dbus_address),
        graphics=_graphics(graphics),
        screen=screen,
        audio=audio,
        input=input,
        serial=serial_console,
        clipboard=clipboard_channel,
        usb=usb_slots,
    )
    if vmi is not None:
        known = vmi if isinstance(vmi, Vmi) else read_vmi(_received(vmi, "VMI"))
        options = options_from_vmi(known, options)
    return rewrite(_received(domain, "domain XML"), options)


def _graphics(name: str | None) -> Graphics | None:
    if name is None or name in set(Graphics):
        return None if name is None else Graphics(name)
    raise UsageError(f"--graphics {name!r} is none of {', '.join(Graphics)}")


def _received(value: str | bytes, what: str) -> bytes:
    """The bytes behind an argument: Python has decoded them in the locale's encoding."""
    if isinstance(value, bytes):
        return value
    try:
        return os.fsencode(value)
    except UnicodeEncodeError as error:
        raise DomainError(f"the {what} is not text") from error
