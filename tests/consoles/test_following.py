"""What a caller's app is told of its call."""

from __future__ import annotations

from consoles.following import state_of
from dispatch.core import commands as c
from dispatch.core.terms import SYSTEM, Disposition, UnitStatus
from tests.core.scene import LOLA, TO, Scene
from tests.core.test_between import CALL, asking, heard, lent_unit, offered


def test_help_from_another_region_is_shown_like_our_own() -> None:
    scene, incident_id = asking("accepted")
    scene.unit("A1")
    scene.assign(incident_id, "A1")
    scene.do(heard(6, (lent_unit(status=UnitStatus.EN_ROUTE),)))
    shown = state_of(scene.call_now(scene.call()), scene.incident_now(incident_id))["help"]
    assert [(row["call_sign"], row["status"]) for row in shown] == [("A1", "dispatched"), ("A7", "en_route")]
    assert shown[1]["eta_s"] == 240.0


def test_a_call_that_another_cell_has_is_not_over() -> None:
    scene = offered("sent")
    offer = scene.state.offers[CALL]
    shown = state_of(scene.call_now(CALL), None)
    assert (shown["status"], shown["region"]) == ("ringing", "UZ-TK")
    scene.do(c.ReleaseCall(actor=SYSTEM, call_id=CALL, offer_id=offer.offer_id, abroad=True))
    shown = state_of(scene.call_now(CALL), None)
    assert (shown["status"], shown["region"]) == ("transferred", TO)


def test_a_call_that_was_closed_here_is_over() -> None:
    scene = Scene()
    scene.do(c.CloseCall(actor=LOLA, call_id=scene.call(), disposition=Disposition.TEST))
    shown = state_of(scene.call_now(CALL), None)
    assert (shown["status"], shown["region"]) == ("closed", "UZ-TK")
