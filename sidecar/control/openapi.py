"""The OpenAPI 3.1 document of the management API, made of its table of operations."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from sidecar import __version__
from sidecar.control.operation import JSON, Operation
from sidecar.errors import NotReady

TEMPLATE: Final = "#/components/schemas/{name}"

_ERROR: Final = {
    "type": "object",
    "properties": {"error": {"type": "string", "description": "What is wrong, in one sentence."}},
    "required": ["error"],
}

_SECURITY: Final = {
    "certificate": {"type": "mutualTLS", "description": "--api-client-ca and --api-roles"},
    "password": {"type": "http", "scheme": "basic", "description": "The password, a user, or a ticket"},
    "token": {"type": "http", "scheme": "bearer", "description": "The password or a ticket, without a name"},
}


def openapi_document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The document."""
    types = list(dict.fromkeys(kind for operation in operations for kind in _types(operation)))
    found, components = msgspec.json.schema_components(types, ref_template=TEMPLATE)
    schemas = dict(zip(types, found, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "vdi-sidecar",
            "version": __version__,
            "description": "Who is connected to a virtual machine, who may be, and the machine itself.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": {**components, "Error": _ERROR}, "securitySchemes": _SECURITY},
        # any of them, or none by a unix socket and where nobody is asked for anything
        "security": [*({name: []} for name in _SECURITY), {}],
    }


def _types(operation: Operation) -> list[Any]:
    kinds = [*operation.parameters.values(), operation.body, operation.result]
    return [kind for kind in kinds if kind is not None]


def _operation(operation: Operation, schemas: dict[Any, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": _description(operation),
        "x-role": operation.needs.word,
        "responses": _responses(operation, schemas),
    }
    in_path = operation.path_names
    if operation.parameters:
        told["parameters"] = [
            _parameter(name, "path" if name in in_path else "query", schemas[kind])
            for name, kind in operation.parameters.items()
        ]
    if operation.body is not None:
        told["requestBody"] = {"required": True, "content": {JSON: {"schema": schemas[operation.body]}}}
    return told


def _description(operation: Operation) -> str:
    who = f"Needs the role {operation.needs.word}"
    if operation.users_too:
        who += ", or the right to use the machine with a keyboard"
    return f"{operation.description}\n\n{who}.".strip()


def _parameter(name: str, place: str, schema: dict[str, Any]) -> dict[str, Any]:
    told = {"name": name, "in": place, "required": place == "path", "schema": schema}
    if "description" in schema:
        told["description"] = schema["description"]
    return told


def _responses(operation: Operation, schemas: dict[Any, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": HTTPStatus(operation.success_status).phrase}
    if operation.result is not None:
        success["content"] = {JSON: {"schema": schemas[operation.result]}}
    elif operation.media != JSON:
        text = {"schema": {"type": "string"}} if operation.media.startswith("text/") else {}
        success["content"] = {operation.media: text}
    refusals = {400, 401, 403, 429}
    if operation.body is not None:
        refusals |= {408, 413, 415, 422}
    if operation.success_status == HTTPStatus.SWITCHING_PROTOCOLS:
        refusals.add(426)
    refusals |= {503 if kind is NotReady else status for kind, status in operation.errors.items()}
    return {
        str(operation.success_status): success,
        **{str(status): _refusal(HTTPStatus(status).phrase) for status in sorted(refusals)},
        "default": _refusal("Any other error"),
    }


def _refusal(description: str) -> dict[str, Any]:
    reference = {"$ref": TEMPLATE.format(name="Error")}
    return {"description": description, "content": {JSON: {"schema": reference}}}
