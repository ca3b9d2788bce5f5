/* stream.ts - the live stream: what tries to leave, as it happens. */
import { api, ApiError } from "../api";
import { button, fill, h, icon, iconButton, wire } from "../dom";
import { entryOf, matches, titleOf, VERDICT_ICON, VERDICT_WORD } from "../entry";
import type { Entry, StreamFilter, Verdict } from "../entry";
import { plural, when, whole } from "../format";
import { VirtualList } from "../list";
import { live, onAdded, onChanged, onNote, onState } from "../live";
import { current, pushParams, replaceParams } from "../route";
import { COMPONENTS, instanceNames } from "../state";
import { confirmBox, copied, phone, Scope, storyCovers, toast } from "../ui";
import { emptyStream } from "./empty";
import { Overview } from "./overview";
import { StoryPane } from "./story";

const COLUMNS = ["Verdict", "Time", "Name", "Via", "To", "From", "Instance", "Flow", "Version"];

function makeRow(): HTMLElement {
  const row = h("div", { class: "row", role: "row" });
  for (const name of COLUMNS)
    row.append(h("span", { class: `c c-${name.toLowerCase()}`, role: "gridcell" }));
  row.children[0].append(icon("blocked"), h("span", null));
  row.children[2].append(h("span", { class: "name" }), h("span", { class: "why" }));
  return row;
}

/* Nine text nodes are written; nothing is made. */
function drawRow(row: HTMLElement, entry: Entry): void {
  const cells = row.children as HTMLCollectionOf<HTMLElement>;
  row.className = `row v-${entry.verdict}`;
  if (row.dataset.icon !== entry.verdict) {
    cells[0].replaceChild(icon(VERDICT_ICON[entry.verdict]), cells[0].firstChild!);
    row.dataset.icon = entry.verdict;
  }
  cells[0].lastChild!.textContent = VERDICT_WORD[entry.verdict];
  cells[1].textContent = when(entry.time);
  const name = cells[2].firstChild as HTMLElement;
  name.textContent = titleOf(entry);
  name.title = name.textContent;
  cells[2].lastChild!.textContent = entry.verdict === "ALLOWED" ? "" : wire(entry.reason);
  cells[3].textContent = wire(entry.component);
  cells[4].textContent = wire(entry.dst);
  cells[5].textContent = wire(entry.process ? `${entry.process} · ${entry.src}` : entry.src);
  cells[6].textContent = wire(entry.instance);
  cells[7].textContent = wire(entry.flow);
  cells[8].textContent = wire(entry.version);
}

class StreamPage {
  private filter: StreamFilter = { verdict: "", component: "", instance: "", words: [] };
  private shown: Entry[] = [];
  private paused = false;
  private meanwhile = 0;
  private pushed = false;                         /* the story has its own place in the history */
  private counting = false;
  private readonly list: VirtualList<Entry>;
  private readonly story: StoryPane;
  private readonly overview: Overview;
  private readonly bar = h("div", { class: "filterbar", role: "search",
    "aria-label": "Filter the stream" });
  private readonly pauseBox = h("div", { class: "pausebox" });
  private readonly pill = h("div", { class: "pill-box", role: "status" });
  private readonly counts = new Map<string, HTMLElement>();
  private readonly total = h("span", { class: "muted shown-count" });
  private readonly blank = h("div", { class: "blank" });
  private readonly instanceField = h("select", { "aria-label": "Instance",
    onchange: () => this.change({ instance: this.instanceField.value }) });
  private readonly componentField = h("select", { "aria-label": "Component",
    onchange: () => this.change({ component: this.componentField.value }) });
  private readonly search = h("input", { type: "search", class: "input", maxlength: "200",
    placeholder: "Name, address, process…", "aria-label": "Filter by words",
    spellcheck: "false", autocapitalize: "none",
    oninput: () => this.change({ q: this.search.value }) });

  constructor(main: HTMLElement, private readonly scope: Scope) {
    this.list = new VirtualList<Entry>({ label: "Live stream of connections", columns: COLUMNS,
      rowHeight: () => phone.matches ? 58 : 30, make: makeRow, draw: drawRow,
      open: entry => this.openStory(entry), key: entry => entry.id });
    this.story = new StoryPane(() => this.closed());
    this.overview = new Overview(scope);
    this.drawBar();
    fill(main, h("div", { class: "page stream-page" },
      h("h1", { class: "sr-only" }, "Stream"),
      this.overview.root, this.bar,
      h("div", { class: "stream-list" }, this.pill, this.list.root, this.blank),
      this.story.root));
    this.follow();
    this.fromAddress();
  }

  private follow(): void {
    this.scope.add(onAdded((added, trimmed) => this.onAdded(added, trimmed)));
    this.scope.add(onChanged(entry => this.story.update(entry)));
    this.scope.add(onState(() => {
      this.drawBlank();
      this.countSoon();
    }));
    this.scope.add(onNote(type => {
      if (type === "cleared")
        this.refilter();
    }));
    this.scope.listen(window, "params", () => {
      this.pushed = false;
      this.fromAddress();
    });
    this.scope.listen(window, "pagekey", event => this.onKey(event.detail));
    this.scope.every(3000, () => this.drawInstances());
    this.scope.add(() => {
      this.story.close(false);
      this.list.end();
    });
    this.list.root.querySelector(".vlist")!.addEventListener("scroll", () => this.drawPill());
  }

