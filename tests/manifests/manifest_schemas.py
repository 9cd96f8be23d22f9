"""What Kubernetes' API server would refuse: `schemas/`, whose README says where they are from."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

DIRECTORY = Path(__file__).with_name("schemas")


@cache
def _validators() -> dict[str, Draft202012Validator]:
    made = {}
    for file in sorted(DIRECTORY.glob("*.json")):
        document = json.loads(file.read_text())
        for name, schema in document["objects"].items():
            made[name] = Draft202012Validator({**schema, "$defs": document["$defs"]})
    return made


def known() -> set[str]:
    """`apiVersion/kind` of what can be judged."""
    return set(_validators())


def faults(each: dict[str, Any]) -> list[str]:
    """What is wrong with an object; an object of a kind that is not known is a fault."""
    name = f"{each.get('apiVersion')}/{each.get('kind')}"
    if name not in known():
        return [f"there is no schema of {name}"]
    errors = _validators()[name].iter_errors(each)
    return [f"{error.json_path}: {error.message[:300]}" for error in errors]
