/* overview.ts - the hour at a glance: verdicts over time, the names most blocked and most allowed,
 * bytes and latency. */
import { api, sumsOf } from "../api";
import { fill, h, icon, select, wire } from "../dom";
import { Chart, legend } from "../chart";
import type { Series } from "../chart";
import { bytes, compact, duration, whole } from "../format";
import { address, go } from "../route";
import { keep, kept, RANGES } from "../state";
import { failure, keyText, phone, Scope } from "../ui";
import type { AggregateRow, Aggregates, Bucket } from "../types";

export const VERDICT_SERIES: Series[] = [
  { word: "Blocked", color: "--blocked", pattern: "hatch" },
  { word: "Audit", color: "--audit", pattern: "dots" },
  { word: "Allowed", color: "--allowed" },
];

export function verdictPoints(buckets: Bucket[]) {
  return buckets.map(bucket => ({ t: Date.parse(bucket.t),
    values: [bucket.blocked, bucket.audit, bucket.allowed] }));
}

export function stepOf(answer: Aggregates): number {
  const [first, second] = answer.buckets;
  return first && second ? Date.parse(second.t) - Date.parse(first.t)
    : Math.max(1000, Date.parse(answer.to) - Date.parse(answer.from));
}

/* Bars of a top list are as long as their share of the first. */
function topList(title: string, rows: AggregateRow[], value: (row: AggregateRow) => number,
    verdict: "BLOCKED" | "ALLOWED", filter: Record<string, string>): HTMLElement {
  const top = rows.filter(row => value(row) > 0).sort((a, b) => value(b) - value(a)).slice(0, 6);
  const most = top.length ? value(top[0]) : 1;
  return h("section", { class: `top top-${verdict}`, "aria-label": title },
    h("h2", { class: "card-title" }, icon(verdict === "BLOCKED" ? "blocked" : "allowed"), title),
    top.length === 0 ? h("p", { class: "muted small" }, "None in this time.")
      : h("ol", null, top.map(row => {
        const bar = h("span", { class: "top-bar", "aria-hidden": "true" });
        bar.style.width = `${Math.max(2, 100 * value(row) / most)}%`;
        /* What was stopped and what was only audited are counted together. */
        const action = verdict === "ALLOWED" || !row.audit ? verdict
          : row.blocked ? undefined : "AUDIT";
        return h("li", null, h("a", { href: address("search",
          { ...filter, q: row.key, action }), title: wire(row.key) },
          bar, h("span", { class: "top-name mono" }, keyText(row.key)),
          h("span", { class: "top-count" }, compact(value(row)))));
      })));
}

const OFFERED = ["15m", "1h", "6h", "24h", "7d", "all"], TOP_KEYS = 200;

export class Overview {
  readonly root: HTMLElement;
  private filter: { component: string; hostname: string } = { component: "", hostname: "" };
  private range = kept("overviewRange", "1h");
  private readonly chart: Chart;
  private readonly facts = h("dl", { class: "facts" });
  private readonly tops = h("div", { class: "tops" });
  private readonly legendBox = h("div", null);
  private readonly problem = h("div", null);
  private asked = 0;
  private reading = false;
  private news = 0;

