"""Objects that a program has on its bus: their interfaces, properties and signals, told as QEMU's tools do.

A description of an interface is one constant, from which its introspection is written and by which calls are
checked, so what is said and what is done cannot differ.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from dbus_fast import DBusError, ErrorType, Message, MessageFlag, MessageType, Variant

from sidecar.log import get_logger
from sidecar.qemu.connection import Connection
from sidecar.qemu.link import OBJECT_MANAGER, PROPERTIES

log = get_logger(__name__)

INTROSPECTABLE: Final = "org.freedesktop.DBus.Introspectable"
PEER: Final = "org.freedesktop.DBus.Peer"

Arguments = tuple[tuple[str, str], ...]
"""Names and signatures, in order."""


@dataclass(frozen=True, slots=True)
class Interface:
    """What an interface consists of. `methods`: arguments, then results."""

    name: str
    methods: Mapping[str, tuple[Arguments, Arguments]] = field(default_factory=dict)
    signals: Mapping[str, Arguments] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    """Signatures. All may be read, none written, and each tells of its changes."""

    def xml(self) -> str:
        """As introspection shows it."""
        lines = [f"  <interface name={quoteattr(self.name)}>"]
        for name, (arguments, results) in self.methods.items():
            lines.append(f"    <method name={quoteattr(name)}>")
            lines += [_argument(*each, ' direction="in"') for each in arguments]
            lines += [_argument(*each, ' direction="out"') for each in results]
            lines.append("    </method>")
        for name, arguments in self.signals.items():
            lines.append(f"    <signal name={quoteattr(name)}>")
            lines += [_argument(*each, "") for each in arguments]
            lines.append("    </signal>")
        for name, signature in self.properties.items():
            lines.append(f'    <property name={quoteattr(name)} type={quoteattr(signature)} access="read"/>')
        lines.append("  </interface>")
        return "\n".join(lines)


def _argument(name: str, signature: str, direction: str) -> str:
    return f"      <arg name={quoteattr(name)} type={quoteattr(signature)}{direction}/>"


_STANDARD: Final = (
    Interface(INTROSPECTABLE, {"Introspect": ((), (("xml_data", "s"),))}),
    Interface(
        PROPERTIES,
        {
            "Get": ((("interface_name", "s"), ("property_name", "s")), (("value", "v"),)),
            "GetAll": ((("interface_name", "s"),), (("properties", "a{sv}"),)),
            "Set": ((("interface_name", "s"), ("property_name", "s"), ("value", "v")), ()),
        },
        {
            "PropertiesChanged": (
                ("interface_name", "s"),
                ("changed_properties", "a{sv}"),
                ("invalidated_properties", "as"),
            )
        },
    ),
    Interface(PEER, {"Ping": ((), ()), "GetMachineId": ((), (("machine_uuid", "s"),))}),
)
_MANAGER: Final = Interface(
    OBJECT_MANAGER,
    {"GetManagedObjects": ((), (("object_paths_interfaces_and_properties", "a{oa{sa{sv}}}"),))},
    {
        "InterfacesAdded": (("object_path", "o"), ("interfaces_and_properties", "a{sa{sv}}")),
        "InterfacesRemoved": (("object_path", "o"), ("interfaces", "as")),
    },
)


@dataclass(frozen=True, slots=True)
class Object:
    """One object with one interface of its own.

    `properties`: their values as they are. `methods`: by name; they get the arguments, with descriptors in
    place of their numbers, which are closed when they have returned. They raise DBusError (`failed`,
    `invalid`).
    """

    path: str
    interface: Interface
    properties: Callable[[], Mapping[str, Any]] = dict
    methods: Mapping[str, Callable[..., None]] = field(default_factory=dict)

    def variants(self) -> dict[str, Variant]:
        """The values of its properties, each with its signature."""
        signatures = self.interface.properties
        return {name: Variant(signatures[name], value) for name, value in self.properties().items()}


def failed(text: str) -> DBusError:
    """What was asked for could not be done."""
    return DBusError(ErrorType.FAILED, text)


def invalid(text: str) -> DBusError:
    """The arguments make no sense."""
    return DBusError(ErrorType.INVALID_ARGS, text)


class Objects:
    """The objects of a connection below `root`, which manages them if `manages`. Belongs to the main loop."""

    def __init__(self, connection: Connection, root: str, *, manages: bool) -> None:
        self._connection = connection
        self._root = root
        self._manages = manages
        self._objects: dict[str, Object] = {}
        connection.add_message_handler(self._receive)

    def add(self, added: Object) -> None:
        """Puts an object there, and says so."""
        self._objects[added.path] = added
        if self._manages:
            body = [added.path, {added.interface.name: added.variants()}]
            self._signal(self._root, OBJECT_MANAGER, "InterfacesAdded", "oa{sa{sv}}", body)

    def remove(self, path: str) -> None:
        """Takes an object away, and says so."""
        removed = self._objects.pop(path)
        if self._manages:
            self._signal(
                self._root, OBJECT_MANAGER, "InterfacesRemoved", "oas", [path, [removed.interface.name]]
            )

    def emit(self, path: str, member: str, *values: Any) -> None:
        """Sends a signal of the object that is at `path`."""
        interface = self._objects[path].interface
        signature = "".join(signature for _, signature in interface.signals[member])
        self._signal(path, interface.name, member, signature, list(values))

    def changed(self, path: str, *names: str) -> None:
        """Tells the values that properties of the object at `path` have now."""
        there = self._objects[path]
        values = there.variants()
        body = [there.interface.name, {name: values[name] for name in names}, []]
        self._signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", body)

    def _signal(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        if self._connection.is_open:
            self._connection.send(
                Message(
                    message_type=MessageType.SIGNAL,
                    path=path,
                    interface=interface,
                    member=member,
                    signature=signature,
                    body=body,
                )
            )

    def _receive(self, message: Message) -> Message | bool | None:
        """Answers what is for an object of ours; the rest is left to others."""
        if message.message_type is not MessageType.METHOD_CALL or message.interface == PEER:
            return None
        path = str(message.path)
        there = self._objects.get(path)
        if there is None and not self._leads_to_one(path):
            return None
        signature, body = self._call(path, there, message)
        if MessageFlag.NO_REPLY_EXPECTED in message.flags:
            return True
        return Message.new_method_return(message, signature, body)

    def _leads_to_one(self, path: str) -> bool:
        prefix = path.rstrip("/") + "/"
        return path == self._root or any(known.startswith(prefix) for known in (*self._objects, self._root))

    def _call(self, path: str, there: Object | None, message: Message) -> tuple[str, list[Any]]:
        """Signature and values of the answer. Raises DBusError."""
        for interface in self._interfaces(path, there):
            method = interface.methods.get(str(message.member))
            # dbus-fast answers what is of Peer
            if method is None or message.interface not in (interface.name, None) or interface.name == PEER:
                continue
            arguments, results = ("".join(signature for _, signature in each) for each in method)
            if message.signature != arguments:
                raise invalid(f"{message.member} takes {arguments or 'nothing'}, not {message.signature}")
            if interface is _MANAGER:
                return results, [self._managed()]
            if there is not None and interface is there.interface:
                there.methods[str(message.member)](*_with_descriptors(arguments, message))
                return results, []
            if interface.name == INTROSPECTABLE:
                return results, [self._introspection(path, there)]
            return results, self._property_call(there, message)
        raise DBusError(
            ErrorType.UNKNOWN_METHOD, f"{path} has no method {message.member} in {message.interface}"
        )

    def _interfaces(self, path: str, there: Object | None) -> list[Interface]:
        own = [] if there is None else [there.interface]
        return [*own, *([_MANAGER] if self._manages and path == self._root else []), *_STANDARD]

    def _managed(self) -> dict[str, dict[str, dict[str, Variant]]]:
        return {path: {each.interface.name: each.variants()} for path, each in self._objects.items()}

    def _introspection(self, path: str, there: Object | None) -> str:
        prefix = path.rstrip("/") + "/"
        below = [known for known in (*self._objects, self._root) if known.startswith(prefix)]
        children = dict.fromkeys(known.removeprefix(prefix).partition("/")[0] for known in below)
        return "\n".join(
            [
                '<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"',
                ' "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">',
                "<node>",
                *(interface.xml() for interface in self._interfaces(path, there)),
                *(f"  <node name={quoteattr(child)}/>" for child in children),
                "</node>\n",
            ]
        )

    def _property_call(self, there: Object | None, message: Message) -> list[Any]:
        interface = message.body[0]
        if there is None or interface != there.interface.name:
            if message.member == "GetAll" and interface in (known.name for known in (*_STANDARD, _MANAGER)):
                return [{}]
            raise DBusError(ErrorType.UNKNOWN_INTERFACE, f"{message.path} has no interface {interface}")
        values = there.variants()
        if message.member == "GetAll":
            return [values]
        name = message.body[1]
        if name not in values:
            raise DBusError(ErrorType.UNKNOWN_PROPERTY, f"{interface} has no property {name}")
        if message.member == "Set":
            raise DBusError(ErrorType.PROPERTY_READ_ONLY, f"{name} can only be read")
        return [values[name]]


def _with_descriptors(signature: str, message: Message) -> Sequence[Any]:
    """The arguments of a call; a number that stands for a descriptor is replaced by it. Raises DBusError."""
    values = list(message.body)
    for position, kind in enumerate(signature):
        # our methods take no containers: a character is an argument
        if kind == "h":
            if not 0 <= values[position] < len(message.unix_fds):
                raise invalid("there is no file descriptor in the message")
            values[position] = message.unix_fds[values[position]]
    return values