  private drawBar(): void {
    const segment = (value: string, label: string, verdict?: Verdict) => {
      const count = h("span", { class: "seg-count" });
      this.counts.set(value, count);
      return h("button", { type: "button", class: `seg v-${verdict ?? "ANY"}`,
        "data-verdict": value, "aria-pressed": "false",
        onclick: () => this.change({ verdict: value }) },
        verdict && icon(VERDICT_ICON[verdict]), h("span", null, label), count);
    };
    fill(this.componentField, h("option", { value: "" }, "Any component"),
      COMPONENTS.map(name => h("option", { value: name }, name)));
    fill(this.bar,
      h("div", { class: "segs", role: "group", "aria-label": "Verdict" },
        segment("", "All"), segment("BLOCKED", "Blocked", "BLOCKED"),
        segment("AUDIT", "Audit", "AUDIT"), segment("ALLOWED", "Allowed", "ALLOWED")),
      this.search, this.componentField, this.instanceField,
      h("div", { class: "bar-end" }, this.total, this.pauseBox,
        iconButton("link", "Copy a link to this view", () =>
          void copied(location.href, "Link")),
        iconButton("trash", "Clear all stored events", () => void this.clear())));
    this.drawPause();
    this.drawInstances();
  }

  private drawPause(): void {
    const label = this.paused
      ? (this.meanwhile ? `Resume (${whole(this.meanwhile)} new)` : "Resume") : "Pause";
    let node = this.pauseBox.firstElementChild as HTMLButtonElement | null;
    if (!node || node.dataset.paused !== String(this.paused)) {
      const focused = node === document.activeElement;
      node = button(label, () => this.setPaused(!this.paused), {
        class: this.paused ? "btn btn-primary pause" : "btn pause",
        "data-paused": String(this.paused), title: "Space" },
        this.paused ? "play" : "pause");
      fill(this.pauseBox, node);
      if (focused)
        node.focus();
    }
    node.querySelector(".btn-label")!.textContent = label;
  }

  private drawInstances(): void {
    const names = instanceNames(), chosen = this.filter.instance;
    if (chosen && !names.includes(chosen))
      names.push(chosen);
    const key = names.join("\n");
    if (this.instanceField.dataset.names !== key) {
      this.instanceField.dataset.names = key;
      fill(this.instanceField, h("option", { value: "" }, "Any instance"),
        names.map(name => h("option", { value: name }, wire(name))));
    }
    this.instanceField.value = chosen;
  }

  /* How many of those that the other filters leave. */
  private drawCounts(): void {
    const sums: Record<string, number> = { BLOCKED: 0, AUDIT: 0, ALLOWED: 0 };
    const open = { ...this.filter, verdict: "" };
    const rows = this.paused || !open.words.length ? live.entries : live.entries.slice(-5000);
    for (const entry of rows) {
      if (matches(entry, open))
        sums[entry.verdict]++;
    }
    this.counts.forEach((node, value) => {
      const text = value ? whole(sums[value]) : "";
      if (node.textContent !== text)
        node.textContent = text;
    });
    const all = plural(live.entries.length, "event");
    const text = this.shown.length === live.entries.length ? all
      : `${whole(this.shown.length)} of ${all}`;
    const skipped = live.lost ? `, ${whole(live.lost)} skipped` : "";
    if (this.total.textContent !== text + skipped) {
      this.total.textContent = text + skipped;
      this.total.title = live.lost ? "They came faster than this page could take them, or while it "
        + "was away for long: Search has them all" : "";
    }
  }

  /* Five times a second at most: it looks at every row. */
  private countSoon(): void {
    if (this.counting)
      return;
    this.counting = true;
    setTimeout(() => {
      this.counting = false;
      if (this.scope.open)
        this.drawCounts();
    }, 200);
  }

  private change(params: Record<string, string>): void {
    replaceParams(params);
    this.fromAddress();
  }

  private fromAddress(): void {
    const { params } = current();
    this.filter = { verdict: (params.verdict ?? "").toUpperCase(),
      component: params.component ?? "", instance: params.instance ?? "",
      words: (params.q ?? "").toLowerCase().split(/\s+/).filter(Boolean) };
    if (document.activeElement !== this.search)
      this.search.value = params.q ?? "";
    this.componentField.value = this.filter.component;
    if (this.filter.component && !this.componentField.value) {
      this.componentField.append(h("option", { value: this.filter.component },
        wire(this.filter.component)));
      this.componentField.value = this.filter.component;
    }
    for (const node of this.bar.querySelectorAll<HTMLElement>(".seg"))
      node.setAttribute("aria-pressed", String(node.dataset.verdict === this.filter.verdict));
    this.drawInstances();
    this.refilter();
    this.overview.setFilter({ component: this.filter.component,
      hostname: this.filter.instance });
    const id = Number(params.e);
    if (id && this.story.id !== id)
      void this.openById(id);
    else if (!id && this.story.id)
      this.story.close(false);
  }

