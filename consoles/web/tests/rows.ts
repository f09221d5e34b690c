// Rows as the server sends them, for tests: whole, with only what a test cares about changed.

import type { CallRow, Candidate, ClosureRow, Counts, IncidentRow, RegionBoard, Recommendation, UnitCell } from '../src/wire';

export function incident(id: string, changed: Partial<IncidentRow> = {}): IncidentRow {
  return {
    incident_id: id,
    number: Number(id.split('-')[1]),
    incident_type: 'chest_pain',
    priority: 'P2',
    status: 'open',
    opened_at: '2026-11-23T10:00:00Z',
    waiting: true,
    held: false,
    lat: 41.3,
    lon: 69.2,
    accuracy_m: 35,
    source: 'aml',
    place: { 'uz-Latn': 'Amir Temur koʻchasi' },
    calls: 1,
    legs: [{ body: 'moh', status: 'needed', needed: 1, assigned: 0 }],
    units: [],
    flags: [],
    hazards: [],
    ...changed,
  };
}

export function unit(id: string, changed: Partial<UnitCell> = {}): UnitCell {
  return {
    unit_id: id,
    call_sign: id.split('-')[1] ?? id,
    body: 'moh',
    kind: 'ambulance',
    capabilities: ['als'],
    status: 'available',
    since: '2026-11-23T09:00:00Z',
    incident_id: null,
    assignment_id: null,
    link: 'ok',
    on_shift: true,
    ...changed,
  };
}

export function closure(id: string, changed: Partial<ClosureRow> = {}): ClosureRow {
  return {
    closure_id: id,
    region: 'UZ-TK',
    street: 'Amir Temur shoh koʻchasi',
    place: { 'uz-Latn': 'Toshkent' },
    line: [[69.2, 41.3], [69.21, 41.3]],
    more: [],
    radius_m: 10,
    direction: 'both',
    factor: null,
    reason: 'snow',
    since: '2026-11-23T10:00:00Z',
    until: null,
    at: '2026-11-23T10:00:00Z',
    ...changed,
  };
}

export function call(id: string, changed: Partial<CallRow> = {}): CallRow {
  return {
    call_id: id,
    channel: 'voice',
    status: 'ringing',
    at: '2026-11-23T10:00:00Z',
    lat: null,
    lon: null,
    accuracy_m: null,
    source: null,
    place: null,
    language: null,
    silent: false,
    has_number: true,
    taker: null,
    service: null,
    incident_type: null,
    priority: null,
    incident_id: null,
    flags: [],
    ...changed,
  };
}

export const COUNTS: Counts = { waiting: { P2: 1 }, oldest: {}, calls: {}, units: { total: 1, free: 1 }, more: 0 };

export function board(region: string, changed: Partial<RegionBoard> = {}): RegionBoard {
  return {
    region,
    policy: { dispatch: 'confirm', attended: false },
    phase: 'live',
    counts: COUNTS,
    incidents: {},
    calls: {},
    units: {},
    closures: {},
    ...changed,
  };
}

export function candidate(id: string, changed: Partial<Candidate> = {}): Candidate {
  return { unit_id: id, call_sign: id.split('-')[1] ?? id, body: 'moh', eta_s: 240, reasons: [], ...changed };
}

export function recommendation(changed: Partial<Recommendation> = {}): Recommendation {
  return {
    recommendation_id: 'r1',
    at: '2026-11-23T10:00:00Z',
    age_s: 0,
    chosen: [],
    alternatives: [],
    passed_over: [],
    shortfalls: [],
    ...changed,
  };
}
