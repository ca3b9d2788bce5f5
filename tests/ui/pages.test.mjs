/* Search, sums, policy, fleet, keys, sign-in: each with what it shows when there is nothing. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { allowed, closeBrowser, event, inWorld, KEY, PASSWORD, shoot, until, untilLive,
  World } from "./world.mjs";

after(closeBrowser);

const cells = (page, column) => page.$$eval(`td[data-label='${column}']`, all =>
  all.map(one => one.textContent));

async function untilCells(page, column, wanted) {
  await until(async () => JSON.stringify(await cells(page, column)) === JSON.stringify(wanted),
    `${column} to be ${wanted}`).catch(async error => {
    throw new Error(`${error.message}; it is ${await cells(page, column)}`);
  });
}

test("a search is in the address, is remembered, and pages through all it found", () =>
  inWorld(async world => {
    await world.post(Array.from({ length: 150 }, (_, at) =>
      event({ name: `n${at}.needle.example.com`, flow_id: String(at) })),
    allowed({ name: "hay.example.com", hostname: "web-2" }));
    const page = await world.page("#/search?range=1h");
    await page.fill("input[type=search]", "needle");
    await page.keyboard.press("Enter");
    await page.getByText("150 events").waitFor();
    assert.match(page.url(), /q=needle/);
    assert.equal((await cells(page, "Name")).length, 100);
    await page.click("text=Older");
    await page.getByText("Page 2 of 2").waitFor();
    await until(async () => (await cells(page, "Name")).at(-1) === "n0.needle.example.com",
      "the oldest at the end");
    const other = await world.page(new URL(page.url()).hash);
    await other.getByText("Page 2 of 2").waitFor();
    assert.equal(await other.inputValue("input[type=search]"), "needle");

    await page.goto(`${world.url}/#/search?q=hay&action=ALLOWED&instance=web-2`);
    await untilCells(page, "Name", ["hay.example.com"]);
    await page.getByText("Recent").waitFor();
    await page.locator(".chip", { hasText: "needle" }).waitFor();
    await page.click("td >> text=hay.example.com");
    await page.waitForSelector(".story:not([hidden]) >> text=Allowed: hay.example.com");
    assert.match(page.url(), /e=\d+/);
    await page.keyboard.press("Escape");
    await page.goto(`${world.url}/#/search?q=not-there-at-all`);
    await page.getByText("Nothing found").waitFor();
  }));

test("a search of one window of time holds only what was in it", () => inWorld(async world => {
  const at = ms => new Date(Date.now() - ms).toISOString();
  await world.post(event({ name: "old.example.com", time: at(3600e3) }),
    event({ name: "then.example.com", time: at(1800e3) }), event({ name: "now.example.com" }));
  const page = await world.page(`#/search?from=${at(2000e3)}&to=${at(1700e3)}`);
  await untilCells(page, "Name", ["then.example.com"]);
  await page.click("[aria-label='Drop this time window']");
  await untilCells(page, "Name", ["now.example.com", "then.example.com", "old.example.com"]);
}));

test("what is exported cannot run in a spreadsheet", () => inWorld(async world => {
  await world.post(event({ name: "a.example.com", process_name: "=cmd|'/c calc'!A1" }));
  const page = await world.page("#/search");
  const [file] = await Promise.all([page.waitForEvent("download"), page.click("text=CSV")]);
  const chunks = [];
  for await (const chunk of await file.createReadStream())
    chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  assert.match(text, /"'=cmd\|/);
  assert.match(text, /"a\.example\.com"/);
}));

test("sums by name, address and client, sorted as asked", () => inWorld(async world => {
  await world.post(event({ name: "bad.example.com" }), event({ name: "bad.example.com" }),
    allowed({ name: "good.example.com" }), allowed({ name: "good.example.com" }),
    allowed({ name: "good.example.com", destination_ip: "192.0.2.99" }));
  const page = await world.page("#/aggregates?range=1h");
  await untilCells(page, "Name", ["good.example.com", "bad.example.com"]);
  await untilCells(page, "Total", ["3", "2"]);
  await page.click("th >> text=Blocked");
  await untilCells(page, "Name", ["bad.example.com", "good.example.com"]);
  await page.waitForFunction(() => /Blocked 2.*Allowed 3/.test(
    document.querySelector(".chart-canvas").getAttribute("aria-label")));
  await page.selectOption("label:has-text('By') select", "ip");
  await until(async () => (await cells(page, "Address")).includes("192.0.2.99"), "addresses");
  assert.match(page.url(), /by=ip/);
  await page.fill("input[type=search]", "192.0.2.99");
  await untilCells(page, "Address", ["192.0.2.99"]);
}));

test("the overview names the most blocked and the most allowed", () => inWorld(async world => {
  await world.post(event({ name: "bad.example.com" }), event({ name: "bad.example.com" }),
    event({ name: "less.example.com" }), allowed({ name: "good.example.com" }));
  const page = await world.page();
  await page.waitForSelector(".top-BLOCKED li >> text=bad.example.com");
  const names = verdict => page.$$eval(`.top-${verdict} .top-name`, all =>
    all.map(one => one.textContent));
  assert.deepEqual(await names("BLOCKED"), ["bad.example.com", "less.example.com"]);
  assert.deepEqual(await names("ALLOWED"), ["good.example.com"]);
  await page.click(".top-BLOCKED >> text=less.example.com");
  await untilCells(page, "Name", ["less.example.com"]);
}));

test("the policy shows hits and finds what nobody uses", () => inWorld(async world => {
  const now = new Date().toISOString();
  await world.report({ policy: { source: "file", path: "/app/policy/policy.yaml", overlay:
    "/run/ringfence/overlay.yaml", read_only: true,
  domains: [{ entry: "used.example.com", hits: 41, last_hit: now },
    { entry: "*.unused.example.com", hits: 0 }],
  ips: [{ entry: "10.0.0.0/8", hits: 0 }] } });
  const page = await world.page("#/policy");
  await untilCells(page, "Entry", ["used.example.com", "*.unused.example.com", "10.0.0.0/8"]);
  await page.getByText("read-only: changes from here go to the overlay").waitFor();
  await page.selectOption("label:has-text('Show') select", "unused");
  await untilCells(page, "Entry", ["*.unused.example.com", "10.0.0.0/8"]);
  await untilCells(page, "Kind", ["wildcard", "network"]);
  assert.match(page.url(), /show=unused/);
}));

test("the fleet shows every instance with its warnings", () => inWorld(async world => {
  await world.report({ warnings: ["the workload holds CAP_NET_RAW"] });
  await world.report({ hostname: "web-2", config_hash: "ffffffffffffffff",
    counters: { conns_opened: 12, conns_closed: 5, flows_opened: 900, dns_allowed: 3 } });
  const page = await world.page("#/fleet");
  await page.locator(".instance:has-text('web-2') dl div", { hasText: "Open" })
    .locator("dd", { hasText: /^7$/ }).waitFor();
  await page.getByText("2 instances, all reporting").waitFor();
  await page.getByText("the workload holds CAP_NET_RAW").waitFor();
  await page.click(".instance:has-text('web-2') >> text=Stream");
  await page.waitForFunction(() => location.hash.includes("instance=web-2"));
}));

async function signIn(page) {
  await page.fill("#login-name", "admin");
  await page.fill("#login-password", PASSWORD);
  await page.keyboard.press("Enter");
}

test("where nobody signs in the page of keys says how one is made", () => inWorld(async world => {
  const page = await world.page("#/keys");
  await page.getByText("Nobody signs in here").waitFor();
  const command = await page.textContent("main .snippet");
  assert.ok(command.includes(`curl ${world.url}/api/v1/apikeys`), command);
  assert.equal(await page.locator("#key-label").count(), 0);
}));

test("a key is made, shown once, works, and is taken back", () => inWorld(async world => {
  const page = await world.page("#/keys");
  await signIn(page);
  await page.fill("#key-label", "ci-runner");
  await page.click("text=Make a key");
  await page.waitForSelector(".fresh");
  const key = await page.textContent(".fresh pre >> nth=0");
  const ship = () => fetch(`${world.url}/api/v1/logs`, { method: "POST", headers: {
    "X-Api-Key": key, "Content-Type": "application/json" }, body: JSON.stringify(event()) });
  assert.equal((await ship()).status, 201);
  await page.click("text=I have it");
  assert.ok(!(await page.content()).includes(key), "it is not shown again");
  await page.click("tr:has-text('ci-runner') >> text=Take back");
  await page.click("dialog >> text=Take it back");
  await page.waitForSelector("tr:has-text('ci-runner')", { state: "detached" });
  await until(async () => (await ship()).status === 401, "the key to be refused");
}, { AUTH_MODE: "session" }));

test("empty pages say how to begin", () => inWorld(async world => {
  const page = await world.page();
  await page.getByText("No events yet").waitFor();
  await page.getByText("DASHBOARD_HOST").first().waitFor();
  assert.ok((await page.textContent(".snippet")).includes(world.url), "with this address");
  await shoot(page, "empty");
  /* As it says: by hand. */
  await world.post(event({ name: "by-hand.example.com" }));
  await page.waitForSelector(".vlist .row >> text=by-hand.example.com");
  await page.goto(`${world.url}/#/fleet`);
  await page.getByText("No instance reports").waitFor();
  await page.goto(`${world.url}/#/policy`);
  await page.getByText("No instance tells its policy").waitFor();
  await page.goto(`${world.url}/#/stream?e=999999`);
  await page.getByText("Event 999999 is no longer stored").waitFor();
  await page.goto(`${world.url}/#/nowhere`);
  await page.waitForSelector(".vlist .row >> text=by-hand.example.com");
}));

