/* What goes wrong is told as it is, and the way back leads back. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeBrowser, event, inWorld, shoot, until, untilLive } from "./world.mjs";

after(closeBrowser);

const refusal = (status, error) => route => route.fulfill({ status,
  contentType: "application/json", body: JSON.stringify({ error }) });

test("a live stream that is refused says why, and goes on when it may", () =>
  inWorld(async world => {
    await world.post(event());
    const page = await world.page("#/fleet");
    await page.route("**/api/v1/events*", refusal(503, "too many pages are open"));
    await page.goto(`${world.url}/#/stream`);
    await page.reload();
    const banner = page.locator(".banner");
    await banner.getByText("too many pages are open (HTTP 503)").waitFor();
    await page.locator(".lamp", { hasText: "Refused" }).waitFor();
    assert.doesNotMatch(await banner.textContent(), /does not answer/);
    await page.unroute("**/api/v1/events*");
    await untilLive(page);
    await world.stop();
    await banner.getByText("The dashboard does not answer").waitFor();
  }));

test("an event that cannot be read is not said to be gone", () => inWorld(async world => {
  await world.post(event());
  const page = await world.page();
  await untilLive(page);
  await page.route("**/api/v1/logs/999", refusal(500, "the disk is full"));
  await page.goto(`${world.url}/#/stream?e=999`);
  await page.locator(".toast-bad", { hasText: "Event 999 could not be read: the disk is full" })
    .waitFor();
  assert.match(page.url(), /e=999/);
  await page.unroute("**/api/v1/logs/999");
  await page.reload();
  await page.locator(".toast-bad", { hasText: "Event 999 is no longer stored" }).waitFor();
  await until(() => !page.url().includes("e=999"), "the address without it");
}));

test("before the first answer the page says what it waits for", () => inWorld(async world => {
  await world.post(event());
  const page = await world.page("#/fleet");
  const answer = {};
  const hold = name => page.route(`**/api/v1/${name}`, route => new Promise(resolve => {
    answer[name] = () => resolve(route.continue());
  }));
  await hold("auth/me");
  await hold("logs/browse*");
  await page.goto(`${world.url}/#/search`);
  await page.reload();
  await page.getByText("Connecting…").waitFor();
  delete answer["logs/browse*"];          /* of the page before */
  answer["auth/me"]();
  await page.getByText("Searching…").waitFor();
  await until(() => answer["logs/browse*"], "the question");
  answer["logs/browse*"]();
  await page.getByText("1 event · ").waitFor();
}));

/* A page whose time-outs end when the test says so, by the browser's own error. */
async function pageWithTimeouts(world) {
  const page = await world.page("#/fleet");
  await page.addInitScript(() => {
    const after = AbortSignal.timeout.bind(AbortSignal), running = [];
    window.timeouts = [];
    AbortSignal.timeout = ms => {
      const controller = new AbortController();
      window.timeouts.push(ms);
      running.push(controller);
      return controller.signal;
    };
    window.timeIsOver = () => running.splice(0).forEach(controller => {
      const over = after(1);
      over.onabort = () => controller.abort(over.reason);
    });
  });
  await page.reload();
  return page;
}

/* Requests for it are held, until `answer` is called. */
async function silent(page, what) {
  const held = [];
  await page.route(what, route => void held.push(route));
  return { held, answer: async () => {
    await page.unroute(what);
    for (const route of held)
      await route.continue().catch(() => {});   /* it was given up */
  } };
}

test("a request that is never answered ends, and the page says so", () =>
  inWorld(async world => {
    await world.post(event());
    const page = await pageWithTimeouts(world);
    const search = await silent(page, "**/api/v1/logs/browse*");
    await follow(page, "#/search");
    await page.getByText("Searching…").waitFor();
    await until(() => search.held.length, "the question");
    assert.equal(await page.locator(".failure").count(), 0);
    await page.evaluate(() => window.timeIsOver());
    const said = page.locator(".failure", { hasText: "did not answer within 30 seconds" });
    await said.waitFor();
    assert.equal(await page.getByText("Searching…").count(), 0);
    assert.ok((await page.evaluate(() => window.timeouts)).every(ms => ms === 30000));
    await search.answer();
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByText("1 event · ").waitFor();
    await said.waitFor({ state: "detached" });
  }));

test("a dashboard that never answers at all is told in the place of the page", () =>
  inWorld(async world => {
    const page = await pageWithTimeouts(world);
    const me = await silent(page, "**/api/v1/auth/me");
    await page.reload();
    await page.getByText("Connecting…").waitFor();
    await until(() => me.held.length, "the question");
    await page.evaluate(() => window.timeIsOver());
    await page.locator(".alone", { hasText: "did not answer within 30 seconds" }).waitFor();
    await me.answer();
    await untilTitle(page, "Fleet");            /* it tries again by itself */
  }));

