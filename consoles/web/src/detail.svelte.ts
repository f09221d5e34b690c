// Everything behind the selected incident: assignments with times, timeline, evidence, and its calls with
// personal data. Each read of a call is audited by the server, so calls are read once, when really shown.

import { api } from './api';
import type { CallPersonal, IncidentDetail } from './wire';

const CALLS_READ_MAX = 5;
const DWELL_MS = 350;

class Detail {
  incident = $state<string | null>(null);
  value = $state.raw<IncidentDetail | null>(null);
  failed = $state(false);
  calls = $state.raw<Readonly<Record<string, CallPersonal>>>({});
  private timer: ReturnType<typeof setTimeout> | undefined;

  open(incident: string | null): void {
    if (incident === this.incident) return;
    clearTimeout(this.timer);
    this.incident = incident;
    this.value = null;
    this.calls = {};
    this.failed = false;
    if (incident) this.later(60);
  }

  /** The row changed on the board: read the rest again, at most a few times a second. */
  renew(): void {
    if (this.incident) this.later(DWELL_MS);
  }

  private later(delay: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.read(), delay);
  }

  private async read(): Promise<void> {
    const incident = this.incident;
    if (!incident) return;
    const answer = await api.incident(incident);
    if (incident !== this.incident) return;
    this.failed = answer.kind !== 'done';
    if (answer.kind !== 'done') return;
    this.value = answer.value;
    setTimeout(() => void this.readCalls(incident), DWELL_MS);
  }

  private async readCalls(incident: string): Promise<void> {
    const wanted = (this.value?.calls ?? []).slice(0, CALLS_READ_MAX).map((call) => call.call_id);
    for (const id of wanted) {
      if (incident !== this.incident) return;
      if (id in this.calls) continue;
      const answer = await api.call(id);
      if (incident === this.incident && answer.kind === 'done') this.calls = { ...this.calls, [id]: answer.value };
    }
  }
}

export const detail = new Detail();
