#!/usr/bin/env python3
"""dns.py - questions to the filtering resolver, beside other forwarders before the same upstream.

    bench/dns.py [--quick] [--reps N] [--only WORD[,WORD]...] [--peers NAME[,NAME]...]
                 [--out FOLDER]

Every resolver has a box of its own. dnsperf asks the nameserver outside, as a workload would, and
the kernel leads it to the resolver, which asks the nameserver over a veth pair: the peers get the
redirection they need to be used like this, ringfence brings its own rules. As fast as 100 questions
under way go, from 1 socket or 16; paced, for latency. "dead": the first of two upstreams says
nothing; one new name after another is asked for. "flood": random names at 20,000 a second for a
minute, and allowed ones beside them: how much memory, and who is answered."""
import argparse
import collections
import contextlib
import os
import re
import socket
import statistics
import struct
import subprocess
import sys
import time

import dns_peers
import measure
import report
from measure import note

# names: which; clients: sockets that ask; paced: questions a second, or 0.
Scenario = collections.namedtuple("Scenario", "name names clients paced quick")

PORT, DNS = 5300, 53
UPSTREAM, DEAD = "10.98.0.1", "10.98.0.9"
DIRECT, OURS, STRICT = "direct", dns_peers.OURS, dns_peers.STRICT
HITS = [f"h{number}.hit.test" for number in range(1000)]
WILDCARD = "*.miss.test"
TTL = 3600
SECONDS, QUICK_SECONDS, REPS, QUICK_REPS = 1, 0.4, 7, 3
UNDER_WAY = 100                 # as dnsperf would by itself
MISSES_A_SECOND = 150000        # more than anybody answers
DEAD_NAMES, QUICK_DEAD_NAMES = 30, 10
PATIENCE = 10
FLOOD_QPS, FLOOD_SECONDS, QUICK_FLOOD_SECONDS, FLOOD_CLIENTS = 20000, 60, 5, 16
ASK_EVERY = 0.02                # an allowed name during a flood
SCENARIOS = [
    Scenario("cached-1", "hit", 1, 0, True),
    Scenario("cached-16", "hit", 16, 0, True),
    Scenario("uncached-1", "miss", 1, 0, True),
    Scenario("uncached-16", "miss", 16, 0, False),
    Scenario("blocked-16", "other", 16, 0, False),
    Scenario("cached-paced", "hit", 16, 5000, True),
    Scenario("uncached-paced", "miss", 16, 2000, True),
]
# What ringfence's median may be of the best peer's.
RATIOS = [*((f"{work}-{clients}", "cpu", 0.7) for work in ("cached", "uncached")
            for clients in (1, 16)),
          ("cached-paced", "p99_us", 1.0), ("uncached-paced", "p99_us", 1.0)]
REDIRECT = f"""
table ip bench {{
    chain output {{
        type nat hook output priority -100
        meta skuid {dns_peers.USER} return
        udp dport {DNS} redirect to :{PORT}
    }}
}}
"""
SILENCE = f"""
table ip bench {{
    chain input {{
        type filter hook input priority 0
        ip daddr {DEAD} drop
    }}
}}
"""
# One question is one flow: the kernel's table of them must be empty again before it is full.
CONNTRACK = {f"netfilter__nf_conntrack_udp_timeout{kind}": 1 for kind in ("", "_stream")}
SERIAL = iter(range(1 << 30))


class Names:
    """Files of questions for dnsperf."""

    def __init__(self):
        self.folder = measure.folder()
        self.hit = self.write("hit", HITS)
        self.other = self.write("other", [f"b{number}.other.test" for number in range(1000)])

    def write(self, name, names):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.writelines(f"{one} A\n" for one in names)
        return path

    def fresh(self, count):
        """Names that were never asked for."""
        serial = next(SERIAL)
        return [f"m{serial}-{number}.miss.test" for number in range(count)]

    def path(self, kind, seconds, paced):
        if kind == "miss":
            return self.write("miss", self.fresh(int((paced or MISSES_A_SECOND) * seconds) + 100))
        return self.hit if kind == "hit" else self.other


