#!/usr/bin/env python3
"""reload.py - how long after an edit of the policy is it in force?

    bench/reload.py [--quick] [--edits N] [--names N[,N]...] [--out FOLDER]

A workload asks again and again while the policy file is replaced by rename; the clock runs from the
rename until the first connection that goes the new way has its answer. Half of the edits add an
entry, half take it away again. What is asked for is a name over HTTP, or an address on a port that
only the kernel looks at."""
import argparse
import os
import statistics
import sys
import time

import measure
from measure import note

from load import Load                                   # from tests/net, by measure
from world import World, policy_text

NAME, PLACE, PORT = "toggled.test", "203.0.113.90", 9999
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
PATIENCE = 60                                           # seconds for one edit
RESOLUTION = 50                                         # asks again after 1/50 of the time so far


def pad(count):
    """Names that are never asked for."""
    return [f"host-{number}.example.com" for number in range(count)]


def ask_name(world):
    return world.client.http(NAME, to=PLACE) == "OK"


def ask_address(world):
    return world.client.tcp(PLACE, PORT, b"") == "OK"


def edit(world, text, ask, wanted):
    """Milliseconds from the rename until the answer is what is wanted."""
    fresh = world.policy_path + ".new"
    with open(fresh, "w") as file:
        file.write(text)
    begun = time.monotonic()
    os.rename(fresh, world.policy_path)
    while ask(world) != wanted:
        time.sleep((time.monotonic() - begun) / RESOLUTION)     # asking costs time too
        if time.monotonic() > begun + PATIENCE:
            sys.exit(f"an edit was not in force after {PATIENCE} s")
    return (time.monotonic() - begun) * 1000


def measure_edits(world, kind, names, edits):
    ask = ask_name if kind == "name" else ask_address
    without = policy_text(pad(names))
    with_it = policy_text(pad(names) + [NAME]) if kind == "name" else \
        policy_text(pad(names), [PLACE])
    world.start(policy=with_it)
    if not ask(world):                                  # also looks the name up, once for all
        sys.exit("what is listed is not reached")
    times = {"added": [], "removed": []}
    for _ in range(edits // 2):
        times["removed"].append(edit(world, without, ask, False))
        times["added"].append(edit(world, with_it, ask, True))
    world.reset()
    return [{"edit": f"{kind} {what}", "names": names, "edits": len(found), **spread(found)}
            for what, found in times.items()]


def spread(times):
    """Milliseconds."""
    ordered = sorted(times)
    return {"median_ms": statistics.median(ordered),
            "p99_ms": ordered[(len(ordered) - 1) * 99 // 100],
            "max_ms": ordered[-1]}


def table(rows):
    lines = ["| edit | names in the policy | edits | median ms | p99 ms | max ms |",
             "| --- | --- | --- | --- | --- | --- |"]
    return "\n".join(lines + ["| {edit} | {names} | {edits} | {median_ms:.1f} | {p99_ms:.1f} | "
                              "{max_ms:.1f} |".format(**row) for row in rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="20 edits")
    parser.add_argument("--edits", type=int, help="of each kind and size; 200")
    parser.add_argument("--names", default="10,100000", help="sizes of the policy")
    parser.add_argument("--out", help="folder for the JSON")
    options = parser.parse_args()
    edits = options.edits or (20 if options.quick else 200)
    out = measure.results_folder(options.out, options.quick)
    measure.begin()
    world, rows = World(), []
    world.internet.dns.set(NAME, PLACE, ttl=86400)
    try:
        with Load(world) as load:
            load.origin(PLACE, 80, ANSWER, "close")
            for names in [int(word) for word in options.names.split(",")]:
                for kind in "name", "address":
                    world.internet.dns.set(NAME, PLACE, ttl=86400)
                    note(f"{edits} edits of one {kind} among {names} names")
                    rows += measure_edits(world, kind, names, edits)
    finally:
        world.close()
    measure.save(os.path.join(out, "reload.json"),
                 {"bench": "reload", "machine": measure.machine(), "rows": rows})
    print(table(rows))


if __name__ == "__main__":
    main()
