/* search.ts - everything that is stored, by words and filters; the address holds them all. */
import { api } from "../api";
import type { Filter } from "../api";
import { button, fill, h, select, wire } from "../dom";
import { entryOf, titleOf } from "../entry";
import type { Entry } from "../entry";
import { plural, stamp, when, whole } from "../format";
import { address, current, goInstead, pushParams, replaceParams } from "../route";
import { COMPONENTS, instanceNames, keep, kept, RANGES } from "../state";
import { copied, empty, failure, phone, Scope, storyCovers, table, toast,
  verdictBadge } from "../ui";
import type { LogEntry } from "../types";
import { StoryPane } from "./story";

const PAGE_ROWS = 100, HISTORY_MAX = 12, EXPORT_STEP = 1000, EXPORT_MAX = 50000;

function history(): string[] {
  try {
    const found = JSON.parse(kept("searches", "[]"));
    return Array.isArray(found) ? found.filter(one => typeof one === "string") : [];
  } catch {
    return [];
  }
}

function remember(text: string): void {
  const words = text.trim();
  if (words.length > 1)
    keep("searches", JSON.stringify([words, ...history().filter(one => one !== words)]
      .slice(0, HISTORY_MAX)));
}

/* A spreadsheet runs what begins with one of these: W12. */
function csvCell(value: unknown): string {
  const text = wire(value);
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return `"${safe.replace(/"/g, '""')}"`;
}

function csv(rows: Entry[]): string {
  const head = ["time", "verdict", "component", "name", "to", "from", "process", "reason",
    "instance", "flow_id", "id"];
  return [head.join(","), ...rows.map(row => [row.raw.time, row.verdict, row.component, row.name,
    row.dst, row.src, row.process, row.reason, row.instance, row.flow, row.id]
    .map(csvCell).join(","))].join("\r\n");
}

