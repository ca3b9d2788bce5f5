/* format.ts - numbers and times as people read them. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(count: number): string {
  if (!isFinite(count) || count < 0)
    return "–";
  let unit = 0;
  while (count >= 1024 && unit < UNITS.length - 1) {
    count /= 1024;
    unit++;
  }
  return `${unit === 0 || count >= 100 ? Math.round(count) : count.toFixed(1)} ${UNITS[unit]}`;
}

/* 1234 as it is, 12345 as 12.3k: a table of them stays narrow. */
export function compact(count: number): string {
  if (count < 10000)
    return String(Math.round(count));
  if (count < 1e6)
    return `${(count / 1e3).toFixed(count < 1e5 ? 1 : 0)}k`;
  return `${(count / 1e6).toFixed(count < 1e7 ? 1 : 0)}M`;
}

export function whole(count: number): string {
  return Math.round(count).toLocaleString("en-GB").replace(/,/g, " ");
}

export function duration(ms: number): string {
  if (!isFinite(ms) || ms < 0)
    return "–";
  if (ms < 1000)
    return `${ms < 10 && ms % 1 ? ms.toFixed(1) : Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60)
    return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3600)
    return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  if (seconds < 86400)
    return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds % 3600 / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds % 86400 / 3600)} h`;
}

export function ago(ms: number, now = Date.now()): string {
  const seconds = Math.max(0, Math.floor((now - ms) / 1000));
  if (seconds < 5)
    return "just now";
  if (seconds < 60)
    return `${seconds} s ago`;
  if (seconds < 3600)
    return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400)
    return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

function two(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}

/* Hands of the clock on the reader's wall, always 24 hours: by hand, because a formatter for each
 * row would be the slowest part of the stream. */
export function clock(ms: number): string {
  const time = new Date(ms);
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

export function minute(ms: number): string {
  const time = new Date(ms);
  return `${two(time.getHours())}:${two(time.getMinutes())}`;
}

export function day(ms: number): string {
  const time = new Date(ms);
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
}

export function stamp(ms: number): string {
  return `${day(ms)} ${clock(ms)}`;
}

/* The clock alone for today, with its day for older ones. */
export function when(ms: number, now = Date.now()): string {
  return day(ms) === day(now) ? clock(ms) : `${day(ms).slice(5)} ${clock(ms)}`;
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${whole(count)} ${count === 1 ? one : many}`;
}
