"""`dispatch112 bench travel`: the road engine's own measurement, on the demo's roads."""

from __future__ import annotations

import argparse
from typing import Any

from dispatch.settings import settings_from
from routing import benchmark, roads


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds, by name."""
    return dict(benchmark.measure(roads.demo(settings_from(args).cache_dir, say=lambda _: None), args.seed))
