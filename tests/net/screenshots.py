"""screenshots.py - the README's pictures of the dashboard; ./dev screenshots takes them.

Four workloads, each with a filter of its own, talk for a while with a fake internet; what their
filters ship is what the pictures show.  Names and sizes are made up, events are not."""
import concurrent.futures
import contextlib
import os
import random
import subprocess
import sys
import threading
import time

from dashboard import KEY, Dashboard
from dnsstub import DnsClient
from ringfence import ROOT, until
from world import World

SECONDS = 80                    # of traffic before the first picture; it goes on meanwhile
HANDS = 5                       # conversations of a workload at a time
ALLOWED = {"api.stripe.com": 30, "registry.npmjs.org": 26, "api.github.com": 22,
           "files.pythonhosted.org": 17, "deb.debian.org": 13, "pypi.org": 9, "auth.docker.io": 7,
           "raw.githubusercontent.com": 6, "hooks.slack.com": 5}
BLOCKED = {"telemetry.nextjs.org": 9, "o4507.ingest.sentry.io": 7, "stats.grafana.org": 6,
           "api.segment.io": 5, "o1188.ingest.sentry.io": 4, "paste.example.org": 2,
           "update.code.example.com": 2}
POLICY = [*ALLOWED, "*.githubusercontent.com", "*.corp.example.net"]
POLICY.remove("raw.githubusercontent.com")
UNUSED = "legacy-crm.example.com"
WORKLOADS = {"shop-web": {}, "shop-jobs": {}, "ci-runner": {},
             "search": {"FILTER_MODE": "dns-strict"}}


def answer(request):
    """As many bytes as the path says."""
    size = int(request.target[1:] or 0)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % size
    return head + bytes(size)


class Workload:
    def __init__(self, number, hostname, env, dashboard):
        self.world, self.random = World(), random.Random(number)
        self.client, self.dns = self.world.client, DnsClient(self.world.client, timeout=2)
        self.world.internet.http_answer = answer
        self.addresses = {}
        for at, name in enumerate([*ALLOWED, *BLOCKED]):
            self.addresses[name] = f"198.51.100.{10 + at}"
            self.world.internet.dns.set(name, self.addresses[name])
        self.world.start(domains=POLICY, ips=["10.20.0.0/16"], env={
            "HOSTNAME": hostname, "DASHBOARD_HOST": dashboard, "DASHBOARD_API_KEY": KEY,
            "DASHBOARD_START_DELAY": "0s", "ENABLE_REMOTE_UNBLOCK": "true",
            "POLICY_OVERLAY_PATH": os.path.join(self.world.folder, "overlay.yaml"), **env})
        self.world.ringfence.wait_event("dashboard: probe ok")

    def pick(self, names):
        return self.random.choices(list(names), list(names.values()))[0]

    def fetch(self, name):
        """A question, and a request that takes its time, as servers far away do."""
        with contextlib.suppress(OSError, EOFError, ValueError):
            self.dns.ask(name, self.random.choice(["A", "A", "AAAA"]))
        if name in BLOCKED and self.random.random() < 0.4:
            return                      # it believes what it was told
        plain = name == "deb.debian.org"
        path = f"/{int(self.random.random() ** 4 * 2e6) + 200}"
        wait = min(self.random.expovariate(6), 2)
        with contextlib.suppress(OSError, EOFError):
            sock = self.client.connect(self.addresses[name], 80 if plain else 443, timeout=5)
            with sock:
                if not plain:
                    sock = self.client.authority.client().wrap_socket(sock, server_hostname=name)
                time.sleep(wait)
                sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
                while sock.recv(65536):
                    pass
                sock.close()

    def stray(self):
        """Past every name: by address alone."""
        if self.random.random() < 0.5:
            self.client.udp("203.0.113.123", 123, timeout=0.2)
        else:
            self.client.tcp("203.0.113.22", 22, timeout=0.2)

    def live(self, over):
        begun = time.monotonic()
        while not over.is_set():
            part = (time.monotonic() - begun) / SECONDS
            burst = 0.55 < part < 0.7           # somebody deployed something
            roll = self.random.random()
            if roll < 0.02:
                self.stray()
            else:
                self.fetch(self.pick(BLOCKED if roll < (0.4 if burst else 0.12) else ALLOWED))
            over.wait(self.random.expovariate(3 if burst else 1))


@contextlib.contextmanager
def talk(workloads):
    """Meanwhile the workloads live."""
    over = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(HANDS * len(workloads)) as hands:
        done = [hands.submit(workload.live, over) for workload in workloads
                for _ in range(HANDS)]
        try:
            yield
        finally:
            over.set()
        for one in done:
            one.result()


def reported(dashboard):
    """Are the reports of now?"""
    instances = dashboard.api("/fleet/instances")
    return len(instances) == len(WORKLOADS) and all(
        UNUSED in str(one["policy"]["domains"]) for one in instances)


def main():
    folder = os.path.join(ROOT, "build", "screenshots")
    os.makedirs(folder, exist_ok=True)
    socket = os.path.join(folder, "dashboard.sock")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, "dashboard.db"))
    dashboard = Dashboard(os.path.join(folder, "dashboard.db"), {
        "AUTH_MODE": "none", "UNIX_SOCKET": socket})
    workloads = []
    try:
        for number, (hostname, env) in enumerate(WORKLOADS.items()):
            workloads.append(Workload(number, hostname, env, f"unix:{socket}"))
        print(f"{SECONDS} s of traffic", flush=True)
        with talk(workloads):
            time.sleep(SECONDS)
            for workload in workloads:
                workload.world.reload(domains=[*POLICY, UNUSED], ips=["10.20.0.0/16"])
            until(lambda: reported(dashboard), "the reports")
            return subprocess.run(["node", os.path.join(ROOT, "tests", "ui", "screenshots.mjs"),
                                   f"http://127.0.0.1:{dashboard.port}", *sys.argv[1:]]).returncode
    finally:
        for workload in workloads:
            workload.world.close()
        dashboard.kill()


if __name__ == "__main__":
    sys.exit(main())
