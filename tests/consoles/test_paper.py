"""The paper kit: a page holds everything that is open, nothing that a caller says becomes a part of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from consoles.catalogue import LANGUAGES, paper_words
from consoles.paper import CALLS_AN_INCIDENT, MOST_INCIDENTS, NOTES_AN_INCIDENT
from consoles.paper_kit import GENERATIONS_KEPT, INDEX, PaperKit, Source
from consoles.paper_page import TEXT_MAX, text
from consoles.telephones import FILE, UnreadableList, of_region, read_telephones
from dispatch.core.terms import Body, CallStatus, UnitStatus
from dispatch.keeping.memory import MemoryStore
from dispatch.store import StoreAway
from dispatch.web.metrics import Metrics
from simulators.country import roster
from simulators.telephones import write_telephones
from tests.servers.api_world import CHORSU, ApiWorld, api_world

NUMBER = "+998901234567"
EVIL = "<script>alert('x')</script>\"&'</td></table>\u202egnp"
HERE: list[dict[str, Any]] = [{"source": "app", "point": {"type": "Point", "coordinates": CHORSU}}]
VOID = {"meta", "br", "link", "img"}


class Reader(HTMLParser):
    """What a browser makes of a page: its elements, whether they close, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.words = ""
        self.feed(page)
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data + "\n"


class Moody(MemoryStore):
    """The twin, with a line that can be cut."""

    away = False

    async def personal(self, ids: Any) -> Any:
        if self.away:
            raise StoreAway("cut")
        return await super().personal(ids)


@pytest.fixture
async def world() -> AsyncIterator[ApiWorld]:
    store = Moody()
    await store.open()
    async with api_world(store) as made:
        yield made


def kit_of(world: ApiWorld, folder: Path, **more: Any) -> PaperKit:
    source = Source(states=world.engine.replicas.states, store=world.store, clock=world.clock)
    return PaperKit(source, folder, **more)


async def written(world: ApiWorld, folder: Path, region: str = "UZ-TK", **more: Any) -> Reader:
    world.clock.advance(1)
    made = await kit_of(world, folder, **more).write()
    return Reader((made / f"{region}.html").read_text("utf-8"))


async def opened(world: ApiWorld, **fields: Any) -> str:
    """A call that opened an incident: the incident's number."""
    call = await world.new_call(location=HERE, incident_type="cardiac_arrest", **fields)
    return str(call["incident_id"])


async def test_a_page_holds_every_open_incident_with_its_callers_and_notes(world: ApiWorld, tmp_path: Path) -> None:
    incident = await opened(world, caller={"number": NUMBER, "name": "Лола"}, text="Yiqilib tushdi")
    far = [{"source": "app", "point": {"type": "Point", "coordinates": [69.20, 41.28]}}]
    other = (await world.new_call(location=far, incident_type="gas_smell"))["incident_id"]
    await world.post(f"incidents/{incident}/notes", {"text": "eshik kodi 12K"}, token="dispatcher")
    page = await written(world, tmp_path)
    for words in (incident, other, NUMBER, "Лола", "Yiqilib tushdi", "eshik kodi 12K", "Yurak toʻxtashi"):
        assert words in page.words


