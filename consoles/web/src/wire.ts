// The shapes that the server sends. Types only: nothing here decides anything.

export type Language = 'uz-Latn' | 'uz-Cyrl' | 'ru' | 'kaa' | 'en';
export type Names = Partial<Record<Language, string>>;
export type Priority = 'P1' | 'P2' | 'P3' | 'P4';
export type Body = 'mia' | 'mes' | 'moh' | 'nasp' | 'gas';
export type Mode = 'LIVE' | 'SIMULATION';
export type Stage = 'pending' | 'sent' | 'delivered' | 'seen' | 'accepted' | 'refused';
export type UnitStatus =
  | 'available'
  | 'dispatched'
  | 'acknowledged'
  | 'en_route'
  | 'on_scene'
  | 'transporting'
  | 'at_facility'
  | 'returning'
  | 'out_of_service';

export const PRIORITIES: readonly Priority[] = ['P1', 'P2', 'P3', 'P4'];
export const BODIES: readonly Body[] = ['moh', 'mes', 'mia', 'gas', 'nasp'];

export interface Leg {
  body: Body;
  status: string;
  needed: number;
  assigned: number;
}

export interface AssignedUnit {
  unit_id: string;
  call_sign?: string;
  assignment_id: string;
  status: UnitStatus;
  stage: Stage;
  eta_s: number | null;
  /** Nine drives of ten take no longer: a bad day, and the circle about the place. */
  eta_p90_s?: number | null;
  assigned_at: string;
  overdue: boolean;
}

/** A danger at the place of an incident, as its row says it. */
export interface HazardRow {
  hazard_id: string;
  kind: string;
  acknowledged: boolean;
}
export interface Hazard extends HazardRow {
  radius_m: number;
  /** Null for those who may not read it. */
  text: string | null;
  acknowledged_by: string | null;
}

export interface IncidentRow {
  incident_id: string;
  number: number;
  incident_type: string;
  priority: Priority;
  status: string;
  opened_at: string;
  waiting: boolean;
  held: boolean;
  lat: number | null;
  lon: number | null;
  accuracy_m: number | null;
  source: string | null;
  place: Names | null;
  calls: number;
  legs: Leg[];
  units: AssignedUnit[];
  flags: string[];
  hazards: HazardRow[];
}

export interface CallRow {
  call_id: string;
  channel: string;
  status: string;
  at: string;
  lat: number | null;
  lon: number | null;
  accuracy_m: number | null;
  source: string | null;
  place: Names | null;
  language: string | null;
  silent: boolean;
  has_number: boolean;
  taker: string | null;
  service: string | null;
  incident_type: string | null;
  priority: Priority | null;
  incident_id: string | null;
  flags: string[];
}

export interface UnitCell {
  unit_id: string;
  call_sign: string;
  body: Body;
  kind: string;
  capabilities: string[];
  status: UnitStatus;
  since: string;
  incident_id: string | null;
  assignment_id: string | null;
  link: 'ok' | 'lost';
  on_shift: boolean;
}

/** (longitude, latitude) pairs; a single one is the middle of a circle. */
export type Line = readonly (readonly [number, number])[];
/** Where a road is closed, or would be. */
export interface ClosureShape {
  region: string;
  /** Its name where it was closed by that, else "". */
  street: string;
  place: Names;
  line: Line;
  more: Line[];
  radius_m: number;
}
/** A road that is closed, or slow by `factor`. */
export interface ClosureRow extends ClosureShape {
  closure_id: string;
  direction: 'both' | 'ahead';
  factor: number | null;
  reason: string;
  since: string;
  until: string | null;
  at: string;
}

export interface Counts {
  waiting: Partial<Record<Priority, number>>;
  oldest: Partial<Record<Priority, string | null>>;
  calls: Record<string, number>;
  units: { total: number; free: number };
  more: number;
}

export interface Policy {
  dispatch: 'automatic' | 'confirm';
  attended: boolean;
}

export interface RegionBoard {
  region: string;
  policy: Policy;
  phase: string;
  counts: Counts;
  incidents: Record<string, IncidentRow>;
  calls: Record<string, CallRow>;
  units: Record<string, UnitCell>;
  closures: Record<string, ClosureRow>;
}

type Patch<Row> = Record<string, Row | null>;

export interface Changes {
  policy?: Policy;
  phase?: string;
  counts?: Counts;
  incidents?: Patch<IncidentRow>;
  calls?: Patch<CallRow>;
  units?: Patch<UnitCell>;
  closures?: Patch<ClosureRow>;
}

/** What the service stands on, the gravest first; a process says nothing of what it has no part in. */
export const SERVERS = ['postgres', 'core', 'mqtt', 'redis', 'travel', 'cells', 'disk'] as const;
export type Server = (typeof SERVERS)[number];
export type Health = Partial<Record<Server, 'ok' | 'degraded' | 'away' | 'none' | 'unknown'>>;

/** Something that is wrong now, since `since` by the wall's clock; `owner`: the role that has to act. */
export interface Alarm {
  code: string;
  owner: string;
  grave: boolean;
  since: string;
  /** More about it, in English; empty where it is another process's. */
  detail: string;
}

