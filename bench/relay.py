#!/usr/bin/env python3
"""relay.py - plain forwarding, ringfence against its peers and against no proxy at all.

    bench/relay.py [--quick] [--only WORD[,WORD]...] [--reps N] [--out FOLDER]

Every scenario runs with all proxies in turn, and that several times over: what the machine does
meanwhile hits all of them. Words are beginnings of "place/scenario", like loopback/bulk or veth."""
import argparse
import collections
import os
import sys
import time

import measure
import peers
import report
from measure import note

# args: for the load generator. who: names of proxies beside direct and ringfence.
Scenario = collections.namedtuple("Scenario", "place name unit args who quick reps proto",
                                  defaults=(False, None, "tcp"))

SERVER_PORT, FIRST_PORT = 9000, 7001
DIRECT = "direct"
WINDOW_MS, QUICK_WINDOW_MS = 700, 350
REPS, QUICK_REPS, STEADY_REPS = 5, 3, 20
SETTLE_SECONDS = 1      # the kernel frees some memory late
TRAIN = 50              # datagrams that a client hands to its kernel at once
UDP_FLOWS = min(peers.CONNECTIONS, measure.machine()["descriptors"] - 500)
IDLE_MOST = 60000       # one address and one port have not many more ports for us to come from
SPLICING = ["haproxy", "haproxy-auto", "haproxy-splice", "haproxy-splice-1m", "nginx"]
FORCED = ["haproxy", "haproxy-splice", "haproxy-splice-1m", "nginx"]
COPYING = ["haproxy", "haproxy-splice", "nginx"]


