"""ringfence.py - one running ringfence: start, wait for what it says, stop, and judge its end."""
import collections
import contextlib
import fcntl
import itertools
import json
import os
import signal
import struct
import subprocess
import termios
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.join(ROOT, "build", "ringfence")
PATIENCE = 30                   # seconds; generous: sanitizers on a loaded machine are slow
TROUBLE = "Sanitizer:", "runtime error:", "Assertion `"
PASSED_ON = "PATH", "HOME", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS", \
    "RINGFENCE_FEATURES"
F_GETPIPE_SZ = 1032

Pipe = collections.namedtuple("Pipe", "size held")      # bytes it takes, bytes in it


def binary():
    return os.path.abspath(os.environ.get("RINGFENCE_BINARY", BINARY))


def sanitized():
    """Is the binary instrumented? Its memory then says nothing about ours."""
    with open(binary(), "rb") as file:
        image = file.read()
    return b"__asan_init" in image or b"__tsan_init" in image


def until(condition, what, patience=PATIENCE):
    """What condition() gave once it was true."""
    deadline = time.monotonic() + patience
    for turn in itertools.count():
        if result := condition():
            return result
        assert time.monotonic() < deadline, f"{what}: not in {patience} s, asked {turn} times"
        time.sleep(0.02)


class Ringfence:
    def __init__(self, prefix, args, env):
        """prefix: the command that runs it in its namespace."""
        self.changed = threading.Condition()
        self.lines, self.facts = [], []         # all output; those lines that are JSON, parsed
        self.ended = False                      # output closed
        self.end_expected = False
        self.exit_code = 143 if "forward" in args else 0        # as the seeds' after SIGTERM
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self.process = subprocess.Popen(
            [*prefix, binary(), *args], env={**passed, **env}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                if line.startswith("{"):
                    try:
                        self.facts.append(json.loads(line))
                    except ValueError:
                        pass                    # cut by SIGKILL
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        with self.changed:
            return "\n".join(self.lines)

    def events(self, match=None, **facts):
        """Log lines as dictionaries: events("https.blocked", reason="no-sni")."""
        with self.changed:
            return [fact for fact in self.facts if matches(fact, match, facts)]

    def now(self):
        """For wait_event(since=): what was told before does not count."""
        with self.changed:
            return len(self.facts)

    def wait_event(self, match=None, timeout=PATIENCE, count=1, since=0, **facts):
        """The first event that matches (the count-th), waited for."""
        found, at = [], since

        def enough():                   # looks at each event once
            nonlocal at
            found.extend(fact for fact in self.facts[at:] if matches(fact, match, facts))
            at = len(self.facts)
            return len(found) >= count
        self.wait(enough, timeout, f"{match or 'an event'} {facts}")
        return found[count - 1]

    def wait_text(self, text, timeout=PATIENCE):
        self.wait(lambda: text in self.log(), timeout, repr(text))

    def wait(self, condition, timeout, what):
        deadline = time.monotonic() + timeout
        with self.changed:
            while not condition():
                left = deadline - time.monotonic()
                if self.ended or left <= 0:
                    why = "it ended" if self.ended else f"{timeout} s went by"
                    raise AssertionError(f"waiting for {what}: {why}\n{self.log()}")
                self.changed.wait(left)

    # Endings

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, timeout=PATIENCE):
        """Exit code, negative for a signal; the test expected this end."""
        self.end_expected = True
        self.reader.join(timeout)       # its output closes; process.wait() alone would poll
        return self.process.wait(timeout)

    def stop(self):
        """SIGTERM: it must end at once and well."""
        self.signal(signal.SIGTERM)
        code = self.wait_exit()
        assert code == self.exit_code, f"ended with {code} after SIGTERM\n{self.log()}"

    def kill(self):
        """SIGKILL, as the OOM killer would."""
        self.signal(signal.SIGKILL)
        return self.wait_exit()

    def finish(self):
        """The end of a test: stopped, by the test or now, and nothing bad in the log."""
        try:
            if self.process.poll() is None:
                self.stop()
            assert self.end_expected, f"ended by itself: {self.process.poll()}\n{self.log()}"
            trouble = [line for line in self.lines if any(word in line for word in TROUBLE)]
            assert not trouble, self.log()
        finally:
            if self.process.poll() is None:
                self.kill()

    # What it uses

    def tasks(self):
        """Its threads' folders in /proc, without the kernel's, which share their worker's files."""
        tasks = f"/proc/{self.pid}/task"
        return [f"{tasks}/{task}" for task in os.listdir(tasks)
                if not comm(f"{tasks}/{task}").startswith("iou-")]

    def fds(self):
        """Open descriptors, of all threads: each worker has a table of its own."""
        return sum(len(os.listdir(f"{task}/fd")) for task in self.tasks())

    def pipes(self):
        """The pipes that workers have for splicing."""
        found = {}
        for link in [f"{task}/fd/{fd}" for task in self.tasks()
                     for fd in os.listdir(f"{task}/fd") if int(fd) > 2]:
            with contextlib.suppress(FileNotFoundError):        # closed just now
                if (name := os.readlink(link)).startswith("pipe:"):
                    found[name] = look_into(link)       # each has two ends
        return list(found.values())

    def memory_kib(self):
        """Resident set."""
        with open(f"/proc/{self.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def look_into(link):
    pipe = os.open(link, os.O_RDONLY | os.O_NONBLOCK)
    try:
        held = fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))
        return Pipe(fcntl.fcntl(pipe, F_GETPIPE_SZ), struct.unpack("i", held)[0])
    finally:
        os.close(pipe)


def comm(task):
    with open(f"{task}/comm") as file:
        return file.read()


def matches(fact, match, facts):
    if match is not None and not (match(fact) if callable(match) else fact.get("msg") == match):
        return False
    return all(fact.get(name) == value for name, value in facts.items())
