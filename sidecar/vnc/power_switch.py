"""The machine's switches, worked by a viewer (xvp)."""

from collections.abc import Callable, Coroutine
from typing import Any

from sidecar.guest import Power, PowerRefused
from sidecar.log import get_logger
from sidecar.session.session import Session
from sidecar.vnc import messages
from sidecar.vnc.events import Xvp
from sidecar.vnc.wire import XvpCode

log = get_logger(__name__)


class _NoPower:
    """The switches of sessions that may not touch them."""

    async def shut_down(self) -> None:
        """Nobody is there to do it."""
        raise PowerRefused("this session may not switch the machine")

    async def reset(self) -> None:
        """Nobody is there to do it."""
        raise PowerRefused("this session may not switch the machine")


NO_POWER: Power = _NoPower()


class PowerSwitch:
    """What one session may switch, one thing at a time. `write` takes the answers."""

    def __init__(
        self,
        session: Session,
        power: Power,
        write: Callable[[bytes], None],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._session = session
        self._power = power
        self._write = write
        self._spawn = spawn
        self._busy = False

    def handle(self, event: Xvp) -> None:
        """Does what the client asks for, or tells it that it cannot be done."""
        known = event.code in (XvpCode.SHUTDOWN, XvpCode.REBOOT, XvpCode.RESET)
        if self._session.view_only or self._busy or not known:
            self._write(messages.xvp(XvpCode.FAIL))
        else:
            self._busy = True
            self._spawn(self._switch(XvpCode(event.code)))

    async def _switch(self, code: XvpCode) -> None:
        log.info("power switched by a viewer", session=self._session.id, switch=code.name.lower())
        try:
            if code is XvpCode.SHUTDOWN:
                await self._power.shut_down()
            elif code is XvpCode.RESET:
                await self._power.reset()
            else:
                # a reboot in good order is for the guest itself to do; QEMU answers the same
                self._write(messages.xvp(XvpCode.FAIL))
        except PowerRefused as refusal:
            log.info("power switch refused", session=self._session.id, cause=str(refusal))
            self._write(messages.xvp(XvpCode.FAIL))
        finally:
            self._busy = False
