"""test_bad_input.py - what it cannot run with: exit 1, one line that says what to change, and what
was closed stays closed, what was not touched yet stays as it was."""
import errno
import os
import platform
import re
import socket
import struct
import subprocess
import sys

import pytest

from internet import ATTACKER
from ringfence import ROOT, binary

SOCKET = {"x86_64": 41, "aarch64": 198}     # numbers of system calls
IO_URING_SETUP = 425                        # the same everywhere

# Runs a command under a seccomp filter, as container runtimes do.
FILTERED = """
import ctypes, os, struct, sys
program = ctypes.create_string_buffer(bytes.fromhex(sys.argv[1]))
header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program.raw) // 8,
                                                 ctypes.addressof(program)))
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)                  # PR_SET_NO_NEW_PRIVS
if libc.prctl(22, 2, ctypes.c_ulong(ctypes.addressof(header)), 0, 0) != 0:  # PR_SET_SECCOMP
    sys.exit("no seccomp here")
os.execvp(sys.argv[2], sys.argv[2:])
"""


def forbidding(number, error, **args):
    """A wrapper: the system call with these arguments (arg0=...) answers with an error."""
    tests = [(0, number)] + [(16 + 8 * int(name[3:]), value) for name, value in args.items()]
    lines = []
    for at, (offset, value) in enumerate(tests):
        to_allow = 2 * (len(tests) - at) - 1
        lines += [(0x20, 0, 0, offset), (0x15, 0, to_allow, value)]     # load, jump if not equal
    lines += [(0x06, 0, 0, 0x00050000 | error), (0x06, 0, 0, 0x7fff0000)]   # the error, or allow
    program = b"".join(struct.pack("HBBI", *line) for line in lines)
    return [sys.executable, "-c", FILTERED, program.hex()]


