"""How long a client's answer takes, in the record of its session."""

import pytest
from support import rdp_server_pdus as server
from support.rdp_house import house
from support.rdp_script import Received
from support.rdp_viewer import RdpViewer, graphics_profile

from sidecar.rdp import round_trips

RTT_RESPONSE = 0x0000
NETCHAR_AUTODETECT = 0x0080


class Answering(RdpViewer):
    """A client that answers round trip requests, as many as `answers` says."""

    answers = 1
    asked = 0

    def _take(self, pdu: Received) -> None:
        super()._take(pdu)
        if isinstance(pdu, server.AutoDetect):
            self.asked += 1
            if self.asked <= self.answers:
                self.send(self.auto_detect_response(pdu.sequence, RTT_RESPONSE))


PROFILE = graphics_profile(early=0x0001 | NETCHAR_AUTODETECT | 0x0100, message_channel=True)


async def test_a_client_that_answers_is_asked_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(round_trips, "INTERVAL", 0.05)
    async with house() as here:
        client = await here.viewer(PROFILE, Answering)
        (session,) = here.registry
        await client.until(lambda: client.asked >= 3, "it is asked three times")
        assert session.round_trip is not None
        assert 0 < session.round_trip < 60


async def test_an_answer_to_nobodys_question_says_nothing() -> None:
    async with house() as here:
        client = await here.viewer(PROFILE, Answering)
        (session,) = here.registry
        await client.until(lambda: session.round_trip is not None, "it has answered")
        first = session.round_trip
        client.send(client.auto_detect_response(1, RTT_RESPONSE))
        client.send(client.auto_detect_response(77, RTT_RESPONSE))
        here.console.draw(0, 0, here.console.surface.frame.snapshot(here.console.surface.frame.bounds) + 1)
        await client.until_shown(here.console.surface.frame.pixels)
        assert session.round_trip == first


async def test_a_client_that_cannot_is_not_asked() -> None:
    async with house() as here:
        client = await here.viewer(graphics_profile(), Answering)
        await client.until_shown(here.console.surface.frame.pixels)
        (session,) = here.registry
        assert client.asked == 0
        assert session.round_trip is None
