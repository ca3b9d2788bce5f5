"""load.py - many connections: programs in C outside the test process, with limits of their own.

    with Load(net) as load:
        origin = load.origin("many.test", 443, load.answer, "echo")
        held = load.hold(9500, "many.test", 443)
        assert held.counts == {"held": 9500, "lost": 0}
"""
import contextlib
import itertools
import os
import ssl
import subprocess

import netns

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = "cc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}"
AT_ONCE = 128                           # connections that are being opened at a time
PORTS = itertools.count(20000)          # of the origins: one that was used has closing connections


def told(line):
    """ "held 3 lost 0" as a dictionary."""
    words = line.split()
    return {name: int(number) for name, number in zip(words[::2], words[1::2])}


class Program:
    """One of them: asked by a line of text, answers by one; ends when the test lets go of it."""
    def __init__(self, argv):
        self.argv = argv
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, bufsize=1)

    def line(self):
        line = self.process.stdout.readline()
        assert line, f"{self.argv}: {self.process.stderr.read()}"
        return line.strip()

    def counts(self):
        return told(self.line())

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        return self.counts()

    def close(self):
        self.process.communicate()
        return self.process.wait()


class Load(contextlib.ExitStack):
    def __init__(self, net):
        super().__init__()
        self.net = net
        for name in "hold", "storm", "origin":
            if not os.path.exists(self.path(name)):
                netns.command(*BUILD, os.path.join(HERE, f"{name}.c"), "-o", self.path(name))
        self.hello, self.answer = tls_messages(net.authority, "many.test")
        net.internet.namespace.nft("""table ip load { chain origins {
            type nat hook prerouting priority dstnat - 1;
        }
        }""")
        self.callback(net.internet.namespace.nft, "delete table ip load")

    def path(self, name):
        return os.path.join(self.net.folder, name)

    def file(self, data):
        """Bytes in a file."""
        path = self.path(f"message-{hash(data):x}")
        with open(path, "wb") as file:
            file.write(data)
        return path

    def program(self, namespace, *argv):
        program = Program([*namespace.prefix(), self.path(argv[0]), *map(str, argv[1:])])
        self.callback(program.close)
        return program

    def origin(self, addr, port, answer, *mode):
        """A server at an IPv4 address, behind a redirect: see origin.c."""
        own = next(PORTS)
        self.net.internet.namespace.nft(
            f"add rule ip load origins ip daddr {addr} tcp dport {port} redirect to :{own}")
        program = self.program(self.net.internet.namespace, "origin", own, self.file(answer), *mode)
        assert program.line() == "ready"
        return program

    def hold(self, count, first, answer_len, *places):
        """Connections that are opened and held: see hold.c; counts() says how many there are."""
        where = [part for place in places for part in place]
        return self.program(self.net.box, "hold", self.file(first), answer_len, count, AT_ONCE,
                            *where)

    def storm(self, count, addr, port, request, at_once=32):
        """Short connections, one after another; what came of them."""
        return told(netns.command(*self.net.box.prefix(), self.path("storm"), addr, str(port),
                                  str(count), str(at_once), self.file(request)))


def tls_messages(authority, name):
    """A ClientHello and what a server answers to it."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = authority.client().wrap_bio(to_client, to_server, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    hello = to_server.read()
    to_server.write(hello)
    server = authority.server(name).wrap_bio(to_server, to_client, server_side=True)
    with contextlib.suppress(ssl.SSLWantReadError):
        server.do_handshake()
    return hello, to_client.read()
