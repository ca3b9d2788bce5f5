#!/usr/bin/env python3
"""dashboard.py - what the dashboard takes in, streams and finds, on one machine with its load.

    bench/dashboard.py [--quick] [--out FOLDER]

ingest: batches of 500 events from four connections, ten live streams reading along.
streams: 1,000 live streams, 50 of which never read, at 200 events a second.
search: among a million events, terms over name, address, instance and reason; the best and the
worst of ten runs of each, over HTTP. Writes dashboard.json."""
import argparse
import contextlib
import http.client
import json
import os
import random
import resource
import selectors
import socket
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "net"))

from dashboard import KEY, Dashboard                    # noqa: E402 (from tests/net)

BATCH, SHIPPERS, READERS = 500, 4, 10
STREAMS, NEVER_READ, RATE = 1000, 50, 200
HEADERS = {"X-Api-Key": KEY, "Content-Type": "application/json"}
TERMS = "github", "api.", "name-4242.", "203.0.113.77", "worker-17", "not-allowlisted", \
    "name-99 worker-3", "zzz-nowhere"


def note(text):
    print(text, flush=True)


class World:
    """Events as a fleet has them: 20,000 names, 50 instances, some reasons."""

    def __init__(self, seed=1):
        self.random = random.Random(seed)
        self.words = "github", "registry", "api", "cdn", "telemetry", "mirror", "auth", "login"
        self.count = 0

    def event(self):
        number = int(self.random.paretovariate(0.6)) % 20000
        blocked = number % 7 == 0
        word = self.words[number % len(self.words)]
        self.count += 1
        return {
            "msg": "https.blocked" if blocked else "https.allowed",
            "action": "BLOCKED" if blocked else "ALLOWED", "component": "https",
            "https": f"{word}.name-{number}.example.com", "hostname": f"worker-{number % 50}",
            "source_ip": f"172.18.0.{number % 9 + 2}", "source_port": 32768 + self.count % 28000,
            "destination_ip": f"203.0.113.{number % 250}", "destination_port": 443,
            "dst": f"203.0.113.{number % 250}:443", "flow_id": f"{self.random.getrandbits(64):x}",
            "version": "0.1.0", **({"reason": "not-allowlisted"} if blocked else {
                "rule": "*.example.com", "bytes_up": 900, "bytes_down": 70000,
                "duration_ms": self.random.randrange(400)})}

    def batches(self, count):
        return [json.dumps([self.event() for _ in range(BATCH)]).encode() for _ in range(count)]


class Reader:
    """A live stream: counts its events, or never reads."""

    def __init__(self, port):
        self.events = self.size = self.dropped = 0
        self.tail = b""
        self.conn = socket.create_connection(("127.0.0.1", port))
        self.conn.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: %s\r\n\r\n"
                          % KEY.encode())

    def read(self):
        piece = self.conn.recv(1 << 20)
        if not piece:
            sys.exit("a stream was cut")
        text = self.tail + piece
        self.events += text.count(b"\nid: ")
        self.tail = text[-5:] if not text.endswith(b"\nid: ") else b""
        self.size += len(piece)
        at = piece.find(b'"type":"dropped"')
        if at >= 0:
            self.dropped += int(piece[at:].partition(b'"count":')[2].partition(b"}")[0] or 0)


def read_along(readers, stop):
    selector = selectors.DefaultSelector()
    for reader in readers:
        selector.register(reader.conn, selectors.EVENT_READ, reader)
    while not stop.is_set():
        for key, _ in selector.select(0.1):
            key.data.read()


@contextlib.contextmanager
def reading(readers):
    stop = threading.Event()
    thread = threading.Thread(target=read_along, args=(readers, stop))
    thread.start()
    yield
    stop.set()
    thread.join()
    for reader in readers:
        reader.conn.close()


