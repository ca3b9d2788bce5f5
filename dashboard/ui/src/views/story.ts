/* story.ts - the whole story of one connection: what happened, why, who asked, what else belongs
 * to it, every field that was stored, and beside it what can be done. */
import { api } from "../api";
import { button, fill, h, icon, iconButton, wire } from "../dom";
import type { Child } from "../dom";
import { entryOf, field, isAddress, num, titleOf, VERDICT_ICON, VERDICT_WORD } from "../entry";
import type { Entry } from "../entry";
import { ago, bytes, clock, duration, stamp } from "../format";
import { live } from "../live";
import { reasonOf } from "../reasons";
import { address } from "../route";
import { copied, verdictBadge } from "../ui";
import { FixesPane } from "./fixes";

/* Fields that the page says in words already come last in the table of all of them. */
const FIRST = ["reason", "note", "rule", "detail", "to_allow", "https", "host", "qname", "qtype",
  "rcode", "answers", "destination_ip", "destination_port", "dialled", "upstream", "source_ip",
  "source_port", "process_name", "pid", "executable", "cmdline", "bytes_up", "bytes_down",
  "duration_ms", "end_reason", "protocol", "flow_id", "conn", "hostname", "version"];

function allFields(entry: Entry): [string, string][] {
  const found = new Map<string, string>();
  const { fields, ...top } = entry.raw as unknown as Record<string, unknown> & { fields?: object };
  for (const [name, value] of Object.entries({ ...top, ...(fields ?? {}) })) {
    if (value !== null && value !== undefined && value !== "")
      found.set(name, typeof value === "object" ? JSON.stringify(value) : String(value));
  }
  const rank = (name: string) => FIRST.indexOf(name) < 0 ? FIRST.length : FIRST.indexOf(name);
  return [...found].sort((a, b) => rank(a[0]) - rank(b[0]) || (a[0] < b[0] ? -1 : 1));
}

const NEAR_MS = 180000;

/* "blocked", said as a sentence with its subject. */
function headline(entry: Entry): string {
  const who = entry.process || entry.src.replace(/:\d+$/, "") || "Somebody";
  const verb = { BLOCKED: "was stopped on its way there", ALLOWED: "got through",
    AUDIT: "would have been stopped on its way there" }[entry.verdict];
  const what = entry.component === "dns" ? { BLOCKED: "asked, and was not told the address",
    ALLOWED: "asked, and was told the address",
    AUDIT: "asked, and would not have been told the address" }[entry.verdict] : verb;
  return `${wire(who)} ${what}`;
}

interface Step {
  title: string;
  text: Child[];
  kind?: string;
}

function mono(text: string): HTMLElement {
  return h("span", { class: "mono" }, wire(text));
}

function who(entry: Entry): Step {
  const get = (name: string) => field(entry.raw, name);
  return { title: "Who", text: [
    get("process_name") && h("div", null, h("b", null, wire(get("process_name"))),
      get("pid") && ` · pid ${wire(get("pid"))}`,
      get("executable") && [" · ", mono(get("executable"))]),
    get("cmdline") && h("div", { class: "cmdline" }, mono(get("cmdline"))),
    h("div", null, mono(entry.src || "address not known"),
      entry.instance && h("span", null, " behind ", h("b", null, wire(entry.instance)))),
  ] };
}

function asked(entry: Entry): Step {
  const get = (name: string) => field(entry.raw, name);
  const by: Record<string, string> = { https: "by TLS server name", http: "by HTTP Host",
    dns: `by DNS question${get("qtype") ? `, type ${wire(get("qtype"))}` : ""}`,
    nflog: "by address alone", forward: "to a forwarded port" };
  return { title: "Wanted", text: [
    h("div", null, h("b", { class: "mono" }, wire(entry.name || "no name")), " ",
      by[entry.component] ?? wire(entry.component)),
    entry.dst && h("div", null, "at ", mono(entry.dst), " ",
      h("span", { class: "muted" }, wire(entry.raw.protocol ?? ""))),
  ] };
}

function decided(entry: Entry): Step {
  const rule = field(entry.raw, "rule"), detail = field(entry.raw, "detail");
  const reason = reasonOf(entry.reason, entry.verdict, entry.name !== "");
  return { title: "Decided", kind: `v-${entry.verdict}`, text: [
    h("div", null, verdictBadge(entry.verdict), " ",
      rule ? h("span", null, "by the entry ", h("a", { class: "mono",
        href: address("policy", { instance: entry.instance, q: rule }) }, wire(rule)))
        : null),
    h("div", null, reason.text),
    entry.reason && reason.text !== entry.reason
      && h("div", { class: "muted small" }, "reason ", mono(entry.reason)),
    detail && h("div", null, "Detail: ", wire(detail)),
    reason.hint && h("div", { class: "hint" }, reason.hint),
  ] };
}

