"""measure.py - what every bench needs: namespaces, pinning, a proxy's CPU time, runs of the load
generator, medians, and a description of the machine.

CPU time is read from a control group of its own for each proxy (nanoseconds in version 1, micro-
seconds in version 2), so that threads, forked children and the kernel's workers count; where none
can be made, from the clocks of its processes."""
import atexit
import contextlib
import json
import os
import platform
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "net"))
import netns                                            # noqa: E402 (from tests/net)

BINARY = os.path.abspath(os.environ.get("RINGFENCE_BINARY",
                                        os.path.join(ROOT, "build", "ringfence")))
BUILT = os.path.join(ROOT, "build", "bench")            # what is made here and not kept
RESULTS = os.path.join(ROOT, "bench", "results")
CONGESTION = "reno"         # bbr paces even loopback, and then that is all one measures
GENERATOR_CORE, PROXY_CORE = 0, 1
NOISY = 0.15                # a run is marked when others took more of a core than this
MAX_TIME_WAIT = 4096        # so few that every run but the first finds as many
PATIENCE = 15

CFLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra"]


def note(*words):
    print(*words, file=sys.stderr, flush=True)


def build(name):
    """A C program of this folder, made of NAME*.c, anew when its sources are newer. Its path."""
    folder = os.path.join(ROOT, "bench")
    sources = [os.path.join(folder, file) for file in sorted(os.listdir(folder))
               if file.startswith(name) and file.endswith((".c", ".h"))]
    program = os.path.join(BUILT, name)
    if not os.path.exists(program) or \
            os.path.getmtime(program) < max(os.path.getmtime(path) for path in sources):
        os.makedirs(BUILT, exist_ok=True)
        subprocess.run([os.environ.get("CC", "cc"), *CFLAGS, f"-I{ROOT}", "-o", program,
                        *(path for path in sources if path.endswith(".c"))], check=True)
    return program


def folder():
    """A scratch folder that is gone at the end."""
    path = tempfile.mkdtemp(prefix=f"ringfence-{os.getpid()}-")
    os.chmod(path, 0o755)
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def terminated(*_):
    sys.exit(143)                                       # so that atexit cleans up


# Where clients, proxy and server are

class Place:
    """Namespaces and addresses: clients reach the proxy at proxy_addr, it the server at
    server_addr. kind: loopback (all in one), veth (the proxy apart, both legs over one pair), box
    (clients and proxy together, the server over a pair: an egress filter and its workload)."""

    def __init__(self, kind, tag=""):
        self.kind = kind
        self.proxy = self.make(f"{kind}{tag}-proxy")
        self.client = self.server = self.proxy
        self.proxy_addr = self.server_addr = "127.0.0.1"
        if kind != "loopback":
            self.server = self.make(f"{kind}{tag}-load")
            self.client = self.server if kind == "veth" else self.proxy
            self.proxy_addr, self.server_addr = "10.98.0.2", "10.98.0.1"
            self.proxy.ip(f"link add eth0 type veth peer name eth0 netns {self.server.name}\n"
                          f"addr add {self.proxy_addr}/24 dev eth0\nlink set eth0 up\n"
                          f"route add default via {self.server_addr}\n")
            self.server.ip(f"addr add {self.server_addr}/24 dev eth0\nlink set eth0 up\n")

    @staticmethod
    def make(name):
        space = netns.Namespace("bench-" + name)
        space.ip("link set lo up\n")
        space.sysctl(ipv4__tcp_congestion_control=CONGESTION,
                     ipv4__ip_local_port_range="10240 65000",
                     ipv4__tcp_max_tw_buckets=MAX_TIME_WAIT, core__somaxconn=8192)
        return space

    def tcp_trouble(self):
        """Retransmitted segments and pruned receive queues so far, in all namespaces."""
        sums = {"retransmits": 0, "prunes": 0}
        for space in {self.proxy, self.server}:
            with space.entered():
                for file in "snmp", "netstat":
                    with open(f"/proc/thread-self/net/{file}") as text:
                        lines = [line.split() for line in text]
                    for names, values in zip(lines[::2], lines[1::2]):
                        fields = dict(zip(names, values))
                        sums["retransmits"] += int(fields.get("RetransSegs", 0))
                        sums["prunes"] += int(fields.get("PruneCalled", 0))
        return sums

    def close(self):
        for space in {self.proxy, self.server}:
            space.remove()


