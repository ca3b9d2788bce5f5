/* takers.ts - does anybody do what is asked from here?  Some instances have it switched off, some
 * are away, and some send events alone. */
import { instanceNames, isMissing, shared } from "../state";
import type { Instance } from "../types";

const ONLY_FOR_GOOD = "Such agents take only what is allowed \u201cFor good\u201d: this would wait "
  + "in vain.";

function listed(names: string[]): string {
  return names.length <= 4 ? names.join(", ")
    : `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`;
}

function ofOne(target: string, one: Instance | undefined, plain: boolean): string[] {
  if (!one) {
    return [`${target} sends events and does not report, as agents of g0efilter do. `
      + (plain ? "It does this if remote unblock is on there." : ONLY_FOR_GOOD)];
  }
  if (one.unblocks === "off") {
    return [`${target} does nothing that is asked from here: ENABLE_REMOTE_UNBLOCK is off there. `
      + "Set it to true, or add the entry to its policy file."];
  }
  return isMissing(one) ? [`${target} has not reported for a while: it does this when it is back.`]
    : [];
}

function ofAll(plain: boolean): string[] {
  const names = (some: Instance[]) => listed(some.map(one => one.hostname));
  const off = shared.instances.filter(one => one.unblocks === "off");
  const away = shared.instances.filter(one => one.unblocks !== "off" && isMissing(one));
  const known = new Set(shared.instances.map(one => one.hostname));
  const silent = instanceNames().filter(name => !known.has(name));
  const notes: string[] = [];
  if (off.length)
    notes.push(`Not on ${names(off)}: ENABLE_REMOTE_UNBLOCK is off there.`);
  if (away.length)
    notes.push(`Not now on ${names(away)}: nothing was heard from there for a while.`);
  if (silent.length && !plain)
    notes.push(`Not on ${listed(silent)}, which do not report, as agents of g0efilter. `
      + ONLY_FOR_GOOD);
  if (shared.instances.length === 0 && silent.length === 0)
    notes.push("No instance is known here that would do it.");
  return notes;
}

/* What whoever asks target ("": every instance) should know.  plain: without an end of its own. */
export function takerNotes(target: string, plain: boolean): string[] {
  if (!shared.instancesRead)
    return [];
  const same = (one: Instance) => one.hostname.toLowerCase() === target.toLowerCase();
  return target ? ofOne(target, shared.instances.find(same), plain) : ofAll(plain);
}

/* Does "once" end with the first connection there, or only with its ten minutes?  Where DNS
 * questions are judged, no connection is seen to end. */
export function seesEnds(target: string, component: string): boolean {
  const modes = shared.instances.filter(one => !target || one.hostname === target)
    .map(one => one.mode ?? "");
  return modes.length ? modes.every(mode => !mode.startsWith("dns")) : component !== "dns";
}
