"""A seat at a console whose guest writes down what reaches it."""

from collections.abc import Callable

import pytest
from recording_console import Clock, Journal, MakeSession, RecordingConsole

from sidecar.input.layout import Layout
from sidecar.input.seat import Seat
from sidecar.input.session_input import SessionInput


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def console() -> RecordingConsole:
    return RecordingConsole()


@pytest.fixture
def journal(console: RecordingConsole) -> Journal:
    return console.journal


@pytest.fixture
def seat(console: RecordingConsole, clock: Clock) -> Seat:
    return Seat(console, clock)


@pytest.fixture
def session(seat: Seat) -> MakeSession:
    def make(layout: str = "us", view_only: Callable[[], bool] = lambda: False) -> SessionInput:
        return SessionInput(seat, Layout(layout), view_only)

    return make
