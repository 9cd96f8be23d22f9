"""What one client sees of the guest: its consoles, by the graphics pipeline or as bitmap updates."""

from collections.abc import Callable, Sequence

from sidecar.broadcast.broadcast import Broadcasts
from sidecar.broadcast.last_words import encoded_last_words
from sidecar.broadcast.message import Message
from sidecar.broadcast.receiver import Update
from sidecar.encode.avc420 import avc_available
from sidecar.encode.form import Form
from sidecar.guest import Console
from sidecar.rdp.bitmap_receiver import BitmapReceiver
from sidecar.rdp.capabilities import ClientCapabilities
from sidecar.rdp.connection import ServerConnection
from sidecar.rdp.graphics_pipeline.capability_sets import Chosen
from sidecar.rdp.graphics_pipeline.pipeline import GraphicsPipeline, SurfaceMapping
from sidecar.rdp.receiver import VIDEO, GraphicsReceiver
from sidecar.rdp.size_wishes import SizeWishes
from sidecar.rdp.views import Layout, fitted, side_by_side
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import TILE, Frame
from sidecar.session.session import Session


class Picture:
    """Nothing is sent before `use_pipeline` or `use_bitmaps`, of which any may be called at any time.

    `consoles`: all that the client may see. `watched`: how many of them it sees, from the first one on, with
    the graphics pipeline; bitmaps show one. `size`: of the desktop that the client was let in to, in pixels.
    `send_graphics` takes a message of the graphics channel, `flush` sends what the connection has, `queued`
    tells how many bytes have not left yet, `fail` ends the session because its picture cannot be made.
    """

    def __init__(
        self,
        session: Session,
        connection: ServerConnection,
        capabilities: ClientCapabilities,
        size: tuple[int, int],
        *,
        consoles: Sequence[Console],
        watched: int,
        wishes: SizeWishes,
        broadcasts: Broadcasts,
        send_graphics: Callable[[bytes], None],
        flush: Callable[[], None],
        queued: Callable[[], int],
        fail: Callable[[BaseException], None],
    ) -> None:
        self.active = True
        """False while the client goes through another activation: nothing may be sent."""
        self._session = session
        self._connection = connection
        self._capabilities = capabilities
        self._size = size
        """Of the desktop as the client knows it."""
        self._all = tuple(consoles)
        self._watched = self._all[:watched]
        self._wishes = wishes
        self._broadcasts = broadcasts
        self._send_graphics = send_graphics
        self._flush = flush
        self._queued = queued
        self._fail = fail
        self._shown = True
        self._message: Message | None = None
        """What lies over the first console."""
        self._pipeline: GraphicsPipeline | None = None
        """None while bitmaps are sent, or nothing."""
        self._receivers: dict[int, GraphicsReceiver | BitmapReceiver] = {}
        """By console number; empty until it is known how the client takes its pixels."""
        self._layout = side_by_side(self._watched)

    @property
    def layout(self) -> Layout:
        """Where the consoles are on the client's desktop."""
        # until something is sent nobody has told it of other sizes
        return self._layout if self._receivers else side_by_side(self._watched)

    @property
    def consoles(self) -> tuple[Console, ...]:
        """The consoles that the client sees."""
        return self._watched

    def use_pipeline(self, pipeline: GraphicsPipeline, chosen: Chosen) -> None:
        """Sends frames of the graphics pipeline, in which the client has no surface now."""
        self._drop_receivers()
        self._pipeline = pipeline
        lossy = VIDEO if chosen.avc420 and avc_available() else None
        for number, console in enumerate(self._watched):
            receiver = GraphicsReceiver(
                self._session,
                console.surface.frame,
                number,
                pipeline,
                surfaces=len(self._watched),
                send=self._send_frame,
                queued=self._queued,
                fail=self._fail,
            )
            receiver.shown = self._shown
            receiver.lossy = lossy
            receiver.adopt_frame = self._adopter(console)
            self._receivers[console.index] = receiver
        self._cover_first()
        self._session.encoding = "clearcodec" if lossy is None else "clearcodec+avc420"
        self._lay_out(pipeline, chosen)
        for console in self._watched:
            self._broadcasts.of(console).add(self._receivers[console.index])

    def use_bitmaps(self) -> None:
        """Sends the first console as bitmap updates."""
        self._drop_receivers()
        self._pipeline = None
        self._watched = self._all[:1]
        console = self._watched[0]
        receiver = BitmapReceiver(
            self._session,
            console.surface.frame,
            self._capabilities,
            send=self._connection.send_fast_path,
            flush=self._flush,
            queued=self._queued,
            fail=self._fail,
        )
        receiver.shown = self._shown and self.active
        receiver.adopt_frame = self._adopter(console)
        self._receivers[console.index] = receiver
        self._cover_first()
        self._fit(console, receiver)
        self._session.encoding = receiver.exact.encoding.name.lower().replace("_", "-")
        self._broadcasts.of(console).add(receiver)

    def watch(self, count: int) -> None:
        """Shows so many consoles, if there are as many and the client takes several."""
        watched = self._all[:count]
        pipeline = self._pipeline
        if watched != self._watched and pipeline is not None and pipeline.chosen is not None:
            self._drop_receivers()
            self._watched = watched
            self.use_pipeline(pipeline, pipeline.chosen)

    def lay_out_anew(self) -> None:
        """Has the client's desktop as large as it is to be now, where that has changed."""
        pipeline = self._pipeline
        if pipeline is not None and pipeline.chosen is not None:
            if self._choose_layout(pipeline.chosen) != self._layout:
                self._lay_out(pipeline, pipeline.chosen)
            self.wake()

    def activated(self, capabilities: ClientCapabilities) -> None:
        """The client has gone through another activation: it shows nothing, and has new capabilities."""
        self.active = True
        self._capabilities = capabilities
        for console in self._watched:
            receiver = self._receivers.get(console.index)
            if isinstance(receiver, BitmapReceiver):
                receiver.activated(capabilities)
                receiver.shown = self._shown
                self._fit(console, receiver)
        self.wake()

    def acknowledged(self, frame_id: int) -> None:
        """The client has shown a frame of bitmaps."""
        for receiver in self._receivers.values():
            if isinstance(receiver, BitmapReceiver):
                receiver.acknowledged(frame_id)
        self.wake()

    def show(self, shown: bool) -> None:
        """Whether anybody can see the client's window; if not nothing is sent."""
        self._shown = shown
        if self.active:
            for receiver in self._receivers.values():
                receiver.shown = shown
            self.wake()

    def refresh(self, areas: Sequence[Rectangle]) -> None:
        """Sends areas of the desktop again."""
        for view in self.layout.views:
            receiver = self._receivers.get(view.console.index)
            if receiver is None:
                continue
            for area in areas:
                receiver.forget(view.part(area))
        self.wake()

    def wake(self) -> None:
        """Sends what there is to send and room for."""
        for console in self._watched:
            receiver = self._receivers.get(console.index)
            if receiver is not None:
                self._broadcasts.of(console).wake_for(receiver)

    def cover(self, message: Message | None) -> None:
        """Lays a message over the first console, in place of one before, or takes it away."""
        if self._message is not None:
            self._message.close()
        self._message = message
        self._cover_first()
        self.wake()

    def covered_screen(self) -> tuple[Rectangle, Form] | None:
        """How much of the first console the client can see, and the form that it takes; None: neither yet."""
        receiver = self._receivers.get(self._watched[0].index)
        return None if receiver is None else (receiver.canvas.visible, receiver.exact)

    def say_goodbye(self, text: str, now: float) -> bool:
        """Writes `text` on the client's first screen, the last that it is shown; False where it cannot be.

        `now`: seconds, never going back.
        """
        console = self._watched[0]
        receiver = self._receivers.get(console.index)
        if receiver is None or not self.active:
            return False
        # what is being encoded for it is not sent any more
        self._broadcasts.of(console).remove(receiver)
        receiver.expect_no_more_answers()
        if not receiver.ready or not receiver.shown:
            return False
        visible = receiver.canvas.visible
        segments = encoded_last_words(
            visible.width, visible.height, text, form=receiver.exact, piece=(TILE, TILE)
        )
        receiver.send_update(Update(segments), now)
        return True

    def close(self) -> None:
        """Sends nothing more."""
        self._drop_receivers()

    def _cover_first(self) -> None:
        receiver = self._receivers.get(self._watched[0].index)
        if receiver is not None:
            receiver.cover(self._message)

    def _drop_receivers(self) -> None:
        for console in self._watched:
            receiver = self._receivers.pop(console.index, None)
            if receiver is not None:
                self._broadcasts.of(console).remove(receiver)

    def _send_frame(self, message: bytes) -> None:
        self._send_graphics(message)
        self._flush()

    def _adopter(self, console: Console) -> Callable[[Frame], None]:
        return lambda frame: self._adopt_frame(console, frame)

    def _adopt_frame(self, console: Console, frame: Frame) -> None:
        """Goes over to a frame of another size."""
        receiver = self._receivers[console.index]
        if len(self._watched) == 1:
            self._wishes.settle(frame)
        if isinstance(receiver, BitmapReceiver):
            self._fit(console, receiver)
        elif self._pipeline is not None and self._pipeline.chosen is not None:
            self._lay_out(self._pipeline, self._pipeline.chosen)
        self._flush()

    def _fit(self, console: Console, receiver: BitmapReceiver) -> None:
        """Has the client's desktop as large as the screen, if it can follow; else it sees what fits."""
        frame = console.surface.frame
        if receiver.canvas.frame is not frame:
            receiver.canvas.adopt(frame, resize=False)
        size = (frame.width, frame.height)
        if self.active and size != self._size and self._capabilities.resizable:
            self.active = False
            receiver.shown = False
            self._size = size
            self._connection.reactivate(*size)
        receiver.canvas.width, receiver.canvas.height = self._size
        self._layout = side_by_side(self._watched)

    def _lay_out(self, pipeline: GraphicsPipeline, chosen: Chosen) -> None:
        """Lays the surfaces out anew; all of their pixels are to be sent again."""
        layout = self._layout = self._choose_layout(chosen)
        self._size = (layout.width, layout.height)
        for view in layout.views:
            receiver = self._receivers[view.console.index]
            frame = view.console.surface.frame
            if receiver.canvas.frame is not frame:
                receiver.canvas.adopt(frame, resize=True)
            else:
                receiver.canvas.forget(frame.bounds)
            self._broadcasts.of(view.console).restart_video(receiver)
        surfaces = [SurfaceMapping(v.surface_id, v.width, v.height, v.area) for v in layout.views]
        self._send_frame(pipeline.lay_out(layout.width, layout.height, layout.monitors, surfaces))

    def _choose_layout(self, chosen: Chosen) -> Layout:
        """The guest's own sizes, or the client's where the guest did not take it and the client can scale."""
        unmet = self._wishes.unmet
        if unmet is not None and chosen.scaled_output and len(self._watched) == 1:
            return fitted(self._watched[0], *unmet)
        return side_by_side(self._watched)
