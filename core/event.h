/* event.h - facts worth telling.  A fact is said once, as an event; the log line, the shipped
 * row and the counter are made from it (spec g0efilter 9.3, 10).
 * Workers put events into a ring of their own; the control thread takes them out: never blocks,
 * a full ring drops the new event and counts it. */
#ifndef CORE_EVENT_H
#define CORE_EVENT_H

#include "core/addr.h"
#include "core/log.h"
#include "core/reasons.h"
#include "proto/dns.h"
#include "proto/hostname.h"

enum event_kind {
#define EVENT(name, text, level, action, component) EVENT_##name,
#include "core/event.def"
#undef EVENT
	EVENT_KIND_COUNT,
};

enum { EVENT_ANSWERS_MAX = 8 };

struct event {
	enum event_kind kind;
	enum close_reason reason;       /* shown for BLOCKED, DIAL and CLOSED kinds */
	uint64_t time_ns;               /* CLOCK_REALTIME; 0: now, filled by event_emit() */
	uint64_t conn;                  /* connection id, 0: none */
	union addr src, dst;            /* family 0: not known; dst is the client's choice */
	union addr dialled;             /* where the connection really went */
	uint8_t protocol;               /* IPPROTO_*, 0: TCP */
	uint16_t payload_len;           /* nflog: bytes copied of the packet */
	uint32_t count;                 /* so many like this in the last second; 0 and 1: one */
	int error;                      /* errno, shown as err= */
	uint64_t bytes_up, bytes_down;  /* CLOSED: client to server, server to client */
	uint64_t duration_ms;
	uint16_t qtype, rcode;          /* DNS: what was asked for, how it was answered */
	uint64_t duration_us;           /* DNS: until the answer */
	const char *upstream, *note;    /* DNS: who said so; constants, NULL: nothing to say */
	uint8_t answer_count;           /* DNS: what it led to; BAD_ADDRESS: what is not dialled */
	uint16_t answers_more;          /* there was no room for */
	union addr answers[EVENT_ANSWERS_MAX];
	bool redirected;                /* dst is our listener: where the client wanted to go is for
					 * who logs to find out */
	char rule[64];                  /* the policy entry that let it through; cut when longer */
	char detail[64];                /* one more fact: "Content-Length twice"; "" */
	uint16_t name_len;              /* of the SNI or Host as seen */
	char name[HOSTNAME_MAX + 1];
};

/* What an event looks like: its constant parts. */
const char *event_text(enum event_kind kind);           /* "https.blocked" */
const char *event_action(enum event_kind kind);         /* "BLOCKED" or "" */
const char *event_component(enum event_kind kind);
enum log_level event_level(enum event_kind kind);

/* flow_id: FNV-1a 64 of "srcIP:srcPort->dstIP:dstPort|TCP", lower-case hex, no padding (spec 8). */
uint64_t event_flow_id(const struct event *event);

/* One producer, one consumer.  slots: a power of two; a slot takes about 700 bytes once used.
 * wake_fd: an eventfd, which several rings may share; -1: none.  0 or -ENOMEM. */
struct event_ring;
int event_ring_init(struct event_ring **ring, unsigned slots, int wake_fd);
void event_ring_finish(struct event_ring *ring);
/* Worker side: copies *event; writes to the eventfd wake_fd when the consumer sleeps. */
void event_emit(struct event_ring *ring, const struct event *event);
/* Control side: next event copied to *event, false when empty (and wake-ups are armed again). */
bool event_take(struct event_ring *ring, struct event *event);
uint64_t event_dropped(const struct event_ring *ring);

/* hostname= and tenant_id= of nflog events; NULL or "": left out.  The texts stay the caller's and
 * must live on.  Control thread, before the first event_log(). */
void event_log_init(const char *hostname, const char *tenant_id);

/* VERBOSE: the end of each forwarded connection is told at INFO, not DEBUG.  Before the workers. */
void event_log_verbose(bool verbose);

/* Somebody beyond the log is told of decisions and of connections' ends (dashboard/).  Before the
 * workers. */
void event_listen(bool listening);

/* Would anybody be told of such an event?  Asked before one is made where many pass. */
bool event_wanted(enum event_kind kind);

/* Is it about what the policy lets through or not: BLOCKED, AUDIT, or ALLOWED by name?  Others are
 * not shipped; of packets, only those that were blocked. */
bool event_is_decision(enum event_kind kind);
/* The end of a connection, with its bytes and its duration. */
bool event_is_end(enum event_kind kind);

/* An event as fields, closed by LOG_END; they point into the event and into this. */
struct event_row {
	struct log_field fields[40];
	unsigned count;
	char src_ip[ADDR_TEXT_MAX], src[ADDR_TEXT_MAX];
	char dst_ip[ADDR_TEXT_MAX], dst[ADDR_TEXT_MAX];
	char dialled[ADDR_TEXT_MAX], protocol[8], to_allow[HOSTNAME_MAX + 16];
	char qtype[24], rcode[24], answers[EVENT_ANSWERS_MAX * ADDR_TEXT_MAX];
};

void event_fields(const struct event *event, struct event_row *row);
/* The field with this key, or NULL. */
const struct log_field *event_field(const struct event_row *row, const char *key);

/*
 * Write it as a log line (console and JSON by what log.h was told), with the seed's fields (spec
 * 9.3) and, where they say something, rule=, dialled=, detail=, count= and, last on a block,
 * to_allow=: what to add, and to which list; or in detail= why nothing is.  Blocks, and what was
 * allowed by name, are decisions and go to the decision log too; like the seed's dashboard it does
 * not get every logged packet.
 */
void event_log(const struct event *event);

#endif
