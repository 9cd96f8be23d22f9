"""Objects on a real bus, asked by calls of every kind."""

from collections.abc import AsyncIterator
from typing import Any
from xml.etree import ElementTree

import pytest
from dbus_fast import Variant
from support.bus import Bus
from support.waiting import eventually

from sidecar.drop_in.bus import NameTaken, own
from sidecar.drop_in.objects import Interface, Object, Objects, failed
from sidecar.qemu.connection import Connection, connect_to_bus
from sidecar.qemu.errors import CallRefused
from sidecar.qemu.link import OBJECT_MANAGER, PROPERTIES

NAME = "org.example.thing"
THING = Interface(
    "org.example.Thing1",
    methods={"Take": ((("what", "s"),), ()), "Fail": ((), ())},
    signals={"Taken": (("what", "s"),)},
    properties={"Last": "s"},
)


class House:
    def __init__(self, server: Connection, manager: Connection) -> None:
        self.taken: list[str] = []
        self.manager = manager
        self.objects = Objects(server, "/org/example", manages=True)
        self.thing = Object(
            "/org/example/Thing",
            THING,
            lambda: {"Last": self.taken[-1] if self.taken else ""},
            {"Take": self.taken.append, "Fail": self.fail},
        )
        self.signals: list[tuple[str, str, list[Any]]] = []
        manager.add_message_handler(self.hear)

    def fail(self) -> None:
        raise failed("it cannot be done")

    def hear(self, message: Any) -> None:
        if message.member in ("Taken", "PropertiesChanged", "InterfacesAdded", "InterfacesRemoved"):
            self.signals.append((message.path, message.member, message.body))

    async def call(
        self, path: str, interface: str | None, member: str, signature: str = "", *body: Any
    ) -> list[Any]:
        return await self.manager.request(NAME, path, interface, member, signature=signature, body=body)

    async def error(self, *call: Any) -> str:
        with pytest.raises(CallRefused) as refused:
            await self.call(*call)
        return refused.value.name.removeprefix("org.freedesktop.DBus.Error.")


@pytest.fixture
async def house(bus: Bus) -> AsyncIterator[House]:
    server, manager = await connect_to_bus(bus.address), await connect_to_bus(bus.address)
    house = House(server, manager)
    house.objects.add(house.thing)
    await own(server, NAME)
    await manager.request(
        *("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch"),
        signature="s",
        body=[f"type='signal',sender='{NAME}'"],
    )
    yield house
    server.close()
    manager.close()


async def test_a_method_is_called_and_properties_are_told(house: House) -> None:
    assert await house.call(house.thing.path, THING.name, "Take", "s", "apple") == []
    assert house.taken == ["apple"]
    last = {"Last": Variant("s", "apple")}
    assert await house.call(house.thing.path, PROPERTIES, "GetAll", "s", THING.name) == [last]
    assert await house.call(house.thing.path, PROPERTIES, "Get", "ss", THING.name, "Last") == [last["Last"]]
    assert await house.call("/org/example", OBJECT_MANAGER, "GetManagedObjects") == [
        {house.thing.path: {THING.name: last}}
    ]


async def test_a_method_is_found_without_its_interface(house: House) -> None:
    assert await house.call(house.thing.path, None, "Take", "s", "plum") == []
    assert house.taken == ["plum"]
    assert await house.call(house.thing.path, "org.freedesktop.DBus.Peer", "Ping") == []


async def test_wrong_calls_are_answered_with_errors_that_say_so(house: House) -> None:
    path = house.thing.path
    assert await house.error(path, THING.name, "Fail") == "Failed"
    assert await house.error(path, THING.name, "Take", "u", 1) == "InvalidArgs"
    assert await house.error(path, THING.name, "Take") == "InvalidArgs"
    assert await house.error(path, THING.name, "Nothing") == "UnknownMethod"
    assert await house.error(path, "org.example.Other", "Take", "s", "x") == "UnknownMethod"
    assert await house.error(path, OBJECT_MANAGER, "GetManagedObjects") == "UnknownMethod"
    assert await house.error(path, None, "Ping") == "UnknownMethod"
    assert await house.error("/org/example/Nobody", THING.name, "Take", "s", "x") == "UnknownMethod"
    assert await house.error(path, PROPERTIES, "Get", "ss", THING.name, "First") == "UnknownProperty"
    assert await house.error(path, PROPERTIES, "GetAll", "s", "org.example.Other") == "UnknownInterface"
    read_only = (path, PROPERTIES, "Set", "ssv", THING.name, "Last", Variant("s", "x"))
    assert await house.error(*read_only) == "PropertyReadOnly"
    assert house.taken == []


async def test_introspection_leads_from_the_root_to_the_object(house: House) -> None:
    path = ""
    for step in ("org", "example", "Thing"):
        (text,) = await house.call(path or "/", "org.freedesktop.DBus.Introspectable", "Introspect")
        assert [node.get("name") for node in ElementTree.fromstring(text).findall("node")] == [step]
        path += f"/{step}"
    (text,) = await house.call(path, "org.freedesktop.DBus.Introspectable", "Introspect")
    assert next(each.get("name") for each in ElementTree.fromstring(text).findall("interface")) == THING.name


async def test_signals_are_sent_and_objects_come_and_go(house: House) -> None:
    house.taken.append("pear")
    house.objects.emit(house.thing.path, "Taken", "pear")
    house.objects.changed(house.thing.path, "Last")
    house.objects.remove(house.thing.path)
    await eventually(lambda: len(house.signals) == 3, "the signals come")
    assert house.signals == [
        (house.thing.path, "Taken", ["pear"]),
        (house.thing.path, "PropertiesChanged", [THING.name, {"Last": Variant("s", "pear")}, []]),
        ("/org/example", "InterfacesRemoved", [house.thing.path, [THING.name]]),
    ]
    assert await house.error(house.thing.path, THING.name, "Take", "s", "x") == "UnknownMethod"


async def test_a_name_that_is_taken_is_not_waited_for(house: House) -> None:
    with pytest.raises(NameTaken, match=NAME):
        await own(house.manager, NAME)
