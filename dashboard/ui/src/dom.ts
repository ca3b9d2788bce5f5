/* dom.ts - make elements.  What comes from the wire becomes a text node and nothing else: there is
 * no way from here to innerHTML, to a style attribute or to a javascript: address. */

export type Child = Node | string | number | null | undefined | false | Child[];
type Value = string | number | boolean | null | undefined | ((event: any) => void);
export type Attrs = Record<string, Value>;

function add(parent: Node, child: Child): void {
  if (child === null || child === undefined || child === false)
    return;
  if (Array.isArray(child))
    child.forEach(one => add(parent, one));
  else
    parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
}

/* Our own pages, and the web by https; anything else is no link. */
export function safeHref(address: string): string {
  return /^(#|\/(?!\/)|https:\/\/)/.test(address) ? address : "#";
}

function setAttr(node: Element, name: string, value: Value): void {
  if (value === null || value === undefined || value === false)
    return;
  if (typeof value === "function")
    node.addEventListener(name.slice(2), value);
  else if (name === "href")
    node.setAttribute("href", safeHref(String(value)));
  else if (name === "value")
    (node as HTMLInputElement).value = String(value);
  else
    node.setAttribute(name, value === true ? "" : String(value));
}

export function h<K extends keyof HTMLElementTagNameMap>(tag: K, attrs?: Attrs | null,
    ...children: Child[]): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  add(node, children);
  for (const name in attrs)
    setAttr(node, name, attrs[name]);
  return node;
}

const FOCUSABLE = "button, a, select, input, tr[tabindex]";

/* What it acts on, where its place alone would not tell: rows move. */
function subjectOf(node: Element): string | null {
  return node.getAttribute("data-subject") ?? node.getAttribute("href")
    ?? node.getAttribute("aria-label");
}

/* Other children.  Who had the keyboard's focus has it again, if it is still there: drawing anew
 * is our business, not the reader's. */
export function fill(node: Element, ...children: Child[]): void {
  const held = document.activeElement;
  const at = held && held !== node && node.contains(held)
    ? [...node.querySelectorAll(FOCUSABLE)].indexOf(held) : -1;
  node.replaceChildren();
  add(node, children);
  if (!held || at < 0)
    return;
  const like = (one?: Element) => one && one.tagName === held.tagName
    && subjectOf(one) === subjectOf(held);
  const all = [...node.querySelectorAll<HTMLElement>(FOCUSABLE)];
  const same = like(all[at]) ? all[at] : subjectOf(held) !== null ? all.find(like) : undefined;
  same?.focus({ preventScroll: true });
}

const SVG = "http://www.w3.org/2000/svg";
/* Strokes of a 16 by 16 drawing. */
const PATHS = {
  blocked: "M3 3h10v10H3z M5.5 5.5l5 5 M10.5 5.5l-5 5",
  allowed: "M8 1.8a6.2 6.2 0 1 0 0 12.4a6.2 6.2 0 1 0 0-12.4 M5 8.2l2.2 2.2L11 6.4",
  audit: "M8 1.8L14.5 13.5h-13z M8 6v3.4 M8 11.4v.2",
  stream: "M1.5 4h13 M1.5 8h9 M1.5 12h11",
  search: "M7 2.2a4.8 4.8 0 1 0 0 9.6a4.8 4.8 0 1 0 0-9.6 M10.6 10.6l3.6 3.6",
  aggregates: "M2 14V9 M6 14V3 M10 14V6 M14 14v-3",
  policy: "M3 1.8h7l3 3v9.4H3z M5.5 7h5 M5.5 10.2h5",
  fleet: "M2 2.5h12v4H2z M2 9.5h12v4H2z M4.4 4.5h.2 M4.4 11.5h.2",
  keys: "M5 7.2a3.3 3.3 0 1 0 .1 0 M7.4 8.6L14 2 M11 5l2 2",
  audits: "M8 1.8a6.2 6.2 0 1 0 .1 0 M8 4.5V8l2.6 1.8",
  pause: "M5 3v10 M11 3v10",
  play: "M4.5 2.5l8 5.5l-8 5.5z",
  close: "M3.5 3.5l9 9 M12.5 3.5l-9 9",
  menu: "M2 4h12 M2 8h12 M2 12h12",
  sun: "M8 5a3 3 0 1 0 .1 0 M8 1v1.4 M8 13.6V15 M1 8h1.4 M13.6 8H15 M3 3l1 1 M12 12l1 1 "
    + "M13 3l-1 1 M4 12l-1 1",
  moon: "M13 9.6A5.6 5.6 0 1 1 6.4 3a4.6 4.6 0 0 0 6.6 6.6z",
  system: "M2 3h12v8H2z M6 14h4",
  help: "M5.6 6a2.4 2.4 0 1 1 3.4 2.2c-.7.3-1 .8-1 1.6 M8 12.4v.2",
  copy: "M5 5h8v9H5z M3 11V2h7",
  link: "M6.6 9.4l2.8-2.8 M7 4.6l1.6-1.6a3 3 0 0 1 4.3 4.3L11.4 9 "
    + "M9 11.4L7.4 13a3 3 0 0 1-4.3-4.3L4.6 7",
  undo: "M5.5 3L2.5 6l3 3 M2.8 6H10a3.6 3.6 0 0 1 0 7.2H6",
  down: "M8 2.5v11 M3.5 9L8 13.5L12.5 9",
  out: "M6 3H3v10h3 M7 8h7 M11 5l3 3l-3 3",
  warn: "M8 1.8L14.5 13.5h-13z M8 6v3.4 M8 11.4v.2",
  trash: "M3 4.5h10 M6 4.5V2.5h4v2 M4.3 4.5l.6 9h6.2l.6-9",
  chevron: "M6 3.5L10.5 8L6 12.5",
};
export type IconName = keyof typeof PATHS;

export function icon(name: IconName, title?: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("focusable", "false");
  if (title) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", title);
  } else {
    svg.setAttribute("aria-hidden", "true");
  }
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.appendChild(path);
  return svg;
}

/* A name that a workload chose may hold what changes how its neighbours read: controls, right-to-
 * left marks, characters without width.  They are shown by number. */
const UNSEEN = new RegExp("[\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u200b-\\u200f\\u2028-"
  + "\\u202f\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb]", "g");

export function wire(text: unknown): string {
  return String(text ?? "").replace(UNSEEN,
    char => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

export function button(label: string, onclick: (event: MouseEvent) => void, attrs: Attrs = {},
    symbol?: IconName): HTMLButtonElement {
  return h("button", { type: "button", class: "btn", onclick, ...attrs },
    symbol && icon(symbol), h("span", { class: "btn-label" }, label));
}

/* A button that is only a drawing: the label is read, and shown on hover. */
export function iconButton(symbol: IconName, label: string, onclick: (event: MouseEvent) => void,
    attrs: Attrs = {}): HTMLButtonElement {
  return h("button", { type: "button", class: "icon-btn", title: label, "aria-label": label,
    onclick, ...attrs }, icon(symbol));
}

export function select(label: string, options: [string, string][], value: string,
    onchange: (value: string) => void, attrs: Attrs = {}): HTMLLabelElement {
  const field = h("select", { onchange: () => onchange(field.value), ...attrs },
    options.map(([key, text]) => h("option", { value: key }, text)));
  if (value && !options.some(([key]) => key === value))
    field.append(h("option", { value }, wire(value)));
  field.value = value;
  return h("label", { class: "field" }, h("span", { class: "field-label" }, label), field);
}

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    /* Plain http off loopback has no clipboard: the old way. */
    const area = h("textarea", { class: "sr-only", value: text });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
