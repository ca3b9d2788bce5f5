"""peers.py - the proxies that are measured, each configured as its makers would for this: one
thread or worker, no logs, TCP_NODELAY (haproxy and nginx set it by themselves), limits out of the
way. A peer with several sensible configurations is there several times; its best one counts."""
import collections
import os
import shutil
import subprocess

import measure

# Where a peer listens and dials, and a folder for its files.
Job = collections.namedtuple("Job", "folder listen port target target_port name")
# make(job) -> (argv, env); proto: tcp, udp or sni.
Peer = collections.namedtuple("Peer", "name label program proto make")

CONNECTIONS = 9500              # twice as many descriptors must be allowed
NGINX_STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"
UDP_TIMEOUT = "1s"              # so that the clients of one run are gone before the next but one
VETTER = "nobody"               # its connections are not redirected


def write(job, name, text):
    path = os.path.join(job.folder, name)
    with open(path, "w") as file:
        file.write(text)
    return path


HAPROXY = """global
    nbthread 1
    maxconn {connections}
    {tuning}
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    {options}
frontend front
    bind {job.listen}:{job.port} {bind}
    {rules}
    default_backend back
backend back
    server server {job.target}:{job.target_port}
"""


def haproxy(name, options=(), tuning="", rules=(), bind=""):
    def make(job):
        text = HAPROXY.format(job=job, connections=CONNECTIONS, tuning=tuning, bind=bind,
                              options="\n    ".join(options),
                              rules="\n    ".join(rules).format(name=job.name))
        return ["haproxy", "-db", "-f", write(job, name + ".cfg", text)], {}
    return make


NGINX = """{module}
daemon off;
worker_processes 1;
worker_rlimit_nofile {descriptors};
user {user};
pid {job.folder}/{name}.pid;
events {{
    worker_connections {descriptors};
    multi_accept on;
}}
stream {{
    access_log off;
    tcp_nodelay on;
    proxy_timeout {timeout};
    proxy_half_close on;
    {preread}
    server {{
        listen {job.listen}:{job.port}{listen};
        {server}
    }}
}}
"""


def nginx(name, listen=" backlog=4096", preread="", server="proxy_pass {target};", user="root",
          timeout="1h"):
    def make(job):
        target = f"{job.target}:{job.target_port}"
        module = f"load_module {NGINX_STREAM};" if os.path.exists(NGINX_STREAM) else ""
        text = NGINX.format(job=job, name=name, module=module, descriptors=2 * CONNECTIONS + 500,
                            user=user, timeout=timeout, listen=listen,
                            preread=preread.format(name=job.name, target=target),
                            server=server.format(target=target))
        return ["nginx", "-e", "stderr", "-c", write(job, name + ".conf", text)], {}
    return make


SNIPROXY = """user {user}
pidfile {job.folder}/{name}.pid
error_log {{
    filename {job.folder}/{name}.log
    priority error
}}
listener {job.listen}:{job.port} {{
    proto tls
    table names
    {listener}
}}
table names {{
    {job.name} {job.target}:{job.target_port}
}}
"""


def sniproxy(name, listener, user):
    def make(job):
        text = SNIPROXY.format(job=job, name=name, user=user, listener=listener.format(job=job))
        return ["sniproxy", "-f", "-c", write(job, name + ".conf", text)], {}
    return make


def socat_tcp(job):
    return ["socat", "-b", "65536",
            f"TCP4-LISTEN:{job.port},bind={job.listen},reuseaddr,fork,backlog=4096,nodelay",
            f"TCP4:{job.target}:{job.target_port},nodelay"], {}


def socat_udp(job):
    return ["socat", "-b", "65536", f"UDP4-LISTEN:{job.port},bind={job.listen},reuseaddr,fork",
            f"UDP4:{job.target}:{job.target_port}"], {}


def ringfence_filter(job):
    return [measure.BINARY, "filter"], {
        "ALLOWLIST_DOMAINS": job.name, "DNS_UPSTREAMS": f"{job.target}:53", "WORKERS": "1",
        "PRIVATE_ANSWERS": "allow", "HTTPS_PORT": str(job.port), "LOG_LEVEL": "WARN"}


def ringfence_forward(job, mode="tcp"):
    return [measure.BINARY, "forward"], {
        "TARGET": job.target, "PORT": f"{job.port}:{job.target_port}", "WORKERS": "1",
        "MODE": mode, "MAX_CONNECTIONS": "0",
        "CONTROL_SOCKET": os.path.join(job.folder, f"{mode}.sock")}


def ringfence_forward_udp(job):
    argv, env = ringfence_forward(job, "udp")
    return argv, {**env, "UDP_TIMEOUT": UDP_TIMEOUT}


