"""What threatens crews: who hears of it, whom it keeps from sending, and when it is over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core import snapshot
from dispatch.core import warning as warning_rules
from dispatch.core.deadlines import due
from dispatch.core.evolve import evolve
from dispatch.core.evolve_hazards import ACKNOWLEDGED_KEPT
from dispatch.core.hazard_events import HazardEnded, HazardRecorded
from dispatch.core.hazards import concerns, hazards_of, incidents_of, unacknowledged
from dispatch.core.state import RegionState
from dispatch.core.terms import (
    SYSTEM,
    Assigning,
    Hazard,
    HazardId,
    HazardKind,
    IncidentId,
    OrderKind,
    Stage,
    UnitId,
    UnitStatus,
)
from tests.core.scene import ANVAR, LOLA, START, TK, Scene, kinds, place

NEAR, BESIDE, FAR = place(41.3270), place(41.3285), place(41.40)
"""56 m, 222 m and 8 km from Chorsu."""


def hazard(scene: Scene, **changes: Any) -> HazardId:
    """Gas beside Chorsu, 100 m around."""
    known = {"actor": LOLA, "kind": HazardKind.GAS, "radius_m": 100.0, "location": NEAR}
    recorded = scene.do(c.RecordHazard(**{**known, **changes}))[0]
    assert isinstance(recorded, HazardRecorded)
    return recorded.hazard.hazard_id


def acknowledge(hazard_id: HazardId, incident_id: IncidentId) -> c.AcknowledgeHazard:
    return c.AcknowledgeHazard(actor=ANVAR, hazard_id=hazard_id, incident_id=incident_id)


def send(incident_id: IncidentId, *units: str) -> c.AssignUnits:
    return c.AssignUnits(actor=LOLA, incident_id=incident_id, units=tuple(map(UnitId, units)))


def at_chorsu(assigning: Assigning = Assigning.CONFIRM) -> tuple[Scene, IncidentId]:
    scene = Scene(assigning=assigning)
    scene.unit("A1"), scene.unit("A2")
    return scene, scene.incident()


def test_a_hazard_ends_at_its_time_also_while_no_order_can_be_answered() -> None:
    scene, incident_id = at_chorsu()
    scene.do(send(incident_id, "A1"))
    hazard(scene, until=START + timedelta(seconds=20))
    scene.wait(60)
    (over,) = due(scene.state, scene.now, orders=False)
    assert isinstance(over, c.EndHazard)
    scene.do(over)
    assert [type(command) for command in due(scene.state, scene.now)] == [c.SendOrder] * 2


def ids(found: list[Hazard]) -> list[HazardId]:
    return [one.hazard_id for one in found]


# Which incidents it concerns


def test_a_hazard_concerns_what_lies_within_its_radius() -> None:
    scene, incident_id = at_chorsu()
    elsewhere = scene.incident(location=FAR)
    inside, outside = hazard(scene), hazard(scene, location=BESIDE)
    assert ids(hazards_of(scene.state, scene.incident_now(incident_id))) == [inside]
    assert hazards_of(scene.state, scene.incident_now(elsewhere)) == []
    assert incidents_of(scene.state, scene.state.hazards[outside]) == []


@pytest.mark.parametrize("radius_m", [1.0, 60.0, 900.0, 5000.0])
def test_the_grid_finds_what_looking_at_everything_would(radius_m: float) -> None:
    scene = Scene()
    opened = [scene.incident(location=place(41.28 + 0.004 * n, 69.18 + 0.005 * n)) for n in range(24)]
    found = scene.state.hazards[hazard(scene, location=place(41.32, 69.23), radius_m=radius_m)]
    incidents = [scene.incident_now(incident_id) for incident_id in opened]
    beside = [one.incident_id for one in incidents if found in hazards_of(scene.state, one)]
    assert beside == [one.incident_id for one in incidents_of(scene.state, found)]
    assert beside == [one.incident_id for one in incidents if concerns(found, one)]
    assert beside or radius_m == 1.0


def test_a_hazard_told_in_the_course_of_an_incident_stays_with_it() -> None:
    scene, incident_id = at_chorsu()
    told = hazard(scene, location=None, incident_id=incident_id)
    assert scene.state.hazards[told].location == scene.incident_now(incident_id).location
    scene.do(c.LocateIncident(actor=LOLA, incident_id=incident_id, location=FAR))
    assert ids(hazards_of(scene.state, scene.incident_now(incident_id))) == [told]
    second = scene.incident()
    assert ids(hazards_of(scene.state, scene.incident_now(second))) == [told], "and with the place"


def test_a_hazard_goes_with_an_incident_that_is_merged_and_is_read_of_anew() -> None:
    scene, incident_id = at_chorsu()
    known = hazard(scene, location=None, incident_id=incident_id, until=START + timedelta(seconds=60))
    scene.do(acknowledge(known, incident_id))
    far = scene.incident(location=FAR)
    scene.do(c.MergeIncidents(actor=LOLA, incident_id=incident_id, into=far))
    assert ids(hazards_of(scene.state, scene.incident_now(far))) == [known]
    assert scene.refusal(send(far, "A1")) == "hazard_unacknowledged"
    assert kinds(scene.tick(60)) == ["hazard_ended"]


def test_a_hazard_without_any_place_is_refused() -> None:
    scene = Scene()
    scene.do(c.OpenIncident(actor=LOLA, incident_type="illness"))
    asked = c.RecordHazard(actor=LOLA, kind=HazardKind.DOG, radius_m=50.0, incident_id=IncidentId("TK-1"))
    assert scene.refusal(asked) == "hazard_unplaced"
    unknown = c.RecordHazard(actor=LOLA, kind=HazardKind.DOG, radius_m=50.0, incident_id=IncidentId("TK-9"))
    assert scene.refusal(unknown) == "unknown_incident"


def test_more_hazards_than_can_be_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    monkeypatch.setattr(warning_rules, "HAZARDS_MAX", 2)
    first = hazard(scene)
    hazard(scene)
    asked = c.RecordHazard(actor=LOLA, kind=HazardKind.GAS, radius_m=100.0, location=NEAR)
    assert scene.refusal(asked) == "hazard_limit"
    scene.do(c.EndHazard(actor=LOLA, hazard_id=first))
    scene.do(asked)


# Sending


def test_a_person_sends_nobody_before_every_hazard_is_acknowledged() -> None:
    scene, incident_id = at_chorsu()
    first, second = hazard(scene), hazard(scene, kind=HazardKind.DOG)
    for known in (first, second):
        assert scene.refusal(send(incident_id, "A1")) == "hazard_unacknowledged"
        scene.do(acknowledge(known, incident_id))
    scene.do(send(incident_id, "A1"))
    assert scene.unit_now("A1").incident_id == incident_id


def test_a_unit_is_not_diverted_into_an_unacknowledged_hazard_either() -> None:
    scene, incident_id = at_chorsu()
    elsewhere = scene.incident(location=FAR)
    scene.assign(elsewhere, "A1")
    known = hazard(scene)
    divert = c.DivertUnit(actor=LOLA, incident_id=incident_id, unit_id=UnitId("A1"))
    assert scene.refusal(divert) == "hazard_unacknowledged"
    scene.do(acknowledge(known, incident_id))
    scene.do(divert)


def test_an_acknowledgement_is_for_one_incident() -> None:
    scene, incident_id = at_chorsu()
    second, known = scene.incident(), hazard(scene)
    scene.do(acknowledge(known, incident_id))
    assert scene.refusal(send(second, "A1")) == "hazard_unacknowledged"


def test_the_first_acknowledgement_stands_with_its_name_and_time() -> None:
    scene, incident_id = at_chorsu()
    known = hazard(scene)
    scene.wait(5)
    scene.do(acknowledge(known, incident_id))
    again = c.AcknowledgeHazard(actor=LOLA, hazard_id=known, incident_id=incident_id)
    assert scene.do(again) == []
    [kept] = scene.incident_now(incident_id).acknowledged
    assert (kept.actor, kept.at, kept.kind) == (ANVAR, START + timedelta(seconds=5), HazardKind.GAS)


def test_what_does_not_concern_an_incident_cannot_be_acknowledged_for_it() -> None:
    scene, incident_id = at_chorsu()
    outside = hazard(scene, location=FAR)
    assert scene.refusal(acknowledge(outside, incident_id)) == "hazard_elsewhere"
    assert scene.refusal(acknowledge(HazardId("TK-H99"), incident_id)) == "unknown_hazard"
    assert scene.refusal(acknowledge(outside, IncidentId("TK-9"))) == "unknown_incident"


def test_the_system_sends_help_all_the_same_and_says_what_nobody_had_acknowledged() -> None:
    scene, incident_id = at_chorsu(Assigning.AUTOMATIC)
    known, unread = hazard(scene), hazard(scene, kind=HazardKind.WEAPON)
    scene.do(acknowledge(known, incident_id))
    scene.dispatch(incident_id, {"A1": 60.0, "A2": 90.0})
    [assignment] = scene.incident_now(incident_id).assignments
    assert assignment.unacknowledged == (unread,)
    assert ids(unacknowledged(scene.state, scene.incident_now(incident_id))) == [unread]


# Who is told


@pytest.mark.parametrize(
    ("status", "told"),
    [(UnitStatus.EN_ROUTE, True), (UnitStatus.ON_SCENE, True), (UnitStatus.TRANSPORTING, False)],
)
def test_a_crew_on_its_way_or_there_is_told_of_a_new_hazard(status: UnitStatus, told: bool) -> None:
    scene, incident_id = at_chorsu()
    scene.assign(incident_id, "A1")
    scene.stage("A1", Stage.ACCEPTED)
    scene.report("A1", status)
    asked = c.RecordHazard(actor=LOLA, kind=HazardKind.COLLAPSE, radius_m=100.0, location=NEAR)
    assert kinds(scene.do(asked)) == ["hazard_recorded", *(["place_told"] if told else [])]
    if told:
        assert scene.order_of("A1").kind is OrderKind.MESSAGE
        scene.stage("A1", Stage.DELIVERED, scene.order_of("A1"))
        assert not scene.state.orders


def test_one_decision_tells_a_bounded_number_of_crews(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, incident_id = at_chorsu()
    scene.assign(incident_id, "A1", "A2")
    monkeypatch.setattr(warning_rules, "MOST_WARNED", 1)
    asked = c.RecordHazard(actor=LOLA, kind=HazardKind.GAS, radius_m=100.0, location=NEAR)
    assert kinds(scene.do(asked)) == ["hazard_recorded", "place_told"]


# When it is over


def test_a_hazard_ends_at_its_time() -> None:
    scene, incident_id = at_chorsu()
    hazard(scene, until=START + timedelta(seconds=60))
    assert scene.tick(59) == []
    assert scene.refusal(send(incident_id, "A1")) == "hazard_unacknowledged"
    [ended] = scene.tick(1)
    assert ended == HazardEnded(hazard_id=HazardId("TK-H5"), expired=True)
    assert not scene.state.hazards
    scene.do(send(incident_id, "A1"))


def test_a_hazard_that_a_person_ended_is_not_ended_again_by_time() -> None:
    scene, _ = at_chorsu()
    known = hazard(scene, until=START + timedelta(seconds=60))
    end = c.EndHazard(actor=LOLA, hazard_id=known)
    assert scene.do(end) == [HazardEnded(hazard_id=known)]
    assert scene.refusal(end) == "unknown_hazard"
    assert scene.tick(61) == []


def test_what_changed_is_drawn_again_and_nothing_else() -> None:
    scene, incident_id = at_chorsu()
    scene.incident(location=FAR)
    scene.state.taken()
    known = hazard(scene)
    assert list(scene.state.taken().incidents) == [incident_id]
    scene.do(c.EndHazard(actor=LOLA, hazard_id=known))
    assert list(scene.state.taken().incidents) == [incident_id]


def test_a_snapshot_and_the_journal_bring_every_hazard_back() -> None:
    scene, incident_id = at_chorsu()
    known = hazard(scene, until=START + timedelta(seconds=60))
    scene.do(c.EndHazard(actor=LOLA, hazard_id=hazard(scene, kind=HazardKind.FLOOD)))
    scene.do(acknowledge(known, incident_id))
    replayed = RegionState(TK)
    for payload in scene.journal:
        evolve(replayed, e.decode(payload), START)
    assert snapshot.take(replayed) == snapshot.take(scene.state)
    scene.state = snapshot.restore(snapshot.take(scene.state))
    assert list(scene.state.hazards) == [known]
    assert kinds(scene.tick(60)) == ["hazard_ended"], "its time was not forgotten"


def test_acknowledgements_of_hazards_that_are_over_go_first() -> None:
    scene, incident_id = at_chorsu()
    standing = hazard(scene)
    scene.do(acknowledge(standing, incident_id))
    for _ in range(ACKNOWLEDGED_KEPT + 3):
        known = hazard(scene, kind=HazardKind.TRAFFIC)
        scene.do(acknowledge(known, incident_id))
        scene.do(c.EndHazard(actor=SYSTEM, hazard_id=known))
    kept = scene.incident_now(incident_id).acknowledged
    assert len(kept) == ACKNOWLEDGED_KEPT and kept[0].hazard_id == standing


def test_a_hazard_names_its_region_and_is_never_named_twice() -> None:
    scene = Scene()
    names = [hazard(scene) for _ in range(3)]
    assert len(set(names)) == 3 and all(name.startswith("TK-H") for name in names)