# A proxy's CPU time

def cgroup_bases():
    """(folder, file to read, what the generator calls it), the finest first."""
    with open("/proc/mounts") as file:
        mounts = [line.split() for line in file]
    for mount in mounts:
        if mount[2] == "cgroup" and "cpuacct" in mount[3].split(","):
            yield mount[1], "cpuacct.usage", "nsfile:"
    for mount in mounts:
        if mount[2] == "cgroup2":
            yield mount[1], "cpu.stat", "stat:"


class Meter:
    """A control group, or None where none can be made."""

    def __init__(self, name):
        self.path = None
        for base, file, word in cgroup_bases():
            path = os.path.join(base, f"ringfence-bench-{os.getpid()}-{name}")
            with contextlib.suppress(OSError):
                os.mkdir(path)
                if os.path.exists(os.path.join(path, file)):
                    self.path, self.word, self.file = path, word, file
                    atexit.register(self.close)
                    return
                os.rmdir(path)

    def join(self):
        """Called by the child itself."""
        if self.path:
            with open(os.path.join(self.path, "cgroup.procs"), "w") as file:
                file.write("0")

    def spec(self, pid):
        """For the generator's --cpu."""
        if self.path:
            return self.word + os.path.join(self.path, self.file)
        return "pids:" + ",".join(str(one) for one in family(pid))

    def seconds(self):
        """CPU time so far, 0 without a control group."""
        if not self.path:
            return 0
        with open(os.path.join(self.path, self.file)) as file:
            words = file.read().split()
        if self.word == "nsfile:":
            return int(words[0]) / 1e9
        return int(words[words.index("usage_usec") + 1]) / 1e6

    def close(self):
        deadline = time.monotonic() + 5
        while self.path and time.monotonic() < deadline:
            try:
                os.rmdir(self.path)
                self.path = None
            except FileNotFoundError:
                self.path = None
            except OSError:                             # its processes are still ending
                time.sleep(0.02)


def family(pid):
    """A process and all that descend from it."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{task}/children") as file:
                    found += [int(word) for word in file.read().split()]
    return found


# Processes

def settle(core):
    """In a child: on its core, with all descriptors, and ahead of what else the machine does."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if os.cpu_count() > 1:
        os.sched_setaffinity(0, {core})
    with contextlib.suppress(OSError):                  # an own session is an own autogroup
        with open("/proc/self/autogroup", "w") as file:
            file.write("-15")


class Proxy:
    """A running proxy, pinned and metered. ports: what it must listen on before it is measured;
    proto: "tcp" or "udp"."""

    def __init__(self, name, argv, place, env=None, ports=(), proto="tcp"):
        self.name, self.log = name, tempfile.TemporaryFile()
        self.meter = Meter(name)

        def before():
            settle(PROXY_CORE)
            self.meter.join()
        self.process = subprocess.Popen(
            [*place.proxy.prefix(), *argv], env={"PATH": os.environ["PATH"], **(env or {})},
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT,
            start_new_session=True, preexec_fn=before)
        atexit.register(self.stop)
        self.wait_listening(ports, proto)

    def wait_listening(self, ports, proto):
        deadline = time.monotonic() + PATIENCE
        wanted = {f"{port:04X}" for port in ports}
        while wanted:
            for line in self.sockets(proto):
                fields = line.split()
                if proto == "udp" or fields[3] == "0A":
                    wanted.discard(fields[1].rsplit(":", 1)[1])
            if wanted and (self.process.poll() is not None or time.monotonic() > deadline):
                self.stop()
                raise RuntimeError(f"{self.name} does not listen:\n{self.said()}")
            time.sleep(0.02)

    def sockets(self, proto):
        for file in proto, proto + "6":
            with contextlib.suppress(OSError):
                with open(f"/proc/{self.process.pid}/net/{file}") as text:
                    yield from text.readlines()[1:]

    def said(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-2000:]

    def cpu_spec(self):
        return self.meter.spec(self.process.pid)

    def memory_kib(self):
        """Resident, of all its processes together."""
        total = 0
        for pid in family(self.process.pid):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/status") as file:
                    total += sum(int(line.split()[1]) for line in file if "VmRSS" in line)
        return total

    def stop(self):
        atexit.unregister(self.stop)
        for number in signal.SIGTERM, signal.SIGKILL:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(2)
        self.meter.close()


