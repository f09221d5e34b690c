"""What people and devices may ask of a region. A command is a wish: `decide` makes facts of it or refuses.

What a decision needs from outside comes *in* the command as data: travel times, an estimate of the place,
the age of a recommendation. Personal words are replaced by a commitment before a command is made.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from dispatch.core.aid_terms import AidReport, Wanted
from dispatch.core.closure_terms import Closure, ClosureId
from dispatch.core.terms import (
    ActorId,
    AssignmentId,
    Body,
    Call,
    CallId,
    CallStatus,
    Channel,
    Disposition,
    HazardId,
    HazardKind,
    IncidentId,
    Location,
    LocationFix,
    Need,
    OrderId,
    Phase,
    Policy,
    Priority,
    Reach,
    RegionId,
    Service,
    Stage,
    Unit,
    UnitId,
    UnitStatus,
    Value,
)


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="ask", gc=False):
    """A wish, and who has it."""

    actor: ActorId


class ReceiveCall(Command, frozen=True, kw_only=True, tag="receive_call"):
    """A contact. With a service or an incident type it goes straight to an incident."""

    call_id: CallId
    channel: Channel
    language: str | None = None
    service: Service | None = None
    incident_type: str | None = None
    priority: Priority | None = None
    location: Location | None = None
    evidence: tuple[LocationFix, ...] = ()
    commitment: str | None = None
    has_number: bool = False
    silent: bool = False
    misunderstood: tuple[str, ...] = ()


class LocateCall(Command, frozen=True, kw_only=True, tag="locate_call"):
    """New evidence about a call; `location` is the estimate fused from all of it.

    `reach` holds the way that the units on its incident would have to there. `evidence_id`: another region took it.
    """

    call_id: CallId
    fix: LocationFix
    location: Location | None = None
    reach: Reach | None = None
    evidence_id: str | None = None


class MarkEvidenceTold(Command, frozen=True, kw_only=True, tag="mark_evidence_told"):
    """In the region that took it: whoever has the call has this evidence."""

    evidence_id: str


class MoveCall(Command, frozen=True, kw_only=True, tag="move_call"):
    """Claim, answer, hold, abandon or call back, by the status it leads to."""

    call_id: CallId
    status: CallStatus


class TransferCall(Command, frozen=True, kw_only=True, tag="transfer_call"):
    """Back into a queue: this region's, or by hand-over that of `to`."""

    call_id: CallId
    to: RegionId


class ClassifyCall(Command, frozen=True, kw_only=True, tag="classify_call"):
    """What it is about: opens an incident, joins `incident_id`, or corrects the type of the one joined."""

    call_id: CallId
    incident_type: str
    priority: Priority | None = None
    incident_id: IncidentId | None = None
    note_id: str | None = None
    commitment: str | None = None


class CloseCall(Command, frozen=True, kw_only=True, tag="close_call"):
    call_id: CallId
    disposition: Disposition


class TakeCall(Command, frozen=True, kw_only=True, tag="take_call"):
    """Hand-over, in the taking region. Repeating it changes nothing."""

    call: Call
    origin: RegionId
    offer_id: str
    sealed: dict[str, str] = {}


class ReleaseCall(Command, frozen=True, kw_only=True, tag="release_call"):
    """Hand-over, back in the giving region, once the other side has the call; `abroad`: in another cell."""

    call_id: CallId
    offer_id: str
    abroad: bool = False


class MarkSent(Command, frozen=True, kw_only=True, tag="mark_sent"):
    """The offer is about to leave for the first time."""

    call_id: CallId
    offer_id: str


class RecallCall(Command, frozen=True, kw_only=True, tag="recall_call"):
    """Take a call back that is being handed over: at once when nothing was sent, else the other side is asked."""

    call_id: CallId


class ForgoOffer(Command, frozen=True, kw_only=True, tag="forgo_offer"):
    """In the taking region: the giver wants its call back. Refused when it is here."""

    call_id: CallId
    offer_id: str


class RegainCall(Command, frozen=True, kw_only=True, tag="regain_call"):
    """Back in the giving region, once the other side will never accept the offer."""

    call_id: CallId
    offer_id: str


class AskAid(Command, frozen=True, kw_only=True, tag="ask_aid"):
    """Ask another region for units."""

    incident_id: IncidentId
    to: RegionId
    body: Body
    capability: str
    count: int = 1


class RestateAid(Command, frozen=True, kw_only=True, tag="restate_aid"):
    """The incident has changed since its ask was last said: say it anew, or withdraw it when that is over."""

    request_id: str


class WithdrawAid(Command, frozen=True, kw_only=True, tag="withdraw_aid"):
    """The help is not wanted any more; without a name, all that this incident has asked for."""

    incident_id: IncidentId
    request_id: str | None = None


class TakeAid(Command, frozen=True, kw_only=True, tag="take_aid"):
    """In the lending region: what another asks for, new or changed. Repeating it changes nothing."""

    wanted: Wanted


class HearAid(Command, frozen=True, kw_only=True, tag="hear_aid"):
    """In the borrowing region: what the lender reports. A report that a newer one has overtaken changes nothing."""

    report: AidReport
    lender: RegionId


class MarkTold(Command, frozen=True, kw_only=True, tag="mark_told"):
    """In the lending region: the borrower has this report."""

    report: AidReport


class OpenIncident(Command, frozen=True, kw_only=True, tag="open_incident"):
    """An incident without a call."""

    incident_type: str
    priority: Priority | None = None
    location: Location | None = None
    note_id: str | None = None
    commitment: str | None = None


