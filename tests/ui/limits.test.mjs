/* More than fits in one answer: what the pages say of it is still true. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { allowed, closeBrowser, event, inWorld, until, untilLive } from "./world.mjs";

after(closeBrowser);

const many = (count, make) => Array.from({ length: count }, (_, at) => make(at));

test("what is blocked rarely is found behind hundreds of allowed names", () =>
  inWorld(async world => {
    await world.post(many(780, at => allowed({ name: `n${at % 260}.example.edu` })));
    await world.post(event({ name: "exfil.example.edu" }), event({ name: "exfil.example.edu" }),
      event({ name: "told.example.edu", action: "AUDIT", msg: "https.audit" }),
      event({ name: "wanted.example.edu" }));
    const page = await world.page();
    await untilLive(page);
    const names = verdict => page.$$eval(`.top-${verdict} .top-name`, all =>
      all.map(one => one.textContent));
    await until(async () => (await names("BLOCKED")).length === 3, "the blocked names");
    assert.equal((await names("BLOCKED"))[0], "exfil.example.edu");
    assert.equal((await names("ALLOWED")).length, 6);

    await page.click(".vlist .row >> text=wanted.example.edu");
    await page.click("[data-fix=wildcard]");
    await page.getByText("2 other names that were blocked").waitFor();
    assert.deepEqual(await page.$$eval(".also-list .mono", all =>
      all.map(one => one.textContent)), ["exfil.example.edu", "told.example.edu"]);
  }));

test("more names than one answer holds are said to be more", () => inWorld(async world => {
  await world.post(many(1100, at => event({ name: `n${at}.example.edu` })));
  await world.post(event({ name: "wanted.example.edu" }));
  const page = await world.page();
  await untilLive(page);
  await page.click(".vlist .row >> text=wanted.example.edu");
  await page.click("[data-fix=wildcard]");
  await page.getByText(/Also lets through at least (999|1 000) other names/).waitFor();
  await page.goto(`${world.url}/#/aggregates?range=1h`);
  await page.getByText("only the 1 000 keys with the most events").waitFor();
}));

test("of more keys than one answer holds those are shown that are first as they are sorted", () =>
  inWorld(async world => {
    const time = new Date(Date.now() - 60e3).toISOString();
    for (let batch = 0; batch < 2; batch++)
      await world.post(many(1100, at => allowed({ time, bytes_up: 1, bytes_down: 0,
        name: `n${String(at).padStart(4, "0")}.example.edu` })));
    await world.post(allowed({ name: "exfil.example.edu", time, bytes_up: 7e9, bytes_down: 0 }),
      event({ name: "stopped.example.edu" }));
    const page = await world.page("#/aggregates?range=1h");
    const names = () => page.$$eval("td[data-label=Name]", all =>
      all.map(one => one.textContent));
    const first = (name, said) => Promise.all([
      until(async () => (await names())[0] === name, `${name} to be the first`),
      page.getByText(`only the 1 000 keys ${said}: filter for the others`).waitFor()]);
    await first("n0000.example.edu", "with the most events");
    assert.ok(!(await names()).some(name => /exfil|stopped/.test(name)));

    await page.click("th >> text=Bytes");
    await first("exfil.example.edu", "with the most bytes");
    await page.waitForSelector("th[aria-sort=descending] >> text=Bytes");
    assert.equal((await names()).length, 1000);
    assert.match(page.url(), /order=bytes/);
    const other = await world.page(new URL(page.url()).hash);
    await until(async () => await other.textContent("td[data-label=Name] >> nth=0")
      === "exfil.example.edu", "the same for who got the link");

    await page.click("th >> text=Blocked");
    await first("stopped.example.edu", "with the most blocked events");
    await page.click("th >> text=Total");
    await first("n0000.example.edu", "with the most events");
    assert.doesNotMatch(page.url(), /order|direction/);
    await page.click("th >> text=Total");
    await first("stopped.example.edu", "with the fewest events");
    assert.match(page.url(), /direction=asc/);
    await page.waitForSelector("th[aria-sort=ascending] >> text=Total");
    await page.click("th >> text=Name");
    await first("exfil.example.edu", "that come first from a to z");
    await page.click("th >> text=Name");
    await first("stopped.example.edu", "that come last from a to z");

    /* All of what is found is here: it is sorted without asking. */
    await page.fill("input[type=search]", "n000");
    await page.getByText("20 events · 10 keys").waitFor();
    await page.route("**/api/v1/aggregates*", route => route.abort());
    await page.click("th >> text=Name");
    await until(async () => (await names())[0] === "n0000.example.edu", "a to z");
    await page.click("th >> text=Name");
    await until(async () => (await names())[0] === "n0009.example.edu", "z to a");
    assert.equal((await names()).length, 10);
  }));

