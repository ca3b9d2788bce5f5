/* aggregates.ts - sums: by name, address or client, over any time, with bytes and latency. */
import { api, SUMS_MAX } from "../api";
import { Chart, legend } from "../chart";
import type { Series } from "../chart";
import { fill, h, select, wire } from "../dom";
import { bytes, compact, duration, plural, whole } from "../format";
import { address, current, go, replaceParams } from "../route";
import { COMPONENTS, instanceNames, RANGES } from "../state";
import { empty, failure, keyText, nameCell, Scope, table, timeTag } from "../ui";
import type { AggregateRow, Aggregates } from "../types";
import { stepOf, VERDICT_SERIES, verdictPoints } from "./overview";

const LATENCY: Series[] = [
  { word: "p99", color: "--audit", pattern: "dash" },
  { word: "p50", color: "--allowed" },
];
const MOVED: Series[] = [{ word: "Bytes", color: "--accent" }];
const DIMENSIONS: [string, string][] = [["domain", "Name"], ["ip", "Address"],
  ["client", "Client"]];

/* What the columns of the table are to the server, and in words: the most first, and the least. */
const ORDERS: ([string, string, string] | null)[] = [
  ["key", "that come last from a to z", "that come first from a to z"],
  ["total", "with the most events", "with the fewest events"],
  null,
  ["blocked", "with the most blocked events", "with the fewest blocked events"],
  ["audit", "with the most audit events", "with the fewest audit events"],
  ["allowed", "with the most allowed events", "with the fewest allowed events"],
  ["bytes", "with the most bytes", "with the fewest bytes"],
  ["last_seen", "that were seen last", "that were not seen for the longest time"],
];
const KEY = 0, TOTAL = 1;

/* [column, down]; the address may hold anything. */
function orderOf(params: Record<string, string>): [number, boolean] {
  const at = ORDERS.findIndex(order => order && order[0] === params.order);
  const column = at < 0 ? TOTAL : at;
  return [column, params.direction ? params.direction !== "asc" : column !== KEY];
}

/* Its verdicts as one bar; the words are in the cells beside it. */
function mix(row: AggregateRow): HTMLElement {
  const counts = [["blocked", row.blocked], ["audit", row.audit],
    ["allowed", row.allowed]] as const;
  const parts = counts
    .filter(([, count]) => count > 0).map(([name, count]) => {
      const part = h("span", { class: `mix-part swatch--${name}` });
      part.style.flexGrow = String(count);
      return part;
    });
  return h("span", { class: "mix", role: "img", "aria-label":
    `${row.blocked} blocked, ${row.audit} audit, ${row.allowed} allowed` }, parts);
}

