/* The story of a connection and the three ways to let it through, up to the agent that does it. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { allowed, closeBrowser, event, inWorld, shoot, until, untilLive, untilRows }
  from "./world.mjs";

after(closeBrowser);

const NAME = "api.shop.example.com";

/* The stream with one blocked event, and its story open. */
async function openStory(world, more = {}) {
  await world.post(event({ name: NAME, process_name: "curl", pid: 4711,
    executable: "/usr/bin/curl", cmdline: "curl -s https://api.shop.example.com/",
    to_allow: `domains: ${NAME}`, ...more }));
  const page = await world.page();
  await untilLive(page);
  await page.click(".vlist .row[aria-rowindex='1']");
  await page.waitForSelector(".story:not([hidden])");
  return page;
}

/* What the agent of an instance finds to do. */
async function fetched(world, hostname = "web-1") {
  const { status, json } = await world.api("GET", `/unblocks?hostname=${hostname}`
    + "&features=expires,once,remove");
  assert.equal(status, 200);
  return json.pending;
}

test("the story tells who, what, why, all fields and what belongs to it", () =>
  inWorld(async world => {
    await world.post(event({ name: NAME, msg: "dns.blocked", component: "dns",
      https: undefined, qname: NAME, qtype: "AAAA", note: "nxdomain", reason: undefined,
      flow_id: "aaaa" }),
    allowed({ name: "other.example.com", flow_id: "9d1c6e0c1b7f3a52" }));
    const page = await openStory(world);
    const story = page.locator(".story");
    for (const words of ["curl was stopped on its way there", "pid 4711",
      "curl -s https://api.shop.example.com/", "behind web-1",
      "No entry of the policy covers this name", "192.0.2.7:443", "by TLS server name"])
      await story.getByText(words).first().waitFor();
    const fields = await page.$$eval(".fields dt", all => all.map(one => one.textContent));
    for (const name of ["reason", "to_allow", "flow_id", "executable", "destination_port",
      "source_ip", "remote_ip"])
      assert.ok(fields.includes(name), `${name} is among ${fields}`);
    await page.locator(".related-list >> text=https.allowed").waitFor();
    await page.locator(".related-list >> text=dns.blocked").waitFor();
    /* A link to it works elsewhere. */
    const other = await world.page(new URL(page.url()).hash);
    await other.locator(".story").getByText("pid 4711").waitFor();
    /* And it leads on. */
    await page.click(".related-list >> text=https.allowed");
    await story.getByText("Sent 1.2 KiB, received 332 KiB").waitFor();
    await story.getByText("Took 412 ms").waitFor();
    await page.click(".story [aria-label='Close (Esc)']");
    await page.waitForSelector(".story", { state: "hidden" });
  }));

test("a story that is open learns how the connection ended, and the row keeps its place", () =>
  inWorld(async world => {
    const open = allowed({ conn: 7, bytes_up: undefined, bytes_down: undefined,
      duration_ms: undefined });
    await world.post(open, event({ name: NAME }));
    const page = await world.page();
    await untilLive(page);
    await page.click(".vlist .row[aria-rowindex='2']");
    const story = page.locator(".story"), then = story.locator(".path h3", { hasText: "Then" });
    await story.getByText("by the entry").waitFor();
    assert.equal(await story.getByText("Sent ").count(), 0);
    await world.post({ ...open, msg: "https.closed", action: undefined, bytes_up: 1200,
      bytes_down: 340000, duration_ms: 412, reason: "reset" });
    await story.getByText("Sent 1.2 KiB, received 332 KiB").waitFor();
    await story.getByText("Took 412 ms").waitFor();
    await story.getByText("Ended by reset").waitFor();
    assert.equal(await then.count(), 1);
    await untilRows(page, [NAME, "allowed.example.com"]);
    /* Also when it is opened later. */
    await page.click(".vlist .row[aria-rowindex='1']");
    await page.click(".vlist .row[aria-rowindex='2']");
    await story.getByText("Took 412 ms").waitFor();
  }));

