"""A machine and what frontends have in common, put together without a daemon's run directory."""

import gc
import sys
from collections.abc import AsyncIterator, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar.broadcast.broadcast import Broadcasts
from sidecar.config.options import DaemonOptions
from sidecar.daemon import ENCODERS, SWITCH_INTERVAL, attached
from sidecar.drop_in.chosen_ports import ChosenPorts
from sidecar.drop_in.ending import Ending
from sidecar.encode.store import SegmentStore
from sidecar.guest import Guest
from sidecar.input.seat import Seats
from sidecar.qemu.attach import Attach
from sidecar.session.state import EndReason
from sidecar.tunnels import Tunnels

NOWHERE: Final = Path("/nonexistent")
"""The run directory of programs that have none."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What is served. `guest`: the machine itself; frontends show that of `tunnels`."""

    guest: Guest
    tunnels: Tunnels
    broadcasts: Broadcasts
    seats: Seats


@asynccontextmanager
async def machine(
    attach: Attach, ending: Ending, *, keyboard_layout: str = "en-us", chardevs: Collection[str] = ()
) -> AsyncIterator[Machine]:
    """Attaches while it is entered; a machine that can never come back asks for the `ending`.

    `chardevs`: QEMU's names of the character devices that are shown as text consoles.
    """
    options = DaemonOptions(
        run_dir=NOWHERE,
        vnc=(),
        keyboard_layout=keyboard_layout,
        serial="everybody" if chardevs else "off",
        # who names it wants it
        monitor=True,
    )
    sys.setswitchinterval(SWITCH_INTERVAL)
    async with attached(attach, options) as (guest, work):
        work.add_done_callback(lambda _: ending.because("QEMU has closed the connection", EndReason.GONE))
        with (
            Tunnels(options, ChosenPorts(guest, chardevs)).open() as tunnels,
            ThreadPoolExecutor(ENCODERS, "encoder") as pool,
        ):
            seats = Seats(tunnels.guest)
            broadcasts = Broadcasts(SegmentStore(pool))
            try:
                # what start-up has left behind is not worth looking through again and again
                gc.collect()
                gc.freeze()
                yield Machine(guest, tunnels, broadcasts, seats)
            finally:
                broadcasts.close()
                seats.close()
