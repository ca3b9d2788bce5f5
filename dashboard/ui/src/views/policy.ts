/* policy.ts - what each instance lets through, how often each entry was used, and the changes that
 * were asked for from here. */
import { api } from "../api";
import { button, fill, h, icon, iconButton, select, wire } from "../dom";
import { compact, plural, whole } from "../format";
import { onNote } from "../live";
import { address, current, replaceParams } from "../route";
import { readInstances, shared } from "../state";
import { confirmBox, copied, empty, failure, nameCell, Scope, table, timeTag, toast } from "../ui";
import type { Instance, PolicyEntry, Unblock, UnblockLists } from "../types";
import { connectHelp } from "./empty";
import { stateOf } from "./fixes";

interface Row extends PolicyEntry {
  list: "domains" | "ips";
  kind: string;
}

function kindOf(entry: string, list: "domains" | "ips"): string {
  if (list === "ips")
    return entry.includes("/") ? "network" : "address";
  if (entry.startsWith("/"))
    return "regex";
  return entry.includes("*") ? "wildcard" : "name";
}

export function entriesOf(instance: Instance): Row[] {
  const rows = (list: "domains" | "ips") => (instance.policy?.[list] ?? [])
    .map(row => ({ ...row, list, kind: kindOf(row.entry, list) }));
  return [...rows("domains"), ...rows("ips")];
}

class PolicyPage {
  private sort: [number, boolean] = [-1, false];
  private drawn = "";                             /* the entries that are shown, and how */
  private lists: UnblockLists = { pending: [], completed: [] };
  private readonly head = h("div", { class: "policy-head" });
  private readonly entries = h("div", { class: "results" });
  private readonly changes = h("section", { class: "changes", "aria-label": "Changes made here" });
  private readonly tools = h("div", { class: "search-fields" });
  private readonly words = h("input", { type: "search", class: "input", maxlength: "200",
    placeholder: "Part of an entry", "aria-label": "Only entries with",
    oninput: () => this.change({ q: this.words.value }) });

  constructor(main: HTMLElement, scope: Scope) {
    fill(main, h("div", { class: "page" },
      h("div", { class: "page-head" }, h("h1", null, "Policy")),
      this.tools, this.head, this.entries, this.changes));
    scope.listen(window, "params", () => this.draw());
    scope.every(10000, () => void this.read());
    scope.add(onNote(type => {
      if (type === "unblock_status")
        void this.read();
    }));
    void this.read();
  }

  private change(params: Record<string, string>): void {
    replaceParams(params);
    this.draw();
  }

  private async read(): Promise<void> {
    try {
      const [, lists] = await Promise.all([readInstances(),
        api.unblocks().catch(() => this.lists)]);
      this.lists = { pending: lists?.pending ?? [], completed: lists?.completed ?? [] };
      this.draw();
      this.drawChanges();
    } catch (error) {
      this.drawn = "";
      fill(this.entries, failure(error, () => void this.read()));
    }
  }

  private draw(): void {
    const { params } = current();
    const known = shared.instances;
    if (known.length === 0) {
      fill(this.tools);
      this.drawn = "";
      fill(this.head);
      fill(this.entries, empty("policy", "No instance tells its policy",
        h("p", null, "ringfence agents report their policy and how often each entry was "
          + "used. g0efilter agents only send events: their policies are not seen here."),
        connectHelp()));
      return;
    }
    const chosen = params.instance ? known.find(one => one.hostname === params.instance)
      : known[0];
    if (document.activeElement !== this.words)
      this.words.value = params.q ?? "";
    if (!this.words.isConnected)
      fill(this.tools, h("span", { class: "field-group" }), this.words);
    fill(this.tools.firstElementChild!,
      select("Instance", known.map((one): [string, string] => [one.hostname, wire(one.hostname)]),
        chosen?.hostname ?? params.instance, value => this.change({ instance: value })),
      select("Show", [["", "All entries"], ["unused", "Unused only"], ["domains", "Names only"],
        ["ips", "Addresses only"]], params.show ?? "", value => this.change({ show: value })));
    if (!chosen) {
      this.drawn = "";
      fill(this.head);
      fill(this.entries, empty("policy", `${wire(params.instance)} does not report`,
        h("p", null, "Its policy is not known here: it was forgotten, never reported, or only "
          + "sends events. Choose another instance above.")));
      return;
    }
    this.drawHead(chosen);
    this.drawEntries(chosen, params);
  }

  private drawHead(chosen: Instance): void {
    const rows = entriesOf(chosen), unused = rows.filter(row => !row.hits);
    const { policy } = chosen;
    fill(this.head, h("dl", { class: "facts" },
      h("div", null, h("dt", null, "Entries"), h("dd", null, whole(rows.length))),
      h("div", null, h("dt", null, "Unused since start"), h("dd", null, whole(unused.length))),
      h("div", null, h("dt", null, "Mode"),
        h("dd", null, wire(chosen.mode ?? chosen.filter_mode ?? "–"))),
      h("div", null, h("dt", null, "Hash"), h("dd", { class: "mono" },
        wire((chosen.policy_hash ?? chosen.config_hash ?? "–").slice(0, 12)))),
      h("div", null, h("dt", null, "Reported"), h("dd", null, timeTag(chosen.last_seen)))),
      h("p", { class: "muted small" }, policy?.path && ["From ",
        h("span", { class: "mono" }, wire(policy.path)),
        policy.read_only ? " (read-only: changes from here go to the overlay)" : ""],
        policy?.source && !policy.path && `From ${wire(policy.source)}`,
        policy?.overlay && [" · overlay ", h("span", { class: "mono" },
          wire(policy.overlay))]));
  }