def question(name, serial):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", serial, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


class Box:
    """A resolver with the workload that asks it, and the nameserver outside."""

    def __init__(self, peer, upstreams=(UPSTREAM,), tag="", checked=True):
        self.name = peer.name if peer else DIRECT
        self.place = measure.Place("box", f"-{self.name}{tag}")
        self.place.server.ip(f"addr add {DEAD}/24 dev eth0\n")
        self.place.server.nft(SILENCE)
        self.server = self.serve()
        self.proxy = None
        if peer:
            self.start(peer, upstreams)
        if peer and checked:
            self.check()

    def serve(self):
        return subprocess.Popen(
            [*self.place.server.prefix(), measure.build("nameserver"), UPSTREAM, str(DNS),
             str(TTL)], stdin=subprocess.DEVNULL,
            preexec_fn=lambda: measure.settle(measure.GENERATOR_CORE))

    def start(self, peer, upstreams):
        if peer.rival:
            self.place.proxy.nft(REDIRECT)
        job = dns_peers.Job(measure.folder(), "127.0.0.1", PORT, upstreams, HITS, WILDCARD)
        self.proxy = dns_peers.start(peer, self.place, job)
        with contextlib.suppress(OSError):
            self.place.proxy.sysctl(**CONNTRACK)

    def check(self):
        """It answers, and only what it should: else a figure would mean nothing."""
        deadline = time.monotonic() + PATIENCE
        while self.ask(HITS[0]) is None:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} answers nothing:\n{self.proxy.said()}")
            time.sleep(0.02)
        for name, rcodes in ((HITS[1], {0}), ("b0.other.test", {3, 5})):
            reply = self.ask(name)
            if reply is None or reply[3] & 15 not in rcodes:
                raise RuntimeError(f"{self.name} is not set up: {name} gives {reply}")

    def ask(self, name, patience=1):
        """One question: the answer, or None."""
        with self.place.client.entered():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sock:
            sock.settimeout(patience)
            serial = next(SERIAL) & 0xffff
            with contextlib.suppress(OSError):
                sock.sendto(question(name, serial), (UPSTREAM, DNS))
                while (reply := sock.recv(4096))[:2] != struct.pack("!H", serial):
                    pass
                return reply
        return None

    def dnsperf(self, path, scenario, seconds):
        """One run: {"ops", "seconds", "lost", "proxy_cpu", latencies when paced}."""
        argv = ["dnsperf", "-s", UPSTREAM, "-p", str(DNS), "-d", path, "-l", str(seconds),
                "-q", str(UNDER_WAY), "-c", str(scenario.clients), "-T", "1", "-t", "2"]
        if scenario.paced:
            argv += ["-Q", str(scenario.paced), "-v"]
        before = self.proxy.meter.seconds() if self.proxy else None
        done = subprocess.run([*self.place.client.prefix(), *argv], text=True, timeout=60,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              preexec_fn=lambda: measure.settle(measure.GENERATOR_CORE))
        cpu = self.proxy.meter.seconds() - before if self.proxy else None
        return read_dnsperf(done, cpu)

    def close(self):
        if self.proxy:
            self.proxy.stop()
        self.server.terminate()
        self.server.wait()
        self.place.close()


