// Sending and recalling units. One key, one command: nothing is kept back, nothing is tried twice.

import { advice, why } from './advice.svelte';
import { api, newKey } from './api';
import type { Answer } from './api';
import { detail } from './detail.svelte';
import { LOCK_MS, RECALL_WITHIN_MS } from './keys';
import { t } from './lang.svelte';
import { live } from './live.svelte';
import { sendsSame, unitIds } from './options';

export type Outcome = 'sending' | 'sent' | 'refused' | 'unknown' | 'recalling' | 'recalled';

export interface Sent {
  incident: string;
  units: string[];
  outcome: Outcome;
  why: string | null;
  /** `performance.now()` of the server's answer. */
  at: number;
  override: boolean;
}

class Sending {
  last = $state.raw<Sent | null>(null);
  notice = $state<string | null>(null);
  /** Incident for which a reason is still asked, after units went that were not the best. */
  askWhy = $state<string | null>(null);
  private lockedUntil = 0;
  /** The key of the last order's recall: asked again it is the same recall, also when the first was done unheard. */
  private recallKey = '';

  isLocked(now: number): boolean {
    return this.last?.outcome === 'sending' || this.last?.outcome === 'recalling' || now < this.lockedUntil;
  }

  recallLeft_ms(now: number): number {
    if (this.last?.outcome !== 'sent') return 0;
    return Math.max(0, this.last.at + RECALL_WITHIN_MS - now);
  }

  /** Send option `index` (0 is the best). An old recommendation is renewed first; a changed one stops. */
  async confirm(index: number): Promise<void> {
    const incident = advice.incident;
    if (!incident || !this.mayAct()) return;
    let option = advice.options[index];
    if (!option) return;
    const mark: Sent = { incident, units: unitIds(option), outcome: 'sending', why: null, at: 0, override: index > 0 };
    this.last = mark;
    if (advice.isStale(performance.now())) {
      await advice.refresh();
      const renewed = advice.options[index];
      if (advice.incident !== incident || !sendsSame(option, renewed)) return this.stopChanged(incident);
      option = renewed;
    }
    const recommendation = advice.recommendation;
    if (!option || !recommendation) return this.stopChanged(incident);
    await this.assign(mark, recommendation.recommendation_id);
  }

  /** Send one unit of the operator's own choice. */
  async sendUnit(incident: string, unit: string): Promise<void> {
    if (!this.mayAct()) return;
    const mark: Sent = { incident, units: [unit], outcome: 'sending', why: null, at: 0, override: true };
    this.last = mark;
    await this.assign(mark, undefined);
  }

  async recall(): Promise<void> {
    const sent = this.last;
    if (!sent || sent.outcome !== 'sent') return;
    if (this.recallLeft_ms(performance.now()) === 0) {
      this.notice = t('send.late');
      return;
    }
    // The lock keeps a second order back, not the way out of the first.
    if (!this.isReached()) return;
    this.last = { ...sent, outcome: 'recalling' };
    const answer = await api.recall(sent.incident, sent.units, this.recallKey);
    if (answer.kind === 'done') {
      this.askWhy = null;
      this.settle(sent, answer, 'recalled');
    } else this.keepSent(sent, answer);
  }

  /** The reason for an override, asked only after the units went. */
  async explain(reason: string | null): Promise<void> {
    const incident = this.askWhy;
    this.askWhy = null;
    if (!incident || !reason) return;
    await api.note(incident, reason, newKey());
    detail.renew();
  }

  private mayAct(): boolean {
    return this.isReached() && !this.isLocked(performance.now());
  }

  private isReached(): boolean {
    this.notice = live.canSend ? null : t(live.state === 'still' ? 'send.still' : 'send.lost');
    return live.canSend;
  }

  private async assign(mark: Sent, recommendation_id: string | undefined): Promise<void> {
    advice.changed = false;
    this.recallKey = newKey();
    const answer = await api.assign(mark.incident, { units: mark.units, recommendation_id }, newKey());
    this.settle(mark, answer, 'sent');
    if (this.last?.outcome === 'sent' && mark.override) this.askWhy = mark.incident;
    if (advice.incident === mark.incident) await advice.refresh();
  }

  /** After a recall that failed: the units are still sent, since then and to be recalled, and that is what is said. */
  private keepSent(sent: Sent, answer: Exclude<Answer<unknown>, { kind: 'done' }>): void {
    const units = live.callSigns(sent.units);
    this.last = sent;
    this.notice =
      answer.kind === 'unknown'
        ? t('send.recall_unknown', { units })
        : t('send.not_recalled', { units, why: why(answer.problem) });
  }

  private settle(mark: Sent, answer: Answer<unknown>, success: Outcome): void {
    const at = performance.now();
    if (answer.kind === 'done') {
      this.lockedUntil = at + LOCK_MS;
      this.last = { ...mark, outcome: success, at };
    } else if (answer.kind === 'unknown') this.last = { ...mark, outcome: 'unknown', at };
    else this.last = { ...mark, outcome: 'refused', why: why(answer.problem), at };
  }

  private stopChanged(incident: string): void {
    this.last = null;
    if (advice.incident === incident) advice.changed = true;
  }
}

export const sending = new Sending();