async def test_a_page_shows_units_with_their_station_and_who_is_on_what(world: ApiWorld, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(f"region,name,phone,radio,unit_id\nUZ-TK,A1,{NUMBER},kanal 4,TK-A1\n")
    await world.unit("TK-A1", Body.MOH, "als", CHORSU)
    incident = await opened(world)
    for _ in range(100):
        if world.engine.replicas.states["UZ-TK"].units["TK-A1"].incident_id is not None:  # type: ignore[index]
            break
        await asyncio.sleep(0.02)
    page = await written(world, tmp_path)
    assert page.words.count("A1\n") == 2, "in the table of units, and on its incident"
    for words in ("here", NUMBER, "kanal 4", incident, "joʻnatildi · выслан"):
        assert words in page.words


async def test_a_telephone_list_that_changed_is_on_the_next_page(world: ApiWorld, tmp_path: Path) -> None:
    kit, file = kit_of(world, tmp_path), tmp_path / FILE
    seen = []
    for row in ("UZ-TK,Hospital 7,+998 71 000-07-07,,", "UZ-TK,Hospital 7,+998 71 000-07-08,,", None):
        file.write_text(f"region,name,phone,radio,unit_id\n{row}\n") if row is not None else file.unlink()
        for _ in range(2):
            world.clock.advance(1)
            made = await kit.write()
        seen.append(Reader((made / "UZ-TK.html").read_text("utf-8")).words)
    assert [("07-07" in words, "07-08" in words) for words in seen] == [(True, False), (False, True), (False, False)]


async def test_a_page_shows_calls_that_wait_and_those_in_hand(world: ApiWorld, tmp_path: Path) -> None:
    waiting = await world.new_call(channel="voice", caller={"number": NUMBER}, location=HERE)
    held = await world.new_call(channel="voice", caller={"number": "+998907654321"}, location=HERE)
    await world.post(f"calls/{held['call_id']}/claim", token="taker")
    await world.new_call(channel="voice", location=HERE)
    page = await written(world, tmp_path)
    assert waiting["call_id"] and NUMBER in page.words and "+998907654321" in page.words
    assert "raqamsiz · без номера" in page.words


async def test_what_people_say_never_becomes_a_part_of_the_page(world: ApiWorld, tmp_path: Path) -> None:
    clean = await written(world, tmp_path)
    evil = {"caller": {"number": EVIL[:64], "name": EVIL}, "text": EVIL}
    incident = await opened(world, **evil)
    await world.post(f"incidents/{incident}/notes", {"text": EVIL}, token="dispatcher")
    await world.new_call(channel="voice", location=[*HERE, {"source": "address", "text": EVIL}], **evil)
    (tmp_path / FILE).write_text(f"region,name,phone\nUZ-TK,{EVIL.replace(chr(34), '')},{EVIL.replace(chr(34), '')}\n")
    page = await written(world, tmp_path)
    assert page.elements - clean.elements <= {"div", "h3", "table", "thead", "tbody", "tr", "th", "td", "b"}
    assert page.attributes - clean.attributes <= {"id"}
    assert page.words.count("<script>alert('x')</script>") >= 5
    assert "\u202e" not in page.words


async def test_a_page_needs_nothing_else_and_runs_nothing(world: ApiWorld, tmp_path: Path) -> None:
    await opened(world)
    made = await kit_of(world, tmp_path).write()
    for path in (tmp_path / "paper" / INDEX, made / "UZ-TK.html"):
        raw = path.read_text("utf-8")
        page = Reader(raw)
        assert page.elements & {"script", "link", "img", "iframe", "object"} == set()
        assert not re.search(r"https?:|url\(|@import", raw)
        assert "default-src 'none'" in raw


async def test_erased_words_are_erased_on_the_next_page(world: ApiWorld, tmp_path: Path) -> None:
    call = await world.new_call(channel="voice", caller={"number": NUMBER}, location=HERE)
    assert NUMBER in (await written(world, tmp_path)).words
    await world.store.erase(call["call_id"], "user:lola", world.clock.now())
    page = await written(world, tmp_path)
    assert NUMBER not in page.words and "oʻchirilgan" in page.words


async def test_while_the_database_is_away_pages_go_on_with_the_words_of_before(world: ApiWorld, tmp_path: Path) -> None:
    assert isinstance(world.store, Moody)
    await world.new_call(channel="voice", caller={"number": NUMBER}, location=HERE)
    kit = kit_of(world, tmp_path)
    await kit.write()
    world.store.away = True
    world.clock.advance(60)
    later = await world.new_call(channel="voice", caller={"number": "+998907654321"}, location=HERE)
    page = Reader(((await kit.write()) / "UZ-TK.html").read_text("utf-8"))
    assert NUMBER in page.words and later["call_id"]
    assert "+998907654321" not in page.words
    assert page.words.count("matn bazadan olinmadi") == 2, "at the top, and where the words would stand"


async def test_writings_are_their_owners_alone_and_only_so_many_stay(world: ApiWorld, tmp_path: Path) -> None:
    kit, metrics = kit_of(world, tmp_path), Metrics()
    kit.measured(metrics)
    assert b"dispatch112_paper_age_seconds +Inf" in metrics.exposition()
    for _ in range(GENERATIONS_KEPT + 3):
        made = await kit.write()
        world.clock.advance(60)
    assert b"dispatch112_paper_age_seconds 60.0" in metrics.exposition()
    folders = [path for path in (tmp_path / "paper").iterdir() if path.is_dir()]
    assert len(folders) == GENERATIONS_KEPT
    assert made == max(folders)
    assert f"{made.name}/UZ-TK.html" in (tmp_path / "paper" / INDEX).read_text()
    assert {path.stat().st_mode & 0o077 for path in [tmp_path / "paper", *(tmp_path / "paper").rglob("*")]} == {0}


async def test_a_writing_that_broke_off_is_removed_and_not_shown(world: ApiWorld, tmp_path: Path) -> None:
    torn = tmp_path / "paper" / "2026-01-01T00-00-00.000Z.partial"
    torn.mkdir(parents=True)
    (torn / "UZ-TK.html").touch()
    await kit_of(world, tmp_path).write()
    assert not torn.exists()


async def test_the_moment_stands_large_in_the_countrys_own_time(world: ApiWorld, tmp_path: Path) -> None:
    made = await kit_of(world, tmp_path).write()
    assert '<div class="moment">01.01.2026 05:00:00</div>' in (made / "UZ-TK.html").read_text()


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_page_can_be_had_in_each_language(world: ApiWorld, tmp_path: Path, language: str) -> None:
    await opened(world)
    page = await written(world, tmp_path, languages=(language,))
    for word in ("paper.incidents", "paper.units", "paper.call_form", "paper.stale", "incident.pending_units"):
        assert paper_words()[word][language] in page.words


def test_every_status_has_its_word() -> None:
    known = set(paper_words())
    assert {f"status.{status}" for status in UnitStatus} <= known
    assert {f"call.{status}" for status in CallStatus} - known <= {"call.linked", "call.closed"}
    assert {f"body.{body}" for body in Body} <= known


async def test_a_thousand_incidents_stay_printable_and_the_rest_is_a_number(world: ApiWorld, tmp_path: Path) -> None:
    incident = await opened(world)
    state = world.engine.replicas.states["UZ-TK"]  # type: ignore[index]
    one = state.incidents[incident]  # type: ignore[index]
    for number in range(2, MOST_INCIDENTS + 10):
        made: Any = {"incident_id": f"TK-{number}", "number": number}
        state.incidents[f"TK-{number}"] = type(one)(**{**_fields(one), **made})  # type: ignore[index]
    page = await written(world, tmp_path)
    assert page.words.count("Yurak toʻxtashi") == MOST_INCIDENTS
    assert "bu yerda yoʻq, yana · не поместилось ещё: 9" in page.words


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}


