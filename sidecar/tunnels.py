"""What connections carry besides screen and input: sound, clipboard and serial ports, put together."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from sidecar.clipboard.shared import ClipboardDirection, SharedClipboard
from sidecar.config.options import DaemonOptions
from sidecar.guest import Console, Guest
from sidecar.input.layout import Layout
from sidecar.serial.line import SerialLines, WritePolicy
from sidecar.vnc.audio import audio_tunnel
from sidecar.vnc.capabilities import NO_EXTENSIONS, Extension
from sidecar.vnc.cut_text import clipboard_tunnel
from sidecar.vnc.streams import streams_tunnel
from sidecar.vnc.tunnel import TunnelFactory

if TYPE_CHECKING:
    from sidecar.rdp.channel_table import ChannelTable
    from sidecar.rdp.desktop import Desktop
    from sidecar.terminal.guest import TerminalGuest


class Tunnels:
    """The tunnels that the options of a daemon ask for."""

    def __init__(self, options: DaemonOptions, guest: Guest) -> None:
        self._options = options
        self._machine = guest
        self.guest = guest
        """The machine as frontends see it: with a console for each serial port, where that is wanted."""
        self.vnc: list[TunnelFactory] = []
        """What VNC sessions carry."""
        self.offered = NO_EXTENSIONS
        """The extensions that VNC clients are offered for it."""
        self._clipboard: SharedClipboard | None = None
        self._lines: SerialLines | None = None

    @contextmanager
    def open(self) -> Iterator["Tunnels"]:
        """Serves while it is entered."""
        options, guest = self._options, self._machine
        with ExitStack() as stack:
            if options.sound:
                self.vnc.append(audio_tunnel(guest.audio))
                self.offered |= Extension.QEMU_AUDIO
            if options.clipboard != "off":
                direction = ClipboardDirection(options.clipboard)
                self._clipboard = stack.enter_context(
                    closing(
                        SharedClipboard(
                            guest.clipboard, direction=direction, between_sessions=options.share_clipboard
                        )
                    )
                )
                self.vnc.append(clipboard_tunnel(self._clipboard))
                self.offered |= Extension.EXTENDED_CLIPBOARD
            if options.serial != "off":
                write = WritePolicy(options.serial)
                lines = self._lines = stack.enter_context(
                    closing(SerialLines(guest, write=write, monitors=options.monitor))
                )
                self.vnc.append(streams_tunnel(lines))
                self.offered |= Extension.STREAMS
                if options.text_consoles:
                    self.guest = stack.enter_context(self._with_text_consoles(lines))
            yield self

    def _with_text_consoles(self, lines: SerialLines) -> "closing[TerminalGuest]":
        from sidecar.terminal.guest import TerminalGuest

        return closing(TerminalGuest(self._machine, lines, Layout(self._options.keyboard_layout)))

    def console(self, name: str) -> Console | None:
        """The console of that label, number, or name of a serial port; None while there is none."""
        line = None if self._lines is None else self._lines.by_name.get(name)
        for console in self.guest.consoles.values():
            # what is a port's name is no number
            if console.label == line.label if line else name in {console.label, str(console.index)}:
                return console
        return None

    def rdp(self) -> "ChannelTable[Desktop]":
        """What RDP sessions carry."""
        from sidecar.rdp.audio_channels import audio_channels
        from sidecar.rdp.audio_input_channel import microphone_channels
        from sidecar.rdp.channel_table import ChannelTable
        from sidecar.rdp.clipboard_channel import clipboard_channels
        from sidecar.rdp.clipboard_pdus import NAME
        from sidecar.session.microphone import MicrophonePolicy, Microphones

        table: ChannelTable[Desktop] = ChannelTable()
        if self._options.sound:
            audio_channels(self._machine.audio, table)
        if self._options.microphone != "off":
            policy = MicrophonePolicy(self._options.microphone)
            microphone_channels(self._machine.microphone, table, Microphones(policy))
        if self._clipboard is not None:
            table.add_static(NAME, clipboard_channels(self._clipboard))
        return table