def read_dnsperf(done, cpu):
    def number(what):
        found = re.search(rf"{what}:\s+([0-9.]+)", done.stdout)
        return float(found[1]) if found else 0.0
    run = {"ops": int(number("Queries completed")), "lost": int(number("Queries lost")),
           "seconds": number(r"Run time \(s\)"), "proxy_cpu": cpu}
    times = sorted(float(line.rsplit(" ", 1)[1]) * 1e6 for line in done.stdout.splitlines()
                   if line.startswith("> ") and line[-1].isdigit())
    for name, share in ("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999):
        if times:
            run[name] = times[min(len(times) - 1, int(len(times) * share))]
    run["rcodes"] = dict(re.findall(r"([A-Z]+) \d+ \((\S+%)\)", done.stdout))
    if done.returncode != 0 or not run["ops"]:
        run["failed"] = done.stderr.strip()[-300:] or f"dnsperf ended with {done.returncode}"
    elif run["lost"] > run["ops"] / 100:
        run["failed"] = f"{run['lost']} of {run['ops']} were lost"
    return run


def summary(runs):
    """Medians and spreads over the runs that did not fail."""
    good = [run for run in runs if "failed" not in run]
    found = {"runs": len(runs), "failed": len(runs) - len(good)}
    for run in good:
        run["rate"] = run["ops"] / run["seconds"]
        if run["proxy_cpu"] is not None:
            run["cpu"] = run["proxy_cpu"] / run["ops"] * 1e5
    for name in "cpu", "rate", "p50_us", "p99_us", "p999_us", "lost":
        values = [run[name] for run in good if name in run]
        if values:
            found[name] = measure.spread(values)
    return found


def is_measured(scenario, name):
    """Where nothing is learned, one of ringfence's modes stands for both."""
    if name == DIRECT:
        return scenario.names != "other"
    return name != STRICT or scenario.names == "miss"


def run_scenario(scenario, boxes, names, seconds, reps):
    runs = {name: [] for name in boxes if is_measured(scenario, name)}
    order = list(runs)
    for rep in range(reps):
        turn = rep % len(order)
        for name in order[turn:] + order[:turn]:
            path = names.path(scenario.names, seconds, scenario.paced)
            run = boxes[name].dnsperf(path, scenario, seconds)
            runs[name].append(run)
            if "failed" in run:
                note(f"  {scenario.name}, {name}: {run['failed']}")
    return {"name": scenario.name, "proxies": {name: {**summary(some), "each": some}
                                               for name, some in runs.items()}}


def dead_first(peers, names, count):
    """{name: {"alive", "dead": milliseconds for each new name}}, from the very first question."""
    found = {}
    for peer in peers:
        if peer.name == STRICT:
            continue
        for tag, upstreams in (("alive", (UPSTREAM,)), ("dead", (DEAD, UPSTREAM))):
            box, times = Box(peer, upstreams, f"-{tag}", checked=False), []
            for name in names.fresh(count):
                begun = time.monotonic()
                reply = box.ask(name, PATIENCE)
                times.append((time.monotonic() - begun) * 1000 if reply and not reply[3] & 15
                             else None)
            box.close()
            found.setdefault(peer.name, {})[tag] = times
    return found


def flood(names, kind, seconds):
    """What a flood of new names of that kind does to ringfence, and to who asks for allowed ones.
    Memory in KiB: at first, the most, at the end."""
    box = Box(dns_peers.BY_DEFAULT, tag=f"-{kind}")
    if kind == "other":
        wanted = [f"{name}.other.test" for name in names.fresh(FLOOD_QPS * seconds)]
    else:
        wanted = names.fresh(FLOOD_QPS * seconds)
    for name in HITS:
        box.ask(name)
    first = most = box.proxy.memory_kib()
    load = subprocess.Popen(
        [*box.place.client.prefix(), "dnsperf", "-s", UPSTREAM, "-p", str(DNS), "-d",
         names.write(kind, wanted), "-l", str(seconds), "-q", str(UNDER_WAY),
         "-c", str(FLOOD_CLIENTS), "-T", "1", "-t", "1", "-Q", str(FLOOD_QPS)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=lambda: measure.settle(measure.GENERATOR_CORE))
    times = []
    while load.poll() is None:
        begun = time.monotonic()
        reply = box.ask(HITS[len(times) % len(HITS)])
        times.append((time.monotonic() - begun) * 1000 if reply and not reply[3] & 15 else None)
        most = max(most, box.proxy.memory_kib())
        time.sleep(ASK_EVERY)
    said = re.search(r"Queries sent:\s+([0-9]+)", load.stdout.read())
    last = box.proxy.memory_kib()
    box.close()
    good = sorted(one for one in times if one is not None) or [0]
    return {"kind": kind, "sent": int(said[1]) if said else 0, "seconds": seconds,
            "memory_kib": [first, most, last], "asked": len(times),
            "unanswered": times.count(None), "p50_ms": statistics.median(good),
            "p99_ms": good[int(len(good) * 0.99)], "most_ms": good[-1]}


def flood_table(floods):
    lines = ["", "## A flood of new names, with ringfence's limits as they are by default", "",
             "| names | seconds | questions | MiB at first | most | at the end | allowed names "
             "asked for beside it | unanswered | p50 ms | p99 ms | most |",
             "|" + " --- |" * 11]
    for one in floods:
        memory = " | ".join(f"{kib / 1024:.1f}" for kib in one["memory_kib"])
        title = {"other": "not listed", "miss": "below a wildcard"}[one["kind"]]
        lines.append(f"| {title} | {one['seconds']} | {one['sent']:,} | {memory} | "
                     f"{one['asked']} | {one['unanswered']} | "
                     f"{one['p50_ms']:.2f} | {one['p99_ms']:.2f} | {one['most_ms']:.2f} |")
    return lines if floods else []


def scenario_table(scenario):
    timed = any("p99_us" in one for one in scenario["proxies"].values())
    heads = ["resolver", "CPU s/100k", "answers/s"] + \
        (["p50 µs", "p99 µs", "p99.9 µs"] if timed else []) + ["runs"]
    lines = ["", f"### {scenario['name']}", "", f"| {' | '.join(heads)} |",
             "|" + " --- |" * len(heads)]
    for name, one in scenario["proxies"].items():
        cells = [report.cell(one, figure) for figure in ["cpu", "rate"] +
                 (["p50_us", "p99_us", "p999_us"] if timed else [])]
        runs = f"{one['runs']}, {one['failed']} failed" if one["failed"] else str(one["runs"])
        shown = f"**{name}**" if name == OURS else "no resolver" if name == DIRECT else name
        lines.append(f"| {shown} | {' | '.join(cells)} | {runs} |")
    return lines


def ratio_table(result):
    rivals = {peer.name for peer in dns_peers.PEERS if peer.rival}
    lines = ["", "## Ratios: ringfence to the best of the others", "",
             "| work | against | figure | ratio | must | |",
             "| --- | --- | --- | --- | --- | --- |"]
    for name, figure, must in RATIOS:
        for scenario in result["scenarios"]:
            proxies = scenario["proxies"]
            found = [(one[figure]["median"], rival) for rival, one in proxies.items()
                     if rival in rivals and figure in one]
            if scenario["name"] == name and found and figure in proxies.get(OURS, {}):
                best, rival = min(found)
                ratio = proxies[OURS][figure]["median"] / best
                lines.append(f"| {name} | {rival} | {figure} | {ratio:.2f} | {must:.2f} | "
                             f"{'met' if ratio <= must else 'missed'} |")
    return lines if len(lines) > 5 else []


def strict_lines(result):
    """What a new answer costs more when the kernel has to learn its address first."""
    lines = []
    for scenario in result["scenarios"]:
        plain, strict = (scenario["proxies"].get(name, {}) for name in (OURS, STRICT))
        for figure, what, scale in ("cpu", "µs of CPU an answer", 10), ("p50_us", "µs at p50", 1), \
                ("p99_us", "µs at p99", 1):
            if figure in plain and figure in strict:
                more = (strict[figure]["median"] - plain[figure]["median"]) * scale
                lines.append(f"* {scenario['name']}: {more:+.1f} {what}")
    return ["", "## dns-strict: what a new answer costs more", "", *lines] if lines else []


def dead_table(dead):
    lines = ["", "## The first upstream is dead: milliseconds for one new name after another", "",
             "| resolver | alive: first | median | most | dead: first | median | most | "
             "unanswered |", "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for name, found in dead.items():
        cells = []
        for tag in "alive", "dead":
            times = [one for one in found[tag] if one is not None] or [0]
            cells += [times[0], statistics.median(times), max(times)]
        lines.append(f"| {name} | {' | '.join(f'{cell:.2f}' for cell in cells)} | "
                     f"{found['dead'].count(None)} |")
    return lines if dead else []


def text(result):
    machine = result["machine"]
    lines = ["# dns: questions to the filtering resolver", "",
             f"{machine['date']}, {machine['cpu']}, {machine['cores']} cores, "
             f"{machine['kernel']}, {machine['system']}. Medians [least-most] of runs of "
             f"{result['seconds']} s that took turns; CPU is the resolver's own, with the kernel's "
             f"work on its behalf.", "",
             *(f"* {program}: {said}" for program, said in result["versions"].items()),
             *ratio_table(result), *strict_lines(result), *dead_table(result.get("dead", {})),
             *flood_table(result.get("flood", [])),
             "", "## All figures"]
    for scenario in result["scenarios"]:
        lines += scenario_table(scenario)
    return "\n".join(lines) + "\n"


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few and short runs")
    parser.add_argument("--only", default="",
                        help="beginnings of names, by comma; also: dead, flood")
    parser.add_argument("--peers", default="", help="only these, by comma")
    parser.add_argument("--reps", type=int)
    parser.add_argument("--out", help="folder for JSON and table")
    return parser.parse_args()


def available(named):
    for peer in dns_peers.PEERS:
        why = dns_peers.missing(peer)
        if why:
            note(f"  {peer.name} is left out: {why}")
        elif not named or peer.name in named.split(","):
            yield peer


def main():
    options = parse()
    only = tuple(word for word in options.only.split(",") if word)
    out = measure.results_folder(options.out, options.quick or options.only or options.peers)
    measure.begin()
    begun = time.monotonic()
    seconds = QUICK_SECONDS if options.quick else SECONDS
    reps = options.reps or (QUICK_REPS if options.quick else REPS)
    peers, names = list(available(options.peers)), Names()
    result = {"bench": "dns", "machine": measure.machine(), "versions": dns_peers.versions(),
              "seconds": seconds, "scenarios": []}
    boxes = {DIRECT: Box(None), **{peer.name: Box(peer) for peer in peers}}
    for one in SCENARIOS:
        if one.name.startswith(only) if only else one.quick or not options.quick:
            note(f"{time.monotonic() - begun:4.0f} s  {one.name}")
            result["scenarios"].append(run_scenario(one, boxes, names, seconds, reps))
    for box in boxes.values():
        box.close()
    if not only or "dead" in only:
        note(f"{time.monotonic() - begun:4.0f} s  dead")
        result["dead"] = dead_first(peers, names,
                                    QUICK_DEAD_NAMES if options.quick else DEAD_NAMES)
    if not only or "flood" in only:
        seconds = QUICK_FLOOD_SECONDS if options.quick else FLOOD_SECONDS
        result["flood"] = []
        for kind in "other", "miss":
            note(f"{time.monotonic() - begun:4.0f} s  flood, {kind}")
            result["flood"].append(flood(names, kind, seconds))
    measure.save(os.path.join(out, "dns.json"), result)
    with open(os.path.join(out, "dns.md"), "w") as file:
        file.write(text(result))
    print(text(result))
    note(f"{time.monotonic() - begun:4.0f} s; written to {os.path.relpath(out, measure.ROOT)}")
    return any(scenario["proxies"].get(OURS, {}).get("failed")
               for scenario in result["scenarios"])


if __name__ == "__main__":
    sys.exit(main())
