/* api.ts - the server's answers, or an ApiError that says what went wrong in words. */
import type { AggregateRow, Aggregates, ApiKey, AuditRow, Config, Instance, LogEntry, Unblock,
  UnblockLists } from "./types";

export const BASE = "/api/v1";

/* Sums over all that is stored take a while; more is a server that hangs. */
const TIMEOUT_MS = 30000;

/* status 0: nobody answered. */
export class ApiError extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

type Listener = (error: ApiError) => void;
let onUnauthorized: Listener = () => {};
export function whenUnauthorized(listener: Listener): void {
  onUnauthorized = listener;
}

/* A key that was typed at the login page lives as long as this tab, never in localStorage. */
let key = "";
try {
  key = sessionStorage.getItem("apiKey") ?? "";
} catch {
  /* Without storage it lives as long as the page. */
}

export function setKey(text: string): void {
  key = text;
  try {
    if (text)
      sessionStorage.setItem("apiKey", text);
    else
      sessionStorage.removeItem("apiKey");
  } catch {
    /* As above. */
  }
}

export function hasKey(): boolean {
  return key !== "";
}

export function headers(more: Record<string, string> = {}): Record<string, string> {
  return key ? { ...more, "X-Api-Key": key } : more;
}

export function query(values: Record<string, string | number | undefined>): string {
  const parts = Object.entries(values).filter(([, value]) => value !== undefined && value !== "");
  const text = parts.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`);
  return text.length ? `?${text.join("&")}` : "";
}

/* Words for a status, where the server's own are missing. */
function words(status: number): string {
  if (status === 401) return "not signed in";
  if (status === 403) return "the server refused: this sign-in may not do that";
  if (status === 404) return "not found";
  if (status === 429) return "too many requests: wait a moment, then try again";
  if (status >= 500) return `the server failed (HTTP ${status})`;
  return `unexpected answer (HTTP ${status})`;
}

export async function errorOf(response: Response): Promise<ApiError> {
  let text = "";
  try {
    text = JSON.parse(await response.text()).error ?? "";
  } catch {
    /* Not JSON: a proxy's page, which helps nobody here. */
  }
  return new ApiError(response.status, text || words(response.status));
}

function silence(error: unknown): ApiError {
  return new ApiError(0, (error as Error)?.name === "TimeoutError"
    ? `the dashboard did not answer within ${TIMEOUT_MS / 1000} seconds`
    : "the dashboard does not answer");
}

export async function request<T>(method: string, path: string, body?: unknown,
    quiet = false): Promise<T> {
  let response: Response;
  try {
    response = await fetch(BASE + path, {
      method,
      signal: AbortSignal.timeout(TIMEOUT_MS),
      credentials: "same-origin",
      headers: headers(body === undefined ? {} : { "Content-Type": "application/json" }),
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    throw silence(error);
  }
  if (!response.ok) {
    const error = await errorOf(response);
    if (error.status === 401 && !quiet)
      onUnauthorized(error);
    throw error;
  }
  const text = await response.text().catch(error => {
    throw silence(error);
  });
  return (text ? JSON.parse(text) : null) as T;
}

const get = <T>(path: string): Promise<T> => request<T>("GET", path);

export interface Filter {
  q?: string;
  action?: string;
  component?: string;
  hostname?: string;
  range?: string;
  from?: string;
  to?: string;
  limit?: number;
  offset?: number;
  before_id?: number;
  since_id?: number;
  dimension?: string;
  order?: string;
  direction?: string;
  [name: string]: string | number | undefined;
}

export const api = {
  config: () => request<Config>("GET", "/config", undefined, true),
  me: () => request<{ kind?: string; username?: string }>("GET", "/auth/me", undefined, true),
  login: (username: string, password: string) =>
    request<unknown>("POST", "/auth/login", { username, password }, true),
  logout: () => request<unknown>("POST", "/auth/logout", {}, true),
  logs: (filter: Filter) => get<LogEntry[]>(`/logs${query(filter)}`),
  log: (id: number) => get<LogEntry>(`/logs/${id}`),
  browse: (filter: Filter) =>
    get<{ rows: LogEntry[]; total: number }>(`/logs/browse${query(filter)}`),
  clear: () => request<unknown>("DELETE", "/logs"),
  aggregates: (filter: Filter) => get<Aggregates>(`/aggregates${query(filter)}`),
  instances: () => get<Instance[]>("/fleet/instances"),
  forget: (id: string) =>
    request<unknown>("DELETE", `/fleet/instances/${encodeURIComponent(id)}`),
  unblocks: () => get<UnblockLists>("/unblocks/status"),
  unblock: (body: Record<string, unknown>) => request<Unblock>("POST", "/unblocks", body),
  undo: (id: string) => request<unknown>("DELETE", `/unblocks/${encodeURIComponent(id)}`),
  keys: () => get<ApiKey[]>("/apikeys"),
  addKey: (label: string, scope: string) =>
    request<{ key: string; api_key?: ApiKey }>("POST", "/apikeys", { label, scope }),
  removeKey: (id: string | number) =>
    request<unknown>("DELETE", `/apikeys/${encodeURIComponent(String(id))}`),
  audit: (filter: Filter) => get<AuditRow[]>(`/audit${query(filter)}`),
};

/* As many keys as the server tells at once. */
export const SUMS_MAX = 1000;

/* The keys of each verdict by themselves: those with the most events of all verdicts would leave
 * no place for the rare ones.  more: some have more keys than were asked for. */
export async function sumsOf(verdicts: string[], filter: Filter):
    Promise<{ rows: AggregateRow[]; more: boolean }> {
  const answers = await Promise.all(verdicts.map(action =>
    api.aggregates({ ...filter, action })));
  const sums = new Map<string, AggregateRow>();
  for (const row of answers.flatMap(answer => answer.rows)) {
    const known = sums.get(row.key);
    if (known) {
      known.total += row.total;
      known.blocked += row.blocked;
      known.audit += row.audit;
      known.allowed += row.allowed;
    } else {
      sums.set(row.key, { ...row });
    }
  }
  return { rows: [...sums.values()],
    more: answers.some(answer => answer.more) };
}
