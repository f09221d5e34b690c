"""The served documents say what is served, and a validator of other people believes them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import playwright
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from consoles.about import AboutPage
from consoles.asyncapi import FRAMES, Frame, Json, asyncapi_document
from consoles.field_frames import SAID, SENT
from consoles.openapi import documents, openapi_document, operation_id
from consoles.pages import Pages
from consoles.signed import Signer
from dispatch.core.plans import PLANS
from dispatch.keeping.heads import Series
from dispatch.web.health import Health
from dispatch.web.metrics import Metrics
from dispatch.web.problems import KINDS, listing
from dispatch.web.routes import Routes
from tests.consoles.board_world import BoardWorld
from tests.servers.api_world import api_world

ROOT = Path(__file__).resolve().parents[2]
PARSER = Path(sys.prefix) / "share" / "dispatch112" / "asyncapi-parser.js"
"""Kept by a developer's set-up, in the form made for browsers: hence its `self`."""
NODE = Path(playwright.__file__).parent / "driver" / "node"
"""The one that comes with the browser's driver: the machine's own may be missing or old."""
PARSE = """
globalThis.self = globalThis;
const Parser = require(process.argv[1]);
new Parser().parse(require('fs').readFileSync(0, 'utf8')).then(({document, diagnostics}) => {
  const bad = diagnostics.filter(one => one.severity === 0);
  console.log(JSON.stringify(bad));
  process.exit(document && !bad.length ? 0 : 1);
})"""


async def all_routes(data_dir: Path) -> Routes:
    """Every address of the service."""
    async with api_world() as world:
        signer = Signer(Series(data_dir), world.store, world.clock, regions=(), metrics=Metrics())
        health = Health(Metrics(), world.store.ping, lambda: True)
        pages = Pages(lambda: b"{}")
        about = AboutPage(("UZ-TK",), "LIVE", 1.0)
        routes = Routes(*health.routes(), *about.routes(), *pages.routes(), *signer.routes())
        routes.add(*world.interface.routes)
        routes.add(*documents(routes))
        return routes


@pytest.fixture
async def routes(tmp_path: Path) -> Routes:
    return await all_routes(tmp_path)


def document(routes: Routes) -> dict[str, Any]:
    """As it goes over the wire."""
    made: dict[str, Any] = json.loads(msgspec.json.encode(openapi_document(routes)))
    return made


def test_the_openapi_document_is_valid(routes: Routes) -> None:
    assert [str(error) for error in OpenAPIV31SpecValidator(document(routes)).iter_errors()] == []


def test_every_address_is_described_with_its_problems(routes: Routes) -> None:
    paths = document(routes)["paths"]
    for route in routes:
        operation = paths[route.path][route.method.lower()]
        for code in route.codes():
            assert code in operation["responses"][str(KINDS[code].status)]["description"], (route.path, code)
        assert bool(operation["security"]) == (route.action is not None)
    assert len({operation_id(route) for route in routes}) == len(routes)


def test_what_a_route_takes_is_described_by_the_type_that_decodes_it(routes: Routes) -> None:
    operation = document(routes)["paths"]["/api/v1/calls"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["$ref"].startswith("#/components/schemas/")
    assert "Idempotency-Key" in [parameter["name"] for parameter in operation["parameters"]]
    assert schema["$ref"].rpartition("/")[2] in document(routes)["components"]["schemas"]


def test_the_catalogue_of_incident_types_stands_in_the_document(routes: Routes) -> None:
    schemas = document(routes)["components"]["schemas"]
    offered = json.dumps(schemas["NewCall"]["properties"]["incident_type"])
    assert all(json.dumps(name) in offered for name in PLANS)
    for name in ("NewIncident", "Classification"):
        assert set(schemas[name]["properties"]["incident_type"]["enum"]) == set(PLANS)


def test_a_receipt_may_say_that_a_status_was_refused() -> None:
    receipt = asyncapi_document()["components"]["schemas"]["Receipt"]
    assert set(receipt["properties"]) == {"status_id", "refused"}
    assert receipt["required"] == ["status_id"]


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for part in value.values() for found in references(part)]
    return [found for part in value for found in references(part)] if isinstance(value, list) else []


def test_every_reference_in_the_asyncapi_document_leads_somewhere() -> None:
    made = json.loads(msgspec.json.encode(asyncapi_document()))
    for reference in references(made):
        at = made
        for step in reference.removeprefix("#/").split("/"):
            at = at[step.replace("~1", "/").replace("~0", "~")]
    assert {message["name"] for message in made["components"]["messages"].values()} >= {
        kind.__name__ for kind in FRAMES
    }


@pytest.fixture
def parsed() -> Callable[[Json], subprocess.CompletedProcess[bytes]]:
    """What the parser of the format's own makers says of a document."""
    if not PARSER.is_file():
        pytest.skip("the AsyncAPI parser is not on this machine: make setup-dev")

    def parse(document: Json) -> subprocess.CompletedProcess[bytes]:
        text = msgspec.json.encode(document)
        command = [str(NODE), "-e", PARSE, str(PARSER)]
        return subprocess.run(command, input=text, capture_output=True, check=False, timeout=60)

    return parse


def test_the_asyncapi_document_is_valid(parsed: Callable[[Json], subprocess.CompletedProcess[bytes]]) -> None:
    done = parsed(asyncapi_document())
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def test_the_parser_finds_a_wrong_word(parsed: Callable[[Json], subprocess.CompletedProcess[bytes]]) -> None:
    wrong = asyncapi_document()
    wrong["operations"]["send_board"]["action"] = "shout"
    assert b"action" in parsed(wrong).stdout


def test_every_frame_of_the_field_page_is_in_the_document() -> None:
    made = asyncapi_document()
    assert made["channels"]["unit"]["address"] == "/ws/v1/unit"
    sent, said = made["operations"]["send_unit"], made["operations"]["receive_unit"]
    assert {ref["$ref"].rpartition("/")[2] for ref in sent["messages"]} == {kind.__name__ for kind in SENT}
    assert {ref["$ref"].rpartition("/")[2] for ref in said["messages"]} == {kind.__name__ for kind in SAID}
    status = made["components"]["schemas"]["FieldStatus"]
    assert status["required"] == ["type", "status_id", "status", "at"]


def keys(value: Any) -> Any:
    """The shape of a value: its keys, without what rows are made of."""
    return {name: keys(part) for name, part in value.items()} if isinstance(value, dict) else None


async def test_real_frames_are_what_the_asyncapi_document_says() -> None:
    world = BoardWorld()
    await world.open()
    try:
        sorts: set[str] = set()
        async with world.console() as seen:
            while sorts < {"hello", "snapshot", "delta", "positions", "heartbeat"}:
                raw = await seen.line.recv()
                frame = msgspec.json.decode(raw, type=Frame)
                sorts.add(str(type(frame).__struct_config__.tag))
                assert keys(json.loads(msgspec.json.encode(frame))) == keys(json.loads(raw))
                await world.live_a_little(1, 3)
    finally:
        await world.close()


def test_the_list_of_refusals_in_the_docs_is_the_one_in_the_code() -> None:
    listed = (ROOT / "docs/refusals.md").read_text("utf-8")
    rows = [line for line in listed.splitlines() if line.startswith("| `")]
    assert rows == listing(), "put the rows of dispatch.web.problems.listing() into docs/refusals.md"
