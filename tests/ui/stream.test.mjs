/* The live stream: rows come by themselves, stop when asked, are found again. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { allowed, closeBrowser, event, inWorld, rowTexts, shoot, until, untilLive, untilRows }
  from "./world.mjs";

after(closeBrowser);

test("what was stored is shown, and what comes is added on top", () => inWorld(async world => {
  await world.post(event({ name: "first.example.com" }), allowed({ name: "second.example.com" }));
  const page = await world.page();
  await untilLive(page);
  await untilRows(page, ["second.example.com", "first.example.com"]);
  await world.post(event({ name: "third.example.com" }));
  await untilRows(page, ["third.example.com", "second.example.com", "first.example.com"]);
  assert.deepEqual(await rowTexts(page, "verdict"), ["Blocked", "Allowed", "Blocked"]);
}));

test("a pause holds the rows and counts what came meanwhile", () => inWorld(async world => {
  await world.post(event({ name: "before.example.com" }));
  const page = await world.page();
  await untilLive(page);
  await untilRows(page, ["before.example.com"]);
  await page.keyboard.press("Space");
  await page.waitForSelector(".pause[data-paused=true]");
  await world.post(event({ name: "a.example.com" }), event({ name: "b.example.com" }));
  await page.waitForFunction(() => document.querySelector(".pause").textContent
    .includes("2 new"));
  assert.deepEqual(await rowTexts(page), ["before.example.com"]);
  await page.click(".pause");
  await untilRows(page, ["b.example.com", "a.example.com", "before.example.com"]);
}));

test("filters by verdict, component, instance and words add up, and are in the address", () =>
  inWorld(async world => {
    await world.post(
      event({ name: "ads.example.com", hostname: "web-1" }),
      event({ name: "ads.example.net", hostname: "web-2" }),
      allowed({ name: "ads.example.org", hostname: "web-1" }),
      event({ name: "mail.example.com", component: "dns", msg: "dns.blocked",
        hostname: "web-1" }),
      event({ name: "audit.example.com", action: "AUDIT", msg: "https.audit" }));
    const page = await world.page();
    await untilLive(page);
    await page.waitForSelector(".vlist .row >> nth=4");
    await page.click(".seg[data-verdict=BLOCKED]");
    await untilRows(page, ["mail.example.com", "ads.example.net", "ads.example.com"]);
    await page.fill(".filterbar input[type=search]", "ADS 172.18");
    await untilRows(page, ["ads.example.net", "ads.example.com"]);
    await page.selectOption(".filterbar select[aria-label=Instance]", "web-2");
    await untilRows(page, ["ads.example.net"]);
    assert.match(page.url(), /verdict=BLOCKED/);
    assert.match(page.url(), /instance=web-2/);
    assert.match(page.url(), /q=ADS\+172\.18/);

    const other = await world.page(new URL(page.url()).hash);
    await untilRows(other, ["ads.example.net"]);
    assert.equal(await other.inputValue(".filterbar input[type=search]"), "ADS 172.18");

    await page.goto(`${world.url}/#/stream?component=dns`);
    await untilRows(page, ["mail.example.com"]);
    await page.goto(`${world.url}/#/stream?q=nothing-has-this`);
    await page.waitForSelector("text=No event passes these filters");
    await page.click("text=Show everything");
    await page.waitForSelector(".vlist .row >> nth=4");
    /* The new rows of a filtered stream are filtered too. */
    await page.keyboard.press("w");
    await untilRows(page, ["audit.example.com"]);
    await world.post(event({ name: "not-shown.example.com" }),
      event({ name: "shown.example.com", action: "AUDIT" }));
    await untilRows(page, ["shown.example.com", "audit.example.com"]);
  }));

test("after a restart of the server nothing is missing and nothing twice", () =>
  inWorld(async world => {
    await world.post(event({ name: "one.example.com" }));
    const page = await world.page();
    await untilLive(page);
    await untilRows(page, ["one.example.com"]);
    await world.stop();
    await page.waitForSelector(".lamp[data-state=away]");
    await page.waitForSelector(".banner:not([hidden])");
    await shoot(page, "away");
    await world.start();
    /* Before the page is back. */
    await world.post(event({ name: "two.example.com" }), event({ name: "three.example.com" }));
    await untilLive(page);
    await world.post(event({ name: "four.example.com" }));
    await untilRows(page, ["four.example.com", "three.example.com", "two.example.com",
      "one.example.com"]);
    assert.ok(await page.isHidden(".banner"));
  }));

test("after a restart of a server without a disk the page begins anew, and goes on", () =>
  inWorld(async world => {
    await world.post(event({ name: "one.example.com" }), event({ name: "two.example.com" }));
    const page = await world.page();
    await untilLive(page);
    await untilRows(page, ["two.example.com", "one.example.com"]);
    for (const names of [["a"], ["b", "c", "d"]]) {         /* ids below, and above, the last */
      await world.stop();
      await page.waitForSelector(".lamp[data-state=away]");
      await world.start();
      for (const name of names)
        await world.post(event({ name: `${name}.example.com` }));
      await untilLive(page);
      await world.post(event({ name: "live.example.com" }));
      await untilRows(page, ["live", ...names.reverse()].map(name => `${name}.example.com`));
    }
  }, { EPHEMERAL: "true", DB_PATH: "" }));