/** unit_id, longitude, latitude, heading (degrees or null), age of the fix in wall seconds. */
export type PositionTuple = [string, number, number, number | null, number];

export interface Hello {
  type: 'hello';
  at: string;
  regions: string[];
  /** What follows before the picture is whole: region and the number that it reaches. Older servers do not say. */
  owed?: Record<string, number>;
  view: string;
  actor: { username: string; role: string; body: Body | null };
  mode: Mode;
  speed: number;
  alarms: Alarm[];
}
export interface Snapshot {
  type: 'snapshot';
  region: string;
  seq: number;
  mark: string;
  board: RegionBoard;
}
export interface Delta {
  type: 'delta';
  region: string;
  from: number;
  to: number;
  mark: string;
  changes: Changes;
}
export interface Positions {
  type: 'positions';
  region: string;
  at: string;
  units: PositionTuple[];
}
export interface Heartbeat {
  type: 'heartbeat';
  at: string;
  speed: number;
  health: Health;
  alarms: Alarm[];
}
export type Frame = Hello | Snapshot | Delta | Positions | Heartbeat;

export interface Session {
  username: string;
  role: string;
  body: Body | null;
  regions: string[];
  language: Language | null;
  /** The acts that the role has a right to: others are not offered. */
  may: string[];
}

export interface RegionAbout {
  region: string;
  names: Names;
  capital: { lat: number; lon: number };
  bbox: [number, number, number, number];
}
export interface IncidentTypeAbout {
  incident_type: string;
  body: Body;
  names: Names;
  priority: Priority;
}
export interface About {
  name: string;
  version: string;
  mode: Mode;
  speed: number;
  regions: RegionAbout[];
  incident_types: IncidentTypeAbout[];
  demo_logins?: { username: string; password: string; role: string }[];
  attribution?: string;
}

export interface Reason {
  code: string;
  [parameter: string]: unknown;
}
export interface Candidate {
  unit_id: string;
  call_sign: string;
  body: Body;
  capability?: string;
  eta_s: number | null;
  /** Nine drives of ten take no longer: a bad day, and the circle about the place. */
  eta_p90_s?: number | null;
  reasons: Reason[];
  /** In an alternative: the chosen unit that it would replace. */
  alternative_to?: string | null;
}
export interface PassedOver {
  unit_id: string;
  call_sign: string;
  reason: string;
}
export interface Shortfall {
  body: Body;
  capability: string;
  missing: number;
}
export interface Recommendation {
  recommendation_id: string;
  at: string;
  age_s: number;
  chosen: Candidate[];
  alternatives: Candidate[];
  passed_over: PassedOver[];
  shortfalls: Shortfall[];
}

export interface Assignment {
  assignment_id: string;
  unit_id: string;
  call_sign: string;
  body: Body;
  status: UnitStatus;
  stage: Stage;
  eta_s: number | null;
  /** Nine drives of ten take no longer: a bad day, and the circle about the place. */
  eta_p90_s?: number | null;
  assigned_at: string;
  delivered_at?: string | null;
  seen_at?: string | null;
  accepted_at?: string | null;
  en_route_at?: string | null;
  on_scene_at?: string | null;
  transporting_at?: string | null;
  at_facility_at?: string | null;
  cleared_at?: string | null;
  cleared_reason?: string | null;
}
export interface TimelineEntry {
  at: string;
  kind: string;
  actor: string | null;
  [parameter: string]: unknown;
}
export interface Evidence {
  source: string;
  point?: { coordinates: [number, number] } | null;
  accuracy_m?: number | null;
  text?: string | null;
  at?: string | null;
}
export interface Note {
  note_id: string;
  at: string;
  actor: string | null;
  text: string;
}
/** The row with everything behind it; `calls` is a count on the board and a list here. */
export interface IncidentDetail extends Omit<IncidentRow, 'calls' | 'hazards'> {
  location?: { contradiction?: Names } | null;
  calls: CallRow[];
  hazards: Hazard[];
  assignments: Assignment[];
  timeline: TimelineEntry[];
  evidence: Evidence[];
  notes?: Note[];
}
export interface CallPersonal extends CallRow {
  /** Null for those who may not read it; `erased` when it was deleted on purpose. */
  caller?: { number?: string | null; name?: string | null; text?: string | null; erased?: boolean } | null;
}

/** What is to be closed, said in one of four ways. */
export interface Drawing {
  between?: Line;
  point?: readonly [number, number];
  road?: readonly [number, number];
  street?: { name: string; near?: readonly [number, number]; between?: readonly [string, string] };
  radius_m?: number;
}
export interface NewClosure extends Drawing {
  factor?: number;
  reason: string;
  until?: string;
}
/** What a drawing means on the server's map. */
export interface ClosurePreview extends ClosureShape {
  streets: number | null;
  metres: number | null;
  meets: string[];
}
/** One of several things that words may mean. */
export interface Choice {
  name: string;
  where: Names;
  point: readonly [number, number];
  metres: number;
}
export interface FoundPlace {
  name: string;
  kind: string;
  names: Names;
  lat: number;
  lon: number;
}

export interface Problem {
  type?: string;
  title: string;
  status: number;
  detail?: string;
  code?: string;
  errors?: { pointer: string; detail: string }[];
  choices?: Choice[];
}