def run(net, *args, env=None, wrapper=(), name=None):
    """It ends by itself, with 1 and one line on stderr, which comes back."""
    argv = [*net.box.prefix(), *wrapper, name or binary(), *args]
    passed = {key: os.environ[key] for key in os.environ if key.endswith("SAN_OPTIONS")}
    done = subprocess.run(argv, env={"PATH": os.environ["PATH"], **passed, **net.environment(env)},
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == "" and done.stderr.count("\n") == 1, done
    assert done.stderr.startswith("ringfence: ")
    return done.stderr


# A root of its own: that of the machine, and an /app with what is named; "name/" is a folder.
WITH_APP = r"""
set -e
mount -t tmpfs none "$0"
for one in /*; do
    if [ -L "$one" ]; then cp -P "$one" "$0$one"
    elif [ -d "$one" ]; then mkdir "$0$one" && mount --rbind "$one" "$0$one"; fi
done
mkdir -p "$0/app" && mount -t tmpfs none "$0/app"
while [ "$1" != -- ]; do
    case $1 in
    */) mkdir -p "$0/app/$1" ;;
    *) mkdir -p "$(dirname "$0/app/$1")" && printf 'allowlist:\n  domains:\n    - allowed.test\n' \
        >"$0/app/$1" ;;
    esac
    shift
done
shift
exec chroot "$0" "$@"
"""


def with_app(net, there):
    """A wrapper for run() and start()."""
    root = os.path.join(net.folder, "root")
    os.makedirs(root, exist_ok=True)
    return ["unshare", "-m", "sh", "-c", WITH_APP, root, *there, "--"]


def is_untouched(net):
    return net.rules() == "" and net.client.tcp(ATTACKER, 22) == "OK"


@pytest.fixture
def policy(net):
    net.write_policy("allowlist:\n  domains:\n    - allowed.test\n")


pytestmark = pytest.mark.usefixtures("policy")


# The policy

@pytest.mark.parametrize("text, says", [
    ("allowlist:\n  domains:\n    - 'open\n", r":3:7: .*quote"),
    ("allowlist:\n  ips:\n    - 192.0.2.300\n", r":3:7: .*192\.0\.2\.300.*write e\.g\."),
    ("allowlist:\n  names: []\n", r":2:3: .*names.*known: ips, domains"),
    ("default_action: allow\n", r":1:17: .*write deny"),
    ("denylist:\n  ips:\n    - 192.0.2.1\n", r":3:7: .*192\.0\.2\.1"),
    ("allowlist:\n  domains:\n    - a.*.test\n", r":3:7: .*a\.\*\.test.*\*\.example\.com"),
])
def test_an_invalid_policy_is_named_by_line_and_column(net, text, says):
    net.write_policy(text)
    assert re.search(re.escape(net.policy_path) + says, run(net))
    assert is_untouched(net)


def test_a_policy_that_is_not_there_is_named(net):
    said = run(net, env={"POLICY_PATH": "/nowhere/policy.yaml"})
    assert "/nowhere/policy.yaml" in said and "No such file" in said and "POLICY_PATH" in said
    assert "/app/policy.yaml" in run(net, env={"POLICY_PATH": None})
    assert is_untouched(net)


def test_a_policy_that_is_no_file_is_named(net):
    folder = os.path.dirname(net.policy_path)
    said = run(net, env={"POLICY_PATH": folder})
    assert f"{folder}: Is a directory" in said and "set POLICY_PATH to a file in it" in said
    os.mkfifo(f"{folder}/pipe")
    said = run(net, env={"POLICY_PATH": f"{folder}/pipe"})
    assert f"{folder}/pipe" in said and "must be a file" in said
    os.unlink(f"{folder}/pipe")
    assert is_untouched(net)


def test_a_folder_in_the_place_of_the_policy_says_how_it_came_there(net):
    """Docker makes one, when the file of the host that is to be mounted is not there."""
    for there in ["policy.yaml/"], ["policy.yaml/", "policy/policy.yaml/"]:
        said = run(net, env={"POLICY_PATH": None}, wrapper=with_app(net, there))
        assert "/app/policy.yaml: Is a directory: Docker makes a folder" in said
        assert "remove it there and put the file in its place" in said
    assert is_untouched(net)


@pytest.mark.parametrize("there, path, note", [
    (["policy.yaml/", "policy/policy.yaml"], "/app/policy/policy.yaml", "policy.path_fallback"),
    (["policy/policy.yaml"], "/app/policy/policy.yaml", "policy.path_fallback"),
    (["policy.yaml", "policy/policy.yaml/"], "/app/policy.yaml", None),
    (["policy.yaml", "policy/policy.yaml"], "/app/policy.yaml", "policy.path_ambiguous")])
def test_of_the_two_usual_places_of_a_policy_that_with_a_file_is_taken(net, there, path, note):
    net.start(env={"POLICY_PATH": None}, wrapper=with_app(net, there))
    assert net.client.tls("allowed.test") == "OK"
    assert net.ringfence.wait_event("startup.info")["policy_path"] == path
    told = [fact for fact in net.ringfence.facts if fact["msg"].startswith("policy.path_")]
    assert [(fact["msg"], fact["policy_path"]) for fact in told] == ([(note, path)] if note else [])


def test_a_policy_that_may_not_be_read_is_named(net):
    os.chmod(net.policy_path, 0)
    said = run(net, wrapper=["setpriv", "--bounding-set=-all,+net_admin", "--inh-caps=-all",
                             "--reuid=1234", "--clear-groups", "--"])
    assert net.policy_path in said and "Permission denied" in said
    assert is_untouched(net)


def test_a_bad_list_in_the_environment_is_named(net):
    assert "192.0.2.300" in run(net, env={"ALLOWLIST_IPS": "192.0.2.1, 192.0.2.300"})
    assert "exa mple" in run(net, env={"ALLOWLIST_DOMAINS": "a.test,exa mple.test"})
    assert is_untouched(net)


# Ports

@pytest.mark.parametrize("env, says", [
    ({"HTTP_PORT": 8443}, "HTTPS_PORT: 8443 is HTTP_PORT too"),
    ({"HTTP_PORT": 0}, 'HTTP_PORT: "0" is not'), ({"HTTPS_PORT": 65536}, "HTTPS_PORT"),
    ({"HTTPS_PORT": "https"}, "HTTPS_PORT"), ({"HTTP_PORT": "-1"}, "HTTP_PORT"),
    ({"INBOUND_PORTS": "80,90-70"}, "INBOUND_PORTS"), ({"INBOUND_PORTS": "some"}, "INBOUND_PORTS")])
def test_bad_ports_are_named(net, env, says):
    assert says in run(net, env=env)
    assert is_untouched(net)


@pytest.mark.parametrize("addr, port, name", [
    ("127.0.0.1", 8080, "HTTP_PORT"), ("::1", 8443, "HTTPS_PORT"), ("0.0.0.0", 8443, "HTTPS_PORT"),
    ("127.0.0.1", 53, "DNS_PORT")])
def test_a_port_that_is_taken_is_told_and_the_namespace_is_closed(net, addr, port, name):
    with net.client.open(socket.AF_INET6 if ":" in addr else socket.AF_INET) as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind((addr, port))
        squatter.listen()
        said = run(net)
        assert f"{name}: another program listens on TCP port {port}, " in said, said
        assert net.client.udp(ATTACKER, 22) == "DENIED"
        assert net.client.tcp(ATTACKER, 22, timeout=0.2) in ("TIMEOUT", "DENIED")
    assert net.internet.arrived(ATTACKER) == 0
    net.start(domains=["allowed.test"])
    assert net.client.tls("allowed.test") == "OK"


# Rights

def test_without_net_admin_it_says_how_to_get_it(net):
    for wrapper in (["setpriv", "--inh-caps=-all", "--bounding-set=-net_admin", "--"],
                    ["setpriv", "--inh-caps=-all", "--reuid=1234", "--clear-groups", "--"]):
        os.chmod(net.policy_path, 0o644)
        said = run(net, wrapper=wrapper)
        assert "CAP_NET_ADMIN" in said and "cap_add" in said
    assert is_untouched(net)


@pytest.mark.parametrize("error, says", [(errno.EPERM, "seccomp"), (errno.EACCES, "seccomp"),
                                         (errno.ENOSYS, "Linux 6.1")])
def test_without_io_uring_it_says_what_to_allow(net, error, says):
    said = run(net, wrapper=forbidding(IO_URING_SETUP, error))
    assert "io_uring" in said and says in said
    assert is_untouched(net)


def test_without_nftables_it_says_what_the_kernel_needs(net):
    if platform.machine() not in SOCKET:
        pytest.skip("the number of socket() is not known here")
    said = run(net, wrapper=forbidding(SOCKET[platform.machine()], errno.EPROTONOSUPPORT,
                                       arg0=socket.AF_NETLINK, arg2=12))     # NETLINK_NETFILTER
    assert "nftables" in said and "nf_tables" in said and "Protocol not supported" in said
    assert is_untouched(net)


def test_a_failed_start_leaves_an_older_instances_rules(net):
    net.start(domains=["*"]).kill()
    before = net.rules()
    run(net, wrapper=forbidding(IO_URING_SETUP, errno.EPERM))
    run(net, env={"POLICY_PATH": "/nowhere"})
    run(net, env={"HTTP_PORT": "no"})
    assert net.rules() == before and net.client.tcp(ATTACKER, 22) == "REFUSED"


# Words

def test_unknown_flags_and_commands_are_errors(net):
    assert '"--no-such-flag"' in run(net, "filter", "--no-such-flag")
    assert '"word"' in run(net, "filter", "word")
    assert "'word' is no command" in run(net, "word")
    assert "--http-port: needs a value" in run(net, "--http-port")
    assert is_untouched(net)


def test_under_g0efilters_name_unknown_flags_are_warnings(net):
    alias = os.path.join(net.folder, "g0efilter")
    os.symlink(binary(), alias)
    try:
        assert "POLICY_PATH" in run(net, "--no-such-flag", name=alias,
                                    env={"POLICY_PATH": "/nowhere"})
    finally:
        os.unlink(alias)


@pytest.mark.parametrize("env", [
    {"LOG_FORMAT": "xml"}, {"DESTINATION_CHECK": "maybe"}, {"BLOCK_ACTION": "shout"},
    {"ECH": "yes"}, {"PRIVATE_ANSWERS": "perhaps"}, {"HELLO_TIMEOUT": "soon"},
    {"IDLE_TIMEOUT": "0"}, {"CONNECT_TIMEOUT": "-5s"}, {"WORKERS": "many"}, {"WORKERS": "0"},
    {"MAX_CONNECTIONS": "x"}, {"EGRESS_MARK": "0"}, {"EGRESS_UID": "root"},
    {"NFLOG_GROUP": "65536"}, {"DNS_UPSTREAMS": "resolver:53"}, {"DNS_UPSTREAMS": "192.0.2.53"},
    {"RINGFENCE_FEATURES": "magic"}], ids=lambda env: "=".join(next(iter(env.items()))))
def test_a_bad_value_is_named_with_its_variable(net, env):
    (name, value), = env.items()
    said = run(net, env=env)
    assert name in said
    assert is_untouched(net)


def test_a_bad_value_of_g0efilters_lenient_variables_is_only_warned_of(net):
    net.start(domains=["allowed.test"], env={"LOG_LEVEL": "LOUD", "FILTER_MODE": "magic",
                                             "NFLOG_BUFSIZE": "-1"})
    for name in "LOG_LEVEL", "FILTER_MODE", "NFLOG_BUFSIZE":
        net.ringfence.wait_event(lambda told: told["msg"] == "config.invalid" and
                                 told["note"].startswith(name + ":"))
    assert net.client.tls("allowed.test") == "OK"


def test_a_log_file_that_cannot_be_opened_is_named(net):
    place = net.policy_path + "/log"            # below a file
    for name in "LOG_FILE", "DECISION_LOG_FILE":
        said = run(net, env={name: place})
        assert f"cannot open {name}={place}: " in said, said
    assert is_untouched(net)


def not_built():
    with open(os.path.join(ROOT, "core", "options.def")) as file:
        return re.findall(r'^NOT_BUILT\((\w+), "([^"]*)", "[^"]*", "([^"]*)"\)$', file.read(), re.M)


def test_what_this_version_does_not_have_is_said(net):
    rows = not_built()
    assert rows
    for name, value, advice in rows:
        said = run(net, env={name: value or "something"})
        assert said.startswith(f"ringfence: {name}: ") and advice in said
        assert name in run(net, env={name: value.upper() or "1"})
    assert is_untouched(net)
