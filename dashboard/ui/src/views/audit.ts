/* audit.ts - who changed what, newest first. */
import { api } from "../api";
import { button, fill, h, wire } from "../dom";
import { plural, stamp } from "../format";
import { onNote } from "../live";
import { empty, failure, Scope, table } from "../ui";
import type { AuditRow } from "../types";

const STEP = 200;

/* Most details are an object, told as text. */
function detailText(text: string): string {
  let detail: unknown;
  try {
    detail = JSON.parse(text);
  } catch {
    return text;
  }
  if (typeof detail !== "object" || detail === null)
    return text;
  return Object.entries(detail).filter(([, value]) => value !== null && value !== "")
    .map(([name, value]) => `${name}=${typeof value === "object"
      ? JSON.stringify(value) : String(value)}`).join(" ");
}

export function auditPage(main: HTMLElement, scope: Scope): void {
  const list = h("div", { class: "results" });
  const words = h("input", { type: "search", class: "input", maxlength: "200",
    placeholder: "Who, what, where", "aria-label": "Only lines with", oninput: () => draw() });
  let rows: AuditRow[] = [], more = false;
  const problem = h("div", null);
  fill(main, h("div", { class: "page" },
    h("div", { class: "page-head" }, h("h1", null, "Audit"), words),
    h("p", { class: "lead" }, "Every change made through this dashboard, and every sign-in. "
      + "It cannot be deleted from here."), problem, list));
  const draw = () => {
    const wanted = words.value.toLowerCase();
    const shown = rows.filter(row => JSON.stringify(row).toLowerCase().includes(wanted));
    const newest = `the newest ${plural(rows.length, "line")}`;
    fill(list, shown.length === 0 ? empty("audits", more ? `None of ${newest} has these words`
      : rows.length ? "No line has these words" : "Nothing has been changed yet")
      : table<AuditRow>("Audit log", [
        { title: "When", cell: row => h("time", { class: "mono", datetime: row.time },
          stamp(Date.parse(row.time))) },
        { title: "Who", cell: row => h("b", null, wire(row.who ?? "–")) },
        { title: "What", cell: row => h("span", { class: "mono" },
          wire(row.action ?? "")) },
        { title: "To what", cell: row => h("span", { class: "mono cut" },
          wire(row.object ?? "")) },
        { title: "Details", cell: row => h("span", { class: "small" },
          wire(detailText(row.detail ?? ""))), wide: true },
        { title: "From", cell: row => h("span", { class: "mono" }, wire(row.source ?? "")),
          wide: true },
      ], shown, [-1, false], () => {}),
    more && h("nav", { class: "pager", "aria-label": "Older lines" },
      h("span", { class: "muted" }, `Only ${newest} are here`),
      button("Older lines", () => void read(true), { "data-subject": "older" })));
  };
  const read = async (older = false) => {
    const end = rows.at(-1);
    try {
      /* One more than are shown tells whether there are more. */
      const answer = await api.audit({ limit: STEP + 1,
        before_id: older ? end?.id : undefined });
      if (older && rows.at(-1) !== end)
        return;                         /* drawn anew meanwhile: it belongs behind another line */
      const found = answer.slice(0, STEP), last = rows[0]?.id ?? 0;
      const fresh = found.filter(row => (row.id ?? 0) > last);
      /* Where none of the newest is known there may be others between. */
      if (older)
        rows = [...rows, ...found.filter(row => (row.id ?? 0) < (rows.at(-1)?.id ?? 0))];
      else
        rows = fresh.length < found.length ? [...fresh, ...rows] : found;
      if (older || rows.length <= found.length)
        more = answer.length > STEP;
      fill(problem);
      draw();
    } catch (error) {
      fill(problem, failure(error, () => void read(older)));
    }
  };
  scope.every(15000, () => void read());
  scope.add(onNote(type => {
    if (type === "unblock_status")
      void read();
  }));
  void read();
}
