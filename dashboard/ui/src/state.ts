/* state.ts - what several pages share: configuration, who is signed in, the known instances. */
import { api } from "./api";
import { live } from "./live";
import type { Config, Instance } from "./types";

export interface Shared {
  config: Config;
  user: string;
  instances: Instance[];
  instancesRead: boolean;
}

export const shared: Shared = { config: {}, user: "", instances: [], instancesRead: false };

export async function readInstances(): Promise<Instance[]> {
  const answer = await api.instances();
  shared.instances = Array.isArray(answer) ? answer : [];
  shared.instancesRead = true;
  return shared.instances;
}

/* An agent reports every 30 seconds; after three it is missed. */
const MISSED_MS = 100000;

export function isMissing(instance: Instance, now = Date.now()): boolean {
  return now - (Date.parse(instance.last_seen ?? "") || 0) > MISSED_MS;
}

/* Names to choose from: of those that report, and of those only seen in events. */
export function instanceNames(): string[] {
  const names = new Set(shared.instances.map(instance => instance.hostname));
  for (let at = live.entries.length - 1, left = 3000; at >= 0 && left > 0; at--, left--)
    names.add(live.entries[at].instance);
  names.delete("");
  return [...names].sort();
}

export const COMPONENTS = ["https", "http", "dns", "nflog", "forward"];
export const RANGES: [string, string][] = [["15m", "15 minutes"], ["1h", "1 hour"],
  ["6h", "6 hours"], ["24h", "24 hours"], ["7d", "7 days"], ["30d", "30 days"],
  ["90d", "90 days"], ["all", "All time"]];

export function kept(name: string, missing: string): string {
  try {
    return localStorage.getItem(name) ?? missing;
  } catch {
    return missing;
  }
}

export function keep(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    /* Storage is forbidden here: it lasts as long as the page. */
  }
}
