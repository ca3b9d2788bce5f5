/* screenshots.mjs - the pictures of the README, of the dashboard at ADDRESS:
 *
 *     node screenshots.mjs ADDRESS [--all]
 *
 * tests/net/screenshots.py has filled it.  --all: also of the other pages, into
 * RINGFENCE_UI_SHOTS, for whoever works on them. */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { closeBrowser, openPage, SHOTS, untilLive } from "./world.mjs";

const FOLDER = path.resolve("docs"), [address, ...words] = process.argv.slice(2);
const problems = [], SIZE = { width: 1360, height: 850 };

async function open(hash, options = {}) {
  const { page } = await openPage(`${address}/${hash}`, { viewport: SIZE, ...options }, problems);
  /* All that there is, which is less than the shortest of the other ranges. */
  await page.evaluate(() => localStorage.setItem("overviewRange", "all"));
  await page.reload();
  return page;
}

/* Does the lamp tell of events in the last second? */
function isBusy() {
  return /[1-9]\d*\/s/.test(document.querySelector(".lamp").textContent);
}

/* In fewer colours: nobody sees the difference, but everybody who clones the repository. */
async function shoot(page, name) {
  const file = path.join(FOLDER, `${name}.png`);
  await page.screenshot({ path: file });
  const { status, stderr } = spawnSync("pngquant", ["--force", "--ext", ".png", "--speed", "1",
    "--quality", "60-95", "--strip", file]);
  if (status !== 0)
    throw new Error(`pngquant: ${stderr}`);
  console.log(`${file}: ${Math.round(fs.statSync(file).size / 1024)} KiB`);
}

const page = await open("");
await untilLive(page);
await page.waitForSelector(".top-BLOCKED li");
await page.waitForFunction(isBusy);
await page.settled();
await shoot(page, "dashboard");

await page.fill(".filterbar input[type=search]", "sentry");
await page.click(".seg[data-verdict=BLOCKED]");
await page.selectOption("select[aria-label=Component]", "https");
await page.click(".vlist .row[aria-rowindex='2']");
await page.keyboard.press("3");
await page.waitForSelector(".also-list li");
await page.settled();
await shoot(page, "dashboard-story");

const dark = await open("#/policy?instance=shop-web", { colorScheme: "dark" });
await dark.waitForSelector("td");
await dark.settled();
await shoot(dark, "dashboard-policy-dark");

const phone = await open("", { viewport: { width: 390, height: 780 }, isMobile: true,
  hasTouch: true, deviceScaleFactor: 2 });
await untilLive(phone);
await phone.waitForSelector(".vlist .row");
await phone.waitForFunction(isBusy);
await phone.waitForFunction(() => !/^0 /.test(document.querySelector(".shown-count").textContent));
await shoot(phone, "dashboard-phone");

const OTHERS = [["aggregates", "#/aggregates?range=all", {}], ["search", "#/search?q=sentry", {}],
  ["fleet", "#/fleet", {}], ["audit", "#/audit", {}], ["keys", "#/keys", {}],
  ["stream-dark", "", { colorScheme: "dark" }],
  ["story-allowed", "#/stream?verdict=ALLOWED&component=https", {}]];
for (const [name, hash, options] of words.includes("--all") ? OTHERS : []) {
  const other = await open(hash, options);
  await other.waitForSelector("main > *");
  await other.settled();
  if (name === "story-allowed") {
    await other.click(".vlist .row[aria-rowindex='2']");
    await other.locator(".story").getByText("Took ").waitFor();
  }
  fs.mkdirSync(SHOTS, { recursive: true });
  await other.screenshot({ path: path.join(SHOTS, `${name}.png`) });
}
await closeBrowser();
if (problems.length)
  throw new Error(problems.join("\n"));