class AggregatesPage {
  private asked = 0;
  private timer = 0;
  private answer: Aggregates | null = null;
  private readonly fields = h("div", { class: "search-fields" });
  private readonly results = h("div", { class: "results" });
  private readonly problem = h("div", null);
  private readonly legendBox = h("div", null);
  private readonly status = h("div", { class: "muted", role: "status" });
  private readonly verdicts: Chart;
  private readonly latency = new Chart({ label: "Duration of connections", kind: "lines",
    series: LATENCY, format: duration, height: 104 });
  private readonly moved = new Chart({ label: "Bytes moved", kind: "bars", series: MOVED,
    format: bytes, height: 104, binary: true });
  private readonly words = h("input", { type: "search", class: "input", maxlength: "200",
    placeholder: "Part of a name or address", "aria-label": "Only keys with", oninput: () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.change({ q: this.words.value }), 250);
    } });

  constructor(main: HTMLElement, scope: Scope) {
    this.verdicts = new Chart({ label: "Verdicts over time", kind: "bars",
      series: VERDICT_SERIES, format: compact, height: 150, pick: (from, to) => {
        const { params } = current();
        go("search", { from: new Date(from).toISOString(), to: new Date(to).toISOString(),
          component: params.component, instance: params.instance, q: params.q });
      } });
    fill(main, h("div", { class: "page" },
      h("div", { class: "page-head" }, h("h1", null, "Aggregates"), this.status),
      this.fields, this.problem,
      h("section", { class: "card" }, this.legendBox, this.verdicts.root),
      h("div", { class: "pair" },
        h("section", { class: "card" }, h("h2", { class: "card-title" }, "Duration"),
          legend(LATENCY, ["", ""]), this.latency.root),
        h("section", { class: "card" }, h("h2", { class: "card-title" }, "Bytes moved"),
          legend(MOVED, [""]), this.moved.root)),
      this.results));
    scope.listen(window, "params", () => this.fromAddress());
    scope.every(30000, () => void this.read());
    scope.add(() => clearTimeout(this.timer));
    for (const chart of [this.verdicts, this.latency, this.moved])
      scope.add(() => chart.end());
    this.fromAddress();
  }

  private change(params: Record<string, string>): void {
    replaceParams(params);
    this.fromAddress();
  }

  private fromAddress(): void {
    const { params } = current();
    if (document.activeElement !== this.words)
      this.words.value = params.q ?? "";
    const by = params.by ?? "domain";
    /* The search field stays the same element, or it would lose the caret. */
    if (!this.words.isConnected)
      fill(this.fields, h("span", { class: "field-group" }), this.words);
    fill(this.fields.firstElementChild!,
      select("By", DIMENSIONS, by, value => this.change({ by: value })),
      select("Time", RANGES, params.range ?? "24h", value => this.change({ range: value })),
      select("Component", [["", "Any"], ...COMPONENTS.map((name): [string, string] =>
        [name, name])], params.component ?? "", value => this.change({ component: value })),
      select("Instance", [["", "Any"], ...instanceNames().map((name): [string, string] =>
        [name, wire(name)])], params.instance ?? "",
      value => this.change({ instance: value })));
    void this.read();
  }

  /* What is here whole is sorted here.  Else others come first, which only the server knows. */
  private sort([column, down]: [number, boolean]): void {
    replaceParams({ order: column === TOTAL ? "" : ORDERS[column]?.[0],
      direction: down === (column !== KEY) ? "" : down ? "desc" : "asc" });
    if (!this.answer?.more) {
      this.draw();
      return;
    }
    this.results.setAttribute("aria-busy", "true");
    void this.read();
  }

  private async read(): Promise<void> {
    const mine = ++this.asked, { params } = current(), [column, down] = orderOf(params);
    try {
      const answer = await api.aggregates({ range: params.range ?? "24h", q: params.q,
        dimension: params.by ?? "domain", component: params.component,
        hostname: params.instance, limit: SUMS_MAX, order: ORDERS[column]?.[0],
        direction: down ? "desc" : "asc" });
      if (mine !== this.asked)
        return;
      /* Sorted meanwhile, when what was here was whole. */
      if (answer.more && String(orderOf(current().params)) !== String([column, down]))
        return this.read();
      this.answer = answer;
      fill(this.problem);
      this.draw();
    } catch (error) {
      if (mine !== this.asked)
        return;
      fill(this.problem, failure(error, () => void this.read()));
    }
    this.results.removeAttribute("aria-busy");
  }

  private draw(): void {
    const answer = this.answer!, { params } = current(), step = stepOf(answer);
    const { totals } = answer, order = orderOf(params);
    const keys = plural(answer.rows.length, "key");
    this.status.textContent = `${plural(answer.events, "event")} · ${answer.more
      ? `only the ${keys} ${ORDERS[order[0]]?.[order[1] ? 1 : 2]}: filter for the others`
      : keys}`;
    fill(this.legendBox, legend(VERDICT_SERIES,
      [totals.blocked, totals.audit, totals.allowed].map(whole)));
    this.verdicts.set(verdictPoints(answer.buckets), step);
    this.latency.set(answer.buckets.map(bucket => ({ t: Date.parse(bucket.t),
      values: [bucket.p99_ms || null, bucket.p50_ms || null] })), step);
    this.moved.set(answer.buckets.map(bucket => ({ t: Date.parse(bucket.t),
      values: [bucket.bytes ?? 0] })), step);
    if (answer.rows.length === 0) {
      fill(this.results, empty("aggregates", "Nothing to add up",
        h("p", null, "No event of this time passes these filters.")));
      return;
    }
    const title = DIMENSIONS.find(([key]) => key === (params.by ?? "domain"))?.[1] ?? "Key";
    fill(this.results, table<AggregateRow>("Sums", [
      { title, cell: row => h("a", { href: address("search", { q: row.key,
        range: params.range ?? "24h", component: params.component,
        instance: params.instance }) }, nameCell(keyText(row.key))), sort: row => row.key },
      { title: "Total", cell: row => whole(row.total), sort: row => row.total, numeric: true },
      { title: "Mix", cell: mix, wide: true },
      { title: "Blocked", cell: row => whole(row.blocked), sort: row => row.blocked,
        numeric: true },
      { title: "Audit", cell: row => whole(row.audit), sort: row => row.audit, numeric: true,
        wide: true },
      { title: "Allowed", cell: row => whole(row.allowed), sort: row => row.allowed,
        numeric: true },
      { title: "Bytes", cell: row => row.bytes ? bytes(row.bytes) : "–",
        sort: row => row.bytes ?? 0, numeric: true, wide: true },
      { title: "Last seen", cell: row => timeTag(row.last_seen),
        sort: row => Date.parse(row.last_seen ?? "") || 0, numeric: true, wide: true },
    ], answer.rows, order, sort => this.sort(sort)));
  }
}

export function aggregatesPage(main: HTMLElement, scope: Scope): void {
  new AggregatesPage(main, scope);
}
