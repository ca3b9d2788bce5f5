"""world.py - a box with a workload and ringfence in it, and a fake internet outside.

    box       10.77.0.2, fd77::2       the workload and ringfence share it, as containers in one
     | eth0                            network namespace do
    internet  10.77.0.1, fd77::1       every other address there is; see internet.py

    def test_a_name_that_is_not_listed_is_reset(net):
        net.start(domains=["allowed.test"])
        assert net.client.tls("allowed.test") == "OK"
        assert net.client.tls("evil.test") == "RESET"
        assert net.internet.arrived(ATTACKER, ATTACKER6) == 0
        assert net.ringfence.wait_event("https.blocked")["reason"] == "not-allowlisted"
"""
import atexit
import contextlib
import os
import re
import shutil
import tempfile

import netns
from client import Client
from internet import GATEWAY, GATEWAY6, RESOLVER, Internet
from netns import value_text
from pki import Authority
from ringfence import Ringfence

BOX, BOX6 = "10.77.0.2", "fd77::2"
LINKS = f"""
link set lo up
link set eth0 up
addr add {BOX}/24 dev eth0
addr add {BOX6}/64 dev eth0 nodad
route add 0.0.0.0/0 via {GATEWAY}
route add ::/0 via {GATEWAY6}
"""
DEFAULTS = {
    "PRIVATE_ANSWERS": "allow",         # our origins are on documentation addresses
    "DNS_UPSTREAMS": f"{RESOLVER}:53",
    "WORKERS": "1",
    "LOG_FORMAT": "json",
}


class World:
    def __init__(self):
        netns.sweep()
        self.folder = tempfile.mkdtemp(prefix=f"ringfence-{os.getpid()}-")
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        os.chmod(self.folder, 0o755)            # the workload need not be root
        self.authority = Authority(self.folder)
        outside, self.box = netns.Namespace("internet"), netns.Namespace("box")
        for namespace in outside, self.box:
            namespace.sysctl(ipv6__conf__default__accept_dad=0, ipv6__conf__all__disable_ipv6=0)
        outside.ip(f"link add eth0 type veth peer name eth0 netns {self.box.name}\n")
        self.internet = Internet(outside, self.authority)
        self.box.sysctl(ipv4__tcp_congestion_control="reno",
                        ipv4__ping_group_range="0 2147483647")
        self.box.ip(LINKS)
        self.resolv_conf = os.path.join(self.folder, "resolv.conf")
        self.policy_path = os.path.join(self.folder, "policy", "policy.yaml")
        os.mkdir(os.path.dirname(self.policy_path))
        parts = self.authority, self.internet.dns, self.resolv_conf
        self.client = Client(self.box, *parts)                  # the workload
        self.outsider = Client(outside, *parts)                 # someone who connects to the box
        self.started = []
        self.reset()

    # ringfence

    def start(self, *args, domains=(), ips=(), policy=None, env=None, ready="startup.ready",
              wrapper=()):
        """Start ringfence in the box and wait until it says it is ready (ready=None: do not).
        The policy is text, or made of domains and ips. wrapper: a command before it, like
        ["prlimit", "--nofile=256"] or ["setpriv", "--bounding-set=-setuid", "--"]."""
        self.write_policy(policy_text(domains, ips) if policy is None else policy)
        instance = Ringfence([*self.box.prefix(), *wrapper], args, self.environment(env))
        if ready:
            try:
                instance.wait_text(ready)
            except AssertionError:
                instance.kill()             # the test fails by this, and by nothing after it
                raise
        self.started.append(instance)
        return instance

    def environment(self, env=None):
        """What start() gives: the defaults of this world, and env; None unsets."""
        env = {**DEFAULTS, "POLICY_PATH": self.policy_path, "RESOLV_CONF": self.resolv_conf,
               **(env or {})}
        return {name: str(value) for name, value in env.items() if value is not None}

    @property
    def ringfence(self):
        """The one started last."""
        return self.started[-1]

    def write_policy(self, text, in_place=False):
        """By rename, as editors and config managers do, or in place."""
        path = self.policy_path if in_place else self.policy_path + ".new"
        with open(path, "w") as file:
            file.write(text)
        if not in_place:
            os.rename(path, self.policy_path)

    def reload(self, policy=None, domains=(), ips=(), in_place=False, wait="policy.applied"):
        """Change the policy file; wait for the event that says it took effect (or was refused)."""
        since = self.ringfence.now()
        self.write_policy(policy_text(domains, ips) if policy is None else policy, in_place)
        return self.ringfence.wait_event(wait, since=since) if wait else None

    def rules(self):
        """All nftables rules of the box as nft lists them, without counters. A set's name ends
        with _b when it replaced another; that means nothing."""
        text = netns.command(*self.box.prefix(), "nft", "-s", "list", "ruleset")
        return re.sub(r"(_ports|_v4|_v6)_b\b", r"\1", text)

    def rules_text(self):
        """The same with everything in it."""
        return netns.command(*self.box.prefix(), "nft", "list", "ruleset")

    def learned(self):
        """What names have opened (dns-strict): "203.0.113.7", "203.0.113.7 tcp 22-23"."""
        found = set()
        for row in self.box.nft_json("list", "table", "inet", "ringfence"):
            held = row.get("set", {})
            if held.get("name", "").startswith("learned_"):
                found |= {value_text(one["elem"]["val"]) for one in held.get("elem", [])}
        return found

    @contextlib.contextmanager
    def small_sockets(self, most):
        """The kernel keeps no more bytes than this for each socket and direction."""
        with contextlib.ExitStack() as stack:
            for namespace in self.box, self.internet.namespace:
                for name in "tcp_rmem", "tcp_wmem":
                    with namespace.entered(), open(f"/proc/sys/net/ipv4/{name}") as file:
                        stack.callback(namespace.sysctl, **{f"ipv4__{name}": file.read()})
                    namespace.sysctl(**{f"ipv4__{name}": f"4096 {most // 2} {most}"})
            yield

    # Between tests

    def reset(self):
        """A fresh start: no ringfence, no rules, nothing arrived. Raises what ringfence's end
        showed: a crash, a wrong exit code, a sanitizer's report."""
        problems = []
        for instance in self.started:
            try:
                instance.finish()
            except AssertionError as error:
                problems.append(str(error))
        self.started = []
        self.box.nft("flush ruleset")
        self.box.forget_flows()
        self.internet.reset()
        with open(self.resolv_conf, "w") as file:
            file.write(f"nameserver {RESOLVER}\noptions timeout:1 attempts:2\n")
        assert not problems, "\n".join(problems)

    def close(self):
        for instance in self.started:
            instance.kill()
        for namespace in self.box, self.internet.namespace:
            namespace.remove()
        shutil.rmtree(self.folder, ignore_errors=True)


def policy_text(domains=(), ips=()):
    lines = ["allowlist:"]
    for key, entries in ("ips", ips), ("domains", domains):
        lines += [f"  {key}:" if entries else f"  {key}: []"]
        lines += [f'    - "{entry}"' for entry in entries]
    return "\n".join(lines) + "\n"
