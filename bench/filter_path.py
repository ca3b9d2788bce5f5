#!/usr/bin/env python3
"""filter_path.py - the whole way through the filter: a workload's TLS connections are redirected
by the kernel, the proxy finds the server name, allows it and dials.

    bench/filter_path.py [--quick] [--reps N] [--only WORD[,WORD]...] [--out FOLDER]

Every proxy has a box of its own, where the workload dials 10.98.0.1:443 as if there were no proxy,
and the server outside. The peers get the redirection they need to be used like this; ringfence
brings its own rules, looks the name up, and checks that the address belongs to it."""
import argparse
import collections
import contextlib
import os
import socket
import struct
import sys
import threading
import time

import measure
import peers
import report
from measure import note

Scenario = collections.namedtuple("Scenario", "name unit args quick")

NAME = "allowed.test"                                   # in the hello
HELLO = os.path.join(measure.ROOT, "tests/fuzz/corpus/tls/openssl-tls13")
SERVER_PORT, PROXY_PORT = 443, 8443
DIRECT, OURS = "direct", "ringfence"
WINDOW_MS, QUICK_WINDOW_MS, REPS, QUICK_REPS = 700, 350, 5, 3
READY_SECONDS = 10
SCENARIOS = [
    Scenario("sni-short-64", "100k", ["--short", 64], True),
    Scenario("sni-short-1", "100k", ["--short", 1], False),
    Scenario("sni-bulk-1", "gib", ["--bulk", 1], False),
    Scenario("sni-bulk-8", "gib", ["--bulk", 8], True),
    Scenario("sni-ping-64-64", "100k", ["--ping", 64], False),
]
REDIRECT = f"""
table ip bench {{
    chain output {{
        type nat hook output priority -100
        meta skuid {peers.VETTER} return
        tcp dport {SERVER_PORT} redirect to :{PROXY_PORT}
    }}
}}
"""
# Connections that have ended leave the kernel's table soon, or it would fill within seconds.
CONNTRACK = {f"netfilter__nf_conntrack_tcp_timeout_{state}": 1
             for state in ("time_wait", "close", "last_ack")}


def serve_names(place):
    """Answer every question for an address with the server's, until the end."""
    with place.server.entered():
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((place.server_addr, 53))

    def answer():
        while True:
            question, client = server.recvfrom(2048)
            end = question.index(b"\0", 12) + 5
            kind, = struct.unpack_from("!H", question, end - 4)
            record = struct.pack("!HHHIH", 0xc00c, 1, 1, 300, 4) + \
                socket.inet_aton(place.server_addr) if kind == 1 else b""
            head = question[:2] + struct.pack("!5H", 0x8180, 1, 1 if record else 0, 0, 0)
            server.sendto(head + question[12:end] + record, client)
    threading.Thread(target=answer, daemon=True).start()


class Box:
    """A proxy, its workload and the server."""

    def __init__(self, peer):
        self.place = measure.Place("box", "-" + (peer.name if peer else DIRECT))
        self.proxy = None
        if peer:
            self.start(peer)

    def start(self, peer):
        if peer.name == OURS:
            serve_names(self.place)
        else:
            self.place.proxy.nft(REDIRECT)
        self.proxy = peers.start(peer, self.place, measure.folder(), PROXY_PORT, SERVER_PORT,
                                 NAME, redirected=True)
        with contextlib.suppress(OSError):
            self.place.proxy.sysctl(**CONNTRACK)
        deadline = time.monotonic() + READY_SECONDS
        while (run := self.run(["--short", 1, "--window-ms", 1])).get("failed"):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{peer.name} passes nothing: {run['failed']}\n"
                                   f"{self.proxy.said()}")

    def run(self, args):
        server = f"{self.place.server_addr}:{SERVER_PORT}"
        return measure.run_load(self.place, server, server, self.proxy, ["--hello", HELLO, *args])

    def blocks(self):
        """Whether a name that is not listed is refused: else a figure would mean nothing."""
        other = os.path.join(measure.folder(), "hello")
        with open(HELLO, "rb") as file, open(other, "wb") as changed:
            changed.write(file.read().replace(NAME.encode(), b"blocked.test"))
        server = f"{self.place.server_addr}:{SERVER_PORT}"
        run = measure.run_load(self.place, server, server, self.proxy,
                               ["--hello", other, "--short", 1, "--window-ms", 1])
        return "failed" in run

    def close(self):
        if self.proxy:
            self.proxy.stop()
        self.place.close()


def boxes():
    """{name: Box} of all that can be measured."""
    found = {DIRECT: Box(None)}
    for peer in peers.VETTING:
        why = peers.missing(peer)
        if why:
            note(f"  {peer.name} is left out: {why}")
            continue
        found[peer.name] = Box(peer)
        if not found[peer.name].blocks():
            sys.exit(f"{peer.name} lets a name through that is not listed")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two scenarios")
    parser.add_argument("--only", default="", help="beginnings of names, by comma")
    parser.add_argument("--reps", type=int)
    parser.add_argument("--out", help="folder for JSON, table and plots")
    options = parser.parse_args()
    out = measure.results_folder(options.out, options.quick or options.only)
    only = tuple(word for word in options.only.split(",") if word)
    measure.begin()
    begun = time.monotonic()
    window_ms = QUICK_WINDOW_MS if options.quick else WINDOW_MS
    result = {"bench": "filter", "machine": measure.machine(),
              "versions": peers.versions(peers.VETTING), "window_ms": window_ms, "scenarios": []}
    all_boxes = boxes()
    names = list(all_boxes)
    for one in SCENARIOS:
        if not (one.name.startswith(only) if only else one.quick or not options.quick):
            continue
        note(f"{time.monotonic() - begun:4.0f} s  box/{one.name}")
        runs = {name: [] for name in names}
        for rep in range(options.reps or (QUICK_REPS if options.quick else REPS)):
            turn = rep % len(names)
            for name in names[turn:] + names[:turn]:
                run = all_boxes[name].run([*one.args, "--window-ms", window_ms])
                runs[name].append(run)
                if "failed" in run:
                    note(f"  {one.name}, {name}: {run['failed']}")
        result["scenarios"].append({
            "place": "box", "name": one.name, "unit": one.unit, "args": one.args,
            "proxies": {name: {**measure.summary(some, one.unit), "each": some}
                        for name, some in runs.items()}})
    for box in all_boxes.values():
        box.close()
    measure.save(os.path.join(out, "filter.json"), result)
    report.write(result, out)
    print(report.text(result))
    note(f"{time.monotonic() - begun:4.0f} s; written to {os.path.relpath(out, measure.ROOT)}")
    return any(scenario["proxies"].get(name, {}).get("failed")
               for scenario in result["scenarios"] for name in (DIRECT, OURS))


if __name__ == "__main__":
    sys.exit(main())
