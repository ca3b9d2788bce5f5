/* apikeys.ts - keys for agents and programs: made here, shown once, taken back one by one. */
import { api, hasKey } from "../api";
import { button, fill, h, select, wire } from "../dom";
import { shared } from "../state";
import { confirmBox, empty, failure, Scope, snippet, table, timeTag, toast } from "../ui";
import type { ApiKey } from "../types";

const SCOPES: [string, string][] = [["agent", "an agent: sends events, fetches unblocks"],
  ["read", "a program that looks"], ["admin", "a program that changes things"]];

class ApiKeysPage {
  private keys: ApiKey[] = [];
  private scope = "agent";
  private sort: [number, boolean] = [-1, false];
  private readonly fresh = h("div", { role: "status" });
  private readonly list = h("div", { class: "results" });
  private readonly label = h("input", { class: "input", maxlength: "64", required: true,
    id: "key-label", placeholder: "Which agent is it for? web-1", autocomplete: "off" });

  constructor(main: HTMLElement, scope: Scope) {
    /* Whoever comes by would have one that is good for longer than the mode. */
    if (shared.config.auth_mode === "none" && !hasKey()) {
      fill(main, h("div", { class: "page narrow" },
        h("div", { class: "page-head" }, h("h1", null, "API keys")),
        empty("keys", "Nobody signs in here, so nobody gets keys here",
          h("p", null, "With AUTH_MODE=none whoever reaches this page may look and unblock, but a "
            + "key would stay good after the mode is changed. Make one where you have API_KEY:"),
          snippet(`curl ${location.origin}/api/v1/apikeys -H "X-Api-Key: $API_KEY" \\\n`
            + "  --json '{\"label\":\"web-1\",\"scope\":\"agent\"}'", "Command"))));
      return;
    }
    fill(main, h("div", { class: "page narrow" },
      h("div", { class: "page-head" }, h("h1", null, "API keys")),
      h("p", { class: "lead" }, "Agents and programs come with a key. Give each its own: then a "
        + "leaked one is taken back without touching the others."),
      h("form", { class: "inline-form", onsubmit: (event: Event) => {
        event.preventDefault();
        void this.make();
      } }, h("label", { for: "key-label", class: "sr-only" }, "Label"), this.label,
      select("For", SCOPES, this.scope, value => {
        this.scope = value;
      }),
      h("button", { type: "submit", class: "btn btn-primary" }, "Make a key")),
      this.fresh, this.list));
    scope.every(30000, () => void this.read());
    void this.read();
  }

  private async make(): Promise<void> {
    try {
      const answer = await api.addKey(this.label.value.trim(), this.scope);
      fill(this.fresh, h("div", { class: "card fresh" },
        h("h2", null, "Copy it now: it is shown this once"),
        h("p", { class: "muted" }, "Only a hash of it is kept here."),
        snippet(answer.key, "Key"),
        this.scope === "agent" && snippet(`DASHBOARD_HOST=${location.origin}\n`
          + `DASHBOARD_API_KEY=${answer.key}`, "Agent's environment"),
        button("I have it", () => fill(this.fresh), { class: "btn btn-small" })));
      this.label.value = "";
      await this.read();
    } catch (error) {
      fill(this.fresh, failure(error));
    }
  }

  private async read(): Promise<void> {
    try {
      const answer = await api.keys();
      this.keys = Array.isArray(answer) ? answer : [];
      this.draw();
    } catch (error) {
      fill(this.list, failure(error, () => void this.read()));
    }
  }

  private draw(): void {
    if (this.keys.length === 0) {
      fill(this.list, empty("keys", "No keys yet",
        h("p", null, "Without one no agent can send anything here, except by the API_KEY of "
          + "the environment.")));
      return;
    }
    fill(this.list, table<ApiKey>("API keys", [
      { title: "Label", cell: row => h("b", null, wire(row.label || "(no label)")),
        sort: row => row.label ?? "" },
      { title: "May", cell: row => this.words(row.scope), wide: true },
      { title: "Made", cell: row => timeTag(row.created_at, "–"),
        sort: row => row.created_at ?? "" },
      { title: "", cell: row => button("Take back", () => void this.revoke(row),
        { class: "btn btn-small", "data-subject": String(row.id) }, "trash") },
    ], this.keys, this.sort, sort => {
      this.sort = sort;
      this.draw();
    }));
  }

  private words(scope = ""): string {
    return SCOPES.find(([name]) => name === scope)?.[1] ?? wire(scope);
  }

  private async revoke(row: ApiKey): Promise<void> {
    if (!await confirmBox(`Take back “${wire(row.label || "(no label)")}”?`,
      "From now on whoever sends with it is refused. Its agent keeps filtering, and queues "
      + "its events until it has another key.", "Take it back"))
      return;
    try {
      await api.removeKey(row.id);
      toast("Taken back");
      await this.read();
    } catch (error) {
      toast(`Not taken back: ${(error as Error).message}`, "bad");
    }
  }
}

export function apiKeysPage(main: HTMLElement, scope: Scope): void {
  new ApiKeysPage(main, scope);
}