def test_the_limits_leave_room_for_what_matters() -> None:
    assert CALLS_AN_INCIDENT >= 2 and NOTES_AN_INCIDENT >= 3
    assert len(text("a" * 10_000)) == TEXT_MAX + 1
    assert text("a\ud800b\0") == "a?b "


class TestTelephones:
    def test_a_list_from_any_spreadsheet_is_read(self, tmp_path: Path) -> None:
        assert read_telephones(tmp_path) is None
        for content in (
            "region,name,phone,radio,unit_id\n*,Navbatchi, +998 00 1 ,,\nUZ-TK,A22,2,R4,TK-A22\n",
            "\ufeffregion;name;phone;radio;unit_id\r\n*;Navbatchi;+998 00 1;;\r\nUZ-TK;A22;2;R4;TK-A22\r\n",
            "name,region,phone,remark,unit_id,radio\nNavbatchi,*,+998 00 1,x,,\nA22,UZ-TK,2,,TK-A22,R4\n",
        ):
            (tmp_path / FILE).write_text(content, "utf-8")
            listed = read_telephones(tmp_path)
            assert listed is not None
            assert [(each.name, each.phone, each.radio) for each in listed] == [
                ("Navbatchi", "+998 00 1", ""),
                ("A22", "2", "R4"),
            ]
            assert [each.name for each in of_region(listed, "UZ-SA")] == ["Navbatchi"]

    @pytest.mark.parametrize(
        "content",
        [
            *(b"", b"a,b\n1,2\n", b"\xff\xfe\x00", b"region,name\n"),
            pytest.param(b'region,name,phone\n*,"' + b"A22,2\n" * 30_000, id="a quotation mark that is never closed"),
        ],
    )
    def test_what_is_no_list_is_said_to_be_none(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / FILE).write_bytes(content)
        with pytest.raises(UnreadableList):
            read_telephones(tmp_path)

    async def test_a_page_says_that_the_list_is_missing_or_unreadable(self, world: ApiWorld, tmp_path: Path) -> None:
        assert "telefonlar roʻyxati yoʻq" in (await written(world, tmp_path)).words
        (tmp_path / FILE).write_bytes(b"\xff")
        assert "telephones.csv oʻqilmadi" in (await written(world, tmp_path)).words

    def test_the_demo_has_a_list_of_its_own_and_overwrites_nobodys(self, tmp_path: Path) -> None:
        units = roster(112, 0.05)
        write_telephones(tmp_path, units)
        listed = read_telephones(tmp_path)
        assert listed is not None
        assert {unit.unit_id for unit in units} <= {each.unit_id for each in listed}
        assert all(each.phone.startswith("+998 00 ") for each in listed), "no operator gives such numbers"
        assert len({each.phone for each in listed}) == len(listed)
        (tmp_path / FILE).write_text("mine")
        write_telephones(tmp_path, units)
        assert (tmp_path / FILE).read_text() == "mine"