function happened(entry: Entry): Step | null {
  const get = (name: string) => field(entry.raw, name);
  const up = num(entry.raw, "bytes_up"), down = num(entry.raw, "bytes_down");
  const took = num(entry.raw, "duration_ms");
  const parts: Child[] = [
    get("dialled") && h("div", null, "Dialled ", mono(get("dialled")),
      get("dialled") !== entry.dst && entry.dst
        ? h("span", { class: "muted" }, " (not the address the client chose: "
          + "the name leads elsewhere)") : null),
    get("rcode") && h("div", null, "Answered ", mono(get("rcode"))),
    get("answers") && h("div", null, "Addresses ", mono(get("answers"))),
    get("upstream") && h("div", null, "Asked ", mono(get("upstream"))),
    (up !== undefined || down !== undefined) && h("div", null,
      `Sent ${bytes(up ?? 0)}, received ${bytes(down ?? 0)}`),
    took !== undefined && h("div", null, `Took ${duration(took)}`),
    get("end_reason") && get("end_reason") !== "done" && h("div", null, "Ended by ",
      mono(get("end_reason"))),
    get("err") && h("div", null, wire(get("err"))),
  ].filter(Boolean);
  return parts.length ? { title: "Then", text: parts } : null;
}

function stepsOf(entry: Entry): HTMLElement[] {
  return [who(entry), asked(entry), decided(entry), happened(entry)]
    .filter((step): step is Step => step !== null)
    .map(step => h("li", { class: step.kind ?? "" }, h("h3", null, step.title),
      h("div", { class: "path-text" }, step.text)));
}

export class StoryPane {
  readonly root = h("aside", { class: "story", hidden: true, tabindex: "-1",
    "aria-label": "Story of the connection" });
  id = 0;
  private readonly steps = h("ol", { class: "path", "aria-label": "What happened" });
  private fixes: FixesPane | null = null;

  constructor(private readonly onclose: () => void) {}

  show(entry: Entry): void {
    if (this.id === entry.id)
      return;
    this.fixes?.end();
    this.fixes = null;
    this.id = entry.id;
    this.root.hidden = false;
    this.root.scrollTop = 0;
    this.draw(entry);
    this.root.focus({ preventScroll: true });
    void this.readMore(entry);
  }

  /* More is known of it than when it was opened. */
  update(entry: Entry): void {
    if (this.id !== entry.id)
      return;
    fill(this.steps, stepsOf(entry));
    this.drawFields(entry);
  }

  close(tell: boolean): void {
    if (!this.id)
      return;
    this.id = 0;
    this.fixes?.end();
    this.fixes = null;
    this.root.hidden = true;
    fill(this.root);
    if (tell)
      this.onclose();
  }

  onKey(event: KeyboardEvent): boolean {
    return this.id !== 0 && !!this.fixes?.onKey(event.key);
  }

  /* The stream's entry may be short of what the store has. */
  private async readMore(entry: Entry): Promise<void> {
    const related = this.related(entry, []);
    this.drawRelated(entry, related);
    const [whole, others] = await Promise.all([
      api.log(entry.id).then(entryOf).catch(() => entry),
      this.readNear(entry),
    ]);
    if (this.id !== entry.id)
      return;
    this.update(whole);
    this.drawRelated(entry, this.related(entry, others));
  }

  /* What the same client did in the minutes around it. */
  private async readNear(entry: Entry): Promise<Entry[]> {
    const at = (ms: number) => new Date(entry.time + ms).toISOString();
    try {
      const rows = await api.logs({ q: entry.raw.source_ip, hostname: entry.instance,
        from: at(-NEAR_MS), to: at(NEAR_MS), limit: 1000 });
      return rows.map(entryOf);
    } catch {
      return [];              /* The stream's own rows have to do. */
    }
  }

