// What a line of the call list says of a call that is on its way to another region.

import type { CallRow } from './wire';

/** The flags of its hand-over, the most telling first: a call that is wanted back is still being handed over. */
export function wayOf(call: CallRow): string[] {
  const moving = ['taking_back', 'handing_over'].find((flag) => call.flags.includes(flag));
  const waiting = call.flags.filter((flag) => flag === 'evidence_waiting');
  return moving === undefined ? waiting : [moving, ...waiting];
}
