"""Memory and processors of a real guest, as it sees them itself."""

from pathlib import Path

from support.linux_guest import PATIENCE, LinuxGuest
from support.waiting import eventually

from sidecar.qemu.machine import QmpMachine
from sidecar.qemu.machine_monitor import SocketMonitor

MIB = 1 << 20


async def test_a_guest_gets_and_gives_up_what_it_is_told(short_dir: Path) -> None:
    control = short_dir / "control"
    monitor = ("-qmp", f"unix:{control},server=on,wait=off")
    guest = LinuxGuest(
        short_dir,
        extra=(*monitor, "-m", "256,slots=1,maxmem=1G", "-smp", "1,maxcpus=2"),
    )
    try:
        machine = QmpMachine(SocketMonitor(control), unplug_time=PATIENCE)
        shell = guest.shell()

        def blocks() -> int:
            return int(shell.check("ls -d /sys/devices/system/memory/memory[0-9]* | wc -l"))

        before = blocks()
        await machine.set_memory((256 + 128) * MIB)
        await eventually(lambda: blocks() == before + 1, "the guest sees another block of memory", PATIENCE)

        def second_processor() -> bool:
            return shell.run("ls -d /sys/devices/system/cpu/cpu1").status == 0

        assert not second_processor()
        await machine.set_cpus(2)
        await eventually(second_processor, "the guest sees another processor", PATIENCE)
        # last: QEMU's TCG does not always live on after a processor has gone
        await machine.set_cpus(1)
        assert (await machine.information()).cpus == 1
        assert len(guest.qmp("query-cpus-fast")) == 1
    finally:
        guest.close()
