/* screenshots.mjs - the pictures of the README: the real dashboard, with an hour of a small shop's
 * traffic posted as its agents would.  ./dev screenshots */
import path from "node:path";
import { closeBrowser, untilLive, World } from "./world.mjs";

const FOLDER = path.resolve("docs");
const ALLOWED = [["api.stripe.com", 30], ["registry.npmjs.org", 26], ["api.github.com", 22],
  ["files.pythonhosted.org", 17], ["deb.debian.org", 13], ["pypi.org", 9], ["auth.docker.io", 7],
  ["hooks.slack.com", 5], ["smtp.mail.example.net", 3]];
const BLOCKED = [["telemetry.nextjs.org", 9], ["o4507.ingest.sentry.io", 7],
  ["stats.grafana.org", 6], ["api.segment.io", 5], ["o1188.ingest.sentry.io", 4],
  ["paste.example.org", 2], ["update.code.example.com", 2], ["", 3]];
const HOSTS = ["shop-web", "shop-jobs", "ci-runner", "search"];
const PROCESSES = [["node", "/usr/local/bin/node", "node /app/server.js"],
  ["python3", "/usr/bin/python3.11", "python3 -m celery -A jobs worker --concurrency=4"],
  ["npm", "/usr/local/bin/node", "npm ci"],
  ["curl", "/usr/bin/curl", "curl -fsS https://paste.example.org/raw/8dk2"]];

/* The same pictures each time: no chance but this. */
let seed = 7;
function chance() {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  return (seed >>> 8) / 2 ** 24;
}

function pick(list) {
  return list[Math.floor(chance() * list.length)];
}

function weighted(list) {
  let left = chance() * list.reduce((sum, [, weight]) => sum + weight, 0);
  return list.find(([, weight]) => (left -= weight) < 0)?.[0] ?? list[0][0];
}

function makeEvent(time) {
  const roll = chance(), verdict = roll < 0.13 ? "BLOCKED" : roll < 0.16 ? "AUDIT" : "ALLOWED";
  const name = weighted(verdict === "ALLOWED" ? ALLOWED : BLOCKED), host = pick(HOSTS);
  const [process_name, executable, cmdline] = name.startsWith("paste") ? PROCESSES[3]
    : pick(PROCESSES.slice(0, 3));
  const component = name === "" ? "nflog" : chance() < 0.25 ? "dns" : chance() < 0.1 ? "http"
    : "https";
  const event = { msg: `${component}.${verdict.toLowerCase()}`, action: verdict, component,
    time: new Date(time).toISOString(), hostname: host, version: "0.1.0",
    source_ip: `172.18.0.${2 + HOSTS.indexOf(host)}`, source_port: 32768 + Math.floor(
      chance() * 28000), flow_id: Math.floor(chance() * 2 ** 48).toString(16),
    pid: 10 + Math.floor(chance() * 900), process_name, executable, cmdline };
  event[component === "dns" ? "qname" : component === "http" ? "host" : "https"] = name;
  if (component === "dns")
    Object.assign(event, { qtype: chance() < 0.5 ? "A" : "AAAA", protocol: "UDP" });
  else
    Object.assign(event, { destination_ip: component === "nflog" ? "203.0.113.53"
      : `198.51.100.${1 + Math.floor(chance() * 250)}`, protocol: component === "nflog" ? "UDP"
      : "TCP", destination_port: component === "nflog" ? 53 : component === "http" ? 80 : 443 });
  if (verdict === "BLOCKED" && component !== "nflog")
    Object.assign(event, { reason: component === "dns" ? undefined : "not-allowlisted",
      note: component === "dns" ? "nxdomain" : undefined, to_allow: `domains: ${name}` });
  if (verdict === "AUDIT")
    event.note = "would-be-blocked";
  if (verdict === "ALLOWED" && component !== "dns") {
    Object.assign(event, { rule: name, dialled: `${event.destination_ip}:443`,
      bytes_up: Math.floor(400 + chance() * 9000), bytes_down: Math.floor(chance() ** 3 * 6e6),
      duration_ms: Math.floor(20 + Math.exp(chance() * 7)) });
  }
  return event;
}

