/* list.ts - a list of any length with as many rows in the page as fit on the screen.
 * Row 0 is the newest.  At the top it follows; scrolled down, what is read stays where it is. */
import { h } from "./dom";

export interface ListOptions<T> {
  label: string;
  columns: string[];
  rowHeight: () => number;
  make: () => HTMLElement;                        /* an empty row, used again and again */
  draw: (row: HTMLElement, item: T) => void;
  open: (item: T) => void;
  key: (item: T) => number;
}

const SPARE = 6;        /* rows beyond each edge, so that a quick flick shows no gap */

export class VirtualList<T> {
  readonly root: HTMLElement;
  private readonly scroller: HTMLElement;
  private readonly space: HTMLElement;
  private readonly rows: HTMLElement[] = [];
  private items: T[] = [];                        /* oldest first */
  private drawn = new Map<HTMLElement, T>();
  private selected = -1;                          /* key of the item, -1: none */
  private scheduled = false;
  private height = 0;
  private readonly size = new ResizeObserver(() => this.resized());

  constructor(private readonly options: ListOptions<T>) {
    this.space = h("div", { class: "vlist-space", role: "presentation" });
    this.scroller = h("div", { class: "vlist", role: "grid", tabindex: "0",
      "aria-label": options.label, "aria-colcount": options.columns.length,
      onscroll: () => this.schedule(), onkeydown: (event: KeyboardEvent) =>
        this.onKey(event), onclick: (event: MouseEvent) => this.onClick(event) },
      this.space);
    const head = h("div", { class: "vlist-head row", "aria-hidden": "true" },
      options.columns.map(name => h("span", { class: `c c-${name.toLowerCase()}` }, name)));
    this.root = h("div", { class: "vlist-box" }, head, this.scroller);
    this.size.observe(this.scroller);
  }

  end(): void {
    this.size.disconnect();
  }

  get length(): number {
    return this.items.length;
  }

  get atTop(): boolean {
    return this.scroller.scrollTop < 2;
  }

  focus(): void {
    this.scroller.focus({ preventScroll: true });
  }

  toTop(): void {
    this.scroller.scrollTop = 0;
    this.schedule();
  }

  setItems(items: T[]): void {
    this.items = items;
    this.schedule();
  }

  /* Rows were pushed to the items' end, and so many taken off their beginning. */
  grown(added: number): void {
    if (!this.atTop && added > 0) {
      this.resize();
      this.scroller.scrollTop += added * this.options.rowHeight();
    }
    this.schedule();
  }

  select(key: number): void {
    this.selected = key;
    this.schedule();
  }

  /* The item so many rows below the selected one; the first when none is. */
  step(rows: number): T | undefined {
    const last = this.items.length - 1;
    if (last < 0)
      return undefined;
    const at = this.indexOf(this.selected);
    const next = Math.max(0, Math.min(last, (at < 0 ? -1 : at) + rows));
    const item = this.items[last - next];
    this.selected = this.options.key(item);
    this.reveal(next);
    this.schedule();
    return item;
  }

  selectedItem(): T | undefined {
    const at = this.indexOf(this.selected);
    return at < 0 ? undefined : this.items[this.items.length - 1 - at];
  }

  /* Keys grow with time: look it up by halves. */
  private indexOf(key: number): number {
    if (key < 0)
      return -1;
    let low = 0, high = this.items.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1, found = this.options.key(this.items[middle]);
      if (found === key)
        return this.items.length - 1 - middle;
      if (found < key)
        low = middle + 1;
      else
        high = middle - 1;
    }
    return -1;
  }

  private reveal(index: number): void {
    const top = index * this.options.rowHeight(), view = this.scroller.clientHeight;
    if (top < this.scroller.scrollTop)
      this.scroller.scrollTop = top;
    else if (top + this.options.rowHeight() > this.scroller.scrollTop + view)
      this.scroller.scrollTop = top + this.options.rowHeight() - view;
  }

  private onKey(event: KeyboardEvent): void {
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / this.options.rowHeight()) - 1);
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: page,
      PageUp: -page, Home: -this.items.length, End: this.items.length };
    if (event.key in steps) {
      this.step(steps[event.key]);
    } else if (event.key === "Enter") {
      const item = this.selectedItem();
      if (item)
        this.options.open(item);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  private onClick(event: MouseEvent): void {
    const row = (event.target as Element).closest<HTMLElement>(".row");
    const item = row && this.drawn.get(row);
    if (!item)
      return;
    this.selected = this.options.key(item);
    this.schedule();
    this.options.open(item);
  }

  private resized(): void {
    /* Row heights differ between a phone and a desk. */
    this.drawn.clear();
    this.schedule();
  }

  private schedule(): void {
    if (this.scheduled)
      return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.render();
    });
  }

  private resize(): void {
    const height = this.items.length * this.options.rowHeight();
    if (height === this.height)
      return;
    this.height = height;
    this.space.style.height = `${height}px`;
    this.scroller.setAttribute("aria-rowcount", String(this.items.length));
  }

  private render(): void {
    const size = this.options.rowHeight(), count = this.items.length;
    this.resize();
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / size) - SPARE);
    const fits = Math.ceil(this.scroller.clientHeight / size) + 2 * SPARE;
    const last = Math.min(count, first + fits);
    const before = new Set(this.rows.splice(0));
    /* A row that still shows its item only moves. */
    const free: HTMLElement[] = [], byItem = new Map<T, HTMLElement>();
    for (const row of before) {
      const item = this.drawn.get(row);
      if (item !== undefined)
        byItem.set(item, row);
    }
    const wanted: T[] = [];
    for (let index = first; index < last; index++)
      wanted.push(this.items[count - 1 - index]);
    const kept = new Set(wanted);
    for (const row of before) {
      const item = this.drawn.get(row);
      if (item === undefined || !kept.has(item))
        free.push(row);
    }
    wanted.forEach((item, offset) => this.place(item, first + offset, byItem, free));
    for (const row of free) {
      this.drawn.delete(row);
      row.remove();
    }
  }

  private place(item: T, index: number, byItem: Map<T, HTMLElement>, free: HTMLElement[]): void {
    let row = byItem.get(item);
    if (!row) {
      row = free.pop() ?? this.space.appendChild(this.options.make());
      this.options.draw(row, item);
      this.drawn.set(row, item);
    }
    const key = this.options.key(item), chosen = key === this.selected;
    row.style.transform = `translateY(${index * this.options.rowHeight()}px)`;
    row.id = `row-${key}`;
    row.setAttribute("aria-rowindex", String(index + 1));
    row.setAttribute("aria-selected", String(chosen));
    row.classList.toggle("odd", index % 2 === 1);
    if (chosen)
      this.scroller.setAttribute("aria-activedescendant", row.id);
    this.rows.push(row);
  }
}