test("allow name: asked, fetched by the agent, applied, undone", () => inWorld(async world => {
  await world.report();
  const page = await openStory(world);
  await page.keyboard.press("2");
  await page.waitForSelector("[data-fix=name][aria-checked=true]");
  await page.getByText("nothing but this name").waitFor();
  await page.selectOption(".fix-form label:has-text('For') select", "28800");
  await page.fill(".fix-form input", "the shop is down");
  await page.click("[data-action=send]");
  await page.waitForSelector(".state[data-state=pending]");
  const [request] = await fetched(world);
  assert.equal(request.type, "domain");
  assert.equal(request.value, NAME);
  assert.equal(request.target_hostname, "web-1");
  assert.ok(Math.abs(Date.parse(request.expires_at) - Date.now() - 8 * 3600e3) < 120e3,
    `it ends in 8 hours: ${request.expires_at}`);
  assert.deepEqual(await fetched(world, "web-2"), [], "it is for this instance alone");

  const ack = await world.api("POST", "/unblocks/ack", { id: request.id, status: "applied" });
  assert.equal(ack.status, 200);
  await page.waitForSelector(".state[data-state=applied]");
  await page.getByText("The new policy is in force").waitFor();
  await shoot(page, "story-applied");
  await page.click("[data-action=undo]");
  const [removal] = await until(async () => {
    const found = await fetched(world);
    return found.length && found;
  }, "the undo");
  assert.equal(removal.value, NAME);
  assert.ok(removal.remove || removal.type === "remove", JSON.stringify(removal));

  await page.getByText("Undo pending").waitFor();
  await world.api("POST", "/unblocks/ack", { id: removal.id, status: "applied" });
  await page.waitForSelector(".state[data-state=undone]");

  await page.goto(`${world.url}/#/policy`);
  await page.locator(".changes").getByText(NAME).first().waitFor();
  await page.goto(`${world.url}/#/audit`);
  await page.locator("main").getByText("the shop is down").first().waitFor();
}));

test("allow once says so to the agent, and a failure is told with its reason", () =>
  inWorld(async world => {
    await world.report();
    const page = await openStory(world);
    await page.click("[data-fix=once]");
    await page.getByText("until the first one has ended or 10 minutes are over").waitFor();
    await page.click("[data-action=send]");
    const [request] = await until(async () => {
      const found = await fetched(world);
      return found.length && found;
    }, "the request");
    assert.equal(request.once, true);
    await world.api("POST", "/unblocks/ack", { id: request.id, status: "failed",
      error: "policy.yaml: the mount is read-only and there is no overlay" });
    await page.waitForSelector(".state[data-state=failed]");
    await page.getByText("the mount is read-only").waitFor();
  }));

test("whoever will not do it is named before and after it is asked", () =>
  inWorld(async world => {
    await world.report({ unblocks: "off" });
    const page = await openStory(world), story = page.locator(".story");
    const off = "web-1 does nothing that is asked from here: ENABLE_REMOTE_UNBLOCK is off there";
    await story.locator("[data-taker]", { hasText: off }).waitFor();
    await page.click("[data-action=send]");
    await story.locator(".state-pending", { hasText: off }).waitFor();
    await page.selectOption(".fix-form label:has-text('Where') select", "");
    await story.locator("[data-taker]", { hasText: "Not on web-1" }).waitFor();
  }));

