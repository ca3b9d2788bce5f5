/* empty.ts - nothing to show, and what to do about it. */
import { button, h } from "../dom";
import { live } from "../live";
import { address } from "../route";
import { empty, failure, snippet } from "../ui";
import { ApiError } from "../api";

function agentSnippet(): string {
  return [
    "services:",
    "  ringfence:",
    "    image: ringfence",
    "    cap_drop: [ALL]",
    "    cap_add: [NET_ADMIN, NET_RAW, SETUID]",
    "    environment:",
    `      DASHBOARD_HOST: ${location.origin}`,
    "      DASHBOARD_API_KEY: ${RINGFENCE_KEY}   # made on the API keys page",
    "      HOSTNAME: web-1                       # the name it has here",
    "    volumes: [\"./policy:/app/policy:ro\"]",
  ].join("\n");
}

/* By hand, to see whether the dashboard takes events at all. */
function curlSnippet(): string {
  return `curl -sS -H "X-Api-Key: $RINGFENCE_KEY" -H "Content-Type: application/json" \\\n`
    + `  -d '{"msg":"https.blocked","action":"BLOCKED","component":"https",`
    + `"https":"example.com","reason":"not-allowlisted","hostname":"by-hand"}' \\\n`
    + `  ${location.origin}/api/v1/logs`;
}

export function connectHelp(): HTMLElement {
  return h("div", { class: "teach" },
    h("ol", { class: "steps" },
      h("li", null, h("b", null, "Make a key. "), "On the ",
        h("a", { href: address("keys") }, "API keys"),
        " page, one for each agent, so that a lost one can be taken back alone."),
      h("li", null, h("b", null, "Tell the agent where to send. "),
        "Two variables beside those it has; g0efilter agents take the same:",
        snippet(agentSnippet(), "Compose snippet")),
      h("li", null, h("b", null, "See it arrive. "),
        "Its first event shows up here by itself. Nothing comes? Send one by hand:",
        snippet(curlSnippet(), "Test command"),
        h("p", { class: "muted" }, "201: all is well. 401: the key is wrong, and the agent's "
          + "log says so too. No answer: the agent cannot reach this address."))));
}

export function emptyStream(kind: string, clear: () => void): HTMLElement {
  if (kind === "filter") {
    return empty("search", "No event passes these filters",
      h("p", null, "What is shown here is the recent past. Older events are found by ",
        h("a", { href: address("search") }, "Search"), "."),
      button("Show everything", clear));
  }
  if (kind === "away")
    return empty("warn", live.problem ? "The dashboard refuses the live stream"
      : "The dashboard is away", failure(live.problem
      ?? new ApiError(0, "the dashboard does not answer")));
  if (kind === "connecting" || kind === "live")
    return empty("stream", "Reading…");
  return empty("stream", "No events yet",
    h("p", null, "The dashboard is up and listening, but no agent has sent anything."),
    connectHelp());
}
