"""What the source logs: every event is in docs/observability.md, and belongs to its session."""

from support.logged_events import LEVELS, PAGE, logged_events, table, table_of

OF_ALL = {
    "a viewer's task failed",
    "connection refused",
    "sound is encoded too slowly, some is dropped",
    "sound is sent uncompressed",
}
"""Events of the rooms below that concern no session of their own, or one that has not begun."""


def test_the_page_has_every_event_with_its_keys() -> None:
    # `python -m support.logged_events` in tests/ writes the table anew
    assert table_of(PAGE.read_text()) == table()


def test_what_a_viewer_does_is_logged_with_its_session() -> None:
    for event in logged_events().values():
        if event.rooms & {"broadcast", "clipboard", "rdp", "transport", "vnc"} and event.name not in OF_ALL:
            assert "session" in event.keys or "console" in event.keys, event.name


def test_no_key_hides_what_every_line_has() -> None:
    every_line = {"time", "level", "logger", "event", "traceback"}
    assert {name for name, event in logged_events().items() if every_line & event.keys.keys()} == set()


def test_why_is_told_under_one_key() -> None:
    """`reason` is for how a session ended, in the words of EndReason; `error` is nobody's."""
    for event in logged_events().values():
        assert "error" not in event.keys, event.name
        if event.rooms & {"qemu", "hook", "report", "transport"}:
            assert "reason" not in event.keys or event.name == "session disconnected", event.name


def test_no_secret_is_logged() -> None:
    secrets = {"password", "secret", "token", "hash", "key", "text", "credentials"}
    for event in logged_events().values():
        assert not secrets & event.keys.keys(), event.name


def test_the_reader_of_the_source_finds_what_is_there() -> None:
    events = logged_events()
    assert len(events) > 100
    assert set(events["session initialized"].keys) >= {"session", "protocol", "address", "user"}
    assert events["session disconnected"].levels == {"debug", "info"}
    assert all(event.levels <= set(LEVELS.values()) for event in events.values())
