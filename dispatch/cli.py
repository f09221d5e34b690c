"""The installed command `dispatch112`: finds the subcommand, hands it its arguments, gives the exit status.

0 done, 1 a server away, 2 the user's mistake (one clear line, no traceback), 130 Ctrl-C.
A subcommand lives in its own module and is imported only when asked for, so that `--help` is quick.
The module has `add_arguments(parser)` and `run(args) -> int`, or the functions named in the table.
"""

import argparse
import errno
import importlib
import logging
import os
import sys
from pathlib import Path
from typing import NamedTuple, NoReturn

from dispatch.errors import ServiceAway, UserMistake

PROGRAM = "dispatch112"
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class Command(NamedTuple):
    """One subcommand: where its code is, what it does, and an example that works as typed."""

    module: str
    help: str
    example: str
    run: str = "run"
    arguments: str = "add_arguments"
    hidden: bool = False


COMMANDS: dict[str, Command] = {
    "demo": Command(
        "simulators.demo",
        "a whole country on this machine: servers, crews, callers, consoles",
        "demo --port 8112 --calls-per-minute 60 --speed 10",
    ),
    "serve": Command(
        "consoles.serve",
        "the service itself, with servers by URL or embedded",
        "serve --port 8112 --regions UZ-TK,UZ-TO",
    ),
    "migrate": Command("dispatch.keeping.migrate", "bring the database to this version's schema", "migrate"),
    "doctor": Command("dispatch.doctor", "what this machine has, what it lacks, what to do", "doctor"),
    "import-map": Command(
        "dispatch.maps",
        "a map folder from an OpenStreetMap extract or a JEMSS road network",
        "import-map uzbekistan-latest.osm.pbf --map DIR",
        run="run_import",
        arguments="add_import_arguments",
    ),
    "travel": Command(
        "dispatch.maps",
        "road travel times between places",
        "travel --from 41.311,69.279 --to 41.264,69.216",
        run="run_travel",
        arguments="add_travel_arguments",
    ),
    "search": Command(
        "dispatch.searching",
        "places by name in any script, addresses, kilometres of roads, coordinates, plus codes",
        "search 'Гиждуван' --near 39.77,64.43 --limit 3",
    ),
    "learn-speeds": Command(
        "dispatch.speeds",
        "speeds by the hour, from where units have been",
        "learn-speeds tracks.csv --out speeds.json",
    ),
    "decode": Command(
        "dispatch.formats.command",
        "what a location message says: aml, owntracks, osmand, pidf-lo",
        "decode aml message.txt",
    ),
    "load": Command(
        "simulators.load_command",
        "real-time load over the public interfaces",
        "load --url http://localhost:8112 --calls-per-second 20 --seconds 60 --report load.json",
    ),
    "simulate": Command(
        "simulators.scenarios",
        "a scenario in virtual time",
        "simulate SCENARIO --seed 1 --replications 20 --out DIR",
    ),
    "sim": Command(
        "simulators.sim",
        "seeded worlds full of faults, what must be true checked at every step; planted bugs",
        "sim --seeds 200",
    ),
    "bench": Command(
        "simulators.bench",
        "measure what the documents claim",
        "bench intake --report bench.json",
    ),
    "replay": Command("dispatch.replay", "a region's journal, decided again", "replay --region UZ-TK"),
    "verify-log": Command(
        "dispatch.keeping.verifying",
        "check the journal's hash chain, of an export or of the database",
        "verify-log --region UZ-TK",
    ),
    "heads": Command(
        "dispatch.keeping.heads",
        "the key and the last of the signed heads; a new key",
        "heads --data-dir .data",
    ),
    "export": Command("consoles.export", "the journal and the read models as files", "export DIR"),
    "backup": Command(
        "dispatch.keeping.backup", "everything that a restore needs, while the service works", "backup DIR"
    ),
    "restore": Command("dispatch.keeping.restore", "a backup into an empty database, verified", "restore DIR"),
    "paper": Command("consoles.paper_kit", "open work and telephones as pages to print, now", "paper DIR"),
    "import-calls": Command(
        "simulators.import_calls",
        "a centre's own records into our schema",
        "import-calls calls.csv --mapping mapping.json --out DIR",
    ),
    "golden": Command(
        "simulators.golden",
        "reproduce published runs call by call",
        "golden elaspy --data DIR --run 3 --units 23 --out calls.csv",
    ),
    "theory": Command(
        "simulators.theory",
        "simulated queues beside their formulas",
        "theory case.json --arrivals 100000 --seed 1",
    ),
    "prepare": Command(
        "dispatch.preparation",
        "compile and cache what would make the first start slow",
        "prepare",
        hidden=True,
    ),
}


class Parser(argparse.ArgumentParser):
    """A mistake in the arguments is the user's mistake, said in one line."""

    def error(self, message: str) -> NoReturn:
        raise UserMistake(f"{message} (see {self.prog} --help)")


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand and return the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        status = _run(words)
        sys.stdout.flush()  # Here, where a reader that has gone is no fault, and not at exit.
        return status
    except UserMistake as mistake:
        print(f"{PROGRAM}: {mistake}", file=sys.stderr)
        return 2
    except ServiceAway as fault:
        print(f"{PROGRAM}: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output (`| head`) has enough; the interpreter must not flush into it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as fault:
        if fault.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        what = f" for {fault.filename}" if fault.filename else ""
        print(f"{PROGRAM}: the disk has no room{what}: make some, or name another one", file=sys.stderr)
        return 2


def available() -> dict[str, Command]:
    """The subcommands whose code is installed."""
    return {name: command for name, command in COMMANDS.items() if _exists(command.module)}


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        print(f"{PROGRAM} {importlib.import_module('dispatch').__version__}")
        return 0
    name, rest = words[0], words[1:]
    command = available().get(name)
    if command is None:
        raise UserMistake(f"no command {name!r} (see {PROGRAM} --help)")
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, stream=sys.stderr)
    module = importlib.import_module(command.module)
    parser = Parser(
        prog=f"{PROGRAM} {name}",
        description=command.help[0].upper() + command.help[1:] + ".",
        epilog=f"example: {PROGRAM} {command.example}",
    )
    getattr(module, command.arguments)(parser)
    return int(getattr(module, command.run)(_parsed(parser, rest)))


def _parsed(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """Flags may stand anywhere, also between what has no flag: `decode aml --hmac-key KEY -`."""
    return parser.parse_intermixed_args(words)


def _overview() -> str:
    shown = {name: command for name, command in available().items() if not command.hidden}
    lines = [f"  {name:<13}{command.help}" for name, command in shown.items()]
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND [ARGUMENTS]",
            "",
            *lines,
            "",
            f"{PROGRAM} COMMAND --help explains one. Example: {PROGRAM} doctor",
        ]
    )


def _exists(module: str) -> bool:
    """Looked up as a file: finding it by import would load its package."""
    path = Path(__file__).resolve().parent.parent.joinpath(*module.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()
