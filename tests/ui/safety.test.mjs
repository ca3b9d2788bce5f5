/* What comes from the wire stays text; what is served is small, and fits every screen. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import zlib from "node:zlib";
import { allowed, closeBrowser, event, inWorld, noSidewaysScroll, shoot, untilLive }
  from "./world.mjs";

after(closeBrowser);

const MARKUP = ["<img src=x onerror=window.hit=1>", "<script>window.hit=1</script>",
  "\"><svg/onload=window.hit=1>", "javascript:window.hit=1", "'-window.hit=1-'",
  "</style><script>window.hit=1</script>", "{{constructor.constructor('window.hit=1')()}}",
  "evil\u202Emoc.elpmaxe", "two\nlines\u2028data: {\"id\":1}", "<a href=javascript:window.hit=1>a"];

/* In every place where a workload, an agent or an operator puts text. */
function hostile(text) {
  return [event({ name: text }), event({ name: undefined, msg: "http.blocked", component: "http",
    host: text, http_host: text }), event({ name: undefined, msg: "dns.blocked",
    component: "dns", qname: text }), event({ name: "x.example.com", reason: text, note: text,
    hostname: text, process_name: text, cmdline: text, executable: text, detail: text,
    rule: text, flow_id: text, version: text, dst: text, src: text, source_ip: text,
    protocol: text, to_allow: text }), event({ name: "y.example.com", component: text,
    msg: text })];
}

async function assertInert(page, where) {
  const found = await page.evaluate(() => ({ hit: window.hit,
    made: [...document.querySelectorAll("img:not([src='/logo.svg']), script:not([src]), style, "
      + "iframe, object, embed, [onerror], [onload], [style*=expression]")]
      .map(node => node.outerHTML.slice(0, 200)),
    links: [...document.querySelectorAll("a[href]")].map(node => node.getAttribute("href"))
      .filter(href => !["#", "/api/", "https://bgp.tools/", "https://www.abuseipdb.com/",
        "https://lookup.icann.org/", "https://www.virustotal.com/"]
        .some(start => href.startsWith(start))) }));
  assert.deepEqual(found, { hit: undefined, made: [], links: [] }, where);
}

test("markup in names, fields and policies stays text on every page", () => inWorld(async world => {
  await world.post(MARKUP.flatMap(hostile));
  await world.report({ hostname: MARKUP[0], warnings: MARKUP, policy: { source: MARKUP[0],
    path: MARKUP[1], overlay: MARKUP[2], read_only: false,
    domains: MARKUP.map(entry => ({ entry, hits: 1, source: entry })),
    ips: MARKUP.map(entry => ({ entry, hits: 0 })) } });
  const page = await world.page();
  await untilLive(page);
  await page.waitForSelector(".vlist .row >> nth=20");
  await assertInert(page, "the stream");
  const text = await page.textContent(".vlist");
  assert.ok(text.includes("<a href=javascript") || text.includes("[invalid]"));
  assert.ok(!/[\u202a-\u202e\u2066-\u2069]/.test(text), "nothing turns the text round");

  const { json } = await world.api("GET", "/logs?limit=100");
  for (const { id } of json.slice(0, 50)) {
    await page.evaluate(to => {
      location.hash = `#/stream?e=${to}`;
    }, id);
    await page.waitForSelector(`.story-when >> text=event ${id}`);
    await assertInert(page, `the story of ${id}`);
  }
  for (const hash of ["#/search?range=1h", "#/aggregates?range=1h", "#/aggregates?by=client",
    "#/policy", "#/fleet", "#/audit", "#/keys", `#/search?q=${encodeURIComponent(MARKUP[0])}`,
    `#/stream?q=${encodeURIComponent(MARKUP[0])}&component=${encodeURIComponent(MARKUP[1])}`
      + `&instance=${encodeURIComponent(MARKUP[2])}&verdict=${encodeURIComponent(MARKUP[0])}`]) {
    await page.goto(`${world.url}/${hash}`);
    await page.reload();
    await page.waitForSelector("main > *");
    await page.settled();
    await assertInert(page, hash);
  }
}));

test("one event with line breaks in its names stays one event", () => inWorld(async world => {
  const page = await world.page();
  await untilLive(page);
  await world.post(event({ name: "before.example.com" }), event({ name: "a.example.com",
    reason: "x\n\ndata: {\"id\":99999,\"msg\":\"forged\",\"action\":\"ALLOWED\"}\n\n" }),
  event({ name: "after.example.com" }));
  await page.waitForSelector(".vlist .row >> text=after.example.com");
  assert.equal(await page.locator(".vlist .row").count(), 3);
  assert.equal(await page.locator(".vlist .row >> text=forged").count(), 1, "as a reason only");
}));

test("the policy of the page forbids inline code, and nothing of ours needs it", () =>
  inWorld(async world => {
    const response = await fetch(`${world.url}/`);
    const policy = response.headers.get("content-security-policy");
    for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'",
      "connect-src 'self'", "img-src 'self'", "base-uri 'none'", "form-action 'none'",
      "frame-ancestors 'none'"])
      assert.ok(policy.includes(part), `${part} in ${policy}`);
    assert.ok(!/unsafe|data:|\*/.test(policy), policy);
    assert.equal(response.headers.get("x-content-type-options"), "nosniff");
    /* That it is obeyed: what a hole would let in does not run. */
    const page = await world.page();
    await page.waitForSelector("main > *");
    const blocked = await page.evaluate(() => new Promise(resolve => {
      document.addEventListener("securitypolicyviolation", event =>
        resolve(event.violatedDirective));
      const script = document.createElement("script");
      script.textContent = "window.hit = 1";
      document.body.append(script);
    }));
    assert.match(blocked, /script-src/);
    world.problems.length = 0;      /* the browser tells of it, as it should */
  }));

