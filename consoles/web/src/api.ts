// Requests to the server. A refusal is a value with its reason; an answer that never came is `unknown`:
// it is not known whether the act happened, so nobody here tries it again.

import type {
  About,
  CallPersonal,
  ClosurePreview,
  Drawing,
  FoundPlace,
  IncidentDetail,
  NewClosure,
  Policy,
  Problem,
  Recommendation,
  Session,
} from './wire';

export type Answer<Value> =
  | { kind: 'done'; value: Value }
  | { kind: 'refused'; problem: Problem }
  | { kind: 'unknown' };

const TIMEOUT_MS = 8000;

interface Ask {
  method?: string;
  body?: unknown;
  key?: string;
}

export function newKey(): string {
  // randomUUID exists only in a secure context; a console on plain HTTP inside a centre has none.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

async function ask<Value>(path: string, { method = 'GET', body, key }: Ask = {}): Promise<Answer<Value>> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (key !== undefined) headers['Idempotency-Key'] = key;
  try {
    const response = await fetch(`/api/v1${path}`, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: 'same-origin',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return await readAnswer<Value>(response);
  } catch {
    return { kind: 'unknown' };
  }
}

/** Codes with which the server says that nothing was changed. After any other 5xx it may have been done. */
const NOTHING_DONE = ['overloaded', 'service_away', 'not_ready'];

export function isInDoubt(problem: Problem): boolean {
  return problem.status >= 500 && !NOTHING_DONE.includes(problem.code ?? '');
}

async function readAnswer<Value>(response: Response): Promise<Answer<Value>> {
  if (response.status === 204) return { kind: 'done', value: undefined as Value };
  if (response.ok) return { kind: 'done', value: (await response.json()) as Value };
  const fallback: Problem = { title: response.statusText, status: response.status };
  const said = (await response.json().catch(() => fallback)) as Problem;
  const problem = { ...fallback, ...said };
  return isInDoubt(problem) ? { kind: 'unknown' } : { kind: 'refused', problem };
}

const incident = (id: string): string => `/incidents/${encodeURIComponent(id)}`;

export interface Order {
  units: string[];
  recommendation_id?: string;
  reason?: string;
}

export const api = {
  about: () => ask<About>('/about'),
  session: () => ask<Session>('/sessions/current'),
  logIn: (username: string, password: string) =>
    ask<Session>('/sessions', { method: 'POST', body: { username, password } }),
  logOut: () => ask<void>('/sessions/current', { method: 'DELETE' }),
  incident: (id: string) => ask<IncidentDetail>(incident(id)),
  recommendation: (id: string) => ask<Recommendation>(`${incident(id)}/recommendation`),
  call: (id: string) => ask<CallPersonal>(`/calls/${encodeURIComponent(id)}`),
  assign: (id: string, order: Order, key: string) =>
    ask<{ seq: number }>(`${incident(id)}/assign`, { method: 'POST', body: order, key }),
  recall: (id: string, units: string[], key: string) =>
    ask<{ seq: number }>(`${incident(id)}/recall`, { method: 'POST', body: { units }, key }),
  note: (id: string, text: string, key: string) =>
    ask<{ seq: number }>(`${incident(id)}/notes`, { method: 'POST', body: { text }, key }),
  acknowledge: (hazard: string, incident_id: string, key: string) =>
    ask<{ seq: number }>(`/hazards/${encodeURIComponent(hazard)}/acknowledge`, {
      method: 'POST',
      body: { incident_id },
      key,
    }),
  hold: (id: string, held: boolean, key: string) =>
    ask<{ seq: number }>(`${incident(id)}/hold`, { method: 'POST', body: { held }, key }),
  /** What would be closed; a name that means several streets is refused with the choices. */
  preview: (drawing: Drawing) => ask<ClosurePreview>('/closures/preview', { method: 'POST', body: drawing }),
  close: (closure: NewClosure, key: string) =>
    ask<{ closure_id: string }>('/closures', { method: 'POST', body: closure, key }),
  reopen: (id: string) => ask<unknown>(`/closures/${encodeURIComponent(id)}`, { method: 'DELETE' }),
  places: (text: string) => ask<{ places: FoundPlace[] }>(`/places?limit=6&q=${encodeURIComponent(text)}`),
  policy: (region: string, policy: Partial<Policy>) =>
    ask<unknown>(`/regions/${encodeURIComponent(region)}/policy`, { method: 'PUT', body: policy }),
};
