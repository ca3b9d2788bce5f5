/* person.mjs - what a person does at 2 a.m., driven by tests/net/test_dashboard_browser.py:
 *
 *     node person.mjs ADDRESS allow|undo|story NAME
 *
 * allow, undo: opens the dashboard, finds the blocked name, lets it through (or takes that back),
 * and ends when the page says that the new policy is in force.  story: opens the allowed one, waits
 * until it tells how the connection ended, and prints what is to be read there. */
import { closeBrowser, openPage, untilLive } from "./world.mjs";

const [address, what, name] = process.argv.slice(2);
const verdict = what === "story" ? "ALLOWED" : "BLOCKED";
const { page, problems } = await openPage(`${address}/#/stream?verdict=${verdict}`);
await untilLive(page);
await page.fill(".filterbar input[type=search]", name);
await page.locator(".vlist .row .name", { hasText: name }).first().click();
if (what === "allow") {
  await page.keyboard.press("2");
  await page.fill(".fix-form input", "it is needed after all");
  await page.click("[data-action=send]");
  await page.waitForSelector(".state[data-state=applied]");
} else if (what === "undo") {
  /* The story knows of the request that somebody made. */
  await page.waitForSelector(".state[data-state=applied]");
  await page.click("[data-action=undo]");
  await page.waitForSelector(".state[data-state=undone]");
} else {
  const then = page.locator(".story .path li", { hasText: "Took " });
  await then.waitFor();
  const fields = await page.$$eval(".story .fields > div", all => all.map(one =>
    [one.querySelector("dt").textContent, one.querySelector("dd").textContent]));
  console.log(JSON.stringify({ then: await then.innerText(), fields: Object.fromEntries(fields) }));
}
await closeBrowser();
if (problems.length) {
  console.error(problems.join("\n"));
  process.exit(1);
}
