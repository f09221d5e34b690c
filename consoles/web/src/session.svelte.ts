// Who is at this console, and what the service says about itself.

import { api } from './api';
import { isLanguage, isRemembered, speak } from './lang.svelte';
import type { About, IncidentTypeAbout, RegionAbout, Session } from './wire';

export type Gate = 'asking' | 'outside' | 'inside';

class Visit {
  gate = $state<Gate>('asking');
  session = $state.raw<Session | null>(null);
  about = $state.raw<About | null>(null);
  /** True when the server ended a session that was under way. */
  ended = $state(false);

  types = $derived(
    new Map<string, IncidentTypeAbout>((this.about?.incident_types ?? []).map((type) => [type.incident_type, type])),
  );
  regions = $derived(new Map<string, RegionAbout>((this.about?.regions ?? []).map((one) => [one.region, one])));
}
export const visit = new Visit();

/** The regions of the session; `*` stands for every one that the service has. */
export function allowedRegions(): string[] {
  const regions = visit.session?.regions ?? [];
  return regions.includes('*') ? (visit.about?.regions ?? []).map((one) => one.region) : regions;
}

/** Whether the role of this session has the right to an act; the server decides again when it is done. */
export function may(act: string): boolean {
  return visit.session?.may.includes(act) ?? false;
}

/** Ask who we are; the server's cookie decides. */
export async function begin(): Promise<void> {
  const [about, session] = await Promise.all([api.about(), api.session()]);
  if (about.kind === 'done') visit.about = about.value;
  if (session.kind === 'done') await enter(session.value);
  else visit.gate = 'outside';
}

export type LogIn = 'in' | 'wrong' | 'often' | 'away';

export async function logIn(username: string, password: string): Promise<LogIn> {
  const answer = await api.logIn(username, password);
  if (answer.kind === 'unknown') return 'away';
  if (answer.kind === 'refused') {
    if (answer.problem.status === 429) return 'often';
    return answer.problem.status === 401 || answer.problem.status === 422 ? 'wrong' : 'away';
  }
  if (!visit.about) {
    const about = await api.about();
    if (about.kind === 'done') visit.about = about.value;
  }
  await enter(answer.value);
  return 'in';
}

export async function logOut(): Promise<void> {
  await api.logOut();
  leave(false);
}

/** Learn anew what this session may; back to the log-in page when the server no longer knows it. */
export async function checkSession(): Promise<void> {
  const answer = await api.session();
  if (answer.kind === 'done' && visit.gate === 'inside') visit.session = answer.value;
  if (answer.kind === 'refused' && answer.problem.status === 401) leave(true);
}

async function enter(session: Session): Promise<void> {
  if (!isRemembered() && isLanguage(session.language)) await speak(session.language, false);
  visit.session = session;
  visit.ended = false;
  visit.gate = 'inside';
}

function leave(ended: boolean): void {
  visit.session = null;
  visit.ended = ended;
  visit.gate = 'outside';
}
