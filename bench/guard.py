#!/usr/bin/env python3
"""guard.py - has the path become dearer? Counts what a fixed conversation takes, instructions of
our own program and system calls, and compares with the counts kept in bench/guard.json.

    bench/guard.py [--quick] [--store]

The counts depend on the compiler and the libraries: each set of those has counts of its own, and
for an unknown set they are only shown. See steps.c for how it counts."""
import argparse
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

import filter_path
import measure
import peers
from measure import note

KEPT = os.path.join(measure.ROOT, "bench", "guard.json")
TOLERANCE = 0.03
WARM, COUNTED = 3, 10           # conversations
REPS = 2                        # the lesser counts
QUIET_LOOKS, LOOK_SECONDS = 3, 0.0005
EXCHANGES, MESSAGE = 10, 64
FORWARD_PORT, SERVER_PORT = 7001, 9000
HANDSHAKE = b"\x16"
SERVER_HELLO = bytes.fromhex("160303002e" "0200002a" "0303" + "5a" * 32 + "00" "1301" "00"
                             "0002" "0000")
KINDS = "instructions", "syscalls"


def toolchain():
    """What the counts depend on."""
    compiler = "unknown compiler"
    build = os.path.join(os.path.dirname(measure.BINARY), "build.ninja")
    if os.path.exists(build):
        with open(build) as file:
            command = re.search(r"command = (\S*(?:gcc|clang|cc)\S*) ", file.read())
        if command:
            done = subprocess.run([command[1], "--version"], text=True, capture_output=True)
            compiler = done.stdout.split("\n")[0]
    libraries = subprocess.run(["pkg-config", "--modversion", "liburing", "libcares"], text=True,
                               capture_output=True).stdout.split()
    return f"{os.uname().machine}, {compiler}, liburing {' c-ares '.join(libraries)}"


def receive(sock, length):
    data = b""
    while len(data) < length:
        piece = sock.recv(length - len(data))
        if not piece:
            raise RuntimeError("the connection ended early")
        data += piece
    return data


def wait_asleep(pid):
    """Until every worker sleeps, so that no two things happen to it at once: then the same
    conversation takes the same instructions, however slowly they are counted."""
    looks = 0
    while looks < QUIET_LOOKS:
        time.sleep(LOOK_SECONDS)
        states = set()
        for task in set(os.listdir(f"/proc/{pid}/task")) - {str(pid)}:
            with open(f"/proc/{pid}/task/{task}/stat") as file:
                states.add(file.read().rsplit(")", 1)[1].split()[0])
        looks = looks + 1 if states == {"S"} else 0


def serve(listener, pid):
    """Echo what comes, one connection after another, until the listener is closed. A ClientHello
    is answered as TLS wants it."""
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        with sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := sock.recv(4096):
                wait_asleep(pid)
                sock.sendall(SERVER_HELLO if data[:1] == HANDSHAKE else data)


def converse(to, opening, pid):
    """A connection: an opening if there is one, messages that are echoed, and both sides end."""
    with socket.create_connection(to, timeout=60) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if opening:
            wait_asleep(pid)
            sock.sendall(opening)
            receive(sock, len(SERVER_HELLO))
        for _ in range(EXCHANGES):
            wait_asleep(pid)
            sock.sendall(b"m" * MESSAGE)
            receive(sock, MESSAGE)
        wait_asleep(pid)
        sock.shutdown(socket.SHUT_WR)
        if sock.recv(1):
            raise RuntimeError("more than was sent")
    wait_asleep(pid)


def counted(pid, kind, talk):
    """What the process takes for a conversation."""
    for _ in range(WARM):
        talk()
    steps = subprocess.Popen([measure.build("steps"), kind, str(pid)],
                             text=True, stdout=subprocess.PIPE)
    if steps.stdout.readline() != "ready\n":
        sys.exit("steps cannot trace the program")
    for _ in range(COUNTED):
        talk()
    steps.terminate()
    return int(steps.communicate()[0]) / COUNTED


def costs(name, peer):
    """{kind: count} of one conversation."""
    found = {}
    hello = b""
    if name == "filter":
        with open(filter_path.HELLO, "rb") as file:
            hello = file.read()
    for kind in KINDS:
        counts = []
        for _ in range(REPS):
            place = measure.Place("box" if hello else "loopback", "-guard")
            port = filter_path.SERVER_PORT if hello else FORWARD_PORT
            server_port = filter_path.SERVER_PORT if hello else SERVER_PORT
            if hello:
                filter_path.serve_names(place)
            proxy = peers.start(peer, place, measure.folder(),
                                filter_path.PROXY_PORT if hello else port, server_port,
                                filter_path.NAME, redirected=bool(hello))
            pid = measure.family(proxy.process.pid)[-1]
            with place.server.entered():
                listener = socket.create_server((place.server_addr, server_port))
            threading.Thread(target=serve, args=(listener, pid), daemon=True).start()
            with place.client.entered():
                to = place.server_addr if hello else place.proxy_addr, port
                counts.append(counted(pid, kind, lambda: converse(to, hello, pid)))
            proxy.stop()
            listener.close()
            place.close()
        found[kind] = round(min(counts), 1)
        note(f"  {name}, {kind}: " + ", ".join(f"{count:,.1f}" for count in counts))
    return found


def all_costs():
    """{conversation: {kind: count}}."""
    found = {}
    for name, group in ("forward", peers.PLAIN), ("filter", peers.VETTING):
        peer = next(peer for peer in group if peer.name == "ringfence")
        why = peers.missing(peer)
        if why:
            note(f"  {name} is left out: {why}")
        else:
            found[name] = costs(name, peer)
    return found


def compare(kept, found):
    """Print each count beside the one that is kept; whether one has become dearer."""
    dearer = False
    for name, counts in found.items():
        for kind, count in counts.items():
            before = kept.get(name, {}).get(kind)
            if before is None:
                print(f"{name}: {count:,} {kind}; none are kept for these tools, see --store")
                continue
            change = count / before - 1
            dearer |= change > TOLERANCE
            word = "DEARER" if change > TOLERANCE else \
                "cheaper, --store it" if change < -TOLERANCE else "as kept"
            print(f"{name}: {count:,} {kind}, {change:+.1%} of {before:,}: {word}")
    return dearer


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the same; it is quick")
    parser.add_argument("--store", action="store_true", help="keep these counts from now on")
    options = parser.parse_args()
    measure.begin()
    kept = {}
    if os.path.exists(KEPT):
        with open(KEPT) as file:
            kept = json.load(file)
    tools, found = toolchain(), all_costs()
    print(f"a conversation of {EXCHANGES} exchanges of {MESSAGE} bytes, {tools}")
    dearer = compare(kept.get(tools, {}), found)
    if options.store:
        kept.setdefault(tools, {}).update(found)
        measure.save(KEPT, kept)
        return 0
    return dearer


if __name__ == "__main__":
    sys.exit(main())
