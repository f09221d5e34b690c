"""The served OpenAPI 3.1 document, made from the declared routes and the types that they name.

What a route takes and gives is decoded and encoded by the same types, so the document cannot say otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from consoles.asyncapi import asyncapi_document
from dispatch import __version__
from dispatch.web.application import answer
from dispatch.web.bodies import KEY_MAX
from dispatch.web.problems import KINDS, MEDIA_TYPE, Document
from dispatch.web.routes import Route, Routes

Json = dict[str, Any]

REF = "#/components/schemas/{name}"
SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"cookie": []}]
SCHEMES: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "For programs, devices and units."},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "dispatch112_session",
        "description": "Set by logging in; what changes something must come from the console's own pages.",
    },
}
KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key from the same actor gives the first answer again, for 24 hours; when the body "
    "differs, with `Idempotency-Mismatch: true`. At another address it is refused: `idempotency_reuse`.",
    "schema": {"type": "string", "pattern": "^[!-~]+$", "minLength": 1, "maxLength": KEY_MAX},
}


def documents(routes: Routes) -> tuple[Route, ...]:
    """The addresses at which the interfaces describe themselves: all of `routes`, also what is added later."""
    made: dict[str, bytes] = {}

    async def openapi(request: web.Request) -> web.Response:
        if "openapi" not in made:
            made["openapi"] = msgspec.json.encode(openapi_document(routes))
        return answer(made["openapi"])

    async def asyncapi(request: web.Request) -> web.Response:
        if "asyncapi" not in made:
            made["asyncapi"] = msgspec.json.encode(asyncapi_document())
        return answer(made["asyncapi"])

    return (
        Route(
            method="GET", path="/api/openapi.json", handler=openapi, tag="about",
            summary="This interface by HTTP, as OpenAPI 3.1", responses={200: dict[str, Any]},
        ),
        Route(
            method="GET", path="/api/asyncapi.json", handler=asyncapi, tag="about",
            summary="The interfaces by WebSocket and MQTT, as AsyncAPI 3.0", responses={200: dict[str, Any]},
        ),
    )  # fmt: skip


def openapi_document(routes: Iterable[Route]) -> Json:
    """The document of these routes."""
    routes = list(routes)
    kinds = [kind for route in routes for kind in _kinds(route)] + [Document]
    unique = list(dict.fromkeys(kinds))
    schemas, components = msgspec.json.schema_components(unique, ref_template=REF)
    schema_of = dict(zip(unique, schemas, strict=True))
    paths: dict[str, Json] = {}
    for route in routes:
        operation = _operation(route, schema_of.__getitem__)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "dispatch112",
            "version": __version__,
            "summary": "Real-time emergency dispatch: calls, incidents, units, boards.",
            "description": "Errors are RFC 9457 problems, positions RFC 7946 GeoJSON, times RFC 3339 UTC.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": SCHEMES},
    }


def _kinds(route: Route) -> list[Any]:
    kinds = [route.request, *route.responses.values()]
    if route.query is not None:
        kinds += [field.type for field in msgspec.structs.fields(route.query)]
    return [kind for kind in kinds if kind is not None]


def _operation(route: Route, schema_of: Callable[[Any], Json]) -> Json:
    operation: Json = {
        "operationId": operation_id(route),
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": _parameters(route, schema_of),
        "responses": _responses(route, schema_of),
        "security": SECURITY if route.action is not None else [],
    }
    if route.description:
        operation["description"] = route.description
    if route.request is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {route.takes: {"schema": schema_of(route.request)}},
        }
    return operation


def operation_id(route: Route) -> str:
    """A name that is unique because method and path are: `post_calls_call_id_claim`."""
    path = route.path.removeprefix("/api/v1")
    return f"{route.method.lower()}_{re.sub(r'[^a-z0-9]+', '_', path.lower()).strip('_') or 'root'}"


def _parameters(route: Route, schema_of: Callable[[Any], Json]) -> list[Json]:
    found: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in route.parameters
    ]
    for field in msgspec.structs.fields(route.query) if route.query is not None else ():
        schema = dict(schema_of(field.type))
        if field.default is not msgspec.NODEFAULT and field.default is not None:
            schema["default"] = msgspec.to_builtins(field.default)
        found.append({"name": field.encode_name, "in": "query", "required": field.required, "schema": schema})
    if route.creates:
        found.append(KEY)
    return found


def _responses(route: Route, schema_of: Callable[[Any], Json]) -> Json:
    responses: dict[str, Json] = {}
    for status, kind in route.responses.items():
        said: Json = {"description": HTTPStatus(status).phrase}
        if kind is not None:
            said["content"] = {"application/json": {"schema": schema_of(kind)}}
        elif status == HTTPStatus.OK:
            said["content"] = {route.media: {}}
        responses[str(status)] = said
    by_status: dict[int, list[str]] = {}
    for code in route.codes():
        by_status.setdefault(KINDS[code].status, []).append(code)
    for status, codes in sorted(by_status.items()):
        responses[str(status)] = {
            "description": " · ".join(f"`{code}`: {KINDS[code].title}" for code in codes),
            "content": {MEDIA_TYPE: {"schema": schema_of(Document)}},
        }
    return responses