function report(hostname, more = {}) {
  const ago = minutes => new Date(Date.now() - minutes * 60e3).toISOString();
  return { hostname, version: "0.1.0", filter_mode: "https", config_hash: "3ac1f09d77e2b410",
    started: ago(4700), counters: { allowed: 82311, blocked: 1204, conns_open: 42 }, warnings: [],
    policy: { source: "file", path: "/app/policy/policy.yaml", read_only: true,
      overlay: "/app/data/overlay.yaml", domains: [
        ...ALLOWED.map(([entry, weight], at) => ({ entry, hits: weight * 911,
          last_hit: ago(at * at) })),
        { entry: "*.githubusercontent.com", hits: 3321, last_hit: ago(2) },
        { entry: "legacy-crm.example.com", hits: 0 }, { entry: "*.corp.example.net", hits: 0 }],
      ips: [{ entry: "10.20.0.0/16", hits: 912, last_hit: ago(5) }, { entry: "192.0.2.10",
        hits: 0 }] }, ...more };
}

async function fillWorld(world) {
  const now = Date.now(), events = [];
  for (let minute = 60; minute > 0; minute--) {
    const burst = minute > 17 && minute < 22 ? 30 : 0;
    const busy = 14 + 8 * Math.sin(minute / 7) + 6 * chance() + burst;
    for (let one = 0; one < busy; one++)
      events.push(makeEvent(now - minute * 60e3 + chance() * 60e3));
  }
  events.sort((a, b) => a.time < b.time ? -1 : 1);
  await world.post(events);
  for (const host of HOSTS)
    await world.report(report(host));
  await world.report(report("search", { config_hash: "9f8e11aa2b3c4d5e", warnings: [
    "the workload holds CAP_NET_RAW in our network namespace: it could send past the filter"] }));
}

const world = await World.open({ BUFFER_SIZE: "20000" });
const shoot = (page, name) => page.screenshot({ path: path.join(FOLDER, `${name}.png`) });
await fillWorld(world);

const page = await world.page("", { viewport: { width: 1360, height: 850 } });
await untilLive(page);
await page.waitForSelector(".top-BLOCKED li");
await page.settled();
await shoot(page, "dashboard");

await page.fill(".filterbar input[type=search]", "sentry");
await page.click(".seg[data-verdict=BLOCKED]");
await page.click(".vlist .row[aria-rowindex='2']");
await page.keyboard.press("3");
await page.waitForSelector(".also-list li");
await page.settled();
await shoot(page, "dashboard-story");

const dark = await world.page("#/policy?instance=shop-web", { colorScheme: "dark",
  viewport: { width: 1360, height: 850 } });
await dark.waitForSelector("td");
await dark.settled();
await shoot(dark, "dashboard-policy-dark");

const phone = await world.page("", { viewport: { width: 390, height: 780 }, isMobile: true,
  hasTouch: true, deviceScaleFactor: 2 });
await untilLive(phone);
await phone.waitForSelector(".vlist .row");
await shoot(phone, "dashboard-phone");

for (const [name, hash, options] of [["aggregates", "#/aggregates?range=1h", {}],
  ["search", "#/search?q=sentry&range=1h", {}], ["fleet", "#/fleet", {}], ["audit", "#/audit", {}],
  ["keys", "#/keys", {}], ["stream-dark", "", { colorScheme: "dark" }]]) {
  if (!process.argv.includes("--all"))
    break;
  const other = await world.page(hash, options);
  await other.waitForSelector("main > *");
  await other.settled();
  await other.screenshot({ path: path.join(process.env.RINGFENCE_UI_SHOTS, `${name}.png`) });
}
await world.close();
await closeBrowser();
