"""`dispatch112 sim`: seeded worlds full of faults against the core and the shell, and bugs planted to be found.

Without `--level` or `--planted`: so many worlds of the core, a share of them of the shell, then the planted
bugs, each with one line of figures. It stops at the first world that breaks, and says how to see it again.
"""

from __future__ import annotations

import argparse
import sys
from time import perf_counter

from dispatch.flags import SEED_MAX, whole
from simulators.planted import BUDGET, hunts
from simulators.seeds import Level, Outcome, cores, run_worlds

SEEDS = 200
SHELL_SHARE = 20
"""One world of the shell for so many of the core: a world of the shell costs three times as much."""
SHELL_LEAST = 10
TOLD_EVERY_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seeds", type=whole(1, 10_000_000), default=SEEDS, help="how many worlds (default: %(default)s)"
    )
    parser.add_argument(
        "--first", type=whole(0, SEED_MAX - 10_000_000), default=0, help="the first seed (default: %(default)s)"
    )
    parser.add_argument(
        "--workers", type=whole(1, 256), default=cores(), help="processes (default: the cores, %(default)s)"
    )
    parser.add_argument("--level", type=Level, choices=list(Level), help="only worlds of this level")
    parser.add_argument("--planted", action="store_true", help="only the planted bugs: which seed finds each, and how")


def run(args: argparse.Namespace) -> int:
    """Exit status 0 when every world stayed whole and every planted bug was found, else 1."""
    seeds = range(args.first, args.first + args.seeds)
    if args.planted:
        return _planted(args.workers)
    if args.level is not None:
        return _worlds(args.level, seeds, args.workers)
    shell = seeds[: max(min(SHELL_LEAST, len(seeds)), len(seeds) // SHELL_SHARE)]
    return (
        _worlds(Level.CORE, seeds, args.workers) or _worlds(Level.SHELL, shell, args.workers) or _planted(args.workers)
    )


def _worlds(level: Level, seeds: range, workers: int) -> int:
    began = told = perf_counter()
    done: list[Outcome] = []
    for outcome in run_worlds(level, seeds, workers):
        if outcome.broken:
            print(outcome.account, file=sys.stderr)
            return 1
        done.append(outcome)
        if perf_counter() - told > TOLD_EVERY_S:
            told = perf_counter()
            print(f"{level}: {len(done)} of {len(seeds)} worlds", flush=True)
    print(_summary(level, done, perf_counter() - began), flush=True)
    return 0


def _summary(level: Level, done: list[Outcome], seconds: float) -> str:
    events = sum(outcome.events for outcome in done)
    commands, refused = sum(o.commands for o in done), sum(o.refused for o in done)
    more = f" of {commands} decisions, {refused} commands refused" if level is Level.CORE else ""
    return (
        f"{level}: {len(done)} worlds whole, {events} events{more}; "
        f"{seconds:.1f} s, {events / seconds:.0f} events/s with all checks"
    )


def _planted(workers: int) -> int:
    began = perf_counter()
    missed = found = worlds = 0
    for hunt in hunts(workers, BUDGET):
        print(hunt.told(), flush=True)
        found += hunt.found
        missed += not hunt.found
        worlds += hunt.worlds
    print(f"planted: {found} bugs found, {missed} missed, {worlds} worlds; {perf_counter() - began:.1f} s", flush=True)
    return 1 if missed else 0


def main() -> int:
    """`python -m simulators.sim`."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