def idle_count():
    """Connections that generator and proxy can both hold: two descriptors each."""
    return min(peers.CONNECTIONS, IDLE_MOST, (measure.machine()["descriptors"] - 200) // 2)


def scenarios():
    for place in "loopback", "veth":
        home = place == "loopback"
        yield Scenario(place, "bulk-1", "gib", ["--bulk", 1], SPLICING + ["socat"], home)
        yield Scenario(place, "bulk-8", "gib", ["--bulk", 8], SPLICING + ["socat"], home)
        yield Scenario(place, "bulk-64", "gib", ["--bulk", 64], FORCED)
        if home:
            yield Scenario(place, "bulk-8-up", "gib", ["--bulk", 8, "--way", "up"], FORCED)
        yield Scenario(place, "bulk-8-both", "gib", ["--bulk", 8, "--way", "both"], FORCED)
        for size in 64, 1024, 16384:
            for count in 1, 64, 512:
                if home or (size, count) == (64, 64):
                    who = COPYING + (["socat", "sniproxy"] if (size, count) == (64, 64) else [])
                    yield Scenario(place, f"ping-{count}-{size}", "100k",
                                   ["--ping", count, "--size", size], who,
                                   home and size == 64 and count > 1)
        yield Scenario(place, "short-64", "100k", ["--short", 64],
                       COPYING + ["sniproxy"] + (["socat"] if home else []), home)
        yield Scenario(place, "mixed", "100k", ["--ping", 16, "--bulk", 8], COPYING)
        yield Scenario(place, "mixed-8g", "100k",
                       ["--ping", 16, "--bulk", 8, "--bulk-gbps", 8], COPYING)
    for count in 100, idle_count() - 600:
        yield Scenario("loopback", f"ping-64-64-idle-{count}", "100k",
                       ["--ping", 64, "--idle", count], COPYING)
        yield Scenario("loopback", f"short-64-idle-{count}", "100k",
                       ["--short", 64, "--idle", count], COPYING)
    for place in "loopback", "veth":
        for count in 8, 64:
            yield Scenario(place, f"steady-{count}", "gib", ["--bulk", count], [],
                           reps=STEADY_REPS)
    for size in 64, 1200:
        flows = ["--udp", 8, "--size", size]
        yield Scenario("loopback", f"udp-8-{size}", "100k", flows, ["nginx", "socat"],
                       proto="udp")
        yield Scenario("loopback", f"udp-8-{size}-trains", "100k", flows + ["--train", TRAIN],
                       ["nginx", "socat"], proto="udp")
    yield Scenario("loopback", f"udp-{UDP_FLOWS}-64", "100k", ["--udp", UDP_FLOWS, "--size", 64],
                   ["nginx"], proto="udp")


class Stage:
    """One place and one protocol: its proxies all run, and are measured in turn."""

    def __init__(self, kind, proto, names):
        self.place, self.proto = measure.Place(kind), proto
        self.folder = measure.folder()
        self.proxies, self.ports = {DIRECT: None}, {}
        wanted = [peer for peer in peers.PLAIN if peer.proto == proto and peer.name in names]
        for port, peer in enumerate(wanted, FIRST_PORT):
            why = peers.missing(peer)
            if why:
                note(f"  {peer.name} is left out: {why}")
                continue
            try:
                self.proxies[peer.name] = peers.start(peer, self.place, self.folder, port,
                                                      SERVER_PORT)
            except RuntimeError as error:
                if peer.name == "ringfence":
                    raise
                note(f"  {peer.name} is left out: {error}")
                continue
            self.ports[peer.name] = port

    def connect(self, name):
        if name == DIRECT:
            return f"{self.place.server_addr}:{SERVER_PORT}"
        return f"{self.place.proxy_addr}:{self.ports[name]}"

    def run(self, name, args):
        listen = f"{self.place.server_addr}:{SERVER_PORT}"
        return measure.run_load(self.place, self.connect(name), listen, self.proxies[name], args)

    def close(self):
        for proxy in self.proxies.values():
            if proxy:
                proxy.stop()
        self.place.close()


def measure_scenario(stage, scenario, reps, window_ms):
    """{name: runs}, alternating; each repetition begins with another proxy."""
    names = [DIRECT] + [name for name in stage.proxies
                        if name == "ringfence" or name in scenario.who]
    if not scenario.who:
        names.remove(DIRECT)
    runs = {name: [] for name in names}
    for rep in range(reps):
        turn = rep % len(names) if names else 0
        for name in names[turn:] + names[:turn]:
            args = [*scenario.args, "--window-ms", window_ms]
            run = stage.run(name, args)
            runs[name].append(run)
            if "failed" in run:
                note(f"  {scenario.name}, {name}: {run['failed']}")
    return runs


def slab_kib():
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Slab:"))


def idle_memory(names, count):
    """KiB a connection: resident memory, and kernel memory beyond what direct ones cost."""
    found = {}
    for name in names:
        stage = Stage("loopback", "tcp", [name])
        if name in stage.proxies:
            proxy = stage.proxies[name]

            def used():
                time.sleep(SETTLE_SECONDS)
                return proxy.memory_kib() if proxy else 0, slab_kib()
            before = used()
            after = measure.hold_load(
                stage.place, stage.connect(name), f"{stage.place.server_addr}:{SERVER_PORT}",
                proxy, ["--idle", count, "--hold", "--window-ms", 1], used)
            if after:
                resident, slab = ((late - early) / count for early, late in zip(before, after))
                found[name] = {"connections": count, "resident": resident, "slab": slab}
        stage.close()
    for name, one in found.items():
        one["slab_beyond_direct"] = one["slab"] - found.get(DIRECT, {"slab": 0})["slab"]
    return found


def chosen(scenario, only, quick):
    path = f"{scenario.place}/{scenario.name}"
    if only:
        return any(path.startswith(word) or scenario.name.startswith(word) for word in only)
    return scenario.quick or not quick


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few scenarios in a minute")
    parser.add_argument("--only", default="", help="beginnings of names, by comma")
    parser.add_argument("--reps", type=int)
    parser.add_argument("--out", help="folder for JSON, table and plots")
    options = parser.parse_args()
    out = measure.results_folder(options.out, options.quick or options.only)
    measure.begin()
    measure.build("load")
    begun = time.monotonic()
    only = [word for word in options.only.split(",") if word]
    wanted = [one for one in scenarios() if chosen(one, only, options.quick)]
    reps = QUICK_REPS if options.quick else REPS
    window_ms = QUICK_WINDOW_MS if options.quick else WINDOW_MS
    result = {"bench": "relay", "machine": measure.machine(),
              "versions": peers.versions(peers.PLAIN), "window_ms": window_ms, "scenarios": []}
    for place, proto in dict.fromkeys((one.place, one.proto) for one in wanted):
        group = [one for one in wanted if (one.place, one.proto) == (place, proto)]
        stage = Stage(place, proto, {"ringfence"}.union(*(one.who for one in group)))
        for one in group:
            note(f"{time.monotonic() - begun:4.0f} s  {place}/{one.name}")
            runs = measure_scenario(stage, one, options.reps or one.reps or reps, window_ms)
            result["scenarios"].append({
                "place": place, "name": one.name, "unit": one.unit, "args": one.args,
                "proxies": {name: {**measure.summary(some, one.unit), "each": some}
                            for name, some in runs.items()}})
        stage.close()
    if not options.quick and (not only or "idle-memory" in only):
        note(f"{time.monotonic() - begun:4.0f} s  idle memory of {idle_count()} connections")
        result["idle"] = idle_memory([DIRECT, *COPYING, "sniproxy", "ringfence"], idle_count())
        if idle_count() < 100000:
            note("  100,000 were not tried: the limit of descriptors, or of ports to one address, "
                 f"allows {idle_count()}")
    measure.save(os.path.join(out, "relay.json"), result)
    report.write(result, out)
    print(report.text(result))
    note(f"{time.monotonic() - begun:4.0f} s; written to {os.path.relpath(out, measure.ROOT)}")
    ours = [scenario["proxies"].get(name, {}) for scenario in result["scenarios"]
            for name in (DIRECT, "ringfence")]
    return any(one.get("failed") for one in ours)


if __name__ == "__main__":
    sys.exit(main())
