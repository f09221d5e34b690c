"""`dispatch112 sim`: seeded worlds full of faults against the core, until one breaks or all are done."""

from __future__ import annotations

import argparse
import sys
from time import perf_counter

from dispatch.flags import SEED_MAX, whole
from simulators.world import Failed, run_seed

SEEDS = 200
TOLD_EVERY_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seeds", type=whole(1, 10_000_000), default=SEEDS, help="how many worlds (default: %(default)s)"
    )
    parser.add_argument(
        "--first", type=whole(0, SEED_MAX - 10_000_000), default=0, help="the first seed (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Exit status 0 when every world stayed whole, 1 with the account of the first that did not."""
    began = told = perf_counter()
    events = commands = refused = 0
    for seed in range(args.first, args.first + args.seeds):
        try:
            world = run_seed(seed)
        except Failed as failed:
            print(failed, file=sys.stderr)
            return 1
        events += world.events
        commands += sum(writer.decisions for writer in world.writers.values())
        refused += sum(writer.refusals for writer in world.writers.values())
        if perf_counter() - told > TOLD_EVERY_S:
            told = perf_counter()
            print(f"{seed - args.first + 1} of {args.seeds} worlds, {events} events", flush=True)
    seconds = perf_counter() - began
    print(
        f"{args.seeds} worlds whole: {events} events of {commands} decisions, {refused} commands refused, "
        f"{seconds:.1f} s, {events / seconds:.0f} events/s with all checks"
    )
    return 0


def main() -> int:
    """`python -m simulators.sim`."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
