/* nflog.h - packets that the rules logged, read back and told as events (spec g0efilter 8).
 * libnetfilter_log, whose own names begin with nflog_ too: ours are nflog_reader_...
 * Rate-bounded in the kernel by the rules and here: packets of one flow shape (source address,
 * destination and its port, protocol, action) between two ticks become one event with a count. */
#ifndef NETFILTER_NFLOG_H
#define NETFILTER_NFLOG_H

#include "core/event.h"

struct nflog_reader;

typedef void nflog_fn(void *context, const struct event *event);

/* Bind group (decisions.md 7); the kernel hands over snaplen bytes of each packet, qthresh packets
 * at a time or what there is after 100 ms.  -EBUSY: another process in this namespace holds the
 * group: retry.  -EPERM without CAP_NET_ADMIN.  context goes to tell(). */
int nflog_reader_open(uint16_t group, uint32_t snaplen, uint32_t qthresh, nflog_fn *tell,
		      void *context, struct nflog_reader **reader);
void nflog_reader_close(struct nflog_reader *reader);
int nflog_reader_fd(const struct nflog_reader *reader);
/* Read what is there, at most a bounded batch.  0 or -errno; ENOBUFS is counted, never an error. */
int nflog_reader_read(struct nflog_reader *reader);
/* Once a second: tell the aggregates. */
void nflog_reader_tick(struct nflog_reader *reader);
/* Packets that the kernel logged and could not hand over. */
uint64_t nflog_reader_lost(const struct nflog_reader *reader);

/* Decode one packet as the kernel hands it over (exposed for tests and fuzzing).  prefix says the
 * action, by substring and in any case: redirect, block, allow (spec 8).  Fills kind, src, dst
 * (ports for TCP and UDP), protocol, payload_len, count; the rest is zero.  False, *event
 * untouched: no such prefix, or no IP header. */
bool nflog_decode(const char *prefix, const uint8_t *packet, size_t len, struct event *event);

#endif
