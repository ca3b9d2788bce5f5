"""test_allocation.py - after the start nothing is allocated: not for a connection, a request, bulk,
a question, a cached name or a log line. liballoc_count.so (alloc_count.c) counts."""
import collections
import os
import struct

import pytest

from bulk import MIB, Bulk
from client import read_response
from dnsstub import DnsClient, frame, question, receive
from internet import ORIGIN, ORIGIN6
from load import Load
from ringfence import binary, sanitized

LIBRARY = os.path.join(os.path.dirname(binary()), "tests", "liballoc_count.so")
MANY = "203.0.113.80"
HOUR = 3600                             # no cached name is asked for anew meanwhile
BULK = 12

Counts = collections.namedtuple("Counts", "allocations frees maps last_caller last_size")


class Counted(Bulk):
    """ringfence with its allocations counted."""
    def __init__(self, net, kind):
        super().__init__(net, kind)
        self.conns = 0                  # that have ended
        self.file = os.path.join(net.folder, "allocations")
        self.load = self.enter_context(Load(net))
        self.load.origin(MANY, 443, self.load.answer, "close")
        net.internet.dns.set("allowed.test", ORIGIN, ORIGIN6, ttl=HOUR)
        net.internet.dns.set("many.test", MANY, ttl=HOUR)
        net.internet.dns.set("new.test", ORIGIN, ttl=HOUR)
        preload = ["env", f"LD_PRELOAD={LIBRARY}", f"ALLOC_COUNT_FILE={self.file}"]
        # A policy file would be read again every five seconds, into memory allocated for it.
        self.start(wrapper=preload, LOG_LEVEL="DEBUG", POLICY_PATH=None, ALLOWLIST_DOMAINS="*.test",
                   DNS_RATE_QPS=1000000, DNS_RATE_BURST=1000000)

    def counts(self):
        """Of the control thread, and of all workers."""
        with open(self.file, "rb") as file:
            numbers = struct.unpack("10Q", file.read())
        return Counts(*numbers[:5]), Counts(*numbers[5:])

    def allocated(self):
        return [(counts.allocations, counts.maps) for counts in self.counts()]

    def whence(self, counts):
        """Who allocated last, as addr2line(1) wants it."""
        with open(f"/proc/{self.net.ringfence.pid}/maps") as file:
            for line in file:
                span, _, offset, _, _, *name = line.split()
                first, end = (int(side, 16) for side in span.split("-"))
                if first <= counts.last_caller < end:
                    at = counts.last_caller - first + int(offset, 16)
                    return f"{counts.last_size} bytes by {' '.join(name)} {at:#x}"
        return f"{counts.last_size} bytes by {counts.last_caller:#x}"

    def http(self, host, requests):
        """A connection, some requests one after another."""
        with self.net.client.connect(*self.place()) as sock:
            for size in range(1, requests + 1):
                sock.sendall(b"GET /1/%d HTTP/1.1\r\nHost: %s\r\n\r\n" % (size, host))
                assert read_response(sock)[0] == 200
        self.conns += 1

    def tls(self, count):
        """Hellos and their answers, many at once; and some whole handshakes."""
        assert self.load.storm(count, MANY, 443, self.load.hello) == \
            {"answered": count, "failed": 0}
        for _ in range(count // 10):
            assert self.net.client.tls("allowed.test", path="/1/1") == "OK"
        self.conns += count + count // 10

    def names(self, count):
        """Questions: cached ones, blocked ones, bad ones."""
        dns = DnsClient(self.net.client)
        for _ in range(count):
            assert dns.ask("allowed.test").addrs == [ORIGIN]
            assert dns.ask("evil.example").rcode == "NXDOMAIN"
            assert dns.ask("7.113.0.203.in-addr.arpa", "PTR").answers
            assert dns.ask("allowed.test", "NULL").rcode == "REFUSED"
        with dns.stream() as sock:
            for _ in range(60):
                sock.sendall(frame(question("allowed.test")) + frame(question("evil.example")))
                receive(sock), receive(sock)

    def work(self, count):
        """All that may happen for names that are known, until the last line of it is written."""
        if self.kind == "filter":
            self.names(count)
            self.tls(count)
        for _ in range(count):
            self.http(b"allowed.test", 3)
        self.finish(self.mixed(BULK, 2 * MIB))
        self.conns += BULK
        self.net.ringfence.wait_event(lambda fact: fact["msg"].endswith(".closed"),
                                      count=self.conns)


@pytest.mark.parametrize("kind", ["filter", "forward"])
def test_after_the_start_nothing_is_allocated(net, kind):
    if sanitized():
        pytest.skip("a sanitizer has an allocator of its own")
    assert os.path.exists(LIBRARY), f"{LIBRARY} is not built: this needs glibc"
    with Counted(net, kind) as counted:
        counted.work(50)
        before = control, workers = counted.allocated()
        assert min(control + workers) > 0       # it counts: pools and rings are made at the start
        counted.work(500)
        assert counted.allocated() == before, [counted.whence(part) for part in counted.counts()]
        assert net.ringfence.pipes()
        if kind == "filter":            # and now something that does allocate: a question
            counted.http(b"new.test", 1)
            assert counted.allocated()[1] > workers