test("times are whole on every screen, and names have room on a phone", () =>
  inWorld(async world => {
    const time = new Date(Date.now() - 30 * 3600e3).toISOString();
    await world.post(event({ name: "a-rather-long-name.shop.example.com", time }));
    const page = await world.page();
    await untilLive(page);
    for (const width of [1900, 1360, 1000, 800, 360]) {
      await page.setViewportSize({ width, height: 860 });
      await page.waitForSelector(".vlist .row .c-time:has-text(':')");
      const [whole, shown] = await page.$eval(".vlist .row .c-time", node =>
        [node.scrollWidth, node.clientWidth]);
      assert.ok(whole <= shown, `the time takes ${whole} of ${shown} at ${width}`);
    }
    await page.goto(`${world.url}/#/search?range=7d`);
    await page.waitForSelector("td");
    assert.equal(await page.$eval("td", node => node.dataset.label), "Name");
    const name = await page.$eval("td .cut", node => node.clientWidth);
    assert.ok(name > 130, `the name has ${name} of 360`);
    assert.ok(await page.$eval(".table-box", node => node.scrollWidth <= node.clientWidth));
    await shoot(page, "search-phone");
  }));

/* As a link in the page would. */
const follow = (page, hash) => page.evaluate(to => {
  location.hash = to;
}, hash);
const untilTitle = (page, title) => page.waitForFunction(wanted =>
  document.querySelector("h1")?.textContent === wanted, title);

test("the back button leads to where one was", () => inWorld(async world => {
  await world.post(event({ name: "a.example.com" }), event({ name: "b.example.com" }));
  const page = await world.page("#/search?range=1h");
  await page.click("td >> text=a.example.com");
  await page.waitForSelector(".story:not([hidden])");
  await page.goBack();
  await page.waitForSelector(".story", { state: "hidden" });
  assert.doesNotMatch(page.url(), /[?&]e=/);
  await untilTitle(page, "Search");

  /* Where the page sends one on by itself, there is nothing to come back to. */
  const [{ id }] = (await world.api("GET", "/logs?q=b.example.com")).json;
  for (const hash of ["#/nonsense", `#/search?q=a.example.com&e=${id}`]) {
    await follow(page, "#/fleet");
    await untilTitle(page, "Fleet");
    await follow(page, hash);
    await untilTitle(page, "Stream");
    await page.goBack();
    await untilTitle(page, "Fleet");
  }
}));

test("on a phone the back button closes a story", () => inWorld(async world => {
  await world.post(event());
  const page = await world.page("#/fleet", { viewport: { width: 360, height: 740 } });
  await untilTitle(page, "Fleet");
  await follow(page, "#/stream");
  await page.click(".vlist .row");
  await page.waitForSelector(".story:not([hidden])");
  await page.goBack();
  await page.waitForSelector(".story", { state: "hidden" });
  await untilTitle(page, "Stream");
  await page.click(".vlist .row");
  await page.click(".story [aria-label='Close (Esc)']");
  await page.waitForSelector(".story", { state: "hidden" });
  await until(() => !/[?&]e=/.test(page.url()), "the address of the stream alone");
  await page.goBack();
  await untilTitle(page, "Fleet");
}));

test("what is not there is not shown as something else", () => inWorld(async world => {
  await world.report({ policy: { domains: [{ entry: "used.example.com", hits: 1 }], ips: [] } });
  const page = await world.page("#/policy?instance=gone-9");
  await page.getByText("gone-9 does not report").waitFor();
  assert.equal(await page.locator("td", { hasText: "used.example.com" }).count(), 0);
  await page.selectOption("label:has-text('Instance') select", "web-1");
  await page.locator("td", { hasText: "used.example.com" }).waitFor();
  await follow(page, "#/search?from=yesterday");
  await page.locator(".chip", { hasText: "“yesterday” to now" }).waitFor();
  await page.getByText("from and to are times like", { exact: false }).waitFor();
}));

test("the lists of the overview lead to what they counted", () => inWorld(async world => {
  await world.post(event({ name: "a.example.com", action: "AUDIT", msg: "https.audit" }),
    event({ name: "a.example.com", action: "AUDIT", hostname: "web-2" }),
    event({ name: undefined, https: "", destination_ip: undefined, hostname: "web-1",
      destination_port: undefined }));
  const page = await world.page("#/stream?instance=web-1&component=https");
  await page.locator(".top-BLOCKED a", { hasText: "(neither name nor address)" }).waitFor();
  await page.locator(".top-BLOCKED a", { hasText: "a.example.com" }).click();
  await page.getByText("1 event · ").waitFor();
  for (const part of ["action=AUDIT", "instance=web-1", "component=https"])
    assert.ok(page.url().includes(part), `${part} in ${page.url()}`);
}));
