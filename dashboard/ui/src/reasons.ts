/* reasons.ts - why a connection ended as it did, in a sentence, and which fix can help. */

/* name: adding the name helps; address: only listing the address does; none: neither would. */
export type Remedy = "name" | "address" | "none";

interface Reason {
  text: string;
  remedy: Remedy;
  hint?: string;
}

const REASONS: Record<string, Reason> = {
  "not-allowlisted": { text: "No entry of the policy covers this name.", remedy: "name" },
  "sinkholed-not-allowlisted": {
    text: "No entry of the policy covers the name that was asked for, so the question never left.",
    remedy: "name",
  },
  "nxdomain": {
    text: "No entry of the policy covers the name that was asked for; the answer was NXDOMAIN.",
    remedy: "name",
  },
  "denylisted": {
    text: "An entry of the deny list covers this name.", remedy: "none",
    hint: "Deny wins over allow: take the entry off the deny list instead.",
  },
  "would-be-blocked": {
    text: "Let through because ENFORCE=audit; enforcing, it would have been blocked.",
    remedy: "name",
  },
  "no-sni": {
    text: "The TLS hello named no server, so there was no name to judge.", remedy: "address",
    hint: "Only listing the address lets such a client through.",
  },
  "no-host": {
    text: "The HTTP request carried no Host.", remedy: "address",
    hint: "Mend the client, or list the address.",
  },
  "malformed-hello": {
    text: "What was sent is not a well-formed TLS hello.", remedy: "address",
    hint: "If this is a protocol other than TLS on port 443, list the address.",
  },
  "malformed-request": {
    text: "What was sent is not a well-formed HTTP request, or could be read in two ways.",
    remedy: "none",
    hint: "No entry lets an ambiguous request through: look at the client and at “detail”.",
  },
  "ech-blocked": {
    text: "The hello hides its server name (ECH), and ECH=block is set.", remedy: "none",
    hint: "Set ECH=allow if the outer name alone may decide.",
  },
  "hello-timeout": {
    text: "The client sent no whole hello or request in time.", remedy: "none",
    hint: "Usually a protocol where the server speaks first: list its address.",
  },
  "sni-switched": {
    text: "A second hello on the same connection named another host.", remedy: "none",
    hint: "This is how filters are slipped past. Find out what the client is.",
  },
  "host-switched": {
    text: "Another allowed host came on the same connection; the client may reconnect.",
    remedy: "none", hint: "Nothing to do: clients reconnect by themselves.",
  },
  "unresolved": {
    text: "The name has no address, or no resolver gave a good answer.", remedy: "none",
    hint: "Look at the resolver: the policy is not what stopped this.",
  },
  "bad-address": {
    text: "The name leads only to addresses that may never be dialled "
      + "(loopback, link-local, metadata, private).",
    remedy: "address",
    hint: "For a service on a private address list that address, or set PRIVATE_ANSWERS=allow.",
  },
  "dst-mismatch": {
    text: "The client chose an address that is not one of the name's (DESTINATION_CHECK=strict).",
    remedy: "none",
    hint: "Somebody may be using an allowed name to reach an address of their own.",
  },
  "self": { text: "The connection leads back to ringfence itself.", remedy: "none" },
  "not-in-allow-from": {
    text: "The client's address is not in ALLOW_FROM.", remedy: "none",
    hint: "Add the client to ALLOW_FROM.",
  },
  "connect-failed": {
    text: "Every address of the name refused or was out of reach.", remedy: "none",
    hint: "The policy let it through; the other side did not answer.",
  },
  "connect-timeout": {
    text: "No address of the name answered in time.", remedy: "none",
    hint: "The policy let it through; the other side did not answer.",
  },
  "overload": {
    text: "Too many connections, or no memory left to judge one.", remedy: "none",
    hint: "Raise the limit, or find out who opens so many.",
  },
  "dns-hardening": {
    text: "The question looked like a tunnel or a rebinding attempt.", remedy: "none",
  },
  "policy-changed": { text: "A reload took the name off the allow list.", remedy: "name" },
};

export function reasonOf(slug: string, verdict: string, hasName: boolean): Reason {
  const known = REASONS[slug];
  if (known)
    return known;
  if (verdict === "ALLOWED")
    return { text: "An entry of the policy covers it.", remedy: "none" };
  if (slug)
    return { text: slug, remedy: hasName ? "name" : "address" };
  return hasName ? { text: "No entry of the policy covers this name.", remedy: "name" }
    : { text: "No entry of the policy covers this address.", remedy: "address" };
}
