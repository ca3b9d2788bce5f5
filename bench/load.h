/* load.h - what the parts of the load generator share.
 *
 * One process is both the clients and the server, so that it sees both ends of every stream, and
 * one thread does it all.  Every direction of a connection is one endless pattern: byte n of it is
 * load_pattern[n % PATTERN_BYTES], and whoever receives compares. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

enum {
	PATTERN_BYTES = 256 * 1024,
	SHORT_REQUEST_BYTES = 200,
	SHORT_ANSWER_BYTES = 1024,
};

enum way { WAY_DOWN = 1, WAY_UP = 2, WAY_BOTH = 3 };

/* WARMUP begins when every connection has carried bytes; DRAIN starts nothing new and waits for
 * what is under way. */
enum phase { PHASE_OPEN, PHASE_WARMUP, PHASE_MEASURE, PHASE_DRAIN };

struct options {
	struct sockaddr_in connect_to;          /* the proxy, or the server itself */
	struct sockaddr_in listen_on;
	const char *client_netns, *server_netns; /* paths; NULL: where we are */
	const char *hello_path;                 /* a ClientHello to begin with; NULL: none */
	const char *cpu;                        /* of the proxy, see load_cpu.c; NULL: none */
	uint32_t bulk, ping, shorts, idle, udp; /* connections of each kind */
	uint32_t size;                          /* bytes of a ping message or a datagram */
	uint32_t train;                         /* datagrams a send (UDP_SEGMENT); 0: one */
	uint32_t warmup_ms, window_ms;
	double bulk_gbps;                       /* all bulk together at this pace; 0: all it can */
	enum way way;
	bool hold;                              /* with idle: wait for a line on stdin */
};

/* Histogram of nanoseconds: HISTOGRAM_STEPS buckets for each power of two, so a value is known to
 * within 1.6 %. */
enum { HISTOGRAM_STEPS = 64, HISTOGRAM_BUCKETS = 40 * HISTOGRAM_STEPS };

struct counters {
	uint64_t bytes;         /* bulk, at the receivers */
	uint64_t ops;           /* ping-pong exchanges, short connections or datagrams */
	uint64_t sent;          /* datagrams */
	uint64_t proxy_cpu_ns, own_cpu_ns, wall_ns;
	int64_t others_cpu_ns;  /* the machine's busy time that is neither; ticks, so roughly */
};

struct load {
	struct options options;
	enum phase phase;
	struct counters now, begun, window;     /* window: what happened while measuring */
	uint64_t latency[HISTOGRAM_BUCKETS];    /* while measuring */
	uint64_t phase_ends_ns;
	uint64_t errors;
	char first_error[160];
};

extern struct load load;
extern unsigned char load_pattern[2 * PATTERN_BYTES];   /* twice, so that no read of it wraps */

uint64_t load_clock_ns(void);

/* Count an error; the first one's text is kept.  error: errno, or 0. */
void load_error(const char *what, int error);

/* Note one finished operation that began at since_ns. */
void load_op(uint64_t since_ns, uint64_t now_ns);

/* Go to the next phase when it is time.  ready: every connection has carried bytes. */
void load_tick(bool ready, uint64_t now_ns);

/* Nanoseconds of CPU the proxy has used, kernel work on its behalf included; spec is one of
 * nsfile:PATH (cgroup v1 cpuacct.usage), stat:PATH (cgroup v2 cpu.stat), pids:N,N,... (the
 * processes' own clocks).  Ends the program when it cannot be read. */
uint64_t cpu_proxy_ns(const char *spec);

uint64_t cpu_own_ns(void);

/* Busy time of all cores, from /proc/stat. */
uint64_t cpu_machine_ns(void);

/* Run the TCP kinds, or UDP, from the first connection to the last; the end of each is drained and
 * what was received compared with what was sent. */
void tcp_run(void);
void udp_run(void);

/* A socket made in a namespace stays there; end the program with what and errno on failure. */
void netns_enter(const char *path);
void die(const char *what);

#endif
