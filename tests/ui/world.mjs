/* world.mjs - a dashboard on loopback, an agent's posts, and a real browser that looks at it.
 *
 * RINGFENCE_DASHBOARD: the program.  RINGFENCE_UI_MODULES: the folder with node_modules.
 * Everything waits for the thing itself, bounded by WAIT_MS; nothing sleeps for a while. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import os from "node:os";
import path from "node:path";

const need = createRequire(path.resolve(process.env.RINGFENCE_UI_MODULES, "package.json"));
const { chromium } = need("playwright-core");

export const WAIT_MS = 20000;
export const KEY = "a-key-of-the-tests-0123456789abcdef0123456789";
export const PASSWORD = "correct horse";
/* bcrypt of it, cheap on purpose. */
const PASSWORD_HASH = "$2b$06$ringfencetestssaltxxxuopF8KniPkalWYL2Aa7alK7YjCeHQifa";
export const SHOTS = path.resolve(process.env.RINGFENCE_UI_SHOTS ?? "build/ui-shots");

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const BROWSER_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/* Until it is true, or thrown nothing for; bounded. */
export async function until(work, what) {
  const end = Date.now() + WAIT_MS;
  let last;
  do {
    try {
      const answer = await work();
      if (answer)
        return answer;
    } catch (error) {
      last = error;
    }
    await new Promise(resolve => setTimeout(resolve, 25));
  } while (Date.now() < end);
  throw new Error(`waited ${WAIT_MS} ms for ${what}${last ? `: ${last.message}` : ""}`);
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

let browser = null;

async function theBrowser() {
  browser ??= await chromium.launch({ executablePath: CHROMIUM, args: BROWSER_FLAGS });
  return browser;
}

/* A page in a browser that has never been here.  problems: what goes wrong in it. */
export async function openPage(address, options = {}, problems = []) {
  const context = await (await theBrowser()).newContext({ viewport: { width: 1360, height: 860 },
    reducedMotion: "reduce", colorScheme: "light", ...options });
  const page = await context.newPage(), open = new Set();
  page.setDefaultTimeout(WAIT_MS);
  page.on("pageerror", error => problems.push(`page: ${error.stack}`));
  page.on("dialog", dialog => {
    problems.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("console", message => {
    /* An answer of 401 or nobody there is said by the browser too, and is tested. */
    if (message.type() === "error" && !/Failed to load resource/.test(message.text()))
      problems.push(`console: ${message.text()}`);
  });
  page.on("requestfinished", request => open.delete(request));
  page.on("requestfailed", request => open.delete(request));
  page.on("request", request => {
    if (!request.url().includes("/events"))         /* which never ends */
      open.add(request);
    if (!/^(blob:)?http:\/\/127\.0\.0\.1:/.test(request.url()))
      problems.push(`a request to ${request.url()}`);
  });
  page.settled = () => until(() => open.size === 0, "every answer");
  await page.goto(address);
  return { page, problems };
}

/* An event as an agent ships it. */
export function event(more = {}) {
  const { name = "blocked.example.com", ...rest } = more;
  return { msg: "https.blocked", action: "BLOCKED", component: "https", https: name,
    reason: "not-allowlisted", hostname: "web-1", source_ip: "172.18.0.2", source_port: 40001,
    destination_ip: "192.0.2.7", destination_port: 443, flow_id: "9d1c6e0c1b7f3a52",
    version: "0.1.0", time: new Date().toISOString(), ...rest };
}

export function allowed(more = {}) {
  return event({ msg: "https.allowed", action: "ALLOWED", name: "allowed.example.com",
    reason: undefined, rule: "*.example.com", dialled: "192.0.2.7:443", bytes_up: 1200,
    bytes_down: 340000, duration_ms: 412, ...more });
}

export class World {
  constructor(folder, port, env) {
    this.folder = folder;
    this.port = port;
    this.env = env;
    this.url = `http://127.0.0.1:${port}`;
    this.contexts = [];
    this.problems = [];
    this.child = null;
  }

  /* env: more variables, by which AUTH_MODE is none unless said otherwise. */
  static async open(env = {}) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "ringfence-ui-"));
    const world = new World(folder, await freePort(), env);
    await world.start();
    return world;
  }

  async start() {
    const log = fs.openSync(path.join(this.folder, "log"), "a");
    this.child = spawn(path.resolve(process.env.RINGFENCE_DASHBOARD), [], {
      stdio: ["ignore", log, log],
      env: { PATH: process.env.PATH, PORT: `127.0.0.1:${this.port}`, AUTH_MODE: "none",
        API_KEY: KEY, ADMIN_PASSWORD_HASH: PASSWORD_HASH, COOKIE_SECURE: "false",
        RATE_RPS: "100000", RATE_BURST: "100000",
        DB_PATH: path.join(this.folder, "dashboard.db"), ...this.env },
    });
    fs.closeSync(log);
    this.gone = new Promise(resolve => this.child.once("exit", resolve));
    await until(async () => {
      if (this.child.exitCode !== null)
        throw new Error(`the dashboard ended:\n${this.log()}`);
      return (await fetch(`${this.url}/health`)).ok;
    }, "the dashboard to answer");
  }

  log() {
    return fs.readFileSync(path.join(this.folder, "log"), "utf8");
  }

  async stop(signal = "SIGTERM") {
    this.child.kill(signal);
    await this.gone;
  }

  async api(method, what, body) {
    const response = await fetch(`${this.url}/api/v1${what}`, { method,
      headers: { "X-Api-Key": KEY, ...(body ? { "Content-Type": "application/json" } : {}) },
      body: body ? JSON.stringify(body) : undefined });
    const text = await response.text();
    return { status: response.status, json: text ? JSON.parse(text) : null };
  }

  async post(...events) {
    const { status, json } = await this.api("POST", "/logs", events.flat());
    assert.equal(status, 201, `posting events: ${JSON.stringify(json)}`);
  }

  /* What an instance of ours tells every 30 seconds. */
  async report(more = {}) {
    const { status } = await this.api("POST", "/sync", { hostname: "web-1", version: "0.1.0",
      filter_mode: "https", config_hash: "3ac1f09d77e2b410", started: new Date().toISOString(),
      counters: { allowed: 12, blocked: 3 }, warnings: [], policy: { domains: [], ips: [],
        source: "file", path: "/app/policy/policy.yaml", overlay: "", read_only: false },
      ...more });
    assert.ok(status < 300, `a report: ${status}`);
  }

  /* A page; whatever goes wrong in it is kept for close(). */
  async page(hash = "", options = {}) {
    const { page } = await openPage(`${this.url}/${hash}`, options, this.problems);
    this.contexts.push(page.context());
    return page;
  }

  async close() {
    for (const context of this.contexts.splice(0))
      await context.close();
    await this.stop("SIGKILL");
    fs.rmSync(this.folder, { recursive: true, force: true });
    assert.deepEqual(this.problems, [], "the pages had no trouble");
  }
}

