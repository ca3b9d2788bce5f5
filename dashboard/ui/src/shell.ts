/* shell.ts - what surrounds every page: navigation, how the live stream is, theme, help. */
import { api, hasKey, setKey } from "./api";
import { fill, h, icon, iconButton } from "./dom";
import type { IconName } from "./dom";
import { compact } from "./format";
import { live, onState, rateNow, reset, start } from "./live";
import { address } from "./route";
import { keep, kept, shared } from "./state";
import { toast } from "./ui";

export const PAGES: { page: string; title: string; symbol: IconName; key: string }[] = [
  { page: "stream", title: "Stream", symbol: "stream", key: "s" },
  { page: "search", title: "Search", symbol: "search", key: "e" },
  { page: "aggregates", title: "Aggregates", symbol: "aggregates", key: "a" },
  { page: "policy", title: "Policy", symbol: "policy", key: "p" },
  { page: "fleet", title: "Fleet", symbol: "fleet", key: "f" },
  { page: "keys", title: "API keys", symbol: "keys", key: "i" },
  { page: "audit", title: "Audit", symbol: "audits", key: "u" },
];

/* Without a fleet there is nobody to ask for policies. */
export function shownPages(): typeof PAGES {
  return PAGES.filter(({ page }) => shared.config.fleet_enabled !== false
    || (page !== "fleet" && page !== "policy"));
}

const THEMES = ["system", "light", "dark"] as const;

function applyTheme(theme: string): void {
  if (theme === "system")
    delete document.documentElement.dataset.theme;
  else
    document.documentElement.dataset.theme = theme;
  keep("theme", theme);
}

function themeButton(): HTMLElement {
  const symbols: Record<string, IconName> = { system: "system", light: "sun", dark: "moon" };
  const place = h("span", null);
  const draw = () => {
    const theme = kept("theme", "system");
    const next = THEMES[(THEMES.indexOf(theme as typeof THEMES[number]) + 1) % 3];
    fill(place, iconButton(symbols[theme] ?? "system",
      `Theme: ${theme}. Switch to ${next}`, () => {
        applyTheme(next);
        draw();
        place.querySelector("button")!.focus();
      }, { class: "icon-btn theme-switch" }));
  };
  draw();
  return place;
}

const STATE_WORDS = { connecting: "Connecting", live: "Live", away: "Server away",
  denied: "Signed out", off: "Off" } as const;

/* The lamp: word and shape, not colour alone. */
function lamp(): HTMLElement {
  const text = h("span", { class: "lamp-text" }), rate = h("span", { class: "lamp-rate" });
  /* Read out when the state changes, not with every second and every event. */
  const said = h("span", { class: "sr-only", role: "status" });
  const place = h("div", { class: "lamp" },
    h("span", { class: "lamp-dot", "aria-hidden": "true" }), text, rate, said);
  const draw = () => {
    place.dataset.state = live.state;
    const wait = Math.max(0, Math.ceil((live.retryAt - Date.now()) / 1000));
    const state = live.state === "away" && live.problem ? "Refused" : STATE_WORDS[live.state];
    const words = live.state === "away" && wait > 1 ? `${state}, retry in ${wait} s` : state;
    if (text.textContent !== words)
      text.textContent = words;
    if (said.textContent !== state)
      said.textContent = state;
    const now = live.state === "live" ? `${compact(rateNow())}/s` : "";
    if (rate.textContent !== now)
      rate.textContent = now;
  };
  onState(draw);
  setInterval(draw, 1000);
  draw();
  return place;
}

async function signOut(): Promise<void> {
  await api.logout().catch(() => {});
  setKey("");
  reset();
  location.reload();
}

export class Shell {
  readonly root: HTMLElement;
  readonly main: HTMLElement;
  private readonly nav: HTMLElement;
  private readonly banner: HTMLElement;
  private readonly links = new Map<string, HTMLElement>();

