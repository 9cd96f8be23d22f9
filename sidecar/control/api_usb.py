"""USB slots in the management API: a list of them, and a WebSocket into each."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, TypedDict, cast

from aiohttp import web
from msgspec import Meta

from sidecar.control.api_peer import peer_address
from sidecar.control.api_websocket import WEBSOCKETS
from sidecar.control.operation import Call, Operation
from sidecar.control.role import Role
from sidecar.session.status import UsbDeviceStatus
from sidecar.usb.bridge import BridgeEnd, UsbBridge
from sidecar.usb.slots import OPEN_TIME, NoSuchSlot, SlotClosed, SlotTaken, UsbSlot, UsbSlots
from sidecar.web.frames import CloseCode
from sidecar.web.upgrade import is_upgrade
from sidecar.web.websocket import WebSocketTransport

ERRORS: Final[Mapping[type[Exception], int]] = MappingProxyType(
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


_STREAM: Final = "Its binary messages are usbredir's byte stream, both ways."


class SlotAnswer(TypedDict):
    """One slot. `address`: whence its holder comes, None while it is free; `device`: as in the status."""

    slot: str
    label: str
    taken: bool
    address: str | None
    device: UsbDeviceStatus | None


class SlotList(TypedDict):
    """Those that are there."""

    slots: list[SlotAnswer]


def usb_operations(slots: UsbSlots) -> tuple[Operation, ...]:
    """GET /api/v1/usb lists the slots; with an upgrade it is a WebSocket into any free one, and
    /api/v1/usb/{slot} into that slot: binary messages are usbredir's byte stream, both ways."""

    async def listed(call: Call) -> SlotList | web.StreamResponse:
        if is_upgrade(call.request.headers):
            return await _connected(call, slots, None)
        return SlotList(slots=[_answer(slot) for slot in slots.by_name.values()])

    async def one(call: Call) -> web.StreamResponse:
        return await _connected(call, slots, call.parameters["slot"])

    return (
        Operation(
            "GET",
            "/api/v1/usb",
            "listUsbSlots",
            "The slots for USB devices; as a WebSocket: the first free one",
            Role.OPERATOR,
            listed,
            users_too=True,
            result=SlotList,
            errors=ERRORS,
            description=f"Asked to upgrade to a WebSocket, it takes the first free slot. {_STREAM}",
        ),
        Operation(
            "GET",
            "/api/v1/usb/{slot}",
            "useUsbSlot",
            "A WebSocket into that slot",
            Role.OPERATOR,
            one,
            users_too=True,
            parameters={"slot": Annotated[str, Meta(description="Its name or label")]},
            success=101,
            errors=ERRORS,
            description=_STREAM,
        ),
    )


async def _connected(call: Call, slots: UsbSlots, name: str | None) -> web.StreamResponse:
    request = call.request
    websockets = request.app[WEBSOCKETS]
    headers = websockets.handshake(request)
    bridge = UsbBridge(peer_address(request), _close)
    try:
        await bridge.take(slots, name, within=OPEN_TIME)
        return await websockets.serve(request, headers, bridge, call.caller)
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
