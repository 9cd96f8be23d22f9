"""`vdi-sidecar screenshot` and `message` against a running admin socket."""

import asyncio
import contextlib
import io
import os
from collections.abc import AsyncIterator
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image
from support.pictures import from_rgb_bytes, read_picture
from support.synthetic_guest import SyntheticGuest

from sidecar.cli import screen
from sidecar.config.run_directory import ADMIN_SOCKET
from sidecar.control import admin_screen
from sidecar.control.admin import AdminServer
from sidecar.control.admin_client import AdminRefused
from sidecar.control.admin_commands import CommandTable
from sidecar.control.admin_screen import screen_commands
from sidecar.control.screenshots import Screenshots
from sidecar.errors import UsageError
from sidecar.session.registry import Registry
from sidecar.session.session import Session


class House:
    """A daemon's admin socket in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.guest = SyntheticGuest()
        noise = np.random.default_rng(3).integers(0, 1 << 24, (200, 320), dtype=np.uint32)
        self.guest.console.draw(0, 0, noise)
        self.registry = Registry()
        self.shown: list[tuple[str, str, float]] = []

    @property
    def picture(self) -> np.ndarray:
        return self.guest.console.surface.frame.pixels

    def session(self, *, has_picture: bool = True) -> Session:
        session = self.registry.connect("vnc", "tcp", "", end=lambda reason: None)
        self.registry.initialize(session)
        if has_picture:
            session.show = lambda text, seconds: self.shown.append((session.id, text, seconds))
        return session

    async def run(self, command: click.Command, *arguments: str) -> None:
        """Runs a command as the command line does."""
        line = ["--run-dir", str(self.directory), *arguments]
        await asyncio.to_thread(command.main, line, standalone_mode=False)


@pytest.fixture
async def house(short_dir: Path) -> AsyncIterator[House]:
    house = House(short_dir)
    commands = screen_commands(house.registry, Screenshots(house.guest, house.registry))
    async with AdminServer(short_dir / ADMIN_SOCKET, CommandTable(*commands)):
        yield house


async def test_a_screenshot_is_saved_for_nobody_else_to_read(house: House, tmp_path: Path) -> None:
    path = tmp_path / "screen.png"
    await house.run(screen.screenshot, "-o", str(path))
    assert np.array_equal(read_picture(path), house.picture)
    assert path.stat().st_mode & 0o777 == 0o600


async def test_it_goes_to_standard_output_where_that_is_no_terminal(
    house: House, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    for arguments in ((), ("-o", "-")):
        await house.run(screen.screenshot, *arguments)
        with Image.open(io.BytesIO(capfdbinary.readouterr().out)) as picture:
            assert np.array_equal(from_rgb_bytes(np.asarray(picture)), house.picture)


async def test_a_large_file_comes_in_many_pieces(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_screen, "PIECE", 1000)
    await house.run(screen.screenshot, "-o", str(tmp_path / "screen.png"))
    assert np.array_equal(read_picture(tmp_path / "screen.png"), house.picture)


async def test_a_screenshot_that_cannot_be_had_leaves_no_file(house: House, tmp_path: Path) -> None:
    path = tmp_path / "screen.png"
    with pytest.raises(AdminRefused, match="no console 7"):
        await house.run(screen.screenshot, "--console", "7", "-o", str(path))
    assert not path.exists()
    with pytest.raises(screen.CannotWrite, match="no such file or directory"):
        await house.run(screen.screenshot, "-o", str(tmp_path / "none" / "screen.png"))


async def test_a_terminal_gets_no_picture(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    leader, follower = os.openpty()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, leader)
        terminal = stack.enter_context(os.fdopen(follower, "w"))
        monkeypatch.setattr("sys.stdout", terminal)
        with pytest.raises(UsageError, match="-o FILE"):
            await house.run(screen.screenshot)


async def test_a_message_goes_to_one_or_to_all(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = house.session(), house.session()
    house.session(has_picture=False)
    await house.run(screen.message, one.id, "Save your work.")
    await house.run(screen.message, "--all", "--seconds", "1m", "Now.")
    assert house.shown == [(one.id, "Save your work.", 10), (one.id, "Now.", 60), (other.id, "Now.", 60)]
    assert capsys.readouterr().out == "shown in 1 session\nshown in 2 sessions\n"


@pytest.mark.parametrize(
    "arguments", [("just a text",), ("v1", "a", "b"), ("--all", "v1", "text")], ids=["one", "three", "both"]
)
async def test_who_does_not_say_to_whom_and_what_is_told(house: House, arguments: tuple[str, ...]) -> None:
    house.session()
    with pytest.raises(UsageError, match="say to whom"):
        await house.run(screen.message, *arguments)
    assert house.shown == []


async def test_what_is_wrong_with_a_message_is_told(house: House) -> None:
    one, other = house.session(), house.session(has_picture=False)
    for arguments, error in (
        (("v99", "text"), "v99"),
        ((other.id, "text"), "shows no picture"),
        ((one.id, "  "), "needs a text"),
        ((one.id, "x" * 501), "at most 500"),
        ((one.id, "--seconds", "61", "text"), "1 to 60 seconds"),
        ((one.id, "--seconds", "0.5", "text"), "1 to 60 seconds"),
    ):
        with pytest.raises(AdminRefused, match=error):
            await house.run(screen.message, *arguments)
    assert house.shown == []


async def test_a_message_may_have_lines_and_any_letters_but_nothing_that_cannot_be_printed(
    house: House,
) -> None:
    one = house.session()
    await house.run(screen.message, one.id, "Größe:\n\t終わり " + "é" * 480)
    await house.run(screen.message, one.id, "\x1b[2J\x07")
    assert house.shown == [(one.id, "Größe: 終わり " + "é" * 480, 10), (one.id, "?[2J?", 10)]
