// The recommendation for the open incident: fetched, dated, refreshed before it grows old.

import { api } from './api';
import { t, word } from './lang.svelte';
import { FRESH_S, optionsOf } from './options';
import type { Option } from './options';
import type { Problem, Recommendation } from './wire';

export function why(problem: Problem): string {
  return problem.code ? word('refusal', problem.code) : (problem.detail ?? problem.title);
}

class Advice {
  incident = $state<string | null>(null);
  recommendation = $state.raw<Recommendation | null>(null);
  options = $derived<Option[]>(this.recommendation ? optionsOf(this.recommendation) : []);
  failure = $state<string | null>(null);
  refreshing = $state(false);
  /** True after the world changed under a confirmation: the operator must look again. */
  changed = $state(false);
  private madeAt = 0;
  private asked = 0;

  age_s(now: number): number {
    return this.recommendation ? Math.max(0, (now - this.madeAt) / 1000) : 0;
  }

  isStale(now: number): boolean {
    return this.age_s(now) > FRESH_S;
  }

  async open(incident: string | null): Promise<void> {
    if (incident === this.incident) return;
    this.incident = incident;
    this.recommendation = null;
    this.failure = null;
    this.changed = false;
    if (incident) await this.refresh();
  }

  /** Ask again; an answer that arrives after the operator moved on is dropped. */
  async refresh(): Promise<void> {
    const incident = this.incident;
    if (!incident) return;
    const turn = ++this.asked;
    this.refreshing = true;
    const answer = await api.recommendation(incident);
    if (turn !== this.asked || incident !== this.incident) return;
    this.refreshing = false;
    if (answer.kind === 'done') {
      this.recommendation = answer.value;
      this.madeAt = performance.now() - answer.value.age_s * 1000;
      this.failure = null;
    } else {
      this.recommendation = null;
      this.failure = answer.kind === 'refused' ? why(answer.problem) : t('login.away');
    }
  }
}

export const advice = new Advice();
