/* live.ts - the live stream: read once for all pages, kept within a bound, resumed by id.
 * By fetch and not by EventSource: the status of a refusal can be seen (session over, server
 * away), a key can be sent, and a busy stream is parsed in pieces and told once a frame. */
import { api, BASE, errorOf, headers, ApiError } from "./api";
import { entryOf } from "./entry";
import type { Entry } from "./entry";
import type { LogEntry } from "./types";

export type LiveState = "connecting" | "live" | "away" | "denied" | "off";

export interface Live {
  entries: Entry[];               /* oldest first */
  state: LiveState;
  retryAt: number;                /* away: when the next attempt is made */
  problem: ApiError | null;       /* away: what the server said; null: it said nothing */
  lost: number;                   /* what the server dropped because this page was too slow */
  loaded: boolean;                /* the past has been read */
  rate: number;                   /* events in the last whole second */
}

type AddedListener = (added: Entry[], trimmed: number) => void;

const ROWS_MAX = 20000, RETRY_FIRST_MS = 500, RETRY_MAX_MS = 15000, SILENCE_MS = 35000;

export const live: Live = {
  entries: [], state: "off", retryAt: 0, problem: null, lost: 0, loaded: false, rate: 0,
};

const addedListeners = new Set<AddedListener>();
const stateListeners = new Set<() => void>();
const changedListeners = new Set<(entry: Entry) => void>();
const noteListeners = new Set<(type: string) => void>();
const waiting: Entry[] = [];
let storeId = "", keep = 10000, lastId = 0, flushing = false, retryMs = RETRY_FIRST_MS;
let abort: AbortController | null = null, retryTimer = 0, run = 0, countedSecond = 0, counted = 0;

export function onAdded(listener: AddedListener): () => void {
  addedListeners.add(listener);
  return () => addedListeners.delete(listener);
}

export function onState(listener: () => void): () => void {
  stateListeners.add(listener);
  return () => stateListeners.delete(listener);
}

/* More is known of an entry that was told before; the object stays the same. */
export function onChanged(listener: (entry: Entry) => void): () => void {
  changedListeners.add(listener);
  return () => changedListeners.delete(listener);
}

/* "cleared", "unblock_status" ... */
export function onNote(listener: (type: string) => void): () => void {
  noteListeners.add(listener);
  return () => noteListeners.delete(listener);
}

function setState(state: LiveState): void {
  live.state = state;
  stateListeners.forEach(listener => listener());
}

function flush(): void {
  flushing = false;
  const added = waiting.splice(0);
  if (added.length === 0)
    return;
  /* Trim by a tenth, not by one: moving a long array for each event is what janks. */
  let trimmed = 0;
  for (const entry of added)
    live.entries.push(entry);
  if (live.entries.length > keep * 1.1) {
    trimmed = live.entries.length - keep;
    live.entries.splice(0, trimmed);
  }
  addedListeners.forEach(listener => listener(added, trimmed));
}

/* Once a frame; a hidden page has no frames, so its rows come four times a second, and timers may
 * be slow there: no more wait than are kept. */
function flushSoon(): void {
  if (waiting.length > keep)
    flush();
  if (flushing || waiting.length === 0)
    return;
  flushing = true;
  if (document.hidden)
    setTimeout(flush, 250);
  else
    requestAnimationFrame(flush);
}

/* Hidden before the frame that was asked for: it will not come. */
document.addEventListener("visibilitychange", () => {
  if (document.hidden && flushing)
    flush();
});

function count(events: number): void {
  const second = Math.floor(performance.now() / 1000);
  if (second !== countedSecond) {
    live.rate = second === countedSecond + 1 ? counted : 0;
    countedSecond = second;
    counted = 0;
  }
  counted += events;
}

export function rateNow(): number {
  count(0);
  return live.rate;
}

function take(raw: LogEntry): void {
  if (raw.id <= lastId)
    return;                 /* read already: the past and the stream overlap on purpose */
  lastId = raw.id;
  waiting.push(entryOf(raw));
}

