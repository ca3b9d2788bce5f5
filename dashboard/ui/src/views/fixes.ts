/* fixes.ts - the three ways to let it through, what else each would let through, and what became
 * of a request: pending, applied, failed, undone. */
import { api, sumsOf, SUMS_MAX } from "../api";
import { button, fill, h, icon, select, wire } from "../dom";
import type { Child } from "../dom";
import { isAddress } from "../entry";
import type { Entry } from "../entry";
import { plural } from "../format";
import { onNote } from "../live";
import { reasonOf } from "../reasons";
import { readInstances, shared } from "../state";
import { covers, widthOf, wildcardsOf } from "../suffix";
import { Scope, toast } from "../ui";
import type { AggregateRow, Unblock } from "../types";
import { seesEnds, takerNotes } from "./takers";

type Kind = "once" | "name" | "wildcard";

export const DURATIONS: [string, string][] = [["900", "15 minutes"], ["3600", "1 hour"],
  ["28800", "8 hours"], ["86400", "1 day"], ["604800", "1 week"], ["", "For good"]];

export function stateOf(item: Unblock, pending: boolean): { word: string; kind: string } {
  if (pending)
    return item.remove ? { word: "Undo pending", kind: "pending" }
      : { word: "Pending", kind: "pending" };
  const words: Record<string, { word: string; kind: string }> = {
    failed: { word: "Failed", kind: "failed" },
    undone: { word: "Undone", kind: "undone" },
    cancelled: { word: "Taken back", kind: "undone" },
    expired: { word: "Expired", kind: "undone" },
  };
  return words[item.status ?? ""] ?? { word: item.remove ? "Closed again" : "Applied",
    kind: item.remove ? "undone" : "applied" };
}

export class FixesPane {
  readonly root = h("section", { class: "fixes", "aria-label": "Let it through" });
  private readonly scope = new Scope();
  private kind: Kind = "once";
  private readonly value: string;
  private readonly type: "domain" | "ip";
  private readonly wildcards: string[];
  private wildcard: string;
  private target: string;
  private seconds = "3600";
  private why = "";
  private readonly side = h("div", { class: "also", role: "status" });
  private readonly outcome = h("div", { class: "outcome", role: "status" });
  private readonly cards = new Map<Kind, HTMLElement>();
  private readonly form = h("div", { class: "fix-form" });
  private rows: AggregateRow[] | null = null;     /* stopped, or audited */
  private more = false;                           /* there are more than these */
  private asked = "";
  private told = "";
  private request: Unblock | null = null;

  constructor(private readonly entry: Entry) {
    const reason = reasonOf(entry.reason, entry.verdict, entry.name !== "");
    const byName = entry.name !== "" && !isAddress(entry.name) && reason.remedy !== "address";
    this.value = byName ? entry.name.toLowerCase().replace(/\.$/, "")
      : entry.raw.destination_ip ?? "";
    this.type = byName ? "domain" : "ip";
    this.wildcards = byName ? wildcardsOf(this.value) : [];
    this.wildcard = this.wildcards[0] ?? "";
    this.target = entry.instance;
    if (reason.remedy === "none" || !this.value) {
      fill(this.root, h("h3", null, "Let it through"), h("p", { class: "hint" },
        this.value || reason.remedy === "none"
          ? `No entry of the policy would have changed this. ${reason.hint ?? ""}`
          : "Neither a name nor an address was seen, so there is nothing to allow."));
      return;
    }
    this.draw();
    void this.readNames();
    void readInstances().then(() => {
      this.drawSide();
      if (this.request)
        void this.poll();
    }, () => {});
    this.scope.add(onNote(type => {
      if (type === "unblock_status")
        void this.poll();
    }));
    this.scope.every(3000, () => {
      if (this.request)
        void this.poll();
    });
    void this.findEarlier();
  }

  end(): void {
    this.scope.end();
  }

  onKey(key: string): boolean {
    const kinds: Record<string, Kind> = { "1": "once", "2": "name", "3": "wildcard" };
    const kind = kinds[key];
    if (!kind || !this.cards.get(kind) || this.cards.get(kind)!.hasAttribute("disabled"))
      return false;
    this.choose(kind);
    this.cards.get(kind)!.focus();
    return true;
  }

