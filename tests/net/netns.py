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

CLONE_NEWNET = 0x40000000
NETLINK_NETFILTER, NLM_F_REQUEST, NLM_F_ACK = 12, 1, 4
CT_DELETE = 1 << 8 | 2              # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE
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