  private drawEntries(chosen: Instance, params: Record<string, string>): void {
    /* Thousands of rows take a while: not again for the same; "a minute ago" grows old. */
    const now = JSON.stringify([chosen.hostname, chosen.policy, params, this.sort,
      Math.floor(Date.now() / 60000)]);
    if (now === this.drawn)
      return;
    this.drawn = now;
    const words = (params.q ?? "").toLowerCase(), all = entriesOf(chosen);
    const most = Math.max(1, ...all.map(row => row.hits ?? 0));
    const rows = all.filter(row => row.entry.toLowerCase().includes(words)
      && (params.show !== "unused" || !row.hits)
      && (params.show !== "domains" && params.show !== "ips" || row.list === params.show));
    if (rows.length === 0) {
      fill(this.entries, empty("policy", all.length ? "No entry passes these filters"
        : "An empty policy: nothing may leave", h("p", null, all.length
        ? params.show === "unused" && !words ? "Every entry has been used since the agent started."
          : "Drop a filter to see more."
        : "Add names under allowlist.domains, or open a blocked event in the stream and "
          + "allow it from there.")));
      return;
    }
    fill(this.entries, table<Row>("Entries of the policy", [
      { title: "Entry", cell: row => nameCell(row.entry), sort: row => row.entry },
      { title: "Kind", cell: row => h("span", { class: `kind kind-${row.kind}` }, row.kind),
        sort: row => row.kind, wide: true },
      { title: "Hits", numeric: true, sort: row => row.hits ?? 0, cell: row => {
        const bar = h("span", { class: "hit-bar", "aria-hidden": "true" });
        bar.style.width = `${100 * (row.hits ?? 0) / most}%`;
        return h("span", { class: "hits" }, h("span", { class: "hit-track" }, bar),
          row.hits ? compact(row.hits) : h("span", { class: "unused" }, "unused"));
      } },
      { title: "Last used", numeric: true, sort: row => row.last_hit ?? "",
        cell: row => timeTag(row.last_hit) },
      { title: "Where it is from", wide: true, cell: row => [wire(row.source ?? ""),
        row.expires_at && h("span", { class: "muted" }, " until ",
          timeTag(row.expires_at))] },
      { title: "", cell: row => [iconButton("copy", `Copy ${wire(row.entry)}`,
        () => void copied(row.entry, "Entry")),
        h("a", { class: "icon-btn", title: "Its events", "aria-label": "Its events",
          href: address("search", { q: row.entry.replace(/^\*\./, ""),
            instance: chosen.hostname, range: "7d" }) }, icon("search"))], wide: true },
    ], rows, this.sort, sort => {
      this.sort = sort;
      this.draw();
    }));
  }

  private drawChanges(): void {
    const pending = this.lists.pending.map(item => ({ item, waits: true }));
    const done = this.lists.completed.map(item => ({ item, waits: false }))
      .sort((a, b) => (b.item.completed_at ?? "") < (a.item.completed_at ?? "") ? -1 : 1);
    const rows = [...pending, ...done];
    fill(this.changes, h("h2", null, "Changes asked for from here"), rows.length === 0
      ? h("p", { class: "muted" }, "None yet. Open a blocked event in the stream to allow it once, "
        + "by name or by wildcard; each can be undone here.")
      : table<{ item: Unblock; waits: boolean }>("Changes asked for from here", [
        { title: "State", cell: ({ item, waits }) => {
          const state = stateOf(item, waits);
          return h("span", { class: `tag tag-${state.kind}`, title: wire(item.error ?? "") },
            state.word);
        } },
        { title: "Entry", cell: ({ item }) => [nameCell(item.value),
          item.once && h("span", { class: "muted small" }, " once"),
          item.remove && h("span", { class: "muted small" }, " closed again")] },
        { title: "Where", cell: ({ item }) => wire(item.target_hostname || "every instance") },
        { title: "Who", cell: ({ item }) => wire(item.who ?? ""), wide: true },
        { title: "Why", cell: ({ item }) => wire(item.error || item.reason || ""), wide: true },
        { title: "Asked", cell: ({ item }) => timeTag(item.created_at, "–"), wide: true },
        { title: "Until", cell: ({ item }) => item.once ? "first use"
          : item.expires_at ? h("time", { datetime: item.expires_at },
            new Date(item.expires_at).toLocaleString()) : "for good", wide: true },
        { title: "", cell: row => this.undoButton(row.item, row.waits) },
      ], rows, [-1, false], () => {}));
  }

  private undoButton(item: Unblock, waits: boolean): HTMLElement | null {
    const { kind } = stateOf(item, waits);
    if (item.remove || (kind !== "pending" && kind !== "applied"))
      return null;
    return button(waits ? "Take back" : "Undo", async () => {
      const where = item.target_hostname || "every instance";
      if (!await confirmBox("Close it again?", `“${wire(item.value)}” is taken out of the policy `
        + `of ${wire(where)}. Connections that are open may be cut.`, "Close it"))
        return;
      try {
        await api.undo(item.id);
        toast(`Undo of ${plural(1, "entry", "entries")} is on its way`);
        await this.read();
      } catch (error) {
        toast(`Not undone: ${(error as Error).message}`, "bad");
      }
    }, { class: "btn btn-small", "data-subject": item.id }, "undo");
  }
}

export function policyPage(main: HTMLElement, scope: Scope): void {
  new PolicyPage(main, scope);
}
