#!/usr/bin/env python3
"""start.py - from exec to ready, and what leaves the namespace until then.

    bench/start.py [--quick] [--starts N] [--names N[,N]...] [--out FOLDER]

A workload sends datagrams all the time while ringfence starts. Closed: the last one that left.
Ready: ringfence says startup.ready. Both from the moment of exec. After the first refusal nothing
may leave any more, which the kernel of the other side counts."""
import argparse
import contextlib
import datetime
import json
import os
import subprocess
import sys
import time

import measure
from measure import note
from reload import pad, spread

from internet import ATTACKER
from world import DEFAULTS, World, policy_text

PORT = 7777
# Sends until its input ends, says when one is refused, and at the end when the last one left, how
# many did, and how many of these after the first refusal.
PROBE = f"""
import json, select, socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect(("{ATTACKER}", {PORT}))
last = refused = left = after = 0
print("sending", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    now = time.time()
    try:
        sock.send(b"x")
        last, left, after = now, left + 1, after + bool(refused)
    except OSError:
        if not refused:
            print("refused", flush=True)
        refused += 1
print(json.dumps(dict(last=last, left=left, after=after)))
"""
UNSERVED = f"""table inet unserved {{
    chain probes {{
        type filter hook prerouting priority raw + 1;
        udp dport {PORT} drop
    }}
}}"""


def start(world, env):
    """ringfence from exec to ready: (when it was run, when ready, memory in KiB, its process)."""
    seen, say = os.pipe()

    def enter():
        world.box.enter()
        os.write(say, str(time.time()).encode())
    process = subprocess.Popen([measure.BINARY], env={"PATH": os.environ["PATH"], **env},
                               preexec_fn=enter, stdout=subprocess.PIPE, text=True)
    begun = float(os.read(seen, 100))
    os.close(seen)
    os.close(say)
    for line in process.stdout:
        fact = json.loads(line)
        if fact["msg"] == "startup.ready":
            break
    else:
        sys.exit("ringfence did not start")
    whole, _, nanoseconds = fact["time"].rstrip("Z").partition(".")
    ready = datetime.datetime.fromisoformat(whole + "+00:00").timestamp()
    with open(f"/proc/{process.pid}/status") as file:
        memory = next(int(row.split()[1]) for row in file if row.startswith("VmRSS:"))
    return begun, ready + float("0." + nanoseconds), memory, process


def one_start(world, env):
    """Milliseconds until closed and ready, and KiB."""
    probe = subprocess.Popen([*world.box.prefix(), sys.executable, "-c", PROBE], text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with contextlib.ExitStack() as stack:
        stack.callback(probe.kill)
        probe.stdout.readline()                         # sending
        begun, ready, memory, process = start(world, env)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        probe.stdout.readline()                         # refused
        sent = json.loads(probe.communicate("")[0])
    arrived = world.internet.arrived(ATTACKER, port=PORT)
    if sent["after"] or arrived != sent["left"]:
        sys.exit(f"something left after it was closed: {sent}, {arrived} arrived")
    world.reset()
    return (sent["last"] - begun) * 1000, (ready - begun) * 1000, memory


def measure_starts(world, names, starts):
    env = {**DEFAULTS, "POLICY_PATH": world.policy_path, "RESOLV_CONF": world.resolv_conf}
    world.write_policy(policy_text(pad(names)))
    runs = [one_start(world, env) for _ in range(starts)]
    closed, ready, memory = zip(*runs)
    return {"names": names, "starts": starts, "closed": spread(closed), "ready": spread(ready),
            "memory_kib": sorted(memory)[len(memory) // 2]}


def table(rows):
    lines = ["| names in the policy | starts | until closed, median, p99 ms | "
             "until ready, median, p99 ms | memory then, KiB |",
             "| --- | --- | --- | --- | --- |"]
    for row in rows:
        figures = " | ".join(f"{row[what]['median_ms']:.1f}, {row[what]['p99_ms']:.1f}"
                             for what in ("closed", "ready"))
        lines.append(f"| {row['names']} | {row['starts']} | {figures} | "
                     f"{row['memory_kib']} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="10 starts")
    parser.add_argument("--starts", type=int, help="of each size; 50")
    parser.add_argument("--names", default="10,100000", help="sizes of the policy")
    parser.add_argument("--out", help="folder for the JSON")
    options = parser.parse_args()
    starts = options.starts or (10 if options.quick else 50)
    out = measure.results_folder(options.out, options.quick)
    measure.begin()
    world, rows = World(), []
    world.internet.namespace.nft(UNSERVED)
    try:
        for names in [int(word) for word in options.names.split(",")]:
            note(f"{starts} starts with {names} names")
            rows.append(measure_starts(world, names, starts))
    finally:
        world.close()
    measure.save(os.path.join(out, "start.json"),
                 {"bench": "start", "machine": measure.machine(), "rows": rows})
    print(table(rows))


if __name__ == "__main__":
    main()