def load_command(place, connect, listen, proxy, args):
    command = [build("load"), "--connect", connect, "--listen", listen,
               "--client-netns", place.client.path, "--server-netns", place.server.path]
    if proxy:
        command += ["--cpu", proxy.cpu_spec()]
    return [*command, *(str(arg) for arg in args)]


def run_load(place, connect, listen, proxy, args):
    """One run: what the generator says as a dictionary, with "failed" when something was wrong."""
    before = place.tcp_trouble()
    done = subprocess.run(load_command(place, connect, listen, proxy, args), text=True,
                          capture_output=True, start_new_session=True, timeout=60,
                          preexec_fn=lambda: settle(GENERATOR_CORE))
    try:
        run = json.loads(done.stdout)
    except ValueError:
        run = {"first_error": done.stderr.strip() or f"ended with {done.returncode}"}
    if done.returncode != 0:
        run["failed"] = run["first_error"]
    run.update({name: count - before[name] for name, count in place.tcp_trouble().items()})
    return run


def hold_load(place, connect, listen, proxy, args, look):
    """Idle connections: open them, call look(), end; what look() said, or None."""
    process = subprocess.Popen(load_command(place, connect, listen, proxy, args), text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               start_new_session=True,
                               preexec_fn=lambda: settle(GENERATOR_CORE))
    if process.stdout.readline() == "holding\n":
        seen = look()
        output, _ = process.communicate("\n", timeout=60)
    else:
        seen, output = None, process.communicate()[0]
    if process.returncode != 0:
        note(f"  idle connections failed: {output.strip()}")
        return None
    return seen


# Figures

def spread(values):
    """{"median", "min", "max"} of numbers."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def figures(run, unit):
    """The figures of one run. unit "gib": CPU s/GiB and Gb/s; "100k": CPU s/100,000 and ops/s."""
    if unit == "gib":
        gib, rate = run["bytes"] / 2**30, run["bytes"] * 8 / 1e9 / run["seconds"]
        return {"cpu": run["proxy_cpu"] / gib if gib else None, "rate": rate}
    ops = run["ops"]
    found = {"cpu": run["proxy_cpu"] / ops * 1e5 if ops else None, "rate": ops / run["seconds"]}
    found.update({name: run[name] for name in ("p50_us", "p99_us", "p999_us")})
    if run["bytes"]:
        found["gbps"] = run["bytes"] * 8 / 1e9 / run["seconds"]
    return found


def summary(runs, unit):
    """Medians and spreads over the runs that did not fail."""
    good = [figures(run, unit) for run in runs if "failed" not in run]
    names = {name for one in good for name in one if one[name] is not None}
    found = {name: spread([one[name] for one in good if one.get(name) is not None])
             for name in sorted(names)}
    found["runs"], found["failed"] = len(runs), len(runs) - len(good)
    found["noisy"] = sum(run.get("others_cpu", 0) > NOISY * run.get("seconds", 1) for run in runs)
    return found


def machine():
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if "model name" in line), "?")
    with contextlib.suppress(OSError), open("/etc/os-release") as file:
        system = dict(line.rstrip().split("=", 1) for line in file if "=" in line)
    return {"date": time.strftime("%Y-%m-%d"), "cpu": model, "cores": os.cpu_count(),
            "kernel": platform.release(), "system": system.get("PRETTY_NAME", "?").strip('"'),
            "congestion_control": CONGESTION,
            "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[1]}


def save(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        json.dump(data, file, indent=1)
        file.write("\n")


def results_folder(named, partial):
    """Where figures go: where the caller said, or apart from the kept ones when not all was run."""
    return named or (os.path.join(BUILT, "quick") if partial else RESULTS)


def lend_pipes():
    """Pipe pages are counted by user, and all proxies here are root: the one that took its pipes
    first would leave none to the others. Nobody is limited until the end."""
    limit = "/proc/sys/fs/pipe-user-pages-soft"
    with contextlib.suppress(OSError):
        with open(limit) as file:
            before = file.read()

        def write(text):
            with contextlib.suppress(OSError), open(limit, "w") as file:
                file.write(text)
        atexit.register(write, before)
        write("0")


def begin():
    """Once, before all else."""
    if os.geteuid() != 0:
        sys.exit("benches need root: they make network namespaces")
    signal.signal(signal.SIGTERM, terminated)
    netns.sweep()
    lend_pipes()
    if os.cpu_count() < 2:
        note("only one core: proxy and generator share it, which blurs every figure")
