/* fleet.ts - every instance that reports: is it there, which version, the same policy, any
 * trouble? */
import { button, fill, h, icon, wire } from "../dom";
import { ago, compact, duration, plural } from "../format";
import { address } from "../route";
import { isMissing, readInstances, shared } from "../state";
import { empty, failure, Scope, timeTag } from "../ui";
import type { Instance } from "../types";
import { connectHelp } from "./empty";
import { entriesOf } from "./policy";

const COUNTERS: [string, RegExp][] = [
  ["Allowed", /allowed/i], ["Blocked", /blocked/i], ["Open", /(^|_)(open|active|conns)$/i],
  ["Dropped", /drop/i],
];

function counters(instance: Instance): [string, number][] {
  const entries = Object.entries(instance.counters ?? {})
    .filter((pair): pair is [string, number] => typeof pair[1] === "number");
  const sums = Object.fromEntries(entries);
  /* Ours tells how many began and how many ended. */
  if (sums.conns_opened >= sums.conns_closed)
    entries.push(["conns_open", sums.conns_opened - sums.conns_closed]);
  const found = COUNTERS.map(([title, pattern]): [string, number] | null => {
    const hits = entries.filter(([name]) => pattern.test(name));
    return hits.length ? [title, hits.reduce((sum, [, value]) => sum + value, 0)] : null;
  }).filter((pair): pair is [string, number] => pair !== null);
  return found.length ? found : entries.slice(0, 4);
}

function card(instance: Instance, odd: boolean): HTMLElement {
  const missing = isMissing(instance), seen = Date.parse(instance.last_seen ?? "");
  const hash = instance.policy_hash ?? instance.config_hash ?? "";
  const started = Date.parse(instance.started ?? "");
  const warnings = instance.warnings ?? [];
  return h("li", { class: `card instance ${missing ? "is-missing" : ""}` },
    h("div", { class: "instance-head" },
      h("span", { class: `tag tag-${missing ? "failed" : "applied"}` },
        icon(missing ? "warn" : "allowed"), missing ? "Missing" : "Reporting"),
      h("h2", null, wire(instance.hostname || "(no name)")),
      h("span", { class: "muted" }, wire(instance.version ?? ""))),
    missing && h("p", { class: "hint" }, isFinite(seen) ? `Last heard of ${ago(seen)}. ` : "",
      "Its rules stay in the kernel while it is away: nothing new gets out."),
    h("dl", { class: "facts small-facts" },
      h("div", null, h("dt", null, "Mode"), h("dd", null,
        wire(instance.mode ?? instance.filter_mode ?? "–"))),
      h("div", null, h("dt", null, "Seen"), h("dd", null, timeTag(instance.last_seen))),
      h("div", null, h("dt", null, "Up"), h("dd", null,
        isFinite(started) ? duration(Date.now() - started) : "–")),
      h("div", null, h("dt", null, "Policy"), h("dd", null,
        h("a", { class: "mono", href: address("policy", { instance: instance.hostname }) },
          wire(hash.slice(0, 8) || "none")),
        odd && h("span", { class: "differs" }, " differs"))),
      h("div", null, h("dt", null, "Entries"), h("dd", null,
        String(entriesOf(instance).length))),
      instance.unblocks === "off" && h("div", { title: "Set ENABLE_REMOTE_UNBLOCK=true there to "
        + "let names through from here" }, h("dt", null, "Unblocks"), h("dd", null, "off")),
      counters(instance).map(([title, value]) => h("div", null, h("dt", null, wire(title)),
        h("dd", null, compact(value))))),
    warnings.length > 0 && h("ul", { class: "warnings" }, warnings.map(text =>
      h("li", null, icon("warn"), wire(text)))),
    h("div", { class: "instance-links" },
      h("a", { href: address("stream", { instance: instance.hostname }) }, "Stream"),
      h("a", { href: address("aggregates", { instance: instance.hostname }) }, "Aggregates"),
      h("a", { href: address("policy", { instance: instance.hostname, show: "unused" }) },
        "Unused entries")));
}

class FleetPage {
  private readonly list = h("div", null);
  private readonly status = h("div", { class: "muted", role: "status" });

  constructor(main: HTMLElement, scope: Scope) {
    fill(main, h("div", { class: "page" },
      h("div", { class: "page-head" }, h("h1", null, "Fleet"), this.status,
        h("div", { class: "bar-end" }, button("Refresh", () => void this.read(),
          { class: "btn btn-small" }))), this.list));
    scope.every(10000, () => void this.read());
    void this.read();
  }

  private async read(): Promise<void> {
    try {
      await readInstances();
      this.draw();
    } catch (error) {
      fill(this.list, failure(error, () => void this.read()));
    }
  }

  private draw(): void {
    const all = shared.instances, missing = all.filter(one => isMissing(one)).length;
    this.status.textContent = all.length ? `${plural(all.length, "instance")}`
      + (missing ? `, ${missing} missing` : ", all reporting") : "";
    if (all.length === 0) {
      fill(this.list, empty("fleet", "No instance reports",
        h("p", null, "ringfence agents report by themselves once they know this dashboard. "
          + "g0efilter agents only send events, and are seen in the stream alone."),
        connectHelp()));
      return;
    }
    /* The policy that most share is the usual one. */
    const counts = new Map<string, number>();
    for (const one of all)
      counts.set(one.policy_hash ?? "", (counts.get(one.policy_hash ?? "") ?? 0) + 1);
    const usual = [...counts].sort((a, b) => b[1] - a[1])[0];
    const sorted = [...all].sort((a, b) => Number(isMissing(b)) - Number(isMissing(a))
      || (b.warnings?.length ?? 0) - (a.warnings?.length ?? 0)
      || (a.hostname < b.hostname ? -1 : 1));
    fill(this.list, h("ul", { class: "instances" }, sorted.map(one => card(one,
      usual[1] > 1 && (one.policy_hash ?? "") !== usual[0]))));
  }
}

export function fleetPage(main: HTMLElement, scope: Scope): void {
  new FleetPage(main, scope);
}