  /* As in any group of choices; the page below would take the arrows for its rows. */
  private onArrow(event: KeyboardEvent): void {
    const steps: Record<string, number> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1,
      ArrowUp: -1 };
    const step = steps[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey)
      return;
    event.preventDefault();
    event.stopPropagation();
    const kinds = [...this.cards.keys()].filter(kind =>
      !this.cards.get(kind)!.hasAttribute("disabled"));
    const next = kinds[(kinds.indexOf(this.kind) + step + kinds.length) % kinds.length];
    this.choose(next);
    this.cards.get(next)!.focus();
  }

  private draw(): void {
    const what = this.type === "domain" ? "name" : "address";
    const card = (kind: Kind, number: string, title: string, adds: string, text: string,
        off?: string) => {
      const node = h("button", { type: "button", class: "fix", role: "radio",
        "aria-checked": "false", disabled: !!off, "data-fix": kind,
        onclick: () => this.choose(kind) },
        h("span", { class: "fix-head" }, h("kbd", null, number), h("b", null, title)),
        h("span", { class: "mono fix-value", title: wire(adds) }, wire(adds)),
        h("span", { class: "small muted" }, off ?? text));
      this.cards.set(kind, node);
      return node;
    };
    fill(this.root, h("h3", null, "Let it through"),
      h("div", { class: "fix-cards", role: "radiogroup", "aria-label": "How much to allow",
        onkeydown: (event: KeyboardEvent) => this.onArrow(event) },
        card("once", "1", "Allow once", this.value,
          this.type === "domain" ? "Until the first connection to it ends, 10 minutes at most."
            : "For 10 minutes; then it is closed again."),
        card("name", "2", `Allow ${what}`, this.value,
          this.type === "domain" ? "This name and no other."
            : "Any port and protocol of this address; names are not looked at."),
        card("wildcard", "3", "Allow wildcard", this.wildcard || "–",
          "Every name below it, of any depth.", this.type === "ip"
            ? "No name was seen, so there is no wildcard."
            : this.wildcard ? undefined
            : "The only wildcard would be a public suffix: strangers' names.")),
      this.side, this.form, this.outcome);
    this.choose("once");
  }

  private choose(kind: Kind): void {
    this.kind = kind;
    this.cards.forEach((node, name) => {
      node.setAttribute("aria-checked", String(name === kind));
      node.tabIndex = name === kind ? 0 : -1;
    });
    this.drawForm();
    this.drawSide();
  }

  private drawForm(): void {
    const names = new Set(shared.instances.map(instance => instance.hostname));
    if (this.entry.instance)
      names.add(this.entry.instance);
    const reason = h("input", { class: "input", maxlength: "200", value: this.why,
      placeholder: "Why? It is kept in the audit log", "aria-label": "Reason",
      oninput: () => {
        this.why = reason.value;
      } });
    fill(this.form,
      this.kind === "wildcard" && this.wildcards.length > 1 && select("How wide",
        this.wildcards.map(name => [name, name]), this.wildcard, value => {
          this.wildcard = value;
          this.cards.get("wildcard")!.querySelector(".fix-value")!.textContent = value;
          this.drawSide();
        }),
      select("Where", [...[...names].sort().map((name): [string, string] => [name, wire(name)]),
        ["", "Every instance"]], this.target, value => {
        this.target = value;
        this.drawSide();
      }),
      this.kind !== "once" && select("For", DURATIONS, this.seconds, value => {
        this.seconds = value;
        this.drawSide();
      }),
      reason,
      button(this.label(), () => void this.send(), { class: "btn btn-primary fix-send",
        "data-action": "send" }));
  }

  private label(): string {
    return { once: "Allow once", name: this.type === "domain" ? "Allow name" : "Allow address",
      wildcard: "Allow wildcard" }[this.kind];
  }

  /* Names of the same family that were seen lately; read once, for all widths. */
  private async readNames(): Promise<void> {
    if (this.type === "ip") {
      this.rows = [];
      this.drawSide();
      return;
    }
    const widest = this.wildcards[this.wildcards.length - 1];
    this.asked = widest ? widest.slice(2) : this.value;
    try {
      const found = await sumsOf(["BLOCKED", "AUDIT"], { range: "7d", dimension: "domain",
        q: this.asked, limit: SUMS_MAX });
      this.rows = found.rows;
      this.more = found.more;
    } catch {
      this.rows = null;
      this.asked = "failed";
    }
    this.drawSide();
  }

  private drawSide(): void {
    const notes: Child[] = [];
    if (this.kind === "wildcard")
      notes.push(this.wildcardNotes());
    else if (this.kind === "name" && this.type === "domain")
      notes.push(h("p", null, icon("allowed"), "Also lets through: nothing but this name",
        this.blockedLately(this.value), "."));
    else if (this.type === "ip")
      notes.push(h("p", { class: "warn" }, icon("warn"), "Also lets through: whatever else "
        + "lives at this address, under any name, on any port"
        + (this.kind === "once" ? ", for 10 minutes" : "")
        + ". Shared hosts and CDNs hold thousands of sites."));
    else
      notes.push(h("p", null, icon("allowed"), seesEnds(this.target, this.entry.component)
        ? "Also lets through: further connections to this name, until the first one has ended "
          + "or 10 minutes are over. Then the policy is as before."
        : "Also lets through: every connection to this name for 10 minutes, for where DNS "
          + "questions are judged no connection is seen to end. Then the policy is as before."));
    takerNotes(this.target, this.kind !== "once" && !this.seconds).forEach(text =>
      notes.push(h("p", { class: "warn", "data-taker": "" }, icon("warn"), wire(text))));
    if (!this.target)
      notes.push(h("p", { class: "warn" }, icon("warn"),
        "On every instance, also those that never asked for it."));
    fill(this.side, notes);
  }

  private blockedLately(name: string): string {
    const row = this.rows?.find(one => one.key.toLowerCase() === name);
    return row && row.blocked + row.audit > 1
      ? `, which was blocked ${plural(row.blocked + row.audit, "time")} in the last 7 days` : "";
  }

  private wildcardNotes(): Child {
    const width = widthOf(this.wildcard.slice(2));
    const warning = width === "shared" && h("p", { class: "warn" }, icon("warn"),
      `Anybody can have a name under ${wire(this.wildcard.slice(2))}: this would let data out `
      + "to strangers. Allow the name alone.");
    if (!this.rows) {
      return [warning, h("p", { class: "muted" }, this.asked === "failed"
        ? "What else it would let through could not be read."
        : "Looking up what else it would let through…")];
    }
    const others = this.rows.filter(row => covers(this.wildcard, row.key)
      && row.key.toLowerCase() !== this.value);
    const blocked = others.filter(row => row.blocked + row.audit > 0)
      .sort((a, b) => b.blocked + b.audit - a.blocked - a.audit);
    const apex = this.rows.some(row => row.key.toLowerCase() === this.wildcard.slice(2)
      && row.blocked > 0);
    const some = this.more ? "at least " : "";
    return [warning, blocked.length === 0 && this.more
      ? h("p", { class: "warn" }, icon("warn"), "More names were blocked in the last 7 days than "
        + "can be looked at: others under it may be among them. Search tells.")
      : blocked.length === 0
      ? h("p", null, icon("allowed"), "No other name under it was blocked in the last 7 days. "
        + "It still allows all that will ever be made.")
      : h("div", null, h("p", { class: "warn" }, icon("warn"), "Also lets through "
        + `${some}${plural(blocked.length, "other name")} that `
        + `${blocked.length === 1 ? "was" : "were"} blocked in the last 7 days:`),
        h("ul", { class: "also-list" }, blocked.slice(0, 6).map(row => h("li", null,
          h("span", { class: "mono" }, wire(row.key)),
          h("span", { class: "muted" }, `${row.blocked + row.audit}×`))),
        blocked.length > 6 && h("li", { class: "muted" },
          `and ${plural(blocked.length - 6, "more", "more")}`))),
      apex && h("p", { class: "muted small" }, `${wire(this.wildcard.slice(2))} itself was `
        + "blocked too and is not covered: a wildcard covers only what is below it.")];
  }

  private async send(): Promise<void> {
    const send = this.form.querySelector<HTMLButtonElement>("[data-action=send]")!;
    send.disabled = true;
    const value = this.kind === "wildcard" ? this.wildcard : this.value;
    const body: Record<string, unknown> = { type: this.type, value,
      target_hostname: this.target };
    if (this.kind === "once")
      body.once = true;
    else if (this.seconds)
      body.expires_in = Number(this.seconds);
    if (this.why.trim())
      body.reason = this.why.trim();
    try {
      const answer = await api.unblock(body);
      this.request = { ...answer, type: this.type, value, target_hostname: this.target };
      this.drawOutcome({ word: "Pending", kind: "pending" });
      await this.poll();
    } catch (error) {
      this.told = "";
      fill(this.outcome, h("div", { class: "state state-failed" }, icon("blocked"),
        h("div", null, h("b", null, "Refused. "), wire((error as Error).message))));
    }
    send.disabled = false;
  }

  /* Somebody else may have asked for the same already. */
  private async findEarlier(): Promise<void> {
    try {
      const { pending, completed } = await api.unblocks();
      const mine = (item: Unblock) => item.value === this.value && item.type === this.type
        && (!item.target_hostname || item.target_hostname === this.entry.instance);
      const found = (pending ?? []).find(mine)
        ?? (completed ?? []).find(item => mine(item) && Date.parse(item.completed_at ?? "")
          >= this.entry.time);
      if (found && !this.request && this.scope.open) {
        this.request = found;
        await this.poll();
      }
    } catch {
      /* It is only a convenience. */
    }
  }

  private async poll(): Promise<void> {
    const id = this.request?.id;
    if (!id || !this.scope.open)
      return;
    try {
      const { pending, completed } = await api.unblocks();
      if (this.request?.id !== id)
        return;
      const waits = (pending ?? []).find(item => item.id === id);
      const done = (completed ?? []).find(item => item.id === id);
      const undoing = (pending ?? []).find(item => item.undoes === id);
      if (undoing) {
        this.request = { ...this.request, remove: true };
        this.drawOutcome({ word: "Undo pending", kind: "pending" });
        return;
      }
      if (waits ?? done) {
        this.request = { ...this.request, remove: false, ...(waits ?? done)! };
        this.drawOutcome(stateOf(this.request, !!waits));
      }
    } catch {
      /* Asked again in three seconds. */
    }
  }

  private pendingText(request: Unblock): string {
    const plain = !request.once && !request.expires_at && !request.remove;
    const notes = takerNotes(request.target_hostname ?? "", plain);
    if (notes.length === 0)
      notes.push(`${request.target_hostname || "The agents"} should fetch it within seconds.`);
    if (request.once && !request.remove)
      notes.push("Not fetched within 10 minutes, it is over.");
    return notes.join(" ");
  }

  private drawOutcome(state: { word: string; kind: string }): void {
    const request = this.request!;
    const texts: Record<string, string> = {
      pending: this.pendingText(request),
      applied: "The new policy is in force. Try the connection again.",
      failed: request.error || "The agent could not change its policy.",
      undone: "The policy is as it was.",
    };
    const told = JSON.stringify([state, request.id, request.value, texts[state.kind]]);
    if (told === this.told)
      return;                 /* or it would be read out again at every look */
    this.told = told;
    const held = this.outcome.contains(document.activeElement);
    const symbols = { pending: "audits", applied: "allowed", failed: "blocked",
      undone: "undo" } as const;
    fill(this.outcome, h("div", { class: `state state-${state.kind}`,
      "data-state": state.kind },
      icon(symbols[state.kind as keyof typeof symbols]),
      h("div", null, h("b", null, `${state.word}: `),
        h("span", { class: "mono" }, wire(request.value)), " ",
        h("span", null, wire(texts[state.kind]))),
      (state.kind === "pending" || state.kind === "applied") && !request.remove
        && button(state.kind === "pending" ? "Take back" : "Undo",
          () => void this.undo(), { class: "btn btn-small", "data-action": "undo",
            "data-subject": request.id },
          "undo")));
    /* The button is gone: not to the top of the page. */
    if (held && !this.outcome.contains(document.activeElement))
      this.root.closest<HTMLElement>(".story")?.focus({ preventScroll: true });
  }

  private async undo(): Promise<void> {
    try {
      await api.undo(this.request!.id);
      toast("Taken back: whoever has it in force closes it again");
      await this.poll();
    } catch (error) {
      toast(`Not undone: ${(error as Error).message}`, "bad");
    }
  }
}