def splice_options(how):
    return ["option splice-auto"] if how == "auto" else \
        ["option splice-request", "option splice-response"]


PIPES = "maxpipes 300"           # two descriptors each; bulk of 64 both ways takes 128
BIG_PIPES = PIPES + "\n    tune.pipesize 1048576"
FEW_PACKETS = ["option tcp-smart-accept", "option tcp-smart-connect"]
VET_RULES = ["tcp-request inspect-delay 5s",
             "tcp-request content reject unless {{ req.ssl_sni -i {name} }}"]
PREREAD = "map $ssl_preread_server_name $server {{ {name} {target}; }}"
VET_SERVER = "ssl_preread on; proxy_pass $server;"

PLAIN = [
    Peer("haproxy", "HAProxy, copying", "haproxy", "tcp", haproxy("copy")),
    Peer("haproxy-auto", "HAProxy, splice-auto", "haproxy", "tcp",
         haproxy("auto", splice_options("auto"), PIPES)),
    Peer("haproxy-splice", "HAProxy, forced splice", "haproxy", "tcp",
         haproxy("splice", splice_options("forced"), PIPES)),
    Peer("haproxy-splice-1m", "HAProxy, forced splice, 1 MiB pipes", "haproxy", "tcp",
         haproxy("splice-1m", splice_options("forced"), BIG_PIPES)),
    Peer("nginx", "nginx stream", "nginx", "tcp", nginx("plain")),
    Peer("socat", "socat", "socat", "tcp", socat_tcp),
    # What is not TLS goes to its fallback.
    Peer("sniproxy", "sniproxy", "sniproxy", "tcp",
         sniproxy("plain", "fallback {job.target}:{job.target_port}", "root")),
    Peer("ringfence", "ringfence", measure.BINARY, "tcp", ringfence_forward),
    Peer("nginx", "nginx stream", "nginx", "udp",
         nginx("udp", " udp rcvbuf=4m sndbuf=4m", timeout=UDP_TIMEOUT)),
    Peer("socat", "socat", "socat", "udp", socat_udp),
    Peer("ringfence", "ringfence", measure.BINARY, "udp", ringfence_forward_udp),
]
VETTING = [
    Peer("haproxy", "HAProxy, req.ssl_sni", "haproxy", "sni",
         haproxy("sni", tuning=f"user {VETTER}", rules=VET_RULES)),
    Peer("haproxy-splice", "HAProxy, req.ssl_sni, forced splice", "haproxy", "sni",
         haproxy("sni-splice", splice_options("forced"), f"{BIG_PIPES}\n    user {VETTER}",
                 VET_RULES)),
    Peer("haproxy-smart", "HAProxy, req.ssl_sni, as few packets as it can", "haproxy", "sni",
         haproxy("sni-smart", FEW_PACKETS, f"user {VETTER}", VET_RULES, "defer-accept")),
    Peer("nginx", "nginx, ssl_preread", "nginx", "sni",
         nginx("sni", preread=PREREAD, server=VET_SERVER, user=VETTER + " nogroup")),
    Peer("sniproxy", "sniproxy", "sniproxy", "sni",
         sniproxy("sni", "", VETTER)),
    Peer("ringfence", "ringfence filter", measure.BINARY, "sni", ringfence_filter),
]


def missing(peer):
    """Why a peer cannot be measured, or None."""
    if not shutil.which(peer.program):
        return f"{peer.program} is not installed"
    if peer.make in (ringfence_forward, ringfence_forward_udp):
        text = subprocess.run([peer.program, "--help"], text=True, capture_output=True).stdout
        if "\n  forward " not in text:
            return "this binary has no subcommand forward"
    return None


def versions(peers):
    """What is measured: {program: the first line it says of itself}."""
    said = {}
    for program in sorted({peer.program for peer in peers if shutil.which(peer.program)}):
        flag = {"haproxy": "-v", "nginx": "-v", "socat": "-V", "sniproxy": "-V"}.get(program,
                                                                                     "version")
        done = subprocess.run([program, flag], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        lines = [line for line in done.stdout.splitlines() if "ersion" in line or
                 any(char.isdigit() for char in line)]
        said[os.path.basename(program)] = lines[0].strip() if lines else "?"
    return said


def start(peer, place, folder, port, server_port, name="allowed.test", redirected=False):
    """A Proxy. redirected: clients are sent to it by the kernel, over loopback."""
    listen = "127.0.0.1" if redirected else place.proxy_addr
    job = Job(folder, listen, port, place.server_addr, server_port, name)
    argv, env = peer.make(job)
    return measure.Proxy(f"{peer.name}-{peer.proto}", argv, place, env, [port],
                         "udp" if peer.proto == "udp" else "tcp")