function download(name: string, type: string, text: string): void {
  const link = h("a", { download: name });
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/* An end of the time window; the address may hold anything. */
function edge(text: string | undefined, missing: string): string {
  const ms = Date.parse(text ?? "");
  return !text ? missing : isFinite(ms) ? stamp(ms) : `“${wire(text)}”`;
}

class SearchPage {
  private readonly results = h("div", { class: "results" });
  private readonly status = h("div", { class: "muted", role: "status" });
  private readonly tools = h("div", { class: "bar-end" });
  private readonly fields = h("div", { class: "search-fields" });
  private readonly past = h("datalist", { id: "past-searches" });
  private readonly chips = h("div", { class: "chips" });
  private readonly story = new StoryPane(() => this.closed());
  private rows: Entry[] = [];
  private asked = 0;
  private timer = 0;
  private readonly words = h("input", { type: "search", class: "input big", maxlength: "200",
    placeholder: "A name, address, instance, process or reason", list: "past-searches",
    "aria-label": "Search for", spellcheck: "false", autocapitalize: "none",
    oninput: () => this.typed() });

  constructor(main: HTMLElement, scope: Scope) {
    fill(main, h("div", { class: "page search-page" },
      h("div", { class: "page-head" }, h("h1", null, "Search"), this.status, this.tools),
      h("form", { class: "search-form", role: "search", onsubmit: (event: Event) => {
        event.preventDefault();
        remember(this.words.value);
        this.change({ q: this.words.value });
      } }, this.words, this.past,
      h("button", { type: "submit", class: "btn btn-primary" }, "Search")),
      this.fields, this.chips,
      this.results, this.story.root));
    scope.listen(window, "params", () => this.fromAddress());
    scope.listen(window, "pagekey", event => {
      if (event.detail.key === "Escape")
        this.story.close(true);
      else if (this.story.onKey(event.detail))
        event.detail.preventDefault();
    });
    scope.add(() => {
      clearTimeout(this.timer);
      this.story.close(false);
    });
    this.fromAddress();
  }

  private typed(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.change({ q: this.words.value }), 250);
  }

  private change(params: Record<string, string | undefined>): void {
    clearTimeout(this.timer);
    this.story.close(false);
    replaceParams({ ...params, e: undefined, page: params.page });
    this.fromAddress();
  }

  private fromAddress(): void {
    const { params } = current();
    if (document.activeElement !== this.words)
      this.words.value = params.q ?? "";
    if (!params.e)
      this.story.close(false);
    this.drawFields(params);
    void this.read(params);
  }

  private drawFields(params: Record<string, string>): void {
    const window = params.from || params.to;
    fill(this.past, history().map(text => h("option", { value: text })));
    fill(this.fields,
      window ? h("span", { class: "chip" },
        `${edge(params.from, "…")} to ${edge(params.to, "now")}`,
        h("button", { type: "button", class: "chip-x", "aria-label": "Drop this time window",
          onclick: () => this.change({ from: "", to: "" }) }, "×"))
        : select("Time", RANGES, params.range ?? "24h", value =>
          this.change({ range: value })),
      select("Verdict", [["", "Any"], ["BLOCKED", "Blocked"], ["AUDIT", "Audit"],
        ["ALLOWED", "Allowed"]], (params.action ?? "").toUpperCase(), value =>
        this.change({ action: value })),
      select("Component", [["", "Any"], ...COMPONENTS.map((name): [string, string] =>
        [name, name])], params.component ?? "", value => this.change({ component: value })),
      select("Instance", [["", "Any"], ...instanceNames().map((name): [string, string] =>
        [name, wire(name)])], params.instance ?? "", value =>
        this.change({ instance: value })));
    const past = history().filter(text => text !== params.q).slice(0, 6);
    fill(this.chips, past.length > 0 && [h("span", { class: "muted small" }, "Recent"),
      past.map(text => h("button", { type: "button", class: "chip", onclick: () => {
        this.words.value = text;
        this.change({ q: text });
      } }, wire(text))),
      h("button", { type: "button", class: "link-btn small", onclick: () => {
        keep("searches", "[]");
        this.drawFields(current().params);
      } }, "Forget")]);
  }

  private filter(params: Record<string, string>) {
    return { q: params.q, action: params.action, component: params.component,
      hostname: params.instance };
  }

  private async fetchRows(params: Record<string, string>, more: Filter):
      Promise<{ rows: LogEntry[]; total: number }> {
    const time = params.from || params.to ? { from: params.from, to: params.to }
      : { range: params.range ?? "24h" };
    return api.browse({ ...this.filter(params), ...time, ...more });
  }

  private async read(params: Record<string, string>): Promise<void> {
    const mine = ++this.asked, page = Math.max(0, (Number(params.page) || 1) - 1);
    const begun = performance.now();
    this.results.setAttribute("aria-busy", "true");
    if (!this.results.firstChild)
      this.status.textContent = "Searching…";
    try {
      const { rows, total } = await this.fetchRows(params, { limit: PAGE_ROWS,
        offset: page * PAGE_ROWS });
      if (mine !== this.asked)
        return;
      this.rows = rows.map(entryOf);
      const took = Math.round(performance.now() - begun);
      this.status.textContent = `${plural(total, "event")} · ${took} ms`;
      if (params.q && total > 0)
        this.timer = setTimeout(() => remember(params.q), 1500);
      this.draw(params, page, total);
    } catch (error) {
      if (mine !== this.asked)
        return;
      this.status.textContent = "";
      fill(this.results, failure(error, () => void this.read(params)));
    }
    this.results.removeAttribute("aria-busy");
  }

  private draw(params: Record<string, string>, page: number, total: number): void {
    fill(this.tools, button("CSV", () => void this.export(params, "csv"),
      { class: "btn btn-small", "data-export": "" }, "down"),
      button("JSON", () => void this.export(params, "json"),
        { class: "btn btn-small", "data-export": "" }, "down"),
      button("Copy link", () => void copied(location.href, "Link"),
        { class: "btn btn-small" }, "link"));
    if (total === 0) {
      fill(this.results, empty("search", "Nothing found",
        h("p", null, params.q ? `No stored event holds “${wire(params.q)}” with these filters.`
          : "No stored event passes these filters."),
        h("ul", { class: "tips" },
          h("li", null, "Words are parts of names, addresses, instances and reasons; "
            + "capitals do not matter."),
          h("li", null, "Widen the time: ", h("a", { href: address("search",
            { ...params, range: "all", from: "", to: "", page: "" }) }, "all time"), "."),
          h("li", null, "Old events are dropped when the store is full "
            + "(LOG_RETENTION)."))));
      return;
    }
    const pages = Math.ceil(total / PAGE_ROWS);
    const name = { title: "Name", cell: (row: Entry) => h("a", { class: "mono cut",
      title: titleOf(row), href: address("search", { ...params, e: String(row.id) }) },
      titleOf(row)) };
    const narrow = phone.matches;
    fill(this.results, table<Entry>("Events found", [
      ...(narrow ? [name] : []),
      { title: narrow ? "" : "Verdict", cell: row => verdictBadge(row.verdict) },
      { title: "Time", cell: row => h("time", { class: "mono", datetime: row.raw.time,
        title: stamp(row.time) }, narrow ? when(row.time) : stamp(row.time)) },
      ...(narrow ? [] : [name]),
      { title: "Via", cell: row => wire(row.component), wide: true },
      { title: "To", cell: row => h("span", { class: "mono" }, wire(row.dst)), wide: true },
      { title: "From", cell: row => wire(row.process || row.src), wide: true },
      { title: "Reason", cell: row => wire(row.reason), wide: true },
      { title: "Instance", cell: row => wire(row.instance), wide: true },
    ], this.rows, [-1, false], () => {}, row => this.open(row)),
    pages > 1 && h("nav", { class: "pager", "aria-label": "Pages of results" },
      button("Newer", () => this.change({ page: String(page) }), { disabled: page === 0 }),
      h("span", { class: "muted" }, `Page ${page + 1} of ${pages}`),
      button("Older", () => this.change({ page: String(page + 2) }),
        { disabled: page + 1 >= pages })));
    /* Another may have been opened while this was read. */
    const { e } = current().params, row = this.rows.find(one => one.id === Number(e));
    if (row)
      this.story.show(row);
    else if (e)
      goInstead("stream", { e });
  }

  private open(row: Entry): void {
    (storyCovers.matches && !this.story.id ? pushParams : replaceParams)({ e: String(row.id) });
    this.story.show(row);
  }

  private closed(): void {
    const at = this.rows.findIndex(row => row.id === Number(current().params.e));
    replaceParams({ e: undefined });
    this.results.querySelectorAll<HTMLElement>("tbody tr")[at]?.focus({ preventScroll: true });
  }

  /* Piece by piece, by id: what comes in meanwhile moves nothing. */
  private async exported(params: Record<string, string>):
      Promise<{ rows: LogEntry[]; total: number }> {
    const rows: LogEntry[] = [];
    let total = 0;
    do {
      const answer = await this.fetchRows(params, { limit: EXPORT_STEP,
        before_id: rows.at(-1)?.id });
      total = total || answer.total;
      if (answer.rows.length === 0)
        break;
      rows.push(...answer.rows);
    } while (rows.length < total && rows.length < EXPORT_MAX);
    return { rows, total };
  }

  private async export(params: Record<string, string>, kind: "csv" | "json"): Promise<void> {
    const buttons = [...this.tools.querySelectorAll<HTMLButtonElement>("[data-export]")];
    buttons.forEach(node => node.disabled = true);
    try {
      const { rows, total } = await this.exported(params);
      if (kind === "json")
        download("ringfence-events.json", "application/json", JSON.stringify(rows, null, 1));
      else
        download("ringfence-events.csv", "text/csv", csv(rows.map(entryOf)));
      toast(rows.length < total ? `Exported the newest ${whole(rows.length)} of ${whole(total)} `
        + "events: a shorter time has the others" : `${plural(rows.length, "event")} exported`);
    } catch (error) {
      toast(`Not exported: ${(error as Error).message}`, "bad");
    }
    buttons.forEach(node => node.disabled = false);
  }
}

export function searchPage(main: HTMLElement, scope: Scope): void {
  new SearchPage(main, scope);
}

