"""QEMU's three policies for clients that want a machine for themselves."""

import pytest

from sidecar.drop_in.sharing import Sharing, SharingRegistry
from sidecar.session.session import Session
from sidecar.session.state import EndReason, SessionRefused


class Viewers:
    def __init__(self, sharing: Sharing) -> None:
        self.registry = SharingRegistry(sharing)
        self.ended: list[tuple[str, EndReason]] = []

    def come(self, name: str, *, shared: bool) -> Session:
        session = self.registry.connect(
            "vnc", "tcp", "192.0.2.1:1", end=lambda reason: self.ended.append((name, reason))
        )
        self.registry.initialize(session, shared=shared, user=name)
        return session


def test_one_that_wants_to_be_alone_ends_the_others() -> None:
    viewers = Viewers(Sharing.ALLOW_EXCLUSIVE)
    viewers.come("a", shared=True)
    viewers.come("b", shared=True)
    alone = viewers.come("c", shared=False)
    assert viewers.ended == [("a", EndReason.REPLACED), ("b", EndReason.REPLACED)]
    assert [session.user for session in viewers.registry] == ["c"]
    with pytest.raises(SessionRefused) as refused:
        viewers.come("d", shared=True)
    assert refused.value.reason is EndReason.OCCUPIED
    viewers.come("e", shared=False)
    assert viewers.ended[2:] == [("c", EndReason.REPLACED)]
    assert not alone.is_initialized


def test_those_who_share_come_when_nobody_is_alone_any_more() -> None:
    viewers = Viewers(Sharing.ALLOW_EXCLUSIVE)
    viewers.registry.disconnected(viewers.come("a", shared=False))
    viewers.come("b", shared=True)
    assert viewers.ended == []


def test_nobody_is_alone_where_sharing_is_forced() -> None:
    viewers = Viewers(Sharing.FORCE_SHARED)
    viewers.come("a", shared=True)
    with pytest.raises(SessionRefused) as refused:
        viewers.come("b", shared=False)
    assert refused.value.reason is EndReason.OCCUPIED
    viewers.come("c", shared=True)
    assert viewers.ended == []


def test_the_wish_is_ignored_where_nobody_looks() -> None:
    viewers = Viewers(Sharing.IGNORE)
    for name, shared in (("a", True), ("b", False), ("c", True)):
        viewers.come(name, shared=shared)
    assert viewers.ended == []
    assert viewers.registry.count() == 3