test("signing in: wrong, right, over, out, and by key", async () => {
  const world = await World.open({ AUTH_MODE: "session" });
  try {
    await world.post(event({ name: "secret.example.com" }));
    const page = await world.page("#/search?q=secret");
    await page.waitForSelector(".login-card");
    assert.ok(!(await page.content()).includes("secret.example.com"));
    await page.fill("#login-name", "admin");
    await page.fill("#login-password", "wrong");
    await page.keyboard.press("Enter");
    await page.getByText("Wrong name or password").waitFor();
    await shoot(page, "login");
    await signIn(page);
    /* Where it was going. */
    await page.waitForSelector("td >> text=secret.example.com");
    await untilLive(page);
    await page.context().clearCookies();
    await page.click("text=Aggregates");
    await page.getByText("Your session is over").waitFor();
    assert.ok(!(await page.content()).includes("secret.example.com"));

    await page.click("text=Use an API key instead");
    await page.fill("#login-key", "not-a-key-not-a-key-not-a-key");
    await page.keyboard.press("Enter");
    await page.getByText("This key is not known here").waitFor();
    await page.fill("#login-key", KEY);
    await page.keyboard.press("Enter");
    await page.waitForSelector("h1 >> text=Aggregates");
    await page.goto(`${world.url}/#/stream`);
    await page.waitForSelector(".vlist .row >> text=secret.example.com");
    await untilLive(page);
    await page.click("[aria-label='Sign out']");
    await page.waitForSelector(".login-card");
  } finally {
    await world.close();
  }
});
