// Reasons in words: a code with its parameters becomes one phrase of the operator's language.

import { timer } from './format';
import { word } from './lang.svelte';
import type { Reason } from './wire';

export function reasonWords(reason: Reason): string {
  const parameters: Record<string, string | number> = {};
  for (const [name, value] of Object.entries(reason)) {
    if (typeof value === 'number') parameters[name] = Math.round(value);
    else if (typeof value === 'string') parameters[name] = word('capability', value);
  }
  if (typeof reason.seconds === 'number') parameters.time = timer(reason.seconds);
  const code = reason.code === 'farther' && parameters.seconds === 0 ? 'no_farther' : reason.code;
  return word('reason', code, parameters);
}