test("ten thousand rows are a few dozen elements, from the first to the last", () =>
  inWorld(async world => {
    const page = await world.page();
    await untilLive(page);
    for (let batch = 0; batch < 20; batch++) {
      await world.post(Array.from({ length: 500 }, (_, at) => {
        const number = batch * 500 + at;
        return (number % 3 ? allowed : event)({ name: `n${number}.example.com`,
          flow_id: number.toString(16) });
      }));
    }
    await page.waitForFunction(() => document.querySelector(".vlist").ariaRowCount === "10000");
    await until(async () => (await rowTexts(page))[0] === "n9999.example.com", "the newest");
    const drawn = () => page.$$eval(".vlist .row", rows => rows.length);
    assert.ok(await drawn() < 80, `${await drawn()} rows in the page`);
    await page.focus(".vlist");
    await page.keyboard.press("End");
    await until(async () => (await rowTexts(page)).at(-1) === "n0.example.com", "the last row");
    assert.ok(await drawn() < 80, `${await drawn()} rows in the page`);

    /* Scrolled down, what is read stays where it is. */
    const place = () => page.$eval("[aria-selected=true]", row =>
      Math.round(row.getBoundingClientRect().top));
    const stood = await place();
    await world.post(event({ name: "newer.example.com" }), event({ name: "newest.example.com" }));
    await page.waitForFunction(() => document.querySelector(".vlist").ariaRowCount === "10002");
    await until(async () => await place() === stood, "the row to stand where it stood");
    await page.click("text=Newest");
    await until(async () => (await rowTexts(page))[0] === "newest.example.com", "the newest");

    /* A filter looks at all of them. */
    await page.fill(".filterbar input[type=search]", "n1234.example.com");
    await untilRows(page, ["n1234.example.com"]);
  }, { BUFFER_SIZE: "20000" }));

test("the keys that the help names do what it says", () => inWorld(async world => {
  await world.post(allowed({ name: "a.example.com" }), event({ name: "b.example.com" }),
    event({ name: "c.example.com" }));
  const page = await world.page();
  await untilLive(page);
  await page.waitForSelector(".vlist .row >> nth=2");
  await page.keyboard.press("?");
  await page.waitForSelector("dialog.help[open]");
  assert.equal(await page.evaluate(() => document.querySelector("dialog")
    .contains(document.activeElement)), true, "the focus is in the help");
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog", { state: "detached" });
  await page.keyboard.press("/");
  await page.keyboard.type("b.ex");
  await untilRows(page, ["b.example.com"]);
  await page.keyboard.press("Escape");
  await page.keyboard.press("x");
  await page.fill(".filterbar input[type=search]", "");
  await page.keyboard.press("Escape");
  await page.keyboard.press("g");
  await untilRows(page, ["a.example.com"]);
  await page.keyboard.press("b");
  await untilRows(page, ["c.example.com", "b.example.com"]);
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".story:not([hidden]) >> text=b.example.com");
  assert.match(page.url(), /e=\d+/);
  await page.keyboard.press("Escape");
  await page.waitForSelector(".story", { state: "hidden" });
  for (const [key, title] of [["e", "Search"], ["a", "Aggregates"], ["p", "Policy"],
    ["f", "Fleet"], ["i", "API keys"], ["u", "Audit"], ["s", "Stream"]]) {
    await page.keyboard.press(key);
    await page.waitForFunction(wanted => document.querySelector("h1")?.textContent === wanted
      && document.title.startsWith(wanted), title);
  }
}));

test("clearing asks first, and clears for everybody", () => inWorld(async world => {
  await world.post(event());
  const page = await world.page(), other = await world.page();
  await untilLive(page);
  await untilLive(other);
  await other.waitForSelector(".vlist .row");
  await page.click("[aria-label='Clear all stored events']");
  await page.click("dialog >> text=Cancel");
  await page.waitForSelector("dialog", { state: "detached" });
  assert.deepEqual(await rowTexts(page), ["blocked.example.com"]);
  await page.click("[aria-label='Clear all stored events']");
  await page.click("dialog >> text=Clear everything");
  await untilRows(other, []);
  await world.post(event({ name: "after.example.com" }));
  await untilRows(page, ["after.example.com"]);
  await untilRows(other, ["after.example.com"]);
}));

test("a dashboard without a fleet shows no pages of one", () => inWorld(async world => {
  await world.post(event());
  const page = await world.page();
  await page.waitForSelector(".vlist .row");
  assert.deepEqual(await page.$$eval(".nav-link", links => links.map(link => link.textContent)),
    ["Stream", "Search", "Aggregates", "API keys", "Audit"]);
}, { FLEET_ENABLED: "false" }));

test("what the server skipped for a slow page is told", () => inWorld(async world => {
  await world.post(event());
  const page = await world.page("#/fleet");
  await page.route("**/api/v1/events*", route => route.fulfill({
    contentType: "text/event-stream", body: "data: {\"type\":\"dropped\",\"count\":7}\n\n" }));
  await page.goto(`${world.url}/#/stream`);
  await page.reload();
  await page.waitForSelector(".shown-count >> text=1 event, 7 skipped");
}));