class Dispatch(Command, frozen=True, kw_only=True, tag="dispatch"):
    """Assign the best units to what the incident still lacks. `reach` holds the candidates' travel times."""

    incident_id: IncidentId
    reach: Reach


class Basis(Value, frozen=True, kw_only=True):
    """What a recommendation answered: with another need, priority or place it is another question."""

    needs: tuple[Need, ...]
    priority: Priority
    at: tuple[float, float] | None


class AssignUnits(Command, frozen=True, kw_only=True, tag="assign_units"):
    """A dispatcher confirms or chooses. `age_s` is the recommendation's age, `basis` what it was made from."""

    incident_id: IncidentId
    units: tuple[UnitId, ...]
    reach: Reach | None = None
    recommended: tuple[UnitId, ...] | None = None
    age_s: float | None = None
    basis: Basis | None = None
    reason: str | None = None


class RecallUnits(Command, frozen=True, kw_only=True, tag="recall_units"):
    """Take units off an incident; without names, all of them."""

    incident_id: IncidentId
    units: tuple[UnitId, ...] = ()
    reason: str = "recalled"


class DivertUnit(Command, frozen=True, kw_only=True, tag="divert_unit"):
    """Take a unit from the incident it is on and send it to this one."""

    incident_id: IncidentId
    unit_id: UnitId
    reach: Reach | None = None
    reason: str = "diverted"


class MergeIncidents(Command, frozen=True, kw_only=True, tag="merge_incidents"):
    incident_id: IncidentId
    into: IncidentId


class SplitCall(Command, frozen=True, kw_only=True, tag="split_call"):
    """Take a call out of its incident and open one of its own."""

    incident_id: IncidentId
    call_id: CallId


class NoteIncident(Command, frozen=True, kw_only=True, tag="note_incident"):
    incident_id: IncidentId
    note_id: str
    commitment: str


class HoldIncident(Command, frozen=True, kw_only=True, tag="hold_incident"):
    incident_id: IncidentId
    held: bool = True


class PrioritiseIncident(Command, frozen=True, kw_only=True, tag="prioritise_incident"):
    incident_id: IncidentId
    priority: Priority
    reason: str | None = None


class LocateIncident(Command, frozen=True, kw_only=True, tag="locate_incident"):
    """A person says where it is; `reach` holds the way that the units on it would have to there."""

    incident_id: IncidentId
    location: Location
    reach: Reach | None = None


class AddLeg(Command, frozen=True, kw_only=True, tag="add_leg"):
    """Bring another body in."""

    incident_id: IncidentId
    body: Body
    capability: str
    count: int = 1


class ControlIncident(Command, frozen=True, kw_only=True, tag="control_incident"):
    incident_id: IncidentId


class CloseIncident(Command, frozen=True, kw_only=True, tag="close_incident"):
    incident_id: IncidentId
    disposition: Disposition


class CloseCalls(Command, frozen=True, kw_only=True, tag="close_calls"):
    """Close some more calls of an incident that has ended."""

    incident_id: IncidentId


class RegisterUnit(Command, frozen=True, kw_only=True, tag="register_unit"):
    """A unit enters the roster, or its particulars change; its status and work stay."""

    unit: Unit


class ReportStatus(Command, frozen=True, kw_only=True, tag="report_status"):
    """A crew, or a dispatcher for it, reports a status. `age_s`: how long ago by the clock of whoever said so."""

    unit_id: UnitId
    status: UnitStatus
    status_id: str | None = None
    assignment_id: AssignmentId | None = None
    age_s: float = 0.0


class ShiftUnit(Command, frozen=True, kw_only=True, tag="shift_unit"):
    unit_id: UnitId
    on_shift: bool


class ReportLink(Command, frozen=True, kw_only=True, tag="report_link"):
    unit_id: UnitId
    linked: bool


class StageOrder(Command, frozen=True, kw_only=True, tag="stage_order"):
    """A unit's word about an order: delivered, seen, accepted or refused. `age_s`: how old by its device's clock."""

    unit_id: UnitId
    order_id: OrderId
    stage: Stage
    reason: str | None = None
    age_s: float | None = None


class SendOrder(Command, frozen=True, kw_only=True, tag="send_order"):
    """The order's time has come: send it (again), or give it up and free the unit for the next one."""

    order_id: OrderId


class CloseRoad(Command, frozen=True, kw_only=True, tag="close_road"):
    closure: Closure


class ReopenRoad(Command, frozen=True, kw_only=True, tag="reopen_road"):
    closure_id: ClosureId


class RecordHazard(Command, frozen=True, kw_only=True, tag="record_hazard"):
    """Something threatens crews; without a `location` it is where its incident is."""

    kind: HazardKind
    radius_m: float
    location: Location | None = None
    until: datetime | None = None
    incident_id: IncidentId | None = None
    note_id: str | None = None
    commitment: str | None = None


class AcknowledgeHazard(Command, frozen=True, kw_only=True, tag="acknowledge_hazard"):
    """A person has read of a hazard and sends units to this incident all the same."""

    hazard_id: HazardId
    incident_id: IncidentId


class EndHazard(Command, frozen=True, kw_only=True, tag="end_hazard"):
    """It threatens nobody any more; the system says so when its time has come."""

    hazard_id: HazardId


class SetPolicy(Command, frozen=True, kw_only=True, tag="set_policy"):
    policy: Policy


class SetPhase(Command, frozen=True, kw_only=True, tag="set_phase"):
    phase: Phase
