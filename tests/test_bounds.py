"""docs/bounds.md says the truth: each limit it names stands in the code, and what can grow stands in it."""

import ast
import importlib
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.style import ROOT, Module, sources

PAGE = (ROOT / "docs" / "bounds.md").read_text("utf-8")
NAMED = re.compile(r"^\| (.+?) \| `([\w.]+)` = ([^|]+?) \| `([\w/.]+)` \| (.+?) \|$", re.MULTILINE)
TABLE = re.compile(r"^\| `(\w+)` \| (?:–|`(\w+)` = ([^|]+?)) \| (.+?) \|$", re.MULTILINE)
LIMITING = re.compile(r"^MOST_|_MAX$|_KEPT$|_LIMIT$|_MAX_BYTES$|_LIMIT_BYTES$")
OF_ONE = {
    *("BATCH_LIMIT", "BATCH_MAX", "CHECKED_MAX", "MOST_RINGS", "MOST_RESULTS"),
    *("DETAIL_MAX", "ERRORS_MAX", "EVENTS_MAX", "FAULT_MAX", "KEY_MAX", "LIMIT_MAX", "NUMBER_MAX", "SECRET_MAX"),
    *(
        "PASSED_OVER_MAX",
        "UNITS_MAX",
        "SPAN_MAX",
        "LATE_MAX",
        "FUTURE_MAX",
        "PAST_MAX",
        "FUTURE_LIMIT",
        "ABSENT_LOOKS_MAX",
    ),
    *("MOST_GROWTH_M", "TILE_KEPT", "WORD_MAX", "SEED_MAX", "RATE_MAX", "SOCKET_PATH_LIMIT_BYTES", "CORE_HOPS_MAX"),
    *("MOST_STEPS", "LIKE_MAX", "LINE_MAX", "REASON_MAX", "QUERY_MAX", "FOUND_MAX"),
    *("NAME_MAX", "MOST_UNITS", "MOST_HAZARDS", "RADIUS_MAX", "PACKET_LIMIT"),
    *("MOST_CHARS", "MOST_WORDS", "MOST_SEEN", "MOST_BETWEEN", "MOST_ALIKE", "MOST_BEGUN", "MOST_HITS"),
    *("MOST_CONTEXTS", "MOST_CUT_WORDS", "MOST_SPOKEN_WORDS", "MOST_HOUSED"),
    *("CORNERS_MAX", "CANDIDATES_MAX", "MOST_OF_ONE", "MOST_PARTS", "MOST_MIDDLES"),
    *("MEMBER_MAX_BYTES", "VIA_WAYS_MAX", "PLACES_MAX", "CHOICES_MAX", "SENTENCE_MAX"),
}
"""Limits of one input, one answer, one turn or one estimate: nothing grows against them."""
FEW_ARGUMENTS = {"consoles/catalogue.py": "_read"}
"""Functions that remember for good and are asked only with names that stand in the code."""
PARTS = ("dispatch", "consoles", "routing")
EMPTY_AT_FIRST = {"deque": "maxlen", "Queue": "maxsize", "PriorityQueue": "maxsize", "LifoQueue": "maxsize"}


def parts() -> list[Module]:
    return [module for module in sources() if module.name.split("/")[0] in PARTS]


def value(name: str, path: str) -> Any:
    head, _, field = name.partition(".")
    found = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), head)
    return getattr(found(), field) if field else found


def written(name: str, found: Any) -> str:
    """A limit as the page writes it."""
    if isinstance(found, timedelta):
        whole_days = not found.seconds and found.days > 1
        return f"{found.days} d" if whole_days else f"{found.total_seconds() / 3600:g} h"
    if isinstance(found, tuple):
        return " · ".join(f"{each:g}" for each in found)
    if isinstance(found, float):
        return f"{found:g}"
    units = (("MiB", 1 << 20), ("KiB", 1 << 10)) if "bytes" in name.lower() else ()
    return next((f"{found // size} {unit}" for unit, size in units if found % size == 0), f"{found:,}")


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize(("what", "name", "said", "path", "then"), NAMED.findall(PAGE))
def test_a_limit_has_the_value_that_the_page_gives(what: str, name: str, said: str, path: str, then: str) -> None:
    assert said == written(name, value(name, path)), f"{what}: {path} has another {name}"
    assert len(then) > 2 or name == "PRUNE_S", f"{what}: what happens there?"


def test_every_limit_of_the_code_is_on_the_page() -> None:
    named = {(path, name) for _, name, _, path, _ in NAMED.findall(PAGE)}
    ages = {name for _, name, _, _ in TABLE.findall(PAGE)}
    missing = [
        f"{module.name}: {name}"
        for module in parts()
        for name in _constants(module)
        if LIMITING.search(name) and (module.name, name) not in named and name not in OF_ONE | ages
    ]
    assert not missing, "what grows against it? docs/bounds.md says so, or OF_ONE that nothing does"


def test_every_table_is_on_the_page_with_how_long_its_rows_stay() -> None:
    tables = re.findall(r"^CREATE TABLE (\w+)", (ROOT / "schema.sql").read_text("utf-8"), re.MULTILINE)
    rows = TABLE.findall(section("Tables"))
    assert [row[0] for row in rows] == tables
    for _, name, said, _ in rows:
        if name:
            path = "consoles/access.py" if name == "SESSION_KEPT" else "dispatch/store.py"
            assert said == written(name, value(name, path))


def test_every_age_of_the_store_is_the_one_that_is_pruned_by() -> None:
    from dispatch.store import Ages

    ages = {name: getattr(Ages(), name) for name in Ages.__struct_fields__}
    assert ages == {name: value(f"{name.upper()}_KEPT", "dispatch/store.py") for name in ages}


def test_a_queue_without_a_limit_of_its_own_is_on_the_page() -> None:
    unsaid = [
        f"{module.name}:{call.lineno} {name}"
        for module in parts()
        for name, call in _made(module)
        if not _limited(name, call) and (name != "deque" or f"`{module.name}`" not in PAGE)
    ]
    assert not unsaid


def test_what_is_remembered_for_good_takes_no_argument() -> None:
    """`@cache` on a function with arguments keeps an answer for whatever was asked."""
    growing = [
        f"{module.name}:{function.lineno} {function.name}"
        for module in parts()
        for function in module.functions()
        if {ast.unparse(each) for each in function.decorator_list} & {"cache", "functools.cache", "lru_cache(None)"}
        if function.args.args or function.args.vararg or function.args.kwonlyargs
        if FEW_ARGUMENTS.get(module.name) != function.name
    ]
    assert not growing


def _constants(module: Module) -> Iterator[str]:
    for node in module.tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        yield from (each.id for each in targets if isinstance(each, ast.Name) and each.id.isupper())


def _made(module: Module) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in EMPTY_AT_FIRST:
                yield name, node


def _limited(name: str, call: ast.Call) -> bool:
    needed = 2 if name == "deque" else 1
    return len(call.args) >= needed or any(word.arg == EMPTY_AT_FIRST[name] for word in call.keywords)
