/* ui.ts - small things that several pages are made of. */
import { ApiError } from "./api";
import { button, copyText, h, icon, wire } from "./dom";
import type { Child, IconName } from "./dom";
import { ago, stamp } from "./format";
import { VERDICT_ICON, VERDICT_WORD } from "./entry";
import type { Verdict } from "./entry";

/* One that follows the session: what it began ends when the page is left. */
export class Scope {
  private readonly ends: (() => void)[] = [];
  open = true;

  add(end: () => void): void {
    this.ends.push(end);
  }

  every(ms: number, work: () => void): void {
    const timer = setInterval(() => {
      if (!document.hidden)
        work();
    }, ms);
    this.add(() => clearInterval(timer));
  }

  listen(target: EventTarget, type: string, listener: (event: any) => void): void {
    target.addEventListener(type, listener);
    this.add(() => target.removeEventListener(type, listener));
  }

  end(): void {
    this.open = false;
    this.ends.splice(0).forEach(end => end());
  }
}

/* As in the style sheet. */
export const phone = matchMedia("(max-width: 760px)");
/* A story covers the page that it was opened from. */
export const storyCovers = matchMedia("(max-width: 1000px)");

export function verdictBadge(verdict: Verdict): HTMLElement {
  return h("span", { class: `verdict v-${verdict}` }, icon(VERDICT_ICON[verdict]),
    h("span", null, VERDICT_WORD[verdict]));
}

/* live: "polite" is read when there is time for it, "assertive" at once. */
export function toast(text: string, kind: "ok" | "bad" = "ok",
    action?: [string, () => void]): void {
  const place = document.getElementById("toasts");
  if (!place)
    return;
  const note = h("div", { class: `toast toast-${kind}`, role: kind === "bad" ? "alert" : "status" },
    icon(kind === "bad" ? "warn" : "allowed"), h("span", null, text),
    action && button(action[0], () => {
      note.remove();
      action[1]();
    }, { class: "btn btn-quiet" }));
  place.append(note);
  while (place.childElementCount > 4)
    place.firstElementChild!.remove();
  setTimeout(() => note.remove(), kind === "bad" || action ? 9000 : 4000);
}

export async function copied(text: string, what: string): Promise<void> {
  if (await copyText(text))
    toast(`${what} copied`);
  else
    toast("The browser did not allow copying: select the text by hand", "bad");
}

export function snippet(text: string, what = "Snippet"): HTMLElement {
  return h("div", { class: "snippet" }, h("pre", { tabindex: "0", "aria-label": what },
    h("code", null, text)),
    button("Copy", () => void copied(text, what), { class: "btn btn-small" }, "copy"));
}

export function empty(symbol: IconName, title: string, ...children: Child[]): HTMLElement {
  return h("div", { class: "empty" }, h("div", { class: "empty-mark" }, icon(symbol)),
    h("h2", null, title), children);
}

/* What failed, and what to do about it. */
export function failure(error: unknown, again?: () => void): HTMLElement {
  const status = error instanceof ApiError ? error.status : -1;
  const text = error instanceof Error ? error.message : String(error);
  const hints: Record<number, string> = {
    0: "Is ringfence-dashboard running, and is it reachable from here? "
      + "This page tries again by itself.",
    401: "Sign in again; your place on this page is kept.",
    403: "The server refuses this from here. With a name of its own (not an address) the dashboard "
      + "needs ALLOWED_HOSTS=that.name.",
    404: "This server does not have that. It may be older than this page.",
    429: "There is a limit so that nobody can wear the server out.",
  };
  const hint = hints[status] ?? (status >= 500 ? "Its log says more: look for lines of level ERR."
    : "");
  return h("div", { class: "failure", role: "alert" }, icon("warn"),
    h("div", null, h("b", null, text[0].toUpperCase() + text.slice(1)),
      hint && h("p", null, hint)),
    again && button("Try again", again, { class: "btn btn-small" }));
}

export function timeTag(text: string | undefined, missing = "never"): Child {
  const ms = text ? Date.parse(text) : NaN;
  if (!isFinite(ms) || ms <= 0)
    return h("span", { class: "muted" }, missing);
  return h("time", { datetime: text!, title: stamp(ms) }, ago(ms));
}

/* A question before something that cannot be taken back.  Escape and the backdrop mean no. */
export function confirmBox(title: string, text: string, yes: string): Promise<boolean> {
  return new Promise(resolve => {
    const box = h("dialog", { class: "dialog", "aria-label": title },
      h("h2", null, title), h("p", null, text),
      h("div", { class: "dialog-row" },
        button("Cancel", () => box.close()),
        button(yes, () => box.close("yes"), { class: "btn btn-danger" })));
    box.addEventListener("close", () => {
      box.remove();
      resolve(box.returnValue === "yes");
    });
    box.addEventListener("click", event => {
      if (event.target === box)
        box.close();
    });
    document.body.append(box);
    box.showModal();
  });
}

export interface Column<T> {
  title: string;
  cell: (row: T) => Child;
  sort?: (row: T) => number | string;
  numeric?: boolean;
  wide?: boolean;         /* left out on a phone */
}

/* A plain table whose heads sort.  sort: [column, down], kept by the caller. */
export function table<T>(label: string, columns: Column<T>[], rows: T[], sort: [number, boolean],
    onsort: (sort: [number, boolean]) => void, onrow?: (row: T) => void): HTMLElement {
  const by = columns[sort[0]]?.sort;
  const sorted = by ? [...rows].sort((a, b) => {
    const x = by(a), y = by(b);
    return (x < y ? -1 : x > y ? 1 : 0) * (sort[1] ? -1 : 1);
  }) : rows;
  const classes = (column: Column<T>) =>
    `${column.numeric ? "num" : ""} ${column.wide ? "wide" : ""}`.trim() || null;
  const head = columns.map((column, index) => h("th", { scope: "col", class: classes(column),
    "aria-sort": sort[0] === index && column.sort
      ? (sort[1] ? "descending" : "ascending") : null },
    column.sort ? h("button", { type: "button", class: "th-btn",
      onclick: () => onsort([index, sort[0] === index ? !sort[1] : !!column.numeric]) },
      column.title, h("span", { class: "th-arrow", "aria-hidden": "true" },
        sort[0] === index ? (sort[1] ? " ↓" : " ↑") : "")) : column.title));
  return h("div", { class: "table-box", tabindex: "0", role: "region", "aria-label": label },
    h("table", { class: onrow ? "table clickable" : "table" },
      h("thead", null, h("tr", null, head)),
      h("tbody", null, sorted.map(row => h("tr", onrow
        ? { tabindex: "0", onclick: (event: MouseEvent) => {
          if (!(event.target as Element).closest("button, a"))
            onrow(row);
        }, onkeydown: (event: KeyboardEvent) => {
          if (event.key === "Enter" && event.target === event.currentTarget)
            onrow(row);
        } } : null,
        columns.map(column => h("td", { class: classes(column), "data-label": column.title },
          column.cell(row))))))));
}

/* What events are summed by; some have none. */
export function keyText(text: string): string {
  return wire(text) || "(neither name nor address)";
}

/* A name that may be long: cut by the style sheet in the page, whole on hover. */
export function nameCell(text: string): HTMLElement {
  const shown = wire(text);
  return h("span", { class: "mono cut", title: shown }, shown);
}
