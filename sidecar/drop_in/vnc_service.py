"""`vdi-qemu-vnc` at work: on the bus as soon as it can be, and then as long as QEMU is there."""

from sidecar.drop_in.bus import connect_to_peer, management_bus, own, watch
from sidecar.drop_in.ending import Ending
from sidecar.drop_in.vnc_management import BUS_NAME, VncManagement
from sidecar.drop_in.vnc_options import VncOptions
from sidecar.drop_in.vnc_secrets import VncSecrets, secrets_of
from sidecar.log import get_logger
from sidecar.qemu.attach import Attach, BusAttach, FdAttach

log = get_logger(__name__)


async def serve(options: VncOptions) -> None:
    """Serves until QEMU goes, or a signal comes. Raises SidecarError."""
    secrets = secrets_of(options)
    ending = Ending()
    with ending.on_signals():
        if options.bus_name is None or options.dbus_address is None:
            if options.password and options.credential is None:
                log.warning("nobody can log in: without a bus there is no SetPassword")
            await _serve(options, secrets, FdAttach(_peer(options)), ending, None)
            return
        async with management_bus(options.dbus_address, ending) as connection:
            management = VncManagement(connection, options, secrets)
            name = options.bus_name
            await watch(connection, name, ending, wait=options.wait)
            # a manager calls as soon as the name is there: what is slow to load is loaded afterwards
            await own(connection, BUS_NAME)
            await _serve(options, secrets, BusAttach(options.dbus_address, name), ending, management)


async def _serve(
    options: VncOptions,
    secrets: VncSecrets,
    attach: Attach,
    ending: Ending,
    management: VncManagement | None,
) -> None:
    from sidecar.drop_in.vnc_frontend import vnc_frontend

    async with vnc_frontend(options, secrets, attach, ending, management):
        reason = await ending.wait()
        log.info("ending", reason=reason)
        # what fails says nothing: that tells a manager that it was not meant
        if management is not None:
            management.leave(reason)


def _peer(options: VncOptions) -> int:
    if options.p2p_fd is not None:
        return options.p2p_fd
    return connect_to_peer(options.dbus_address or "")