test("the first paint is under 100 KiB as it is sent", () => inWorld(async world => {
  const page = await world.page();
  await page.waitForSelector("main > *");
  const paths = await page.evaluate(() => performance.getEntriesByType("resource")
    .map(entry => new URL(entry.name).pathname).filter(path => !path.startsWith("/api/")));
  let sum = 0;
  for (const path of new Set(["/", ...paths])) {
    const response = await fetch(`${world.url}${path}`, { headers: {
      "Accept-Encoding": "gzip" } });
    assert.equal(response.headers.get("content-encoding"), "gzip", path);
    /* fetch() unpacks it: pack it as the server does. */
    sum += zlib.gzipSync(Buffer.from(await response.arrayBuffer()), { level: 9 }).length;
  }
  console.log(`first paint: ${sum} bytes gzipped`);
  assert.ok(sum < 100 * 1024, `${sum} bytes`);
}));

test("a phone shows every page without scrolling sideways", () => inWorld(async world => {
  await world.post(event({ name: `${"long-".repeat(12)}name.${"sub.".repeat(20)}example.com` }),
    allowed());
  await world.report({ policy: { source: "file", path: "/app/policy/policy.yaml",
    domains: [{ entry: `${"long-".repeat(11)}name.${"sub.".repeat(30)}example.com`, hits: 0 }],
    ips: [] } });
  const page = await world.page("", { viewport: { width: 360, height: 740 }, isMobile: true,
    hasTouch: true });
  await page.waitForSelector(".vlist .row");
  await noSidewaysScroll(page, "the stream");
  await shoot(page, "phone-stream");
  await page.tap(".vlist .row.v-BLOCKED");
  await page.waitForSelector(".story:not([hidden])");
  await noSidewaysScroll(page, "the story");
  await shoot(page, "phone-story");
  await page.tap(".story [aria-label='Close (Esc)']");
  for (const title of ["Search", "Aggregates", "Policy", "Fleet", "API keys", "Audit"]) {
    await page.tap(".menu-btn");
    await page.tap(`.nav >> text=${title}`);
    await page.waitForSelector(`h1 >> text=${title}`);
    await page.settled();
    await noSidewaysScroll(page, title);
  }
}));

/* Contrast as WCAG 2 has it, of text against the ground that is painted under it. */
function contrasts() {
  const parse = text => text.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(part => part / 255).map(part =>
    part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = node => {
    const layers = [];
    for (let up = node; up; up = up.parentElement) {
      const color = getComputedStyle(up).backgroundColor;
      if (!color.startsWith("rgb"))
        continue;
      const [r, g, b, a = 1] = parse(color);
      layers.push([r, g, b, a]);
      if (a === 1)
        break;
    }
    return layers.reverse().reduce((under, [r, g, b, a]) =>
      [r, g, b].map((part, at) => part * a + under[at] * (1 - a)), [255, 255, 255]);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const bad = [];
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement, box = node.getBoundingClientRect();
    if (!text.textContent.trim() || !box.width || node.closest("[disabled], .sr-only, option"))
      continue;
    const pair = [light(parse(getComputedStyle(node).color)), light(ground(node))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < 4.5)
      bad.push(`${text.textContent.trim().slice(0, 40)} ${ratio.toFixed(2)}`);
  }
  return bad;
}

test("light and dark follow the system, can be switched, are kept, and can be read", () =>
  inWorld(async world => {
    await world.post(event(), allowed(), event({ action: "AUDIT", msg: "https.audit" }));
    const ground = page => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const page = await world.page("", { colorScheme: "dark" });
    await page.waitForSelector(".vlist .row >> nth=2");
    await page.click(".vlist .row.v-BLOCKED");
    await page.waitForSelector(".fix");
    const dark = await ground(page);
    assert.deepEqual(await page.evaluate(contrasts), [], "dark");
    await shoot(page, "dark");
    await page.click(".theme-switch");
    await page.waitForSelector("html[data-theme=light]");
    const light = await ground(page);
    assert.notEqual(dark, light);
    assert.deepEqual(await page.evaluate(contrasts), [], "light");
    await page.reload();
    await page.waitForSelector(".vlist .row");
    assert.equal(await ground(page), light, "kept");
    const other = await world.page("", { colorScheme: "light" });
    await other.waitForSelector(".vlist .row");
    assert.equal(await ground(other), light, "the system's");
  }));

test("everything that can be pressed has a name", () => inWorld(async world => {
  await world.post(event(), allowed());
  await world.report();
  const page = await world.page();
  await page.click(".vlist .row");
  for (const page_ of ["stream?e=1", "search", "aggregates", "policy", "fleet", "keys", "audit"]) {
    await page.goto(`${world.url}/#/${page_}`);
    await page.waitForSelector("main > *");
    const nameless = await page.evaluate(() => [...document.querySelectorAll(
      "button, a[href], input, select, [role=img], [role=grid], dialog")].filter(node =>
      !(node.ariaLabel || node.textContent.trim() || node.labels?.length))
      .map(node => node.outerHTML.slice(0, 120)));
    assert.deepEqual(nameless, [], page_);
    const twice = await page.evaluate(() => {
      const ids = [...document.querySelectorAll("[id]")].map(node => node.id);
      return ids.filter((id, at) => ids.indexOf(id) !== at);
    });
    assert.deepEqual(twice, [], page_);
    assert.equal(await page.locator("h1").count(), 1, page_);
  }
}));
