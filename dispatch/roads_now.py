"""The roads as they are now, of a service: its map's streets by name, what was learnt of the hour, what is closed."""

from collections.abc import Mapping

from dispatch.clock import Clock
from dispatch.core.state import RegionState
from dispatch.core.terms import RegionId
from dispatch.maps import street_names
from dispatch.settings import Settings
from dispatch.speeds import profile_of
from dispatch.writing.live_roads import LiveRoads
from routing.travel import Travel


def live_roads(
    settings: Settings, travel: Travel | None, states: Mapping[RegionId, RegionState], clock: Clock
) -> LiveRoads | None:
    """What follows closures and the hour on a service's roads, with the names of its map's streets; None without
    roads. Raises UserMistake."""
    if travel is None:
        return None
    return LiveRoads(travel, states, clock, profile_of(settings), names=street_names(settings))
