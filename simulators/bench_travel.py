"""`dispatch112 bench travel`: the road engine's own measurement, on a drawn country or an imported map."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from dispatch.errors import UserMistake
from dispatch.settings import settings_from
from dispatch.writing.heap import settle
from routing import benchmark, mapfolder, roads
from routing.comparison import SCIPY_MISSING


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Figures by name. Raises UserMistake when there is no such map."""
    try:
        network = _network(args)
        settle()  # as in a service: how threads share the interpreter is part of what is measured
        figures = benchmark.measure(network, args.seed)
        if figures["scipy"] == SCIPY_MISSING:
            print(f"without scipy's times beside: it is {SCIPY_MISSING}", file=sys.stderr)
        return figures
    except ValueError as mistake:
        raise UserMistake(str(mistake)) from mistake


def _network(args: argparse.Namespace) -> roads.Roads:
    if args.map is None:
        return benchmark.country(settings_from(args).cache_dir, args.nodes, lambda said: print(said, file=sys.stderr))
    return mapfolder.load(args.map, for_units=True).roads
