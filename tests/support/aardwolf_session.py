"""One session of the aardwolf client, as a process of its own: `aardwolf_session.py PLAN`.

The plan is what `support.rdp_clients.aardwolf` makes; the last line of the output is what it reads. aardwolf
knows slow-path input, bitmap updates (no EGFX), TLS and NLA.
"""

import asyncio
import json
import sys
from typing import Any
from urllib.parse import quote

from aardwolf.commons.factory import RDPConnectionFactory
from aardwolf.commons.iosettings import RDPIOSettings
from aardwolf.commons.queuedata.constants import MOUSEBUTTON
from aardwolf.protocol.x224.constants import SUPP_PROTOCOLS

PROTOCOLS = {"tls": SUPP_PROTOCOLS.SSL, "nla": SUPP_PROTOCOLS.HYBRID}
AUTHENTICATION = {"tls": "plain-password", "nla": "ntlm-password"}


async def play(plan: dict[str, Any]) -> dict[str, Any]:
    settings = RDPIOSettings()
    settings.video_width, settings.video_height = 1024, 768
    settings.video_bpp_min = settings.video_bpp_max = plan["depth"]
    settings.video_bpp_supported = [plan["depth"]]
    settings.clipboard_use_pyperclip = False
    settings.supported_protocols = PROTOCOLS[plan["security"]]
    who = f"{quote(plan['user'])}:{quote(plan['password'], safe='')}"
    where = f"rdp+{AUTHENTICATION[plan['security']]}://{who}@{plan['host']}:{plan['port']}"
    connection = RDPConnectionFactory.from_url(where, settings).get_connection(settings)
    _, error = await connection.connect()
    told: dict[str, Any] = {
        "error": "" if error is None else str(error) or type(error).__name__,
        "protocol": "" if connection.x224_protocol is None else connection.x224_protocol.name or "RDP",
    }
    if error is None:
        for key in plan["keys"]:
            for pressed in (True, False):
                _check(await connection.send_key_scancode(key & 0x7F, pressed, bool(key & 0x80)))
        for x, y in plan["clicks"]:
            _check(await connection.send_mouse(MOUSEBUTTON.MOUSEBUTTON_HOVER, x, y, False))
            for pressed in (True, False):
                _check(await connection.send_mouse(MOUSEBUTTON.MOUSEBUTTON_LEFT, x, y, pressed))
        await asyncio.sleep(plan["seconds"])
        connection.get_desktop_buffer().save(plan["picture"])
        await connection.terminate()
    return told


def _check(result: tuple[Any, Exception | None]) -> None:
    if result[1] is not None:
        raise result[1]


if __name__ == "__main__":
    print("\n" + json.dumps(asyncio.run(play(json.loads(sys.argv[1])))))