/* Ids rise: look it up by halves. */
function indexOf(entries: Entry[], id: number): number {
  let low = 0, high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (entries[middle].id < id)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* The connection has ended: its entry gets what is known now.  Its place stays. */
function complete(raw: LogEntry): void {
  const fresh = entryOf(raw);
  for (const entries of [live.entries, waiting]) {
    const known = entries[indexOf(entries, raw.id)];
    if (known?.id === raw.id)
      Object.assign(known, fresh);
  }
  changedListeners.forEach(listener => listener(fresh));
}

function forget(): void {
  waiting.length = 0;
  live.entries.length = 0;
  /* Ids may start anew at 1. */
  lastId = 0;
}

function onMessage(text: string): void {
  let message: any;
  try {
    message = JSON.parse(text);
  } catch {
    return;
  }
  if (typeof message.msg === "string" && typeof message.id === "number") {
    take(message);
    return;
  }
  if (message.type === "dropped") {
    live.lost += Number(message.count) || 0;
    setState(live.state);
  } else if (message.type === "cleared") {
    forget();
  } else if (message.type === "completed" && typeof message.entry?.id === "number") {
    complete(message.entry);
  }
  if (typeof message.type === "string")
    noteListeners.forEach(listener => listener(message.type));
}

/* Lines of an event stream: data is what we need, ids are in the entries too. */
function onLines(lines: string[]): void {
  const before = waiting.length;
  for (const line of lines) {
    if (line.startsWith("data:"))
      onMessage(line.slice(5));
  }
  if (waiting.length > before) {
    count(waiting.length - before);
    flushSoon();
  }
}

async function readStream(body: ReadableStream<Uint8Array>, mine: number): Promise<void> {
  const reader = body.getReader(), decoder = new TextDecoder();
  let rest = "", watch = 0;
  /* The server says something every 10 seconds; a silent connection is a dead one. */
  const rewind = () => {
    clearTimeout(watch);
    watch = setTimeout(() => abort?.abort(), SILENCE_MS);
  };
  try {
    for (;;) {
      rewind();
      const { done, value } = await reader.read();
      if (done || mine !== run)
        return;
      const lines = (rest + decoder.decode(value, { stream: true })).split(/\r?\n/);
      rest = lines.pop()!;
      onLines(lines);
    }
  } finally {
    clearTimeout(watch);
  }
}

/* What was stored before, or while nobody listened. */
async function catchUp(): Promise<void> {
  const since = lastId;
  const rows = await api.logs({ limit: live.loaded ? 5000 : Math.min(keep, 2000),
    since_id: since || undefined });
  rows.sort((a, b) => a.id - b.id).forEach(take);
  if (since && rows.length >= 5000 && rows[0].id > since + 1)
    live.lost += rows[0].id - since - 1;
  live.loaded = true;
  flush();
}

async function connect(mine: number): Promise<void> {
  abort = new AbortController();
  if (!live.loaded)
    await catchUp();
  const response = await fetch(`${BASE}/events?since_id=${lastId}`, {
    credentials: "same-origin", cache: "no-store", signal: abort.signal,
    headers: headers({ Accept: "text/event-stream", "Last-Event-ID": String(lastId) }),
  });
  if (!response.ok || !response.body)
    throw await errorOf(response);
  if (mine !== run)
    return;
  /* Another store behind the same address, as after a restart of one without a disk: its ids are
   * others, and what is shown is not in it. */
  const store = response.headers.get("X-Store-Id") ?? "", changed = storeId && store !== storeId;
  storeId = store;
  if (changed) {
    abort.abort();
    forget();
    live.loaded = false;
    noteListeners.forEach(listener => listener("cleared"));
    return connect(mine);
  }
  retryMs = RETRY_FIRST_MS;
  setState("live");
  await readStream(response.body, mine);
}

async function session(mine: number): Promise<void> {
  let problem: ApiError | null = null;
  try {
    await connect(mine);
  } catch (error) {
    if (error instanceof ApiError && error.status > 0)
      problem = error;
    if (mine === run && error instanceof ApiError && error.status === 401) {
      setState("denied");
      return;
    }
  }
  if (mine !== run)
    return;
  /* Jitter: a fleet of open pages does not come back in the same instant. */
  const wait = retryMs * (0.75 + Math.random() / 2);
  retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
  live.retryAt = Date.now() + wait;
  live.problem = problem;
  setState("away");
  retryTimer = setTimeout(() => start(), wait);
}

export function start(rowsMax?: number): void {
  if (rowsMax)
    keep = Math.min(Math.max(rowsMax, 1000), ROWS_MAX);
  clearTimeout(retryTimer);
  abort?.abort();
  const mine = ++run;
  if (live.state !== "away")
    setState("connecting");
  void session(mine);
}

export function stop(): void {
  run++;
  clearTimeout(retryTimer);
  abort?.abort();
  setState("off");
}

/* Signed out: nothing of what was read stays. */
export function reset(): void {
  stop();
  forget();
  live.loaded = false;
  live.lost = 0;
  addedListeners.forEach(listener => listener([], 0));
}
