/* main.ts - start: who is there, which page, and the keys that work everywhere. */
import { api, ApiError, setKey, whenUnauthorized } from "./api";
import { fill, h } from "./dom";
import { live, onState, start, stop } from "./live";
import { current, go, goInstead } from "./route";
import { Shell, showHelp, shownPages, switchTheme } from "./shell";
import { readInstances, shared } from "./state";
import { failure, Scope } from "./ui";
import { aggregatesPage } from "./views/aggregates";
import { apiKeysPage } from "./views/apikeys";
import { auditPage } from "./views/audit";
import { fleetPage } from "./views/fleet";
import { loginPage } from "./views/login";
import { policyPage } from "./views/policy";
import { searchPage } from "./views/search";
import { streamPage } from "./views/stream";

type Page = (main: HTMLElement, scope: Scope) => void;

const VIEWS: Record<string, Page> = {
  stream: streamPage, search: searchPage, aggregates: aggregatesPage, policy: policyPage,
  fleet: fleetPage, keys: apiKeysPage, audit: auditPage,
};

const app = document.getElementById("app")!;
let shell: Shell | null = null, scope: Scope | null = null, shown = "";

function show(): void {
  if (!shell)
    return;
  const { page } = current();
  /* Filters of the page that is shown are its own business. */
  if (page === shown && scope) {
    window.dispatchEvent(new CustomEvent("params"));
    return;
  }
  scope?.end();
  scope = new Scope();
  shown = page;
  shell.mark(page);
  fill(shell.main);
  shell.main.scrollTop = 0;
  const view = VIEWS[page];
  if (view) {
    view(shell.main, scope);
  } else {
    fill(shell.main, failure(new ApiError(404, `there is no page “${page}”`)));
    goInstead("stream");
  }
}

function signIn(why: "first" | "over"): void {
  if (!shell && app.querySelector(".login"))
    return;
  stop();
  scope?.end();
  scope = null;
  shell = null;
  shown = "";
  document.querySelectorAll("dialog").forEach(box => box.remove());
  fill(app, loginPage(why, () => void boot(false)));
  app.querySelector<HTMLInputElement>("input")?.focus();
}

function away(error: unknown): void {
  fill(app, h("div", { class: "alone" },
    h("img", { src: "/logo.svg", alt: "ringfence", width: "40", height: "40" }),
    failure(error, () => void boot(true))));
  setTimeout(() => {
    if (!shell && app.querySelector(".alone"))
      void boot(true);
  }, 3000);
}

async function boot(first: boolean): Promise<void> {
  if (!app.firstChild)
    fill(app, h("p", { class: "alone muted", role: "status" }, "Connecting…"));
  try {
    const me = await api.me();
    shared.user = me.kind === "anyone" ? "" : me.username ?? "";
    shared.config = await api.config();
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      setKey("");
      signIn(first ? "first" : "over");
    } else {
      away(error);
    }
    return;
  }
  shell = new Shell();
  fill(app, shell.root);
  live.state = "connecting";
  start(Math.max(10000, shared.config.buffer_size ?? 0));
  void readInstances().catch(() => {});
  show();
}

function typing(target: EventTarget | null): boolean {
  const node = target as HTMLElement | null;
  return !!node?.closest?.("input, textarea, select, [contenteditable]");
}

function onKey(event: KeyboardEvent): void {
  if (!shell || event.ctrlKey || event.metaKey || event.altKey)
    return;
  if (event.key === "Escape" && typing(event.target)) {
    (event.target as HTMLElement).blur();
    return;
  }
  if (typing(event.target) || document.querySelector("dialog[open]"))
    return;
  const page = shownPages().find(entry => entry.key === event.key);
  if (event.key === "?") {
    showHelp();
  } else if (event.key === "t") {
    switchTheme();
  } else if (event.key === "/") {
    document.querySelector<HTMLInputElement>("main input[type=search]")?.focus();
  } else if (page && !event.shiftKey) {
    go(page.page);
  } else {
    /* The page that is shown may know it. */
    window.dispatchEvent(new CustomEvent("pagekey", { detail: event }));
    return;
  }
  event.preventDefault();
}

document.body.append(h("div", { id: "toasts", class: "toasts", "aria-live": "polite" }));
whenUnauthorized(() => signIn("over"));
onState(() => {
  if (live.state === "denied")
    signIn("over");
});
addEventListener("hashchange", show);
addEventListener("keydown", onKey);
void boot(true);
