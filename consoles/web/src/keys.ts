// Which act a key means. Keys are read by their position, so a Cyrillic layout changes nothing.

export type Act = 'confirm' | 'second' | 'third' | 'next' | 'recall' | 'leave' | 'closures';

/** The part of a KeyboardEvent that matters. */
export interface Press {
  code: string;
  repeat: boolean;
  ctrlKey: boolean;
  altKey: boolean;
  metaKey: boolean;
  shiftKey: boolean;
}

export interface Scene {
  /** Focus is in the queue or the card: only there may a single character act. */
  atWork: boolean;
  typing: boolean;
  /** An assignment is on its way, or one succeeded less than LOCK_MS ago. */
  locked: boolean;
}

export const LOCK_MS = 400;
export const RECALL_WITHIN_MS = 10_000;

const ANYWHERE: Record<string, Act> = { F8: 'next', F9: 'confirm', F10: 'recall', F4: 'closures', Escape: 'leave' };
const AT_WORK: Record<string, Act> = {
  Digit2: 'second',
  Numpad2: 'second',
  Digit3: 'third',
  Numpad3: 'third',
};
const ASSIGNING: readonly Act[] = ['confirm', 'second', 'third'];

/** The act, or null when the key means nothing here. A held key never acts twice. */
export function actOf(press: Press, scene: Scene): Act | null {
  if (press.ctrlKey || press.altKey || press.metaKey || press.shiftKey) return null;
  const act = ANYWHERE[press.code] ?? (scene.atWork && !scene.typing ? AT_WORK[press.code] : undefined);
  if (!act || press.repeat) return null;
  return scene.locked && ASSIGNING.includes(act) ? null : act;
}

/** Keys that the browser would use itself (F10 opens its menu) even when we ignore them. */
export function isOurs(press: Press): boolean {
  return ['F4', 'F8', 'F9', 'F10'].includes(press.code) && !(press.ctrlKey || press.altKey || press.metaKey);
}

export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName);
}
