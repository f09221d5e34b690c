"""(state, command, now) → facts or a refusal: the table of who decides what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from dispatch.core import aid, assigning, calls, closures, crews, incidents, onward, regaining, warning
from dispatch.core import commands as c
from dispatch.core import events as e
from dispatch.core.state import RegionState
from dispatch.core.verdict import NOTHING, Decision, Verdict, facts


def _policy(state: RegionState, command: c.SetPolicy, now: datetime) -> Verdict:
    return NOTHING if state.policy == command.policy else facts(e.PolicyChanged(policy=command.policy))


def _phase(state: RegionState, command: c.SetPhase, now: datetime) -> Verdict:
    return NOTHING if state.phase is command.phase else facts(e.PhaseChanged(phase=command.phase))


DECIDERS: Mapping[type[c.Command], Callable[[RegionState, Any, datetime], Verdict]] = {
    c.ReceiveCall: calls.receive,
    c.LocateCall: onward.locate,
    c.MoveCall: calls.move,
    c.TransferCall: calls.transfer,
    c.ClassifyCall: calls.classify,
    c.CloseCall: calls.close,
    c.TakeCall: calls.take,
    c.ReleaseCall: regaining.release,
    c.MarkSent: regaining.mark_sent,
    c.MarkEvidenceTold: onward.mark_told,
    c.RecallCall: regaining.recall,
    c.ForgoOffer: regaining.forgo,
    c.RegainCall: regaining.regain,
    c.AskAid: aid.ask,
    c.RestateAid: aid.restate,
    c.WithdrawAid: aid.withdraw,
    c.TakeAid: aid.take,
    c.HearAid: aid.hear,
    c.MarkTold: aid.mark_told,
    c.OpenIncident: incidents.open_new,
    c.LocateIncident: incidents.locate,
    c.NoteIncident: incidents.note,
    c.HoldIncident: incidents.hold,
    c.PrioritiseIncident: incidents.prioritise,
    c.AddLeg: incidents.add_leg,
    c.ControlIncident: incidents.control,
    c.MergeIncidents: incidents.merge,
    c.SplitCall: incidents.split,
    c.CloseIncident: incidents.close,
    c.CloseCalls: incidents.close_calls,
    c.Dispatch: assigning.dispatch,
    c.AssignUnits: assigning.assign,
    c.RecallUnits: assigning.recall,
    c.DivertUnit: assigning.divert,
    c.RegisterUnit: crews.register,
    c.ShiftUnit: crews.shift,
    c.ReportLink: crews.link,
    c.ReportStatus: crews.report,
    c.StageOrder: crews.stage,
    c.SendOrder: crews.send,
    c.CloseRoad: closures.close,
    c.ReopenRoad: closures.reopen,
    c.RecordHazard: warning.record,
    c.AcknowledgeHazard: warning.acknowledge,
    c.EndHazard: warning.end,
    c.SetPolicy: _policy,
    c.SetPhase: _phase,
}


def decide(state: RegionState, command: c.Command, now: datetime) -> Verdict:
    """What the command leads to now. Never changes the state, never waits."""
    verdict = aid.obstacle(state, command) or DECIDERS[type(command)](state, command, now)
    assert not isinstance(verdict, Decision) or len(verdict.events) <= 512, "a decision of unbounded size"
    return verdict