  constructor(scope: Scope) {
    this.chart = new Chart({ label: "Verdicts over time", kind: "bars", series: VERDICT_SERIES,
      format: compact, height: 132, pick: (from, to) => go("search", {
        from: new Date(from).toISOString(), to: new Date(to).toISOString(),
        component: this.filter.component, instance: this.filter.hostname }) });
    scope.add(() => this.chart.end());
    /* On a phone the rows come first. */
    const folded = kept("overview", phone.matches ? "folded" : "open")
      === "folded";
    const content = h("div", { class: "overview-grid" },
      h("section", { class: "card overview-chart", "aria-label": "Verdicts over time" },
        h("div", { class: "card-head" }, this.legendBox,
          select("Time", RANGES.filter(([key]) => OFFERED.includes(key)).map(([key, text]) =>
            [key, key === "all" ? text : `Last ${text}`]),
            this.range, value => {
              this.range = value;
              keep("overviewRange", value);
              void this.read();
            }, { "aria-label": "Time range" })),
        this.problem, this.chart.root, this.facts),
      h("div", { class: "card overview-tops" }, this.tops));
    const box = h("details", { class: "overview", ontoggle: () =>
      keep("overview", box.open ? "open" : "folded") },
      h("summary", null, icon("chevron"), "Overview"), content);
    box.open = !folded;
    this.root = box;
    this.drawTops([]);
    fill(this.legendBox, legend(VERDICT_SERIES, ["", "", ""]));
    scope.every(10000, () => void this.read());
    scope.every(2000, () => {
      /* Events just came in: do not let the chart lag behind the rows for long. */
      if (this.news && performance.now() - this.asked > 4000)
        void this.read();
    });
  }

  setFilter(filter: { component: string; hostname: string }): void {
    if (this.asked && filter.component === this.filter.component
      && filter.hostname === this.filter.hostname)
      return;
    this.filter = filter;
    void this.read();
  }

  arrived(events: number): void {
    this.news += events;
  }

  private async read(): Promise<void> {
    if (this.reading)
      return;
    this.reading = true;
    this.asked = performance.now();
    this.news = 0;
    const filter = this.filter;
    try {
      const ask = { range: this.range, dimension: "domain", limit: TOP_KEYS, ...filter };
      const answer = await api.aggregates(ask);
      /* Short enough to hold them all, or the rare ones are not in it. */
      const tops = !answer.more ? answer.rows
        : (await sumsOf(["BLOCKED", "AUDIT", "ALLOWED"], ask)).rows;
      fill(this.problem);
      this.draw(answer, tops);
    } catch (error) {
      fill(this.problem, failure(error));
    }
    this.reading = false;
    if (filter !== this.filter)
      void this.read();
  }

  private draw(answer: Aggregates, tops: AggregateRow[]): void {
    const { totals } = answer;
    this.chart.set(verdictPoints(answer.buckets), stepOf(answer));
    fill(this.legendBox, legend(VERDICT_SERIES,
      [totals.blocked, totals.audit, totals.allowed].map(compact)));
    let moved = 0, p99 = -1;
    const medians: number[] = [];
    for (const bucket of answer.buckets) {
      moved += bucket.bytes ?? 0;
      if (bucket.p50_ms)
        medians.push(bucket.p50_ms);
      p99 = Math.max(p99, bucket.p99_ms || -1);
    }
    medians.sort((a, b) => a - b);
    const p50 = medians.length ? medians[medians.length >> 1] : -1;
    const share = answer.events ? 100 * totals.blocked / answer.events : 0;
    const fact = (name: string, value: string, title: string) =>
      h("div", { title }, h("dt", null, name), h("dd", null, value));
    fill(this.facts, fact("Events", whole(answer.events), "In this time, all verdicts"),
      fact("Blocked share", `${share < 10 ? share.toFixed(1) : Math.round(share)} %`,
        "Of all events in this time"),
      fact("Moved", moved ? bytes(moved) : "–", "Bytes of connections that ended, both ways"),
      fact("Duration p50", p50 < 0 ? "–" : duration(p50),
        "Typical for this time: half of the connections took no longer"),
      fact("Duration p99", p99 < 0 ? "–" : duration(p99),
        "In the worst part of this time, 99 of 100 connections took no longer"));
    this.drawTops(tops);
  }

  private drawTops(rows: AggregateRow[]): void {
    const filter = { range: this.range, component: this.filter.component,
      instance: this.filter.hostname };
    fill(this.tops,
      topList("Most blocked", rows, row => row.blocked + row.audit, "BLOCKED", filter),
      topList("Most allowed", rows, row => row.allowed, "ALLOWED", filter));
  }
}
