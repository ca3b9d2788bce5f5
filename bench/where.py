#!/usr/bin/env python3
"""where.py - where the time of a short connection goes: samples of ringfence's core, by perf.

    bench/where.py [--quick] [--scenario NAME]

Needs Linux' perf (linux-perf); without it, it says so and does nothing. Each sample counts for the
first line below whose kernel function is in its stack; times are of one connection or exchange."""
import argparse
import collections
import os
import shutil
import subprocess
import sys

import measure
import peers
import relay
from measure import note

HERTZ = 4999
PARTS = [                                               # the innermost first
    ("received by the other side's sockets, on our core", "net_rx_action"),
    ("netfilter", "nf_hook_slow"),
    ("TCP and IP output", "__tcp_transmit_skb"),
    ("send: copy, segments", "tcp_sendmsg"),
    ("receive: copy", "tcp_recvmsg"),
    ("connect: port, route, SYN", "tcp_v4_connect io_connect"),
    ("accept", "do_accept inet_accept"),
    ("socket(2)", "__sock_create sock_alloc_file"),
    ("close(2): TCP", "__tcp_close inet_release"),
    ("close(2): file", "__fput"),
    ("shutdown(2)", "inet_shutdown"),
    ("socket options, names", "do_sock_setsockopt do_sock_getsockopt __sys_getpeername"),
    ("io_uring: readiness", "io_poll_task_func io_arm_poll_handler __io_arm_poll_handler"),
    ("io_uring: waiting", "io_cqring_wait"),
    ("io_uring: the rest", "__do_sys_io_uring_enter"),
]


def part_of(stack):
    for name, functions in PARTS:
        if not stack.isdisjoint(functions.split()):
            return name
    return "kernel, the rest" if "do_syscall_64" in stack else "ringfence and its libraries"


def samples(data):
    """{part: count} of the threads of ringfence."""
    text = subprocess.run(["perf", "script", "-i", data, "-F", "comm,ip,sym"], text=True,
                          capture_output=True, check=True).stdout
    found = collections.Counter()
    for block in text.split("\n\n"):
        lines = block.strip("\n").split("\n")
        if os.path.basename(measure.BINARY).startswith(lines[0].strip() or "?"):
            found[part_of({line.split(None, 1)[-1].strip() for line in lines[1:]})] += 1
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="half a second")
    parser.add_argument("--scenario", default="short-64", help="of relay.py, on loopback")
    options = parser.parse_args()
    if not shutil.which("perf"):
        note("  perf is not installed (linux-perf): nothing was looked at")
        return
    measure.begin()
    measure.build("load")
    scenario = next(one for one in relay.scenarios()
                    if (one.place, one.name) == ("loopback", options.scenario))
    place, data = measure.Place("loopback"), os.path.join(measure.folder(), "perf.data")
    peer = next(peer for peer in peers.PLAIN if (peer.name, peer.proto) == ("ringfence", "tcp"))
    proxy = peers.start(peer, place, measure.folder(), relay.FIRST_PORT, relay.SERVER_PORT)
    to, server = (f"127.0.0.1:{port}" for port in (relay.FIRST_PORT, relay.SERVER_PORT))
    perf = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", str(HERTZ), "-g",
                             "-C", str(measure.PROXY_CORE), "-o", data])
    run = measure.run_load(place, to, server, proxy, [
        *scenario.args, "--window-ms", 500 if options.quick else 3000])
    perf.terminate()
    perf.wait()
    proxy.stop()
    place.close()
    if "failed" in run:
        sys.exit(run["failed"])
    found, each = samples(data), run["proxy_cpu"] / run["ops"] * 1e6
    total = sum(found.values())
    print(f"{scenario.name}: {each:.1f} µs of CPU each, {total} samples\n")
    print("| µs | share | where |\n| --- | --- | --- |")
    for name, count in found.most_common():
        print(f"| {count / total * each:.1f} | {count / total:.0%} | {name} |")


if __name__ == "__main__":
    sys.exit(main())
