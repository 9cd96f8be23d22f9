"""Plays many VNC viewers from one process, on one loop over epoll, and tells what they got.

    python load_clients.py '{"port": 5900, "viewers": 16, "encodings": [7, -224, -254], "seconds": 10, ...}'

Prints "ready" when all viewers have their first picture, "begin" and "end" around the time that is measured,
and then the result as one line of JSON. Each viewer asks for the next update when it has one, as viewers do.
"""

import json
import random
import select
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from bench.skip_parser import SkipParser
from support import rfb_wire

WIDTH, HEIGHT = 1024, 768
KEYSYMS = [ord(letter) for letter in "abcdefghijklmnopqrstuvwxyz"]


@dataclass
class Plan:
    """What is to be played."""

    port: int
    viewers: int
    encodings: list[int]
    seconds: float
    warm_up: float = 2.0
    type_keys: bool = False
    """One viewer types; the time from a key press to its next update is taken."""
    greet_only: bool = False
    """Only connect, all in one instant, and take the time until each has its ServerInit."""


@dataclass
class Result:
    """Times in seconds."""

    seconds: float = 0.0
    updates: list[int] = field(default_factory=list)
    """Per viewer."""
    bytes: int = 0
    rectangles: int = 0
    latencies: list[float] = field(default_factory=list)
    greeted: list[float] = field(default_factory=list)
    refused: int = 0
    processor: float = 0.0
    """What this process itself has used."""


class Viewer:
    """One connection: handshake, then updates."""

    def __init__(self, plan: Plan) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", plan.port))
        self.parser = SkipParser()
        self.plan = plan
        self.greeted = False
        self.stage = 0
        self.kept = b""
        self.request = rfb_wire.update_request(True, 0, 0, WIDTH, HEIGHT)

    def on_readable(self) -> int:
        """How many updates have come."""
        if self.greeted:
            count = self.parser.read(self.socket)
            if count:
                self.socket.send(self.request)
            return count
        self.handshake()
        return 0

    def handshake(self) -> None:
        """RFB 3.8, security None."""
        # byte by byte exact, since what follows belongs to the parser
        wanted = (
            (12, 2, 4, 24)[self.stage] if self.stage < 4 else 24 + int.from_bytes(self.kept[20:24], "big")
        )
        data = self.socket.recv(wanted - len(self.kept))
        if not data:
            raise ConnectionError("refused")
        self.kept += data
        if len(self.kept) < wanted:
            return
        if self.stage == 0:
            self.socket.send(b"RFB 003.008\n")
        elif self.stage == 1:
            if self.kept != b"\x01\x01":
                raise ConnectionError(f"security {self.kept!r}")
            self.socket.send(b"\x01")
        elif self.stage == 2:
            if self.kept != bytes(4):
                raise ConnectionError("refused")
            self.socket.send(b"\x01")
        elif self.stage == 3:
            self.stage = 4
            self.handshake()
            return
        else:
            self.greeted = True
            self.socket.send(
                rfb_wire.set_pixel_format(rfb_wire.BGRX)
                + rfb_wire.set_encodings(self.plan.encodings)
                + rfb_wire.update_request(False, 0, 0, WIDTH, HEIGHT)
            )
            return
        self.stage += 1
        self.kept = b""


class Players:
    """All viewers of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.result = Result()
        self.poll = select.epoll()
        self.started = time.perf_counter()
        self.viewers: dict[int, Viewer] = {}
        for _ in range(plan.viewers):
            viewer = self.add()
            if not plan.greet_only:
                # QEMU's own server leaves viewers out that come all at once: one after the other
                self.until(lambda viewer=viewer: viewer.greeted, "a viewer was not greeted")

    def add(self) -> Viewer:
        viewer = Viewer(self.plan)
        self.viewers[viewer.socket.fileno()] = viewer
        self.poll.register(viewer.socket.fileno(), select.EPOLLIN)
        return viewer

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Serves everybody until it holds; ends the program with `what` after a minute."""
        end = time.perf_counter() + 60
        while not condition():
            if time.perf_counter() > end or self.result.refused:
                raise SystemExit(what)
            self.turn(time.perf_counter() + 0.005)

    def turn(self, until: float, watched: Viewer | None = None) -> bool:
        """Serves whoever has something to read until that moment, or until `watched` has got an update."""
        while (left := until - time.perf_counter()) > 0:
            for descriptor, _ in self.poll.poll(left):
                viewer = self.viewers[descriptor]
                try:
                    count = viewer.on_readable()
                except BlockingIOError:
                    continue
                except ConnectionError:
                    self.drop(descriptor)
                    continue
                if viewer.greeted and viewer.kept:
                    viewer.kept = b""
                    self.result.greeted.append(time.perf_counter() - self.started)
                    if self.plan.greet_only and len(self.result.greeted) == len(self.viewers):
                        return True
                if count and viewer is watched:
                    return True
        return False

    def drop(self, descriptor: int) -> None:
        self.poll.unregister(descriptor)
        self.viewers.pop(descriptor).socket.close()
        self.result.refused += 1

    def play(self) -> Result:
        plan = self.plan
        if plan.greet_only:
            self.turn(self.started + plan.seconds)
            return self.result
        self.until(
            lambda: all(viewer.parser.updates for viewer in self.viewers.values()), "a viewer got no picture"
        )
        print("ready", flush=True)
        self.turn(time.perf_counter() + plan.warm_up)
        before = {fd: viewer.parser.updates for fd, viewer in self.viewers.items()}
        bytes_before = sum(viewer.parser.bytes for viewer in self.viewers.values())
        rectangles_before = sum(viewer.parser.rectangles for viewer in self.viewers.values())
        print("begin", flush=True)
        begin = time.perf_counter()
        processor = time.process_time()
        end = begin + plan.seconds
        if plan.type_keys:
            self.type_until(end)
        else:
            self.turn(end)
        self.result.seconds = time.perf_counter() - begin
        print("end", flush=True)
        self.result.processor = time.process_time() - processor
        self.result.updates = [viewer.parser.updates - before[fd] for fd, viewer in self.viewers.items()]
        self.result.bytes = sum(viewer.parser.bytes for viewer in self.viewers.values()) - bytes_before
        total = sum(viewer.parser.rectangles for viewer in self.viewers.values())
        self.result.rectangles = total - rectangles_before
        return self.result

    def type_until(self, end: float) -> None:
        """Types at random moments, so that no timer of the server's is met in step."""
        chance = random.Random(1)
        typist = next(iter(self.viewers.values()))
        while time.perf_counter() < end:
            self.turn(min(end, time.perf_counter() + chance.uniform(0.08, 0.25)))
            keysym = chance.choice(KEYSYMS)
            pressed = time.perf_counter()
            typist.socket.send(rfb_wire.key_event(keysym, True))
            if self.turn(pressed + 5, typist):
                self.result.latencies.append(time.perf_counter() - pressed)
            typist.socket.send(rfb_wire.key_event(keysym, False))


def main() -> None:
    """Plays the plan that is the first argument."""
    plan = Plan(**json.loads(sys.argv[1]))
    print(json.dumps(asdict(Players(plan).play())), flush=True)


if __name__ == "__main__":
    main()