test("where the order cannot be asked for the old one is not called the new one", () =>
  inWorld(async world => {
    await world.post(many(1001, at => event({ name: `n${at}.example.edu` })));
    const page = await world.page("#/aggregates?range=1h&order=moon&direction=up");
    await page.getByText("only the 1 000 keys with the most events").waitFor();
    await page.route("**/api/v1/aggregates*", route => route.fulfill({ status: 500,
      contentType: "application/json", body: '{"error":"the disk is full"}' }));
    await page.click("th >> text=Bytes");
    await page.getByText("The disk is full").waitFor();
    await page.waitForSelector("th[aria-sort=descending] >> text=Total");
    await page.getByText("only the 1 000 keys with the most events").waitFor();
    await page.unroute("**/api/v1/aggregates*");
    await page.click("text=Try again");
    await page.waitForSelector("th[aria-sort=descending] >> text=Bytes");
    await page.getByText("only the 1 000 keys with the most bytes").waitFor();
  }));

test("an answer in the order from before a click is not shown as the one that was clicked", () =>
  inWorld(async world => {
    await world.post(event({ name: "a.example.edu" }), event({ name: "b.example.edu" }));
    const page = await world.page("#/aggregates?range=1h");
    await page.getByText("2 events · 2 keys").waitFor();
    const asked = [];
    let release;
    const held = new Promise(resolve => {
      release = resolve;
    });
    await page.route("**/api/v1/aggregates*", async route => {
      asked.push(route.request().url());
      if (asked.length === 1)
        await held;
      await route.continue();
    });
    await page.selectOption("label:has-text('Component') select", "https");
    await until(() => asked.length === 1, "the question that is held");
    await world.post(many(1100, at => event({ name: `n${at}.example.edu` })));
    await page.click("th >> text=Bytes");           /* all that is here is whole */
    await page.waitForSelector("th[aria-sort=descending] >> text=Bytes");
    assert.equal(asked.length, 1);
    release();
    await page.getByText("only the 1 000 keys with the most bytes").waitFor();
    assert.match(asked[0], /order=total/);
    assert.match(asked[1], /order=bytes/);
  }));

test("lines of the audit log that are not here are said to be more, and come when asked for", () =>
  inWorld(async world => {
    await world.api("POST", "/unblocks", { type: "domain", value: "oldest.example.com" });
    for (let at = 0; at < 205; at++)
      assert.equal((await world.api("DELETE", "/logs")).status, 200);
    const page = await world.page("#/audit");
    await page.getByText("Only the newest 200 lines are here").waitFor();
    await page.fill("input[type=search]", "oldest.example");
    await page.getByText("None of the newest 200 lines has these words").waitFor();
    await page.fill("input[type=search]", "");
    await page.click("text=Older lines");
    await page.fill("input[type=search]", "oldest.example");
    await page.locator("td", { hasText: "oldest.example.com" }).first().waitFor();
    assert.equal(await page.getByText("Older lines").count(), 0);
    await page.fill("input[type=search]", "");
    await until(async () => await page.locator("tbody tr").count() === 206, "all lines, once");
    /* What is new joins them. */
    await world.api("POST", "/unblocks", { type: "domain", value: "newest.example.com" });
    await page.locator("tbody tr >> nth=0", { hasText: "newest.example.com" }).waitFor();
    assert.equal(await page.locator("tbody tr").count(), 207);
  }));

test("a window of time is counted whole, and paged through", () => inWorld(async world => {
  const time = new Date(Date.now() - 600e3).toISOString();
  await world.post(many(230, at => event({ name: `n${at}.example.com`, time })));
  const at = ms => new Date(Date.now() - ms).toISOString();
  const page = await world.page(`#/search?from=${at(900e3)}&to=${at(300e3)}`);
  await page.getByText("230 events").waitFor();
  await page.getByText("Page 1 of 3").waitFor();
  await page.click("text=Older");
  await page.getByText("Page 2 of 3").waitFor();
  await page.click("text=Older");
  await page.getByText("Page 3 of 3").waitFor();
  await until(async () => await page.locator("td[data-label=Name]").count() === 30,
    "the last page");
}));

