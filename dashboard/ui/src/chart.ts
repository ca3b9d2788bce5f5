/* chart.ts - bars on top of each other, or lines, over time; drawn on a canvas.
 * Colours come from the style sheet.  Colour is never alone: bars differ by hatching, lines by
 * dashes, and the tooltip says it in words. */
import { h } from "./dom";
import { clock, minute, stamp } from "./format";

export interface Series {
  word: string;
  color: string;                  /* a custom property of the style sheet: "--blocked" */
  pattern?: "hatch" | "dots" | "dash";
}

export interface Point {
  t: number;
  values: (number | null)[];      /* as many as there are series; null: nothing known */
}

export interface ChartOptions {
  label: string;
  kind: "bars" | "lines";
  series: Series[];
  format: (value: number) => string;
  height?: number;
  binary?: boolean;               /* axis in steps of 1024 */
  pick?: (from: number, to: number) => void;
}

const LEFT = 56, BOTTOM = 18, TOP = 8;
const dark = matchMedia("(prefers-color-scheme: dark)");

/* 1, 2, 4, 6, 8, 10, 20 ...: the smallest that the value fits under; half of it is even too. */
function roundUp(value: number, binary = false): number {
  if (binary) {
    const unit = 1024 ** Math.floor(Math.log(Math.max(value, 1)) / Math.log(1024));
    return [1, 2, 4, 10, 20, 40, 100, 200, 400, 1024].find(step => step * unit >= value)! * unit;
  }
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
  const step = [1, 2, 4, 6, 8, 10].find(factor => factor * power >= value) ?? 10;
  return step * power;
}

export class Chart {
  readonly root: HTMLElement;
  private readonly canvas: HTMLCanvasElement;
  private readonly tip: HTMLElement;
  private points: Point[] = [];
  private stepMs = 60000;
  private hover = -1;
  private readonly height: number;
  private readonly redraw = () => this.draw();
  private readonly size = new ResizeObserver(this.redraw);
  private readonly theme = new MutationObserver(this.redraw);

  constructor(private readonly options: ChartOptions) {
    this.height = options.height ?? 140;
    this.canvas = h("canvas", { class: "chart-canvas", role: "img", tabindex: "0",
      "aria-label": options.label,
      onpointermove: (event: PointerEvent) => this.point(event.offsetX),
      onpointerleave: () => this.setHover(-1),
      onblur: () => this.setHover(-1),
      onkeydown: (event: KeyboardEvent) => this.onKey(event),
      onclick: () => this.pick() });
    this.canvas.classList.toggle("pickable", !!options.pick);
    this.tip = h("div", { class: "chart-tip", hidden: true, role: "status" });
    this.root = h("div", { class: "chart" }, this.canvas, this.tip);
    this.size.observe(this.root);
    /* The theme is an attribute of the root element, or the system's. */
    this.theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    dark.addEventListener("change", this.redraw);
  }

  /* The root element and the system outlive the page, and would keep it. */
  end(): void {
    this.size.disconnect();
    this.theme.disconnect();
    dark.removeEventListener("change", this.redraw);
  }

  set(points: Point[], stepMs: number): void {
    this.points = points;
    this.stepMs = stepMs;
    this.canvas.setAttribute("aria-label", `${this.options.label}: ${this.summary()}`);
    this.draw();
    if (this.hover >= 0)
      this.setHover(Math.min(this.hover, points.length - 1));
  }

  private summary(): string {
    return this.options.series.map((series, index) => {
      const values = this.points.map(point => point.values[index]).filter(v => v !== null);
      if (this.options.kind === "lines")
        return `${series.word} at most ${this.options.format(Math.max(0, ...values))}`;
      const sum = values.reduce((total, value) => total + value, 0);
      return `${series.word} ${this.options.format(sum)}`;
    }).join(", ");
  }

  private pick(): void {
    const point = this.points[this.hover];
    if (point && this.options.pick)
      this.options.pick(point.t, point.t + this.stepMs);
  }

