// How a region works now: by itself or on confirmation, attended by a person or by simulated operators.

import { why } from './advice.svelte';
import { api } from './api';
import { t } from './lang.svelte';
import { live } from './live.svelte';
import type { Policy } from './wire';

export type Attended = 'all' | 'some' | 'none';

export function policyOf(region: string): Policy | undefined {
  return live.boards[region]?.board.policy;
}

export function attendedIn(regions: readonly string[]): Attended {
  const taken = regions.filter((region) => policyOf(region)?.attended).length;
  if (taken === 0) return 'none';
  return taken === regions.length ? 'all' : 'some';
}

/** Ask the server to change regions; what to say of the first that was not, or null when all were changed. */
export async function change(regions: readonly string[], policy: Partial<Policy>): Promise<string | null> {
  const answers = await Promise.all(regions.map((region) => api.policy(region, policy)));
  const bad = answers.find((answer) => answer.kind !== 'done');
  if (!bad) return null;
  return bad.kind === 'refused' ? t('policy.failed', { why: why(bad.problem) }) : t('policy.unknown');
}