test("an export holds all that was found, once, and a failed one is told", () =>
  inWorld(async world => {
    for (let batch = 0; batch < 3; batch++)
      await world.post(many(400, at => event({ name: `n${batch * 400 + at}.example.com` })));
    const page = await world.page("#/search?range=1h");
    await page.getByText("1 200 events").waitFor();
    const saved = async kind => {
      const [file] = await Promise.all([page.waitForEvent("download"), page.click(`text=${kind}`)]);
      const chunks = [];
      for await (const chunk of await file.createReadStream())
        chunks.push(chunk);
      return Buffer.concat(chunks).toString();
    };
    const rows = JSON.parse(await saved("JSON"));
    assert.equal(new Set(rows.map(row => row.https)).size, 1200);
    assert.equal(rows.length, 1200);
    assert.equal((await saved("CSV")).split("\r\n").length, 1201);
    await page.route("**/api/v1/logs/browse*", route => route.fulfill({ status: 500,
      contentType: "application/json", body: '{"error":"the disk is full"}' }));
    await page.click("text=CSV");
    await page.locator(".toast-bad", { hasText: "Not exported: the disk is full" }).waitFor();
    assert.ok(await page.isEnabled("[data-export] >> nth=0"));
  }));

test("a page that is hidden before its next frame goes on taking rows", () =>
  inWorld(async world => {
    await world.post(event());
    const page = await world.page();
    await untilLive(page);
    const count = () => page.textContent(".shown-count");
    await until(async () => await count() === "1 event", "the first row");
    /* No frame comes any more, as in a tab behind another one. */
    await page.evaluate(() => {
      window.framesAsked = 0;
      window.requestAnimationFrame = () => ++window.framesAsked;
    });
    await world.post(event());
    await until(() => page.evaluate(() => window.framesAsked > 0), "the row to wait for a frame");
    assert.equal(await count(), "1 event");
    await page.evaluate(() => {
      Object.defineProperty(document, "hidden", { value: true, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    });
    await until(async () => await count() === "2 events", "the row that waited");
    await world.post(event(), event());
    await until(async () => await count() === "4 events", "the rows of a hidden page");
  }));

test("what waits for a frame that does not come is bounded", () => inWorld(async world => {
  const page = await world.page();
  await untilLive(page);
  await page.evaluate(() => {
    window.requestAnimationFrame = () => 0;
  });
  for (let batch = 0; batch < 25; batch++)
    await world.post(many(500, at => event({ flow_id: String(batch * 500 + at) })));
  await until(async () => /^1\d \d{3} events/.test(await page.textContent(".shown-count")),
    "rows without a frame");
}));

test("a page that is left leaves nothing behind that looks at the theme or the size", () =>
  inWorld(async world => {
    await world.post(event());
    const page = await world.page("#/fleet");
    await page.waitForSelector("h1 >> text=Fleet");
    await page.evaluate(() => {
      window.watched = 0;
      window.watching = 0;
      const count = (type, begin, end) => {
        const { [begin]: on, [end]: off } = type.prototype, begun = new Set();
        /* An observer is ended as a whole, a listener by itself. */
        const key = (self, args) => args[0] === "change" ? args[1] : self;
        type.prototype[begin] = function (...args) {
          window.watched++;
          window.watching += begun.has(key(this, args)) ? 0 : 1;
          begun.add(key(this, args));
          return on.apply(this, args);
        };
        type.prototype[end] = function (...args) {
          window.watching -= begun.delete(key(this, args)) ? 1 : 0;
          return off.apply(this, args);
        };
      };
      count(MutationObserver, "observe", "disconnect");
      count(ResizeObserver, "observe", "disconnect");
      count(MediaQueryList, "addEventListener", "removeEventListener");
    });
    for (const title of ["Aggregates", "Stream", "Fleet"]) {
      await page.click(`.nav-link >> text=${title}`);
      await page.waitForSelector(`h1:has-text("${title}")`, { state: "attached" });
    }
    assert.ok(await page.evaluate(() => window.watched) > 8, "the pages look at them");
    assert.equal(await page.evaluate(() => window.watching), 0);
  }));
