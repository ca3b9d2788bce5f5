/* audit.ts - who changed what, newest first. */
import { api } from "../api";
import { fill, h, wire } from "../dom";
import { stamp } from "../format";
import { onNote } from "../live";
import { empty, failure, Scope, table } from "../ui";
import type { AuditRow } from "../types";

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
  let rows: AuditRow[] = [];
  fill(main, h("div", { class: "page" },
    h("div", { class: "page-head" }, h("h1", null, "Audit"), words),
    h("p", { class: "lead" }, "Every change made through this dashboard, and every sign-in. "
      + "It cannot be deleted from here."), list));
  const draw = () => {
    const wanted = words.value.toLowerCase();
    const shown = rows.filter(row => JSON.stringify(row).toLowerCase().includes(wanted));
    fill(list, shown.length === 0 ? empty("audits", rows.length ? "No line has these words"
      : "Nothing has been changed yet")
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
      ], shown, [-1, false], () => {}));
  };
  const read = async () => {
    try {
      const answer = await api.audit();
      rows = Array.isArray(answer) ? answer
        : (answer as unknown as { rows?: AuditRow[] })?.rows ?? [];
      draw();
    } catch (error) {
      fill(list, failure(error, () => void read()));
    }
  };
  scope.every(15000, () => void read());
  scope.add(onNote(type => {
    if (type === "unblock_status")
      void read();
  }));
  void read();
}