test("an agent that only sends events is asked for good or in vain, and the page says so", () =>
  inWorld(async world => {
    await world.report({ hostname: "other", filter_mode: "dns" });
    const page = await openStory(world), notes = page.locator(".story [data-taker]");
    await notes.filter({ hasText: "web-1 sends events and does not report" })
      .filter({ hasText: "would wait in vain" }).waitFor();
    await page.click("[data-fix=name]");
    await notes.filter({ hasText: "would wait in vain" }).waitFor();
    await page.selectOption(".fix-form label:has-text('For') select", "");
    await notes.filter({ hasText: "It does this if remote unblock is on there" }).waitFor();
    /* Where only questions are judged, once is for ten minutes. */
    await page.click("[data-fix=once]");
    await page.selectOption(".fix-form label:has-text('Where') select", "other");
    await page.getByText("every connection to this name for 10 minutes").waitFor();
    assert.equal(await notes.count(), 0);
  }));

test("allow wildcard tells what else it would let through, for each width", () =>
  inWorld(async world => {
    await world.post(event({ name: "pay.shop.example.com" }),
      event({ name: "pay.shop.example.com" }), event({ name: "ads.example.com" }),
      allowed({ name: "ok.shop.example.com" }), event({ name: "shop.example.com" }),
      event({ name: "elsewhere.example.net" }));
    const page = await openStory(world);
    await page.keyboard.press("3");
    await page.waitForSelector("[data-fix=wildcard][aria-checked=true]");
    await page.getByText("1 other name that was blocked").waitFor();
    const listed = () => page.$$eval(".also-list li .mono", all =>
      all.map(one => one.textContent));
    assert.deepEqual(await listed(), ["pay.shop.example.com"]);
    await page.getByText("shop.example.com itself was blocked too and is not covered").waitFor();
    await page.selectOption(".fix-form label:has-text('How wide') select", "*.example.com");
    await page.getByText("3 other names that were blocked").waitFor();
    assert.deepEqual((await listed()).sort(), ["ads.example.com", "pay.shop.example.com",
      "shop.example.com"]);
    await page.selectOption(".fix-form label:has-text('Where') select", "");
    await page.getByText("On every instance").waitFor();
    await page.click("[data-action=send]");
    const [request] = await until(async () => {
      const found = await fetched(world);
      return found.length && found;
    }, "the request");
    assert.equal(request.value, "*.example.com");
    assert.ok(!request.target_hostname);
  }));

test("public suffixes are never offered, and shared ones come with a warning", () =>
  inWorld(async world => {
    await world.post(event({ name: "shop.co.uk" }),
      event({ name: "stranger.github.io" }));
    const page = await world.page();
    await untilLive(page);
    await page.click(".vlist .row >> text=stranger.github.io");
    await page.click("[data-fix=wildcard]");
    await page.getByText("Anybody can have a name under github.io").waitFor();
    /* The server knows the whole list, and says no in its own words. */
    await page.click("[data-action=send]");
    await page.waitForSelector(".state-failed >> text=Refused");
    assert.deepEqual(await fetched(world), []);
    await page.click(".vlist .row >> text=shop.co.uk");
    await page.getByText("The only wildcard would be a public suffix").waitFor();
    assert.ok(await page.isDisabled("[data-fix=wildcard]"));
  }));

test("where no name was seen the address is offered, where nothing helps nothing is", () =>
  inWorld(async world => {
    await world.post(event({ name: "", https: "", reason: "no-sni" }),
      event({ name: "cdn.example.com", reason: "sni-switched" }));
    const page = await world.page();
    await untilLive(page);
    await untilRows(page, ["cdn.example.com", "192.0.2.7:443"]);
    await page.click(".vlist .name >> text=cdn.example.com");
    await page.getByText("No entry of the policy would have changed this").waitFor();
    assert.equal(await page.locator(".fix").count(), 0);
    await page.click(".vlist .name >> text=192.0.2.7:443");
    await page.getByText("The TLS hello named no server").waitFor();
    await page.getByText("whatever else lives at this address").waitFor();
    await page.click("[data-fix=name]");
    await page.click("[data-action=send]");
    const [request] = await until(async () => {
      const found = await fetched(world);
      return found.length && found;
    }, "the request");
    assert.deepEqual([request.type, request.value], ["ip", "192.0.2.7"]);
  }));
