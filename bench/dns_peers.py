"""dns_peers.py - the forwarding resolvers that are measured: one thread each where they let one
choose, a cache, no logs, no validation, limits out of the way. Each answers the names of two zones
from its upstreams and refuses every other name, as ringfence does by its policy."""
import collections
import os
import shutil
import subprocess

import measure

# Where a resolver listens, what it asks (addresses, port 53), the names it may ask for.
Job = collections.namedtuple("Job", "folder listen port upstreams names wildcard")
# make(job) -> (argv, env); rival: it counts as somebody else's.
Peer = collections.namedtuple("Peer", "name label program make rival")

USER = "nobody"                 # its own questions are not redirected
UNLIMITED = "10000000"
CACHED = 100000                 # answers
NO_LIMITS = {"DNS_RATE_QPS": UNLIMITED, "DNS_RATE_BURST": UNLIMITED, "DNS_WILDCARD_QPS": "0"}


def write(job, name, text):
    path = os.path.join(job.folder, name)
    with open(path, "w") as file:
        file.write(text)
    return path


UNBOUND = """server:
    interface: {job.listen}@{job.port}
    access-control: 0.0.0.0/0 allow
    username: "{user}"
    chroot: ""
    directory: "{job.folder}"
    pidfile: ""
    use-syslog: no
    verbosity: 0
    num-threads: 1
    module-config: "iterator"
    outgoing-range: 8192
    num-queries-per-thread: 4096
    so-rcvbuf: 4m
    so-sndbuf: 4m
    do-ip6: no
    do-not-query-localhost: no
    qname-minimisation: no
    msg-cache-size: 64m
    rrset-cache-size: 128m
    local-zone: "." always_nxdomain
{zones}
remote-control:
    control-enable: no
forward-zone:
    name: "."
{upstreams}
"""


def unbound(job):
    text = UNBOUND.format(
        job=job, user=USER,
        zones="\n".join(f'    local-zone: "{zone}" always_transparent' for zone in zones(job)),
        upstreams="\n".join(f"    forward-addr: {addr}@53" for addr in job.upstreams))
    return ["unbound", "-d", "-p", "-c", write(job, "unbound.conf", text)], {}


def dnsmasq(job):
    servers = [f"--server=/{zone}/{addr}" for zone in zones(job) for addr in job.upstreams]
    return ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv",
            "--no-hosts", "--bind-interfaces", f"--listen-address={job.listen}",
            f"--port={job.port}", "--cache-size=10000", "--dns-forward-max=4096",
            f"--user={USER}", "--pid-file=", *servers], {}


DNSDIST = """setLocal("{job.listen}:{job.port}")
setACL("0.0.0.0/0")
setSecurityPollSuffix("")
setVerboseHealthChecks(false)
{upstreams}
setServerPolicy(firstAvailable)
getPool(""):setCache(newPacketCache({cached}, {{maxTTL=3600}}))
listed = newSuffixMatchNode()
{zones}
addAction(NotRule(SuffixMatchNodeRule(listed)), RCodeAction(DNSRCode.NXDOMAIN))
"""


def dnsdist(job):
    text = DNSDIST.format(
        job=job, cached=CACHED,
        upstreams="\n".join(f'newServer{{address="{addr}:53", order={order}, sockets=8}}'
                            for order, addr in enumerate(job.upstreams, 1)),
        zones="\n".join(f'listed:add("{zone}")' for zone in zones(job)))
    # From the beginning, because a socket belongs to whom its maker was.
    return ["setpriv", f"--reuid={USER}", "--clear-groups", "dnsdist", "--supervised",
            "--disable-syslog", "-C", write(job, "dnsdist.conf", text)], {}


def zones(job):
    return sorted({name.split(".", 1)[1] for name in [*job.names, job.wildcard]})


def ringfence(mode, fast=True):
    def make(job):
        policy = write(job, f"{mode}.yaml", "allowlist:\n  domains:\n" + "".join(
            f'    - "{name}"\n' for name in [*job.names, job.wildcard]))
        return [measure.BINARY, "filter"], {
            "FILTER_MODE": mode, "POLICY_PATH": policy, "DNS_PORT": str(job.port),
            "DNS_UPSTREAMS": ",".join(f"{addr}:53" for addr in job.upstreams),
            **(NO_LIMITS if fast else {}),
            "PRIVATE_ANSWERS": "allow", "WORKERS": "1", "LOG_LEVEL": "ERROR"}
    return make


OURS, STRICT = "ringfence", "ringfence-strict"
PEERS = [
    Peer("dnsdist", "dnsdist", "dnsdist", dnsdist, True),
    Peer("unbound", "unbound", "unbound", unbound, True),
    Peer("dnsmasq", "dnsmasq", "dnsmasq", dnsmasq, True),
    Peer(OURS, "ringfence, mode dns", measure.BINARY, ringfence("dns"), False),
    Peer(STRICT, "ringfence, mode dns-strict", measure.BINARY, ringfence("dns-strict"), False),
]

# As it is without a word in its environment about limits.
BY_DEFAULT = Peer(OURS, "ringfence, mode dns", measure.BINARY, ringfence("dns", fast=False), False)


def missing(peer):
    """Why a peer cannot be measured, or None."""
    if not shutil.which(peer.program):
        return f"{peer.program} is not installed"
    if not peer.rival:
        text = subprocess.run([peer.program, "--help"], text=True, capture_output=True).stdout
        if "dns-strict" not in text:
            return "this binary has no mode dns-strict"
    return None


def versions():
    """What is measured: {program: the first line it says of itself}."""
    flags = {"unbound": "-V", "dnsmasq": "--version", "dnsdist": "--version", "dnsperf": "-h"}
    said = {}
    for program in ["dnsperf", *sorted({peer.program for peer in PEERS})]:
        if shutil.which(program):
            done = subprocess.run([program, flags.get(program, "version")], text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            lines = [line for line in done.stdout.splitlines() if "ersion" in line or
                     any(char.isdigit() for char in line)]
            wanted = [line for line in lines if line.startswith("Version")] or lines or ["?"]
            said[os.path.basename(program)] = wanted[0].strip()
    return said


def start(peer, place, job):
    argv, env = peer.make(job)
    return measure.Proxy(peer.name, argv, place, env, [job.port], "udp")
