// What this operator looks at. It sticks to the incident, whatever the queue does around it.

import { live } from './live.svelte';
import { nextUrgent } from './order';

class Selection {
  incident = $state<string | null>(null);
  unit = $state<string | null>(null);
  call = $state<string | null>(null);
  /** Counts up when the map shall bring the selected thing into view. */
  look = $state(0);

  pickIncident(id: string | null, show = true): void {
    this.incident = id;
    this.call = null;
    if (show && id) this.look += 1;
  }

  pickUnit(id: string | null, show = false): void {
    this.unit = id;
    if (show && id) this.look += 1;
  }

  pickCall(id: string | null, incident: string | null): void {
    this.call = id;
    if (incident) this.incident = incident;
    this.look += 1;
  }

  next(): void {
    const id = nextUrgent(live.sections.waiting, this.incident);
    if (id) this.pickIncident(id);
  }
}

export const selection = new Selection();
