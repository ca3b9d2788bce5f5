/* route.ts - which page is shown, and its filters: all of it in the address after #, so that a
 * link shows somebody else the same thing, and no server or proxy log ever holds a search. */

export interface Route {
  page: string;
  params: Record<string, string>;
}

export function parse(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#\/?/, "").split("?");
  const params: Record<string, string> = {};
  new URLSearchParams(search).forEach((value, name) => {
    params[name] = value;
  });
  return { page: path || "stream", params };
}

export function address(page: string, params: Record<string, string | undefined> = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value)
      search.set(name, value);
  }
  const text = search.toString();
  return `#/${page}${text ? `?${text}` : ""}`;
}

export function current(): Route {
  return parse(location.hash);
}

/* What the back button takes back. */
export function pushParams(change: Record<string, string | undefined>): void {
  const { page, params } = current();
  history.pushState(null, "", address(page, { ...params, ...change }));
}

/* There was nothing to come back to. */
export function goInstead(page: string, params: Record<string, string | undefined> = {}): void {
  location.replace(address(page, params));
}

/* Change filters in place: the back button leads to the page before, not through every letter. */
export function replaceParams(change: Record<string, string | undefined>): void {
  const { page, params } = current();
  const next = address(page, { ...params, ...change });
  if (next !== location.hash)
    history.replaceState(null, "", next);
}

export function go(page: string, params: Record<string, string | undefined> = {}): void {
  location.hash = address(page, params);
}
