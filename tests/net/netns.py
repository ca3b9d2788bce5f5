"""netns.py - network namespaces: make, enter, run in, remove.

A namespace is named ringfence-PID-NUMBER-NAME after the test process that made it, so that two
runs never meet and a later run can sweep up after one that was killed."""
import atexit
import contextlib
import ctypes
import itertools
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile

from ringfence import until

CLONE_NEWNET = 0x40000000
NETLINK_NETFILTER, NLM_F_REQUEST, NLM_F_ACK = 12, 1, 4
CT_DELETE = 1 << 8 | 2              # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE
NEW_IPV6 = re.compile(r"\baddr (add|replace) \S*:")
TENTATIVE, RTF_LOCAL = 0x40, 0x80000000     # linux/if_addr.h, linux/ipv6_route.h
numbers = itertools.count(1)
NAMES = re.compile(r"ringfence-(\d+)-")
libc = ctypes.CDLL(None, use_errno=True)


def command(*argv, stdin=None, check=True):
    """Run a command, return its output; its complaint is the exception's text."""
    done = subprocess.run(argv, input=stdin, text=True, capture_output=True)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


def value_text(value):
    """A set's element as nft's JSON has it: "203.0.113.7", or "203.0.113.7 tcp 22-80"."""
    if isinstance(value, dict) and "concat" in value:
        return " ".join(value_text(part) for part in value["concat"])
    if isinstance(value, dict):
        return "-".join(str(end) for end in value["range"])
    return str(value)


class Namespace:
    def __init__(self, name):
        self.name = f"ringfence-{os.getpid()}-{next(numbers)}-{name}"
        self.path = f"/run/netns/{self.name}"
        command("ip", "netns", "add", self.name)
        atexit.register(self.remove)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        # Who joins a group tells so at once, not again a second later, in the middle of a test.
        self.sysctl(ipv6__conf__default__mldv1_unsolicited_report_interval=1,
                    ipv6__conf__default__mldv2_unsolicited_report_interval=1)

    def enter(self):
        """Move the calling thread here for good."""
        if libc.setns(self.fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {self.name}")

    @contextlib.contextmanager
    def entered(self):
        """The calling thread is here inside the block. A socket made meanwhile stays here."""
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.enter()
            yield
        finally:
            if libc.setns(back, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns back")
            os.close(back)

    def ip(self, script):
        """Run lines of `ip -batch` here."""
        command(*self.prefix(), "ip", "-batch", "-", stdin=script)
        if NEW_IPV6.search(script):
            self.wait_for_local_routes()

    def wait_for_local_routes(self):
        """The kernel makes an IPv6 address local a moment after it has said yes to it: until then
        a packet from it is a stranger's."""
        with self.entered():
            until(lambda: addresses6() <= local_routes6(), f"local routes in {self.name}")

    def nft(self, script):
        command(*self.prefix(), "nft", "-f", "-", stdin=script)

    def nft_json(self, *argv):
        """What `nft -j list ...` says, without its heading."""
        return json.loads(command(*self.prefix(), "nft", "-j", *argv))["nftables"][1:]

    def sysctl(self, **values):
        """sysctl(ipv4__ip_forward=1): two underscores stand for a slash."""
        with self.entered():
            for name, value in values.items():
                with open(f"/proc/sys/net/{name.replace('__', '/')}", "w") as file:
                    file.write(str(value))

    def forget_flows(self):
        """Empty the table of tracked connections: a port used again within seconds would inherit
        the mark and the destination of the flow before (`conntrack -F`)."""
        with self.entered():
            sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        with sock:
            sock.send(struct.pack("=IHHIIBBH", 20, CT_DELETE, NLM_F_REQUEST | NLM_F_ACK, 1, 0,
                                  socket.AF_UNSPEC, 0, 0))
            error = -struct.unpack_from("=i", sock.recv(4096), 16)[0]
        if error:
            raise OSError(error, f"flush conntrack in {self.name}")

    def prefix(self):
        """What to put before a command to run it here."""
        return ["nsenter", f"--net={self.path}", "--"]

    def remove(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            remove_by_name(self.name)


def addresses6():
    """The IPv6 addresses of the calling thread's namespace that are in use, as 32 digits."""
    with open("/proc/thread-self/net/if_inet6") as file:
        rows = [line.split() for line in file]
    return {address for address, _, _, _, flags, _ in rows if not int(flags, 16) & TENTATIVE}


def local_routes6():
    with open("/proc/thread-self/net/ipv6_route") as file:
        rows = [line.split() for line in file]
    return {row[0] for row in rows if int(row[8], 16) & RTF_LOCAL}


def remove_by_name(name):
    for pid in command("ip", "netns", "pids", name, check=False).split():
        if int(pid) != os.getpid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    command("ip", "netns", "del", name, check=False)


def sweep():
    """Remove what test processes left that did not get to clean up."""
    for name in left_in("/run/netns"):
        remove_by_name(name)
    for name in left_in(tempfile.gettempdir()):
        shutil.rmtree(os.path.join(tempfile.gettempdir(), name), ignore_errors=True)


def left_in(folder):
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return [name for name in names if (owner := NAMES.match(name))
            and not os.path.exists(f"/proc/{owner[1]}")]
