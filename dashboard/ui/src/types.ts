/* types.ts - what the API sends, as far as the pages use it.  Everything may be missing. */

export interface LogEntry {
  id: number;
  time: string;
  msg: string;
  action?: string;
  fields?: Record<string, unknown>;
  remote_ip?: string;
  source_ip?: string;
  source_port?: number;
  destination_ip?: string;
  destination_port?: number;
  protocol?: string;
  https?: string;
  http_host?: string;
  flow_id?: string;
  hostname?: string;
  src?: string;
  dst?: string;
  version?: string;
}

export interface Config {
  buffer_size?: number;
  read_limit?: number;
  auth_mode?: string;
  version?: string;
  fleet_enabled?: boolean;
  api_key_required?: boolean;
}

export interface Bucket {
  t: string;
  allowed: number;
  blocked: number;
  audit: number;
  bytes?: number;
  p50_ms?: number | null;
  p99_ms?: number | null;
}

export interface AggregateRow {
  key: string;
  total: number;
  allowed: number;
  blocked: number;
  audit: number;
  bytes?: number;
  last_seen?: string;
}

export interface Aggregates {
  from: string;
  to: string;
  events: number;
  totals: { allowed: number; blocked: number; audit: number };
  buckets: Bucket[];
  rows: AggregateRow[];
  more?: boolean;                 /* there are more keys */
}

export interface PolicyEntry {
  entry: string;
  hits?: number;
  last_hit?: string;
  source?: string;
  expires_at?: string;
}

export interface Instance {
  id?: string;
  hostname: string;
  unblocks?: string;              /* "off": it does nothing that is asked from here */
  version?: string;
  mode?: string;
  filter_mode?: string;
  policy_hash?: string;
  config_hash?: string;
  last_seen?: string;
  started?: string;
  counters?: Record<string, number>;
  policy?: {
    domains?: PolicyEntry[];
    ips?: PolicyEntry[];
    source?: string;
    path?: string;
    overlay?: string;
    read_only?: boolean;
  };
  warnings?: string[];
}

export interface Unblock {
  id: string;
  type: string;
  value: string;
  target_hostname?: string;
  created_at?: string;
  completed_at?: string;
  expires_at?: string;
  once?: boolean;
  remove?: boolean;
  reason?: string;
  who?: string;
  undoes?: string;
  status?: string;
  result?: string;
  error?: string;
}

export interface UnblockLists {
  pending: Unblock[];
  completed: Unblock[];
}

export interface ApiKey {
  id: string | number;
  label?: string;
  scope?: string;
  created_at?: string;
}

export interface AuditRow {
  id?: number;
  time: string;
  who?: string;
  source?: string;
  action?: string;
  object?: string;
  detail?: string;
}