def cpu_s(dashboard):
    with open(f"/proc/{dashboard.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def post(connection, body):
    connection.request("POST", "/api/v1/logs", body, HEADERS)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 201:
        sys.exit(f"a post was answered {answer.status}: {text[:200]}")


def ship(port, batches, share):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for body in batches[share::SHIPPERS]:
        post(connection, body)
    connection.close()


def measure_ingest(dashboard, events):
    world = World()
    batches = world.batches(min(events // BATCH, 80))   # sent again and again
    batches = (batches * (events // BATCH // len(batches) + 1))[:events // BATCH]
    readers = [Reader(dashboard.port) for _ in range(READERS)]
    with reading(readers):
        begun, cpu = time.monotonic(), cpu_s(dashboard)
        shippers = [threading.Thread(target=ship, args=(dashboard.port, batches, share))
                    for share in range(SHIPPERS)]
        for shipper in shippers:
            shipper.start()
        for shipper in shippers:
            shipper.join()
        took, cpu = time.monotonic() - begun, cpu_s(dashboard) - cpu
        time.sleep(1)                                   # the streams' last events
    count = len(batches) * BATCH
    return {"events": count, "events_per_s": round(count / took), "cpu_s": round(cpu, 2),
            "streams": READERS, "streamed_per_stream": [reader.events for reader in readers],
            "lost_by_streams": sum(reader.dropped for reader in readers),
            "resident_mib": dashboard.memory_kib() >> 10}


def measure_streams(dashboard, seconds):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    before = dashboard.memory_kib()
    silent = [Reader(dashboard.port) for _ in range(NEVER_READ)]
    readers = [Reader(dashboard.port) for _ in range(STREAMS - NEVER_READ)]
    world = World(2)
    connection = http.client.HTTPConnection("127.0.0.1", dashboard.port)
    with reading(readers):
        while not all(reader.size for reader in readers):
            time.sleep(0.05)
        begun, cpu = time.monotonic(), cpu_s(dashboard)
        for turn in range(seconds * 10):
            post(connection, json.dumps([world.event() for _ in range(RATE // 10)]).encode())
            time.sleep(max(0, begun + (turn + 1) / 10 - time.monotonic()))
        took, cpu = time.monotonic() - begun, cpu_s(dashboard) - cpu
        while not all(reader.events >= world.count for reader in readers) and \
                time.monotonic() < begun + took + 20:
            time.sleep(0.05)
        late = time.monotonic() - begun - took
        memory = dashboard.memory_kib()
    for reader in silent:
        reader.conn.close()
    return {"streams": STREAMS, "never_read": NEVER_READ, "events_per_s": RATE, "seconds": seconds,
            "complete_streams": sum(reader.events == world.count for reader in readers),
            "last_event_late_s": round(late, 2), "cpu_share": round(cpu / took, 2),
            "resident_growth_mib": (memory - before) >> 10}


def measure_search(dashboard, events):
    world = World(3)
    connection = http.client.HTTPConnection("127.0.0.1", dashboard.port)
    begun = time.monotonic()
    for _ in range(events // BATCH):
        post(connection, world.batches(1)[0])
    note(f"  {events} events stored in {time.monotonic() - begun:.0f} s, the making of them "
         "included")
    found = {}
    for path in [f"/logs?limit=100&q={term}" for term in TERMS] + \
            [f"/logs/browse?q={term}" for term in TERMS] + \
            ["/logs?limit=100", "/aggregates?range=1h", "/aggregates?range=1h&q=github",
             "/aggregates?range=1h&limit=1000&order=bytes"]:
        times = []
        for _ in range(10):
            begun = time.monotonic()
            connection.request("GET", "/api/v1" + path.replace(" ", "+"), headers=HEADERS)
            answer = connection.getresponse()
            answer.read()
            times.append((time.monotonic() - begun) * 1000)
            if answer.status != 200:
                sys.exit(f"{path} was answered {answer.status}")
        found[path] = {"best_ms": round(min(times), 1), "worst_ms": round(max(times), 1)}
    return {"events": events, "queries": found,
            "file_mib": os.path.getsize(dashboard.file) >> 20}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", default=os.path.join(ROOT, "bench", "results"))
    args = parser.parse_args()
    results = {}
    for name, measure, size in (("ingest", measure_ingest, 20000 if args.quick else 400000),
                                ("streams", measure_streams, 3 if args.quick else 20),
                                ("search", measure_search, 50000 if args.quick else 1000000)):
        with tempfile.TemporaryDirectory(prefix="ringfence-bench-") as folder:
            path = os.path.join(folder, "events.db")
            dashboard = Dashboard(path, {"LOG_RETENTION": "0", "LOG_LEVEL": "INFO"})
            dashboard.file = path
            results[name] = measure(dashboard, size)
            dashboard.finish()
        note(f"{name}: {json.dumps(results[name], indent=1)}")
    if not args.quick:
        with open(os.path.join(args.out, "dashboard.json"), "w") as file:
            json.dump(results, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
