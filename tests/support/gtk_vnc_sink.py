"""GTK-VNC's display, the library of virt-viewer, with a sink for sound that writes down what it is given.

Run by the system's Python, which has its bindings: HOST PORT FILE FORMAT CHANNELS RATE. FILE gets the
samples; on standard output comes a JSON object a line: {"event": "initialized"}, then for each stream "start"
with its form, "data" with the number of its bytes, "stop". Ends with its connection.
"""

import ctypes
import json
import re
import sys

import gi

gi.require_version("GVnc", "1.0")
gi.require_version("Gtk", "3.0")
gi.require_version("GtkVnc", "2.0")
from gi.repository import GObject, Gtk, GtkVnc, GVnc  # noqa: E402 - after the versions


def bytes_of(sample):
    """All of a sample: the bindings give no more of its data than the first byte."""
    address = re.search(r"\(VncAudioSample at (0x[0-9a-f]+)\)", repr(sample))[1]
    # the pointer is the first of the structure
    data = ctypes.c_void_p.from_address(int(address, 16))
    return ctypes.string_at(data.value, sample.length)


def tell(event, **facts):
    print(json.dumps({"event": event, **facts}), flush=True)


class Sink(GObject.Object, GVnc.Audio):
    def __init__(self, file):
        super().__init__()
        self.file = file

    def do_playback_start(self, form):
        tell("start", format=int(form.format), channels=form.nchannels, rate=form.frequency)
        return True

    def do_playback_data(self, sample):
        data = bytes_of(sample)
        self.file.write(data)
        tell("data", size=len(data))
        return True

    def do_playback_stop(self):
        tell("stop")
        return True


def main(host, port, path, *form):
    display = GtkVnc.Display()
    window = Gtk.Window()
    window.add(display)
    window.show_all()
    with open(path, "wb", buffering=0) as file:
        sink = Sink(file)

        def initialized(_display):
            connection = display.get_connection()
            connection.set_audio(sink)
            wanted = GVnc.AudioFormat()
            wanted.format, wanted.nchannels, wanted.frequency = map(int, form)
            connection.set_audio_format(wanted)
            connection.audio_enable()
            tell("initialized")

        display.connect("vnc-initialized", initialized)
        display.connect("vnc-disconnected", lambda _: Gtk.main_quit())
        display.connect("vnc-error", lambda _, text: tell("error", text=text))
        display.open_host(host, port)
        Gtk.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