  private onKey(event: KeyboardEvent): void {
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const from = this.hover < 0 ? this.points.length : this.hover;
      const next = from + (event.key === "ArrowLeft" ? -1 : 1);
      this.setHover(Math.max(0, Math.min(this.points.length - 1, next)));
    } else if (event.key === "Enter") {
      this.pick();
    } else {
      return;
    }
    event.preventDefault();
  }

  private get width(): number {
    return this.root.clientWidth;
  }

  private point(x: number): void {
    const slot = (this.width - LEFT) / Math.max(1, this.points.length);
    const index = Math.floor((x - LEFT) / slot);
    this.setHover(index >= 0 && index < this.points.length ? index : -1);
  }

  private setHover(index: number): void {
    if (index === this.hover && index < 0)
      return;
    this.hover = index;
    const point = this.points[index];
    this.tip.hidden = !point;
    if (point) {
      this.tip.replaceChildren(h("div", { class: "chart-tip-time" }, stamp(point.t)),
        ...this.options.series.map((series, at) => {
          const value = point.values[at];
          return h("div", { class: "chart-tip-row" },
            h("span", { class: `swatch swatch${series.color}` }), `${series.word} `,
            h("b", null, value === null ? "–" : this.options.format(value)));
        }));
      const slot = (this.width - LEFT) / this.points.length;
      const x = LEFT + slot * (index + 0.5), right = x > this.width / 2;
      this.tip.style.left = right ? "auto" : `${x + 12}px`;
      this.tip.style.right = right ? `${this.width - x + 12}px` : "auto";
    }
    this.draw();
  }

  private color(name: string): string {
    return getComputedStyle(this.canvas).getPropertyValue(name).trim();
  }

  private pattern(ctx: CanvasRenderingContext2D, series: Series): string | CanvasPattern {
    const fill = this.color(series.color);
    if (!series.pattern || series.pattern === "dash")
      return fill;
    const tile = document.createElement("canvas"), size = 6;
    tile.width = tile.height = size;
    const pen = tile.getContext("2d")!;
    pen.fillStyle = fill;
    pen.fillRect(0, 0, size, size);
    pen.strokeStyle = pen.fillStyle = this.color("--surface");
    pen.globalAlpha = 0.55;
    if (series.pattern === "hatch") {
      pen.lineWidth = 1.2;
      pen.beginPath();
      for (const offset of [-size, 0, size]) {
        pen.moveTo(offset, size);
        pen.lineTo(offset + size, 0);
      }
      pen.stroke();
    } else {
      pen.fillRect(1, 1, 2, 2);
      pen.fillRect(4, 4, 2, 2);
    }
    return ctx.createPattern(tile, "repeat") ?? fill;
  }

  private top(): number {
    const totals = this.points.map(point => this.options.kind === "bars"
      ? point.values.reduce<number>((sum, value) => sum + (value ?? 0), 0)
      : Math.max(0, ...point.values.map(value => value ?? 0)));
    return roundUp(Math.max(this.options.kind === "bars" ? 4 : 1, ...totals),
      this.options.binary);
  }

  private draw(): void {
    const width = this.width, scale = devicePixelRatio || 1;
    if (width < 80)
      return;
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(this.height * scale);
    this.canvas.style.height = `${this.height}px`;
    const ctx = this.canvas.getContext("2d")!;
    ctx.scale(scale, scale);
    ctx.font = `11px ${getComputedStyle(this.canvas).fontFamily}`;
    const top = this.top();
    this.drawGrid(ctx, top);
    if (this.options.kind === "bars")
      this.drawBars(ctx, top);
    else
      this.drawLines(ctx, top);
  }

  private y(value: number, top: number): number {
    return TOP + (this.height - BOTTOM - TOP) * (1 - value / top);
  }

  private drawGrid(ctx: CanvasRenderingContext2D, top: number): void {
    ctx.strokeStyle = this.color("--line");
    ctx.fillStyle = this.color("--muted");
    ctx.lineWidth = 1;
    ctx.textBaseline = "middle";
    ctx.textAlign = "right";
    for (const part of [0, 0.5, 1]) {
      const y = Math.round(this.y(top * part, top)) + 0.5;
      ctx.beginPath();
      ctx.moveTo(LEFT, y);
      ctx.lineTo(this.width, y);
      ctx.stroke();
      ctx.fillText(this.options.format(top * part), LEFT - 8, y);
    }
    const slot = (this.width - LEFT) / Math.max(1, this.points.length);
    const every = Math.max(1, Math.ceil(74 / slot));
    const span = this.stepMs * this.points.length;
    const label = (t: number) => span > 36 * 3600 * 1000 ? stamp(t).slice(5, 16)
      : span < 10 * 60 * 1000 ? clock(t) : minute(t);
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    for (let index = 0; index < this.points.length; index += every) {
      if (LEFT + slot * index > this.width - 56)
        break;
      ctx.fillText(label(this.points[index].t), LEFT + slot * index, this.height - 4);
    }
  }

  private drawBars(ctx: CanvasRenderingContext2D, top: number): void {
    const slot = (this.width - LEFT) / Math.max(1, this.points.length);
    const bar = Math.max(1, slot - Math.min(3, slot * 0.25));
    const fills = this.options.series.map(series => this.pattern(ctx, series));
    this.points.forEach((point, index) => {
      const x = LEFT + slot * index;
      if (index === this.hover) {
        ctx.fillStyle = this.color("--hover");
        ctx.fillRect(x, TOP, slot, this.height - BOTTOM - TOP);
      }
      let y = this.y(0, top);
      point.values.forEach((value, at) => {
        if (!value)
          return;
        /* A single block among thousands of connections is still to be seen. */
        const tall = Math.max(2, this.y(0, top) - this.y(value, top));
        ctx.fillStyle = fills[at];
        ctx.fillRect(x, y - tall, bar, tall);
        y -= tall;
      });
    });
  }

  private drawLines(ctx: CanvasRenderingContext2D, top: number): void {
    const slot = (this.width - LEFT) / Math.max(1, this.points.length);
    if (this.hover >= 0) {
      ctx.fillStyle = this.color("--hover");
      ctx.fillRect(LEFT + slot * this.hover, TOP, slot, this.height - BOTTOM - TOP);
    }
    this.options.series.forEach((series, at) => {
      ctx.strokeStyle = ctx.fillStyle = this.color(series.color);
      ctx.lineWidth = 1.75;
      ctx.setLineDash(series.pattern === "dash" ? [4, 3] : []);
      ctx.beginPath();
      let drawing = false;
      this.points.forEach((point, index) => {
        const value = point.values[at];
        if (value === null) {
          drawing = false;
          return;
        }
        const x = LEFT + slot * (index + 0.5), y = this.y(value, top);
        if (drawing) {
          ctx.lineTo(x, y);
        } else {
          ctx.moveTo(x, y);
          ctx.fillRect(x - 1.5, y - 1.5, 3, 3);   /* alone between gaps */
        }
        drawing = true;
      });
      ctx.stroke();
    });
    ctx.setLineDash([]);
  }
}

export function legend(series: Series[], totals: string[]): HTMLElement {
  return h("ul", { class: "legend" }, series.map((one, index) => h("li", null,
    h("span", { class: `swatch swatch${one.color} ${one.pattern ?? ""}` }),
    h("span", null, one.word), h("b", null, totals[index] ?? ""))));
}
