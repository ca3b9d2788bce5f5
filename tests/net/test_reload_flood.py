"""test_reload_flood.py - policies come and go while answers are on their way: nothing of a policy
that was replaced is looked at again.

The policies are large, so that their memory goes back to the kernel when they are freed, and who
looks at it then does not live on."""
import contextlib
import itertools
import random
import select
import socket
import threading

import pytest

from dnsstub import DnsClient, question
from fakedns import reply

RELOADS = 30
WINDOW = 64                             # questions on their way, a socket
QUESTIONS_MAX = 400000                  # the flood ends, whatever else happens
FILLER = [f"f{number}.filler-name-of-some-length.example" for number in range(20000)]
ENV = {"DNS_HARDENING": "false", "WORKERS": 2, "LOG_LEVEL": "INFO",
       "MALLOC_MMAP_THRESHOLD_": 65536, "MALLOC_PERTURB_": 165}


class Flood:
    """New names below wild.test and off.test in turn, as fast as they are answered."""
    def __init__(self, net):
        self.dns, self.stop = DnsClient(net.client), threading.Event()
        self.numbers = itertools.count()
        for name in "*.wild.test", "*.off.test":
            net.internet.dns.set(name, raw=self.reply)

    @staticmethod
    def reply(query):
        return reply(query, f"203.{random.randrange(1, 99)}.{random.randrange(256)}.7")

    def ask(self, sock, count):
        for _ in range(count):
            with contextlib.suppress(OSError):          # no room just now
                number = next(self.numbers)
                sock.send(question(f"r{number}.{'off' if number % 2 else 'wild'}.test"))

    def run(self):
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(self.dns.socket()) for _ in range(4)]
            for sock in sockets:
                sock.setblocking(False)
                self.ask(sock, WINDOW)
            while not self.stop.is_set() and next(self.numbers) < QUESTIONS_MAX:
                ready = select.select(sockets, [], [], 0.2)[0]
                for sock in ready or sockets:           # lost ones: again
                    answers = 0
                    with contextlib.suppress(OSError):
                        while sock.recv(4096, socket.MSG_DONTWAIT):
                            answers += 1
                    self.ask(sock, answers if ready else WINDOW)

    def __enter__(self):
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


@pytest.mark.parametrize("mode", ["https", "dns", "dns-strict"])
def test_a_reload_under_a_flood_of_new_names_uses_nothing_of_the_policy_before(net, mode):
    """Also of a name that is taken off and put on again all the while."""
    domains = ["*.wild.test", *FILLER]
    flood = Flood(net)
    net.start(domains=domains, env={"FILTER_MODE": mode, **ENV})
    with flood:
        for number in range(RELOADS):
            off = ["*.off.test"] if number % 2 else []
            applied = net.reload(domains=[f"x{number}.example", *off, *domains])
            assert f"+x{number}.example" in applied["changes"]
    assert flood.dns.ask("last.wild.test").rcode == "NOERROR"
    told = {(event["qname"].split(".", 1)[1], event.get("rule"))
            for event in net.ringfence.events("dns.allowed")}
    assert told == {("wild.test", "*.wild.test"), ("off.test", "*.off.test")}
    assert not net.ringfence.events("dns.strict.set_update_failed", err="Stale file handle")
