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