  constructor() {
    this.main = h("main", { id: "main", tabindex: "-1" });
    this.banner = h("div", { class: "banner", hidden: true });
    const pages = shownPages();
    this.nav = h("nav", { class: "nav", id: "nav", "aria-label": "Pages" }, pages.map(entry => {
      const link = h("a", { class: "nav-link", href: address(entry.page),
        onclick: () => this.openMenu(false) },
        icon(entry.symbol), h("span", null, entry.title));
      this.links.set(entry.page, link);
      return link;
    }));
    const menu = iconButton("menu", "Menu", () => this.openMenu(
      this.root.dataset.menu !== "open"), { class: "icon-btn menu-btn",
      "aria-expanded": "false", "aria-controls": "nav" });
    this.root = h("div", { class: "shell" },
      h("a", { class: "skip", href: "#/stream", onclick: (event: Event) => {
        event.preventDefault();
        this.main.focus();
      } }, "Skip to the content"),
      h("header", { class: "side" },
        h("div", { class: "side-top" }, menu,
          h("a", { class: "brand", href: "#/stream" },
            h("img", { src: "/logo.svg", alt: "", width: "26", height: "26" }),
            h("span", null, "ringfence")), lamp()),
        this.nav,
        h("div", { class: "side-end" },
          shared.user && h("div", { class: "who", title: "Signed in" }, shared.user),
          h("div", { class: "side-tools" }, themeButton(),
            iconButton("help", "Keyboard and help (?)", () => showHelp()),
            (shared.user || hasKey()) && shared.config.auth_mode !== "forward"
              && shared.config.auth_mode !== "none"
              && iconButton("out", "Sign out", () => void signOut())),
          h("div", { class: "version" }, shared.config.version
            ? `ringfence ${shared.config.version}` : ""))),
      h("div", { class: "body" }, this.banner, this.main));
    onState(() => this.drawBanner());
    this.drawBanner();
  }

  private openMenu(open: boolean): void {
    this.root.dataset.menu = open ? "open" : "closed";
    this.root.querySelector(".menu-btn")!.setAttribute("aria-expanded", String(open));
  }

  mark(page: string): void {
    this.links.forEach((link, name) => {
      if (name === page)
        link.setAttribute("aria-current", "page");
      else
        link.removeAttribute("aria-current");
    });
    const title = PAGES.find(entry => entry.page === page)?.title ?? "";
    document.title = title ? `${title} · ringfence` : "ringfence";
  }

  private drawBanner(): void {
    const away = live.state === "away";
    this.banner.hidden = !away;
    const text = live.problem ? "The dashboard refuses the live stream: "
      + `${live.problem.message} (HTTP ${live.problem.status}). What you see is from before. This `
      + "page tries again by itself."
      : "The dashboard does not answer. What you see is from before; filters go on filtering, "
      + "and agents keep their events until it is back. This page resumes by itself, "
      + "without a gap.";
    if (away && this.banner.querySelector("span")?.textContent !== text) {
      fill(this.banner, icon("warn"), h("span", null, text),
        h("button", { type: "button", class: "btn btn-small", onclick: () => start() },
          "Try now"));
    } else if (!away) {
      fill(this.banner);
    }
  }
}

const KEYS: [string, string][] = [
  ["s e a p f i u", "Stream, sEarch, Aggregates, Policy, Fleet, apI keys, aUdit"],
  ["/", "Filter or search"],
  ["Space", "Pause or resume the stream"],
  ["j k  or  ↓ ↑", "Next and previous row"],
  ["Enter", "Open the row's story"],
  ["b w g x", "Only Blocked, only audit (Would be blocked), only allowed (Good), everything"],
  ["1 2 3", "In a story: allow once, allow name, allow wildcard"],
  ["Home", "Newest row"],
  ["t", "Switch the theme"],
  ["Esc", "Close"],
  ["?", "This help"],
];

export function showHelp(): void {
  if (document.querySelector("dialog[open]"))
    return;
  const box = h("dialog", { class: "dialog help", "aria-label": "Keyboard and help" },
    h("div", { class: "dialog-head" }, h("h2", null, "Keyboard"),
      iconButton("close", "Close", () => box.close())),
    h("dl", { class: "keys" }, KEYS.map(([keys, text]) => h("div", null,
      h("dt", null, keys.split(" ").map(key => key && (key === "or"
        ? h("span", { class: "muted" }, "or") : h("kbd", null, key)))), h("dd", null, text)))),
    h("p", { class: "muted" }, "Every filter is in the address: copy it, and somebody else sees "
      + "the same. The API behind this page is described at ",
      h("a", { href: "/api/v1/openapi.json" }, "/api/v1/openapi.json"), "."));
  box.addEventListener("close", () => box.remove());
  box.addEventListener("click", event => {
    if (event.target === box)
      box.close();
  });
  document.body.append(box);
  box.showModal();
}

export function switchTheme(): void {
  document.querySelector<HTMLButtonElement>(".theme-switch")?.click();
  toast(`Theme: ${kept("theme", "system")}`);
}
