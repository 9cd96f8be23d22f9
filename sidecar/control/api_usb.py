"""USB slots in the management API: a list of them, and a WebSocket into each."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypedDict, cast

from aiohttp import web

from sidecar.control.api import peer_address
from sidecar.control.api_access import Refused
from sidecar.control.api_websocket import WEBSOCKETS
from sidecar.session.status import UsbDeviceStatus
from sidecar.usb.bridge import BridgeEnd, UsbBridge
from sidecar.usb.slots import OPEN_TIME, NoSuchSlot, SlotClosed, SlotTaken, UsbSlot, UsbSlots
from sidecar.web.frames import CloseCode
from sidecar.web.upgrade import is_upgrade
from sidecar.web.websocket import WebSocketTransport

_STATUS: Final[Mapping[type[Exception], int]] = MappingProxyType(
    {NoSuchSlot: 404, SlotTaken: 409, SlotClosed: 503}
)

_CODES: Final[Mapping[BridgeEnd, CloseCode]] = MappingProxyType(
    {
        BridgeEnd.MACHINE_AWAY: CloseCode.SERVICE_RESTART,
        BridgeEnd.UNPLUGGED: CloseCode.GOING_AWAY,
        BridgeEnd.STOPPING: CloseCode.GOING_AWAY,
        BridgeEnd.DOES_NOT_READ: CloseCode.TRY_AGAIN_LATER,
    }
)


class SlotAnswer(TypedDict):
    """One slot. `address`: whence its holder comes, None while it is free; `device`: as in the status."""

    slot: str
    label: str
    taken: bool
    address: str | None
    device: UsbDeviceStatus | None


def usb_routes(slots: UsbSlots) -> list[web.RouteDef]:
    """GET /api/v1/usb lists the slots; with an upgrade it is a WebSocket into any free one, and
    /api/v1/usb/{slot} into that slot: binary messages are usbredir's byte stream, both ways."""

    async def listed(request: web.Request) -> web.StreamResponse:
        if is_upgrade(request.headers):
            return await _connected(request, slots, None)
        return web.json_response({"slots": [_answer(slot) for slot in slots.by_name.values()]})

    async def one(request: web.Request) -> web.StreamResponse:
        return await _connected(request, slots, request.match_info["slot"])

    return [
        web.get("/api/v1/usb", listed, allow_head=False),
        web.get("/api/v1/usb/{slot}", one, allow_head=False),
    ]


async def _connected(request: web.Request, slots: UsbSlots, name: str | None) -> web.StreamResponse:
    websockets = request.app[WEBSOCKETS]
    headers = websockets.handshake(request)
    bridge = UsbBridge(peer_address(request), _close)
    try:
        await bridge.take(slots, name, within=OPEN_TIME)
        return await websockets.serve(request, headers, bridge)
    except (NoSuchSlot, SlotTaken, SlotClosed) as error:
        raise Refused(_STATUS[type(error)], str(error)) from None
    finally:
        bridge.leave()


def _close(transport: asyncio.Transport, end: BridgeEnd) -> None:
    cast("WebSocketTransport", transport).close_with(_CODES[end], end.value)


def _answer(slot: UsbSlot) -> SlotAnswer:
    holder = slot.holder
    return SlotAnswer(
        slot=slot.name,
        label=slot.label,
        taken=slot.is_taken,
        address=None if holder is None else holder.address,
        device=slot.device_status(),
    )
