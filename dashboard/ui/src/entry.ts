/* entry.ts - one event as the pages see it: the same few facts, wherever the agent put them. */
import { wire } from "./dom";
import type { LogEntry } from "./types";

export type Verdict = "BLOCKED" | "ALLOWED" | "AUDIT";
export const VERDICTS: Verdict[] = ["BLOCKED", "AUDIT", "ALLOWED"];
export const VERDICT_WORD = { BLOCKED: "Blocked", ALLOWED: "Allowed", AUDIT: "Audit" } as const;
export const VERDICT_ICON = { BLOCKED: "blocked", ALLOWED: "allowed", AUDIT: "audit" } as const;

export interface Entry {
  id: number;
  time: number;
  verdict: Verdict;
  component: string;
  name: string;           /* "" when none was seen */
  dst: string;
  src: string;
  instance: string;
  reason: string;
  process: string;
  flow: string;
  version: string;
  raw: LogEntry;
  haystack: string;       /* lower case, for the filter box; made when first asked */
}

export function field(raw: LogEntry, name: string): string {
  const value = raw.fields?.[name] ?? (raw as unknown as Record<string, unknown>)[name];
  return value === undefined || value === null ? ""
    : typeof value === "object" ? JSON.stringify(value) : String(value);
}

export function num(raw: LogEntry, name: string): number | undefined {
  const text = field(raw, name);
  return text !== "" && isFinite(Number(text)) ? Number(text) : undefined;
}

function hostPort(raw: LogEntry, side: "source" | "destination"): string {
  const ip = field(raw, `${side}_ip`), port = field(raw, `${side}_port`);
  if (!ip)
    return field(raw, side === "source" ? "src" : "dst");
  if (!port || port === "0")
    return ip;
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}

export function entryOf(raw: LogEntry): Entry {
  const action = (raw.action ?? "").toUpperCase();
  return {
    id: raw.id,
    time: Date.parse(raw.time) || 0,
    verdict: action === "BLOCKED" || action === "AUDIT" ? action : "ALLOWED",
    component: field(raw, "component") || raw.msg.split(".")[0],
    name: raw.https || raw.http_host || field(raw, "host") || field(raw, "qname"),
    dst: hostPort(raw, "destination"),
    src: hostPort(raw, "source"),
    instance: raw.hostname || field(raw, "hostname"),
    reason: field(raw, "reason") || field(raw, "note"),
    process: field(raw, "process_name"),
    flow: raw.flow_id || field(raw, "flow_id"),
    version: raw.version || field(raw, "version"),
    raw,
    haystack: "",
  };
}

export function haystackOf(entry: Entry): string {
  if (!entry.haystack) {
    entry.haystack = [entry.name, entry.dst, entry.src, entry.instance, entry.reason,
      entry.process, entry.flow, entry.component, entry.raw.msg,
      field(entry.raw, "rule"), entry.version].join("\n").toLowerCase();
  }
  return entry.haystack;
}

/* What a person would call it: the name, or where it was going. */
export function titleOf(entry: Entry): string {
  return wire(entry.name || entry.dst || entry.raw.msg);
}

export interface StreamFilter {
  verdict: string;
  component: string;
  instance: string;
  words: string[];
}

export function matches(entry: Entry, filter: StreamFilter): boolean {
  if (filter.verdict && entry.verdict !== filter.verdict)
    return false;
  if (filter.component && entry.component !== filter.component)
    return false;
  if (filter.instance && entry.instance !== filter.instance)
    return false;
  if (filter.words.length === 0)
    return true;
  const text = haystackOf(entry);
  return filter.words.every(word => text.includes(word));
}

/* The agent's addresses are plain; its names may be anything. */
export function isAddress(text: string): boolean {
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(text)
    || (text.includes(":") && /^[0-9a-f:.]+$/i.test(text));
}
