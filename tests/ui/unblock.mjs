/* unblock.mjs - what a person does at 2 a.m., driven by tests/net/test_dashboard_browser.py:
 *
 *     node unblock.mjs ADDRESS allow|undo NAME
 *
 * opens the dashboard, finds the blocked name, lets it through (or takes that back), and ends when
 * the page says that the new policy is in force. */
import { closeBrowser, openPage, untilLive } from "./world.mjs";

const [address, what, name] = process.argv.slice(2);
const { page, problems } = await openPage(`${address}/#/stream?verdict=BLOCKED`);
await untilLive(page);
await page.fill(".filterbar input[type=search]", name);
await page.locator(".vlist .row .name", { hasText: name }).first().click();
if (what === "allow") {
  await page.keyboard.press("2");
  await page.fill(".fix-form input", "it is needed after all");
  await page.click("[data-action=send]");
  await page.waitForSelector(".state[data-state=applied]");
} else {
  /* The story knows of the request that somebody made. */
  await page.waitForSelector(".state[data-state=applied]");
  await page.click("[data-action=undo]");
  await page.waitForSelector(".state[data-state=undone]");
}
await closeBrowser();
if (problems.length) {
  console.error(problems.join("\n"));
  process.exit(1);
}
