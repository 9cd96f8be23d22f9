"""What Kubernetes' API server makes of an object by a MutatingAdmissionPolicy of JSON patches.

A double: there is no API server here. The expressions are evaluated by an implementation of CEL
(cel-python) that does not check types; the names of object initialisers are checked here as Kubernetes does.
"""

import copy
from typing import Any

import celpy
from celpy import celtypes

Object = dict[str, Any]


class Initialiser(celtypes.MapType):
    """`Object.spec.x` or `JSONPatch` in front of the braces of an initialiser."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def get(self, key: Any, default: Any = None) -> "Initialiser":
        return Initialiser(f"{self.name}.{key}")

    __getitem__ = get

    def __contains__(self, key: Any) -> bool:
        return True

    def __call__(self, fields: Any) -> "Initialised":
        return Initialised(self.name, fields)


class Initialised(celtypes.MapType):
    """An object that an expression has made."""

    def __init__(self, name: str, fields: Any) -> None:
        super().__init__(fields or {})
        self.name = name
        for key, value in self.items():
            for each in value if isinstance(value, list) else [value]:
                # the API server refuses an initialiser whose name is not the path of its field
                if isinstance(each, Initialised) and name != "JSONPatch":
                    assert each.name == f"{name}.{key}"


def admitted(policy: Object, incoming: Object) -> Object:
    """The object as it is stored; the same one when the policy does not match it."""
    spec = policy["spec"]
    labels = incoming["metadata"].get("labels", {})
    wanted = spec["matchConstraints"]["objectSelector"]["matchLabels"]
    context = {
        "object": celpy.json_to_cel(incoming),
        "Object": Initialiser("Object"),
        "JSONPatch": Initialiser("JSONPatch"),
    }
    if not wanted.items() <= labels.items():
        return incoming
    if not all(evaluated(each["expression"], context) for each in spec["matchConditions"]):
        return incoming
    variables: Object = {}
    for each in spec["variables"]:
        variables[each["name"]] = evaluated(each["expression"], context)
        context["variables"] = celpy.celtypes.MapType(
            {celtypes.StringType(k): v for k, v in variables.items()}
        )
    stored = copy.deepcopy(incoming)
    for mutation in spec["mutations"]:
        assert mutation["patchType"] == "JSONPatch"
        for operation in evaluated(mutation["jsonPatch"]["expression"], context):
            apply(stored, plain(operation))
    return stored


def evaluated(expression: str, context: Object) -> Any:
    environment = celpy.Environment()
    return environment.program(environment.compile(expression)).evaluate(context)


def apply(document: Object, operation: Object) -> None:
    """RFC 6902, `add`."""
    assert operation["op"] == "add"
    *way, last = operation["path"].split("/")[1:]
    place: Any = document
    for part in way:
        place = place[part]
    if last == "-":
        place.append(operation["value"])
    else:
        place[last] = operation["value"]


def plain(value: Any) -> Any:
    """A value of CEL as JSON has it."""
    match value:
        case celtypes.BoolType():
            return bool(value)
        case dict():
            return {str(key): plain(each) for key, each in value.items()}
        case list():
            return [plain(each) for each in value]
        case int():
            return int(value)
        case str():
            return str(value)
    raise AssertionError(type(value))
