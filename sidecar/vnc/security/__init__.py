"""How a client proves who it is: one file for each method.

A method is a conversation: a generator that yields how many bytes it reads next (it is resumed with exactly
those) or a question to the driver (it is resumed when the driver has said yes). Bytes for the client go to
`Channel.send`.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass

from sidecar.vnc.events import Question
from sidecar.vnc.wire import VeNCryptSubtype

Conversation = Generator[int | Question, bytes, None]


@dataclass(frozen=True, slots=True)
class Channel:
    """What a method may use of its connection.

    `send` takes bytes for the client; `random` gives that many unpredictable bytes; `subtypes` are the
    VeNCrypt subtypes that are accepted on this connection.
    """

    send: Callable[[bytes], None]
    random: Callable[[int], bytes]
    subtypes: tuple[VeNCryptSubtype, ...]


Method = Callable[[Channel], Conversation]
