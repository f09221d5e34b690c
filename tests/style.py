"""What the sources look like, counted: for test_tidy, and for a person with `python -m tests.style`."""

import ast
import os
import re
import statistics
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("dispatch", "routing", "consoles", "simulators")
MADE = {".git", ".venv", "node_modules", "dist", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
WRITTEN = {".py", ".ts", ".svelte", ".css", ".sql", ".sh"}
LONG_FILE_LINES, LONG_FUNCTION_LINES, MANY_PARAMETERS = 250, 50, 4

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module(NamedTuple):
    """One Python file: where it is, its text, its tree."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    def functions(self) -> Iterator[Function]:
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))


@cache
def files() -> list[Path]:
    """Every file that is or may be committed; without git, every file that no tool made."""
    listed = _git("ls-files", "--cached", "--others", "--exclude-standard")
    if listed is None:
        return sorted(path for path in _walk() if path.is_file())
    return sorted(ROOT / name for name in set(listed) if (ROOT / name).is_file())


def committed() -> list[str]:
    """Names of the files in git; none in a copy without it."""
    return _git("ls-files", "--cached") or []


@cache
def modules() -> list[Module]:
    """Our Python files, tests among them."""
    found = []
    for path in files():
        if path.suffix == ".py":
            text = path.read_text()
            found.append(Module(path, text, ast.parse(text)))
    return found


def sources() -> list[Module]:
    return [module for module in modules() if module.path.relative_to(ROOT).parts[0] in PACKAGES]


def suite() -> list[Module]:
    return [module for module in modules() if module.path.relative_to(ROOT).parts[0] == "tests"]


def length(function: Function) -> int:
    """Lines from `def` to the end, without the docstring: a good one is no burden."""
    assert function.end_lineno
    first = function.body[0]
    documented = ast.get_docstring(function) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return function.end_lineno - function.lineno + 1 - docstring


def positional(function: Function) -> int:
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return len([name for name in names if name not in ("self", "cls")])


def untyped(function: Function) -> list[str]:
    """The parameters without a type, and `return`."""
    taken = function.args
    every = [*taken.posonlyargs, *taken.args, *taken.kwonlyargs, *filter(None, (taken.vararg, taken.kwarg))]
    missing = [a.arg for a in every if a.annotation is None and a.arg not in ("self", "cls")]
    return missing + ([] if function.returns else ["return"])


def report() -> str:
    """The numbers of the house beside what it aims at, then the places to look at."""
    ours, theirs = sources(), suite()
    functions = [function for module in ours for function in module.functions()]
    lengths = [length(function) for function in functions]
    source_lines, test_lines = (sum(module.lines for module in part) for part in (ours, theirs))
    comments = sum(len(re.findall(r"(?m)^\s*#|\S\s+# ", module.text)) for module in ours)
    typed = sum(1 for function in functions if function.returns)
    return "\n".join(
        [
            f"files                    {len(ours)}, {source_lines} lines",
            f"median file              {statistics.median(m.lines for m in ours):.0f} lines (110 to 230)",
            f"median function          {statistics.median(lengths):.0f} lines (5 to 9)",
            f"functions over 50 lines  {100 * sum(n > 50 for n in lengths) / len(lengths):.1f} % (2 to 5)",
            f"comments per 100 lines   {100 * comments / source_lines:.1f} (4 to 8)",
            f"return types             {100 * typed / len(functions):.1f} % (100)",
            f"tests to source          {test_lines / source_lines:.2f} (1.1 to 1.7)",
            *places_to_look(),
        ]
    )


def places_to_look() -> Iterator[str]:
    for module in modules():
        if module.lines > LONG_FILE_LINES:
            yield f"look: {module.name} has {module.lines} lines"
        for function in module.functions():
            if length(function) > LONG_FUNCTION_LINES:
                yield f"look: {module.name}:{function.lineno} {function.name} has {length(function)} lines"
            if positional(function) > MANY_PARAMETERS and module in sources():
                yield f"look: {module.name}:{function.lineno} {function.name} takes {positional(function)}"


def _git(*words: str) -> list[str] | None:
    try:
        said = subprocess.run(["git", *words, "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return [name for name in said.stdout.split("\0") if name]


def _walk() -> Iterator[Path]:
    for place, directories, names in os.walk(ROOT):
        directories[:] = [name for name in directories if name not in MADE]
        yield from (Path(place, name) for name in names)


if __name__ == "__main__":
    print(report())