  /* The same flow, and the same client's questions for the name. */
  private related(entry: Entry, stored: Entry[]): Entry[] {
    const found = new Map<number, Entry>();
    for (const other of [...stored, ...live.entries.slice(-5000)]) {
      const near = Math.abs(other.time - entry.time) < 60000;
      const sameName = entry.name !== "" && other.name === entry.name && near
        && other.instance === entry.instance && other.component !== entry.component;
      if (other.id !== entry.id && ((entry.flow && other.flow === entry.flow) || sameName))
        found.set(other.id, other);
    }
    return [...found.values()].sort((a, b) => a.id - b.id).slice(0, 30);
  }

  private draw(entry: Entry): void {
    fill(this.steps, stepsOf(entry));
    const canFix = entry.verdict !== "ALLOWED";
    this.fixes = canFix ? new FixesPane(entry) : null;
    const toAllow = field(entry.raw, "to_allow");
    fill(this.root,
      h("div", { class: `story-head v-${entry.verdict}` },
        icon(VERDICT_ICON[entry.verdict]),
        h("div", { class: "story-title" },
          h("h2", { title: titleOf(entry) }, `${VERDICT_WORD[entry.verdict]}: `,
            titleOf(entry)),
          h("p", null, headline(entry))),
        iconButton("close", "Close (Esc)", () => this.close(true))),
      h("div", { class: "story-when" },
        h("time", { datetime: entry.raw.time }, stamp(entry.time)),
        h("span", { class: "muted" }, ` · ${ago(entry.time)} · event ${entry.id}`)),
      h("div", { class: "story-body" },
        this.steps,
        this.fixes?.root ?? null,
        h("section", { class: "related", "aria-label": "Related events" }),
        h("section", { class: "all-fields", "aria-label": "All fields" }),
        h("div", { class: "story-actions" },
          button("Copy link", () => void copied(
            `${location.origin}/${address("stream", { e: String(entry.id) })}`, "Link"),
            { class: "btn btn-small" }, "link"),
          button("Copy JSON", () => void copied(
            JSON.stringify(entry.raw, null, 2), "Event"), { class: "btn btn-small" },
            "copy"),
          toAllow && button("Copy policy line", () => void copied(toAllow, "Policy line"),
            { class: "btn btn-small" }, "policy")),
        this.elsewhere(entry)));
    this.drawFields(entry);
  }

  private drawFields(entry: Entry): void {
    const box = this.root.querySelector(".all-fields");
    if (!box)
      return;
    fill(box, h("h3", null, "Everything that was stored"),
      h("dl", { class: "fields" }, allFields(entry).map(([name, value]) => h("div", null,
        h("dt", null, wire(name)), h("dd", { class: "mono" }, wire(value))))));
  }

  private drawRelated(entry: Entry, others: Entry[]): void {
    const box = this.root.querySelector(".related");
    if (!box)
      return;
    fill(box, h("h3", null, "Belongs to it"), others.length === 0
      ? h("p", { class: "muted small" }, entry.flow
        ? "No other event of this flow, and no question for this name near it."
        : "The event carries no flow id.")
      : h("ol", { class: "related-list" }, others.map(other => h("li", null,
        h("a", { href: address("stream", { e: String(other.id) }) },
          h("span", { class: `v-${other.verdict} related-icon` },
            icon(VERDICT_ICON[other.verdict], VERDICT_WORD[other.verdict])),
          h("span", { class: "mono" }, clock(other.time)), " ",
          wire(other.raw.msg), " ",
          h("span", { class: "muted" }, wire(other.reason || other.dst)))))));
  }

  /* Other people's pages about the name; opened without telling them where one came from. */
  private elsewhere(entry: Entry): HTMLElement {
    const subject = entry.name || entry.raw.destination_ip || "";
    const plain = /^[A-Za-z0-9.:_-]+$/.test(subject);
    const links: [string, string][] = !subject || !plain ? [] : isAddress(subject)
      ? [["Who owns it", `https://bgp.tools/prefix/${encodeURIComponent(subject)}`],
        ["Reputation", `https://www.abuseipdb.com/check/${encodeURIComponent(subject)}`]]
      : [["Registration", `https://lookup.icann.org/en/lookup?name=${encodeURIComponent(subject)}`],
        ["Reputation", `https://www.virustotal.com/gui/domain/${encodeURIComponent(subject)}`]];
    return h("nav", { class: "elsewhere", "aria-label": "Look it up" },
      h("a", { href: address("search", { q: entry.name || entry.dst, range: "7d" }) },
        icon("search"), "All events of this ", entry.name ? "name" : "address"),
      links.map(([text, href]) => h("a", { href, target: "_blank",
        rel: "noopener noreferrer" }, icon("out"), text)));
  }
}
