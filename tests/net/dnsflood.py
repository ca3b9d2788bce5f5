"""dnsflood.py - more new names than the cache has seen, from four clients:

    flood = Flood(net)
    net.start(domains=["*.wild.test"], env={"DNS_HARDENING": "false"})
    with flood:
        ..."""
import contextlib
import itertools
import random
import select
import socket
import threading

from dnsstub import DnsClient, question
from fakedns import reply

WINDOW = 40                             # questions on their way, a socket
QUESTIONS_MAX = 400000                  # it ends, whatever else happens


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
