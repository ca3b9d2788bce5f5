/* suffix.ts - how wide a wildcard is.  The server refuses public suffixes by the whole list; here
 * the common ones are known, so that a person is warned before asking. */

/* Second labels under which a country's registrars sell names. */
const REGISTRY_LABELS = new Set(("ac asn asso co com conf ed edu firm gen go gob gouv gov govt gub "
  + "id info ind inf law ltd me mil mod muni name ne net nhs nic nom or org plc pol presse pro res "
  + "sch school tm tv web").split(" "));

/* Names under which anybody can have a name within minutes. */
const SHARED = new Set(`amazonaws.com s3.amazonaws.com elb.amazonaws.com execute-api.amazonaws.com
  cloudfront.net awsapprunner.com elasticbeanstalk.com azurewebsites.net azureedge.net
  azurefd.net blob.core.windows.net core.windows.net cloudapp.net cloudapp.azure.com
  trafficmanager.net azurestaticapps.net googleapis.com storage.googleapis.com appspot.com
  web.app firebaseapp.com firebaseio.com run.app cloudfunctions.net googleusercontent.com
  blogspot.com github.io githubusercontent.com gitlab.io bitbucket.io pages.dev workers.dev
  r2.dev trycloudflare.com cloudflarestorage.com vercel.app now.sh netlify.app herokuapp.com
  onrender.com fly.dev railway.app deno.dev glitch.me repl.co replit.app ngrok.io ngrok.app
  ngrok-free.app loca.lt digitaloceanspaces.com ondigitalocean.app backblazeb2.com wasabisys.com
  myshopify.com wordpress.com surge.sh duckdns.org no-ip.org ddns.net dyndns.org nip.io sslip.io
  akamaihd.net akamaized.net edgekey.net edgesuite.net fastly.net fastlylb.net b-cdn.net
  supabase.co hf.space readthedocs.io netlify.com translate.goog`.split(/\s+/));

export type Width = "public" | "shared" | "own";

/* public: a suffix that belongs to a registry; shared: strangers' names live under it. */
export function widthOf(suffix: string): Width {
  const labels = suffix.toLowerCase().split(".");
  if (labels.length < 2)
    return "public";
  if (labels.length === 2 && labels[1].length === 2 && REGISTRY_LABELS.has(labels[0]))
    return "public";
  for (let from = 0; from < labels.length - 1; from++) {
    if (SHARED.has(labels.slice(from).join(".")))
      return from === 0 || labels.length - from <= 3 ? "shared" : "own";
  }
  return "own";
}

/* The wildcards that would cover a name, narrowest first; none that a registry owns. */
export function wildcardsOf(name: string): string[] {
  const labels = name.toLowerCase().split(".");
  const found: string[] = [];
  for (let from = 1; from < labels.length - 1; from++) {
    const suffix = labels.slice(from).join(".");
    if (widthOf(suffix) !== "public")
      found.push(`*.${suffix}`);
  }
  return found.slice(0, 4);
}

export function covers(wildcard: string, name: string): boolean {
  const suffix = wildcard.slice(1);       /* ".example.com" */
  return name.length > suffix.length && name.toLowerCase().endsWith(suffix);
}