export async function inWorld(work, env) {
  const world = await World.open(env);
  try {
    await work(world);
  } finally {
    await world.close();
  }
}

export async function closeBrowser() {
  await browser?.close();
  browser = null;
}

/* The words of the rows on the screen, newest first. */
export function rowTexts(page, cell = "name") {
  return page.$$eval(".vlist .row", (rows, wanted) => rows
    .sort((a, b) => a.ariaRowIndex - b.ariaRowIndex)
    .map(row => row.querySelector(wanted).textContent), cell === "name" ? ".name" : `.c-${cell}`);
}

export async function untilRows(page, wanted) {
  await until(async () => JSON.stringify(await rowTexts(page)) === JSON.stringify(wanted),
    `the rows ${wanted}`).catch(async error => {
    throw new Error(`${error.message}; there are ${await rowTexts(page)}`);
  });
}

export async function untilLive(page) {
  await page.waitForSelector(".lamp[data-state=live]");
}

export async function shoot(page, name) {
  fs.mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: path.join(SHOTS, `${name}.png`) });
}

export async function noSidewaysScroll(page, where) {
  const found = await page.evaluate(() => {
    const main = document.querySelector("main");
    if (Math.max(document.documentElement.scrollWidth, main.scrollWidth) <= innerWidth)
      return [];
    return [...main.querySelectorAll("*")].filter(node =>
      node.getBoundingClientRect().right > innerWidth + 1 && !node.closest("table, pre"))
      .map(node => `${node.tagName} ${node.className} ${node.textContent.slice(0, 30)}`);
  });
  assert.deepEqual(found, [], `${where} is wider than the screen`);
}
