/* Without a mouse: keys do what they say, and the focus stays where it was put. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { allowed, closeBrowser, event, inWorld, until, untilLive, untilRows } from "./world.mjs";

after(closeBrowser);

/* Until the focused element is the one that a selector names. */
const untilFocus = (page, selector) => until(() => page.evaluate(wanted =>
  document.activeElement?.matches(wanted), selector), `the focus on ${selector}`)
  .catch(async error => {
    throw new Error(`${error.message}; it is on ${await page.evaluate(() =>
      document.activeElement?.outerHTML.slice(0, 120))}`);
  });

test("arrows choose among the ways to let it through, and stay in the story", () =>
  inWorld(async world => {
    await world.post(event({ name: "api.older.example.com" }),
      event({ name: "api.shop.example.com" }), event({ name: "api.newer.example.com" }));
    const page = await world.page();
    await untilLive(page);
    await page.click(".vlist .row >> text=api.shop.example.com");
    const story = await page.textContent(".story h2"), address = page.url();
    await page.focus("[data-fix=once]");
    for (const [key, kind] of [["ArrowDown", "name"], ["ArrowRight", "wildcard"],
      ["ArrowDown", "once"], ["ArrowLeft", "wildcard"], ["ArrowUp", "name"]]) {
      await page.keyboard.press(key);
      await untilFocus(page, `[data-fix=${kind}][aria-checked=true]`);
    }
    assert.equal(await page.textContent(".story h2"), story);
    assert.equal(page.url(), address);
  }));

test("arrows leave out a way that is not offered", () => inWorld(async world => {
  await world.post(event({ name: "shop.co.uk" }));
  const page = await world.page();
  await untilLive(page);
  await page.click(".vlist .row");
  await page.focus("[data-fix=once]");
  await page.keyboard.press("ArrowUp");
  await untilFocus(page, "[data-fix=name][aria-checked=true]");
}));

test("k is the row above, and Space pauses and opens nothing", () => inWorld(async world => {
  await world.post(event({ name: "a.example.com" }), event({ name: "b.example.com" }));
  const page = await world.page();
  await untilLive(page);
  await untilRows(page, ["b.example.com", "a.example.com"]);
  const chosen = name => page.locator(".row[aria-selected=true] .name", { hasText: name })
    .waitFor();
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await chosen("a.example.com");
  await page.keyboard.press("k");
  await chosen("b.example.com");
  assert.equal(await page.textContent("h1"), "Stream");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".story:not([hidden])");
  await page.keyboard.press("Escape");
  await untilFocus(page, ".vlist");
  await page.keyboard.press("Space");
  await page.waitForSelector(".pause[data-paused=true]");
  assert.ok(await page.isHidden(".story"));
}));

test("the heading of the overview is opened by its own keys", () => inWorld(async world => {
  await world.post(event());
  const page = await world.page();
  await untilLive(page);
  await page.waitForSelector(".vlist .row");
  await page.keyboard.press("j");
  await page.focus(".overview summary");
  for (const key of ["Enter", "Space"]) {
    const open = await page.evaluate(() => document.querySelector(".overview").open);
    await page.keyboard.press(key);
    await until(() => page.evaluate(was => document.querySelector(".overview").open !== was,
      open), `${key} to fold or unfold it`);
  }
  assert.equal(await page.getAttribute(".pause", "data-paused"), "false");
  assert.ok(await page.isHidden(".story"));
}));

test("the focus stays on Take back and on Undo while the page asks how it is", () =>
  inWorld(async world => {
    await world.report();
    await world.post(event({ name: "api.shop.example.com" }));
    const page = await world.page();
    await untilLive(page);
    await page.click(".vlist .row");
    await page.click("[data-action=send]");
    await page.focus("[data-action=undo]");
    /* Somebody asks for something else: every page looks again. */
    const look = () => Promise.all([page.waitForResponse(/unblocks\/status/),
      world.api("POST", "/unblocks", { type: "domain", value: "other.example.com",
        target_hostname: "web-2" })]);
    await look();
    await page.evaluate(() => {
      window.told = 0;
      new MutationObserver(() => window.told++).observe(document.querySelector(".outcome"),
        { childList: true });
    });
    for (let times = 0; times < 3; times++)
      await look();
    await untilFocus(page, "[data-action=undo]");
    assert.equal(await page.evaluate(() => window.told), 0);
    const request = (await world.api("GET", "/unblocks?hostname=web-1"
      + "&features=expires,once,remove")).json.pending[0];
    await world.api("POST", "/unblocks/ack", { id: request.id, status: "applied" });
    await page.waitForSelector(".state[data-state=applied]");
    await untilFocus(page, "[data-action=undo]");
    await page.keyboard.press("Enter");
    await page.getByText("Undo pending").waitFor();
    await untilFocus(page, ".story");
  }));

test("the focus stays on what was chosen when a page is drawn anew", () => inWorld(async world => {
  await world.report();
  const ask = value => world.api("POST", "/unblocks", { type: "domain", value,
    target_hostname: "web-1" });
  await ask("first.example.com");
  await world.post(event({ name: "a.example.com" }), allowed({ name: "b.example.com" }));
  const page = await world.page("#/policy");
  await page.locator(".changes button").focus();
  await ask("second.example.com");
  await page.locator(".changes tr", { hasText: "second.example.com" }).waitFor();
  await page.locator(".changes tr", { hasText: "first.example.com" }).locator("button").focus();
  await ask("third.example.com");
  await page.locator(".changes tr", { hasText: "third.example.com" }).waitFor();
  assert.match(await page.evaluate(() => document.activeElement.closest("tr").textContent),
    /first\.example\.com/);

  await page.goto(`${world.url}/#/aggregates?range=1h`);
  const heading = page.locator("th button", { hasText: "Total" });
  await heading.focus();
  for (const sorted of ["ascending", "descending"]) {
    await page.keyboard.press("Enter");
    await page.locator(`th[aria-sort=${sorted}]`, { hasText: "Total" }).waitFor();
    assert.match(await page.evaluate(() => document.activeElement.textContent), /Total/);
  }

  await page.goto(`${world.url}/#/search`);
  await page.locator("label:has-text('Verdict') select").focus();
  for (const verdict of ["BLOCKED", "AUDIT", "ALLOWED"]) {
    await page.keyboard.press("ArrowDown");
    await until(() => page.url().includes(`action=${verdict}`), verdict);
  }
  await until(async () => (await page.locator("tbody tr").allTextContents())
    .every((text, at) => at === 0 && text.includes("b.example.com")), "the allowed one alone");
  await page.locator("tbody tr").focus();
  await page.keyboard.press("Enter");
  await untilFocus(page, ".story");
  await page.keyboard.press("Escape");
  await untilFocus(page, "tbody tr");
}));
