"""The virtual channels of one session: graphics, display control, touch, and those of the channel table."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from sidecar.log import get_logger
from sidecar.rdp import display_control, dynamic_channels, touch_channel
from sidecar.rdp.channel_table import ChannelHandler, ChannelTable
from sidecar.rdp.display_control import DisplayControl, LayoutIgnored, MonitorLayout
from sidecar.rdp.dynamic_channels import Closed, Data, DynamicChannel, DynamicChannels, Opened, Ready, Refused
from sidecar.rdp.errors import Reason, RemoteError
from sidecar.rdp.graphics_pipeline import pipeline
from sidecar.rdp.graphics_pipeline.capability_sets import Chosen
from sidecar.rdp.graphics_pipeline.pipeline import CapabilitiesChosen, FrameAcknowledged, GraphicsPipeline
from sidecar.rdp.touch_channel import TouchChannel, TouchFrame
from sidecar.rdp.virtual_channel import ChannelSender

if TYPE_CHECKING:
    from sidecar.rdp.desktop import Desktop

log = get_logger(__name__)


MAX_DYNAMIC = 1 << 16
"""Bytes of one message of drdynvc: clients need no more than 1600."""


class ChannelEvents(Protocol):
    """What the channels tell the desktop."""

    def pipeline_ready(self, chosen: Chosen) -> None:
        """The client takes frames of the graphics pipeline; it may say so again, and has no surfaces then."""
        ...

    def pipeline_missing(self) -> None:
        """There is no graphics pipeline with this client, or not any more."""
        ...

    def frame_acknowledged(self) -> None:
        """There is room for another frame."""
        ...

    def layout_wished(self, layout: MonitorLayout) -> None:
        """The client wants its monitors served in these sizes."""
        ...

    def touched(self, frame: TouchFrame) -> None:
        """Fingers."""
        ...


class SessionChannels:
    """All virtual channels of one session.

    `static` opens a static channel for messages of up to so many bytes; `asked_for` are the names of those
    that the client has joined.
    `graphics`: whether the graphics pipeline is wanted, `monitors`: how many the guest can serve.
    """

    def __init__(
        self,
        events: "Desktop",
        table: "ChannelTable[Desktop]",
        *,
        session_id: str,
        asked_for: tuple[str, ...],
        static: Callable[[str, int], ChannelSender],
        chunk_length: int,
        graphics: GraphicsPipeline | None,
        monitors: int,
        now: Callable[[], float],
    ) -> None:
        self._events: ChannelEvents = events
        self._context = events
        self._table = table
        self._session_id = session_id
        self._now = now
        self._graphics = graphics
        self._display = DisplayControl(monitors)
        self._touch = TouchChannel()
        self._static: dict[str, ChannelHandler] = {}
        self._dynamic: dict[DynamicChannel, ChannelHandler] = {}
        self._opening: dict[DynamicChannel, ChannelHandler] = {}
        self._graphics_channel: DynamicChannel | None = None
        self._display_channel: DynamicChannel | None = None
        self._touch_channel: DynamicChannel | None = None
        self._channels: DynamicChannels | None = None
        # some clients ask for one twice
        for name in dict.fromkeys(asked_for):
            if name == dynamic_channels.NAME:
                self._channels = DynamicChannels(static(name, MAX_DYNAMIC), chunk_length)
                self._channels.start()
            elif (handler := table.static_handler(name, events)) is not None:
                self._static[name] = handler
                handler.opened(static(name, handler.max_message))

    @property
    def dynamic(self) -> bool:
        """Whether the client takes dynamic channels."""
        return self._channels is not None

    def give_graphics_up(self) -> None:
        """Does without the graphics pipeline, whatever the client says from now on."""
        self._graphics = None
        channel, self._graphics_channel = self._graphics_channel, None
        if channel is not None:
            channel.close()

    def send_graphics(self, message: bytes) -> None:
        """Sends a message of the graphics channel; nothing is sent once the client has closed it."""
        if self._graphics_channel is not None and self._graphics_channel.is_open:
            self._graphics_channel.send(message)

    def receive(self, name: str, message: bytes) -> None:
        """Takes a message of a static channel; one that nothing serves is left alone. Raises RemoteError."""
        if name == dynamic_channels.NAME and self._channels is not None:
            for event in self._channels.receive(message):
                self._handle(event)
        elif (handler := self._static.get(name)) is not None:
            handler.receive(message)

    def reopen(self, handler: ChannelHandler) -> None:
        """Closes the dynamic channel of a handler and asks for it anew: some protocols have no other end.

        The handler is `opened` again, or `closed` where the client does not have the channel any more;
        until then it must not send. Nothing happens where its channel is not open.
        """
        for channel, served in list(self._dynamic.items()):
            if served is handler and self._channels is not None:
                del self._dynamic[channel]
                channel.close()
                again = self._channels.open(channel.name, handler.max_message)
                self._opening[again] = self._dynamic[again] = handler

    def cancel_touch(self) -> None:
        """Takes all fingers away."""
        frame = self._touch.cancel_all()
        if frame is not None:
            self._events.touched(frame)

    def close(self) -> None:
        """Tells the handlers that the session has ended."""
        for handler in (*self._static.values(), *self._dynamic.values()):
            handler.closed()
        self._static.clear()
        self._dynamic.clear()

    def _handle(self, event: dynamic_channels.Event) -> None:
        match event:
            case Ready():
                self._open()
            case Opened(channel):
                self._opened(channel)
            case Refused(channel) | Closed(channel):
                self._gone(channel)
            case Data(channel, message):
                self._data(channel, message)

    def _open(self) -> None:
        channels = self._channels
        if channels is None:
            return
        if self._graphics is not None:
            self._graphics_channel = channels.open(pipeline.NAME, pipeline.MAX_MESSAGE)
        self._display_channel = channels.open(display_control.NAME, display_control.MAX_MESSAGE)
        self._touch_channel = channels.open(touch_channel.NAME, touch_channel.MAX_MESSAGE)
        for name, handler in self._table.dynamic_handlers(self._context):
            self._opening[channels.open(name, handler.max_message)] = handler

    def _opened(self, channel: DynamicChannel) -> None:
        if channel is self._display_channel:
            channel.send(self._display.opened())
        elif channel is self._touch_channel:
            channel.send(self._touch.opened())
        elif (handler := self._opening.pop(channel, None)) is not None:
            self._dynamic[channel] = handler
            handler.opened(channel)

    def _gone(self, channel: DynamicChannel) -> None:
        log.debug("dynamic channel not served", session=self._session_id, channel=channel.name)
        if channel is self._graphics_channel:
            self._graphics_channel = None
            self._events.pipeline_missing()
        elif channel is self._touch_channel:
            self.cancel_touch()
        elif (handler := self._dynamic.pop(channel, None)) is not None:
            handler.closed()
        self._opening.pop(channel, None)

    def _data(self, channel: DynamicChannel, message: bytes) -> None:
        if channel is self._graphics_channel:
            self._graphics_message(message)
        elif channel is self._display_channel:
            self._display_message(message)
        elif channel is self._touch_channel:
            for event in self._touch.receive(message):
                if isinstance(event, TouchFrame):
                    self._events.touched(event)
        elif (handler := self._dynamic.get(channel)) is not None:
            handler.receive(message)

    def _graphics_message(self, message: bytes) -> None:
        if self._graphics is None:
            return
        try:
            for event in self._graphics.receive(message, self._now()):
                match event:
                    case CapabilitiesChosen(chosen):
                        self._events.pipeline_ready(chosen)
                    case FrameAcknowledged():
                        self._events.frame_acknowledged()
        except RemoteError as error:
            if error.reason is not Reason.REFUSED:
                raise
            log.info("no graphics pipeline", session=self._session_id, cause=error.text)
            self.give_graphics_up()
            self._events.pipeline_missing()
            return
        answer = self._graphics.outgoing()
        if answer:
            self.send_graphics(answer)

    def _display_message(self, message: bytes) -> None:
        for event in self._display.receive(message):
            match event:
                case MonitorLayout():
                    self._events.layout_wished(event)
                case LayoutIgnored(text):
                    log.debug("monitor layout ignored", session=self._session_id, cause=text)