  private refilter(): void {
    /* Another filter while paused looks at everything again: what came meanwhile is seen. */
    this.shown = live.entries.filter(entry => matches(entry, this.filter));
    this.list.setItems(this.shown);
    this.meanwhile = 0;
    this.drawPause();
    this.drawCounts();
    this.drawBlank();
    this.drawPill();
  }

  private onAdded(added: Entry[], trimmed: number): void {
    const fresh = added.filter(entry => matches(entry, this.filter));
    if (this.paused) {
      this.meanwhile += fresh.length;
      this.drawPause();
      this.countSoon();
      return;
    }
    for (const entry of fresh)
      this.shown.push(entry);
    if (trimmed) {
      const oldest = live.entries[0]?.id ?? 0;
      let gone = 0;
      while (gone < this.shown.length && this.shown[gone].id < oldest)
        gone++;
      this.shown.splice(0, gone);
    }
    if (live.entries.length === 0)
      this.shown.length = 0;
    this.list.grown(fresh.length);
    this.countSoon();
    this.drawPill();
    this.drawBlank();
    this.overview.arrived(added.length);
  }

  private setPaused(paused: boolean): void {
    this.paused = paused;
    this.list.root.classList.toggle("is-paused", paused);
    if (!paused) {
      this.meanwhile = 0;
      this.refilter();
      this.list.toTop();
    }
    this.drawPause();
  }

  /* Scrolled down while new rows come in above. */
  private drawPill(): void {
    const away = !this.list.atTop && this.shown.length > 0;
    if (away === !!this.pill.firstChild)
      return;
    fill(this.pill, away && button("Newest", () => this.list.toTop(), { class: "btn pill" },
      "stream"));
  }

  private drawBlank(): void {
    const none = this.shown.length === 0;
    this.blank.hidden = !none;
    this.list.root.classList.toggle("is-empty", none);
    const kind = !none ? "" : live.entries.length ? "filter" : live.loaded ? "none" : live.state;
    const drawn = kind === "away" ? `away ${live.problem?.message ?? ""}` : kind;
    if (this.blank.dataset.kind === drawn)
      return;
    this.blank.dataset.kind = drawn;
    /* Charts of nothing teach nothing. */
    this.overview.root.hidden = kind === "none";
    fill(this.blank, none && emptyStream(kind, () => this.change({ verdict: "", component: "",
      instance: "", q: "" })));
  }

  /* Over the whole screen it is a page of its own to whoever presses the back button. */
  private openStory(entry: Entry): void {
    const push = storyCovers.matches && !current().params.e;
    this.pushed ||= push;
    (push ? pushParams : replaceParams)({ e: String(entry.id) });
    this.list.select(entry.id);
    this.story.show(entry);
  }

  private async openById(id: number): Promise<void> {
    const known = live.entries.find(entry => entry.id === id);
    if (known) {
      this.openStory(known);
      return;
    }
    try {
      this.openStory(entryOf(await api.log(id)));
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) {
        toast(`Event ${id} could not be read: ${(error as Error).message}`, "bad");
        return;
      }
      toast(`Event ${id} is no longer stored`, "bad");
      replaceParams({ e: undefined });
    }
  }

  private closed(): void {
    if (this.pushed)
      history.back();
    else
      replaceParams({ e: undefined });
    this.pushed = false;
    this.list.focus();
  }

  private async clear(): Promise<void> {
    if (!await confirmBox("Clear all stored events?",
      "All events of all instances are deleted from the dashboard, for everybody. "
      + "Policies and filters are not touched. This cannot be undone.", "Clear everything"))
      return;
    try {
      await api.clear();
      toast("All events cleared");
    } catch (error) {
      toast(`Not cleared: ${(error as Error).message}`, "bad");
    }
  }

  private onKey(event: KeyboardEvent): void {
    const verdicts: Record<string, string> = { b: "BLOCKED", w: "AUDIT", g: "ALLOWED", x: "" };
    const steps: Record<string, number> = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };
    const onButton = !!(event.target as Element).closest?.("button, a, summary, canvas");
    if (event.key === " " && !onButton) {
      this.setPaused(!this.paused);
    } else if (event.key in verdicts) {
      this.change({ verdict: verdicts[event.key] });
    } else if (event.key in steps) {
      const entry = this.list.step(steps[event.key]);
      this.list.focus();
      if (entry && this.story.id)
        this.openStory(entry);
    } else if (event.key === "Enter" && !onButton) {
      const entry = this.list.selectedItem();
      if (entry)
        this.openStory(entry);
    } else if (event.key === "Home") {
      this.list.toTop();
    } else if (event.key === "Escape" && this.story.id) {
      this.story.close(true);
    } else if (!this.story.onKey(event)) {
      return;
    }
    event.preventDefault();
  }
}

export function streamPage(main: HTMLElement, scope: Scope): void {
  new StreamPage(main, scope);
}
