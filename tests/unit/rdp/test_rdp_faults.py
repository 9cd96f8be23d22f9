"""What a connection makes of a client at fault: it is told, and nobody else waits for it."""

import pytest
from support import rdp_client_pdus as client
from support import rdp_server_pdus as server
from support.rdp_conversation import Conversation
from support.rdp_script import Profile

from sidecar.rdp.connection import MAX_SILENT, Stage
from sidecar.rdp.error_info import ErrorInfo
from sidecar.rdp.errors import RemoteError
from sidecar.rdp.events import Login, Silence

NO_PDU = b"\x03\0\0\x08\x02\xf0\x80\xff"


def told(conversation: Conversation) -> list[bytes]:
    return [
        pdu.body
        for pdu in conversation.peer.heard(server.ShareData)
        if isinstance(pdu, server.ShareData) and pdu.kind == server.SET_ERROR_INFO
    ]


@pytest.mark.parametrize("moment", ["confirm_active", "font_list", ""])
@pytest.mark.parametrize("listens", [True, False])
def test_a_client_at_fault_is_told_so_if_it_can_be(moment: str, listens: bool) -> None:
    early = client.ERRINFO if listens else 0
    conversation = Conversation(Profile(early=early)).until(moment)
    with pytest.raises(RemoteError):
        conversation.say(NO_PDU)
    expected = [ErrorInfo.UNKNOWNPDUTYPE.to_bytes(4, "little")] if listens else []
    assert told(conversation) == expected
    assert isinstance(conversation.peer.inbox[-1], server.Ultimatum)
    assert conversation.stage is Stage.CLOSED


def test_before_the_login_a_client_at_fault_hears_no_more_than_the_end() -> None:
    conversation = Conversation().until("joins")
    with pytest.raises(RemoteError):
        conversation.say(NO_PDU)
    assert isinstance(conversation.peer.inbox[-1], server.Ultimatum)
    assert told(conversation) == []


@pytest.mark.parametrize("kind", [client.PERSISTENT_KEY_LIST, client.SYNCHRONIZE])
def test_pdus_that_ask_for_nothing_are_read_in_turns(kind: int) -> None:
    conversation = Conversation().until("")
    pdu = conversation.peer.share(kind, b"\x01\0\xea\x03")
    assert conversation.say(pdu * (MAX_SILENT - 1)) == []
    events = conversation.say(pdu * (3 * MAX_SILENT))
    assert 2 <= len(events) <= 3
    assert set(events) == {Silence()}
    assert conversation.connection.buffered == 0


def test_a_channel_that_is_asked_for_twice_is_one() -> None:
    conversation = Conversation(Profile(channels=("drdynvc", "cliprdr", "drdynvc"))).until("joins")
    peer = conversation.peer
    # the script knows channels by their names, and would join one of the two alone
    for channel in (peer.user, server.IO_CHANNEL, 1004, 1005, 1006):
        conversation.say(client.join(peer.user, channel))
    (login,) = conversation.step("client_info")
    assert isinstance(login, Login)
    assert login.client.channels == ("drdynvc", "cliprdr")
