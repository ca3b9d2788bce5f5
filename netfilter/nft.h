/* nft.h - our table in the kernel: one `inet ringfence` table, its rules replaced in one netlink
 * transaction (libnftnl over libmnl, no nft process).  The rules are those of security.md 2.5 with
 * decisions.md 1-8.  Control thread only; calls may block on netlink. */
#ifndef NETFILTER_NFT_H
#define NETFILTER_NFT_H

#include <stdio.h>

#include "core/addr.h"
#include "core/options.h"

#define NFT_TABLE "ringfence"

/* Connection marks: who opened a flow.  Later packets go by these (decisions.md 1). */
enum {
	CT_MARK_OURS = 0x52464e01,      /* our own sockets */
	CT_MARK_ADDRESS = 0x52464e02,   /* the workload's, to a listed address */
	CT_MARK_INBOUND = 0x52464e03,   /* opened from outside to us: replies may leave */
	CT_MARK_INBOUND_SYN = 0x52464e04, /* the same, not answered by a SYN-ACK yet */
};

enum { INBOUND_PORTS_MAX = 64 };

/* FILTER_MODE.  Fail-closed while starting, all of them. */
enum nft_mode {
	NFT_HTTPS,                      /* ports 80 and 443 to our listeners, nothing else leaves */
	NFT_DNS,                        /* names only: everything leaves but what finds names
					 * behind our back (port 53 elsewhere, port 853) */
	NFT_DNS_STRICT,                 /* nothing leaves but to learned and to listed addresses */
};

enum {
	LEARNED_MAX = 32768,            /* addresses and ports that names have opened, at once */
	LEARNED_EACH_MAX = 1024,        /* of them, of one name: its earliest go then */
	LEARNED_PORTS_MAX = 512,        /* different ports and ranges of ports in a policy */
};

/* Ports that an entry of the policy names: tcp/22, udp/10000-20000. */
struct learned_ports {
	uint8_t protocol;               /* IPPROTO_TCP, IPPROTO_UDP */
	struct port_range range;
};

/* What an answer for a listed name opens (NFT_DNS_STRICT). */
struct learned {
	struct str name;                /* whose address, normalised, at most 255 bytes: borrowed */
	union addr addr;                /* its port does not count */
	struct learned_ports ports;     /* protocol 0: every port of every protocol */
	uint32_t for_s;                 /* it must work for so long from now on: the TTL the client
					 * is given plus the grace for those who keep it longer */
};

struct nft_rules {
	enum nft_mode mode;
	uint16_t dns_port;              /* our resolver on 127.0.0.1 and ::1, UDP and TCP, whose
					 * sockets are not marked; 0: DNS is left alone
					 * (HTTPS_MODE_DNS=pass) */
	uint32_t mark;                  /* SO_MARK of our sockets */
	uint32_t uid;                   /* their fsuid */
	bool match_uid;                 /* false: only the mark exempts (no CAP_SETUID) */
	uint16_t http_port, https_port; /* our listeners on 127.0.0.1 and ::1 (NFT_HTTPS) */
	bool log_allowed;               /* also log redirected and allowed (LOG_LEVEL=DEBUG) */
	uint16_t nflog_group, nflog_snaplen, nflog_qthresh;
	bool inbound_any;               /* INBOUND_PORTS=any: tcp all, udp but 32768-60999 */
	uint16_t inbound_count;
	struct port_range inbound[INBOUND_PORTS_MAX];   /* tcp and udp; as options_port_list() */
	const struct addr_range *allowed_v4, *allowed_v6;  /* merged, sorted, disjoint */
	size_t allowed_v4_count, allowed_v6_count;
	/* NFT_DNS_STRICT: all ports that entries name, in any order, also overlapping or twice. */
	const struct learned_ports *ports;
	size_t ports_count;
};

struct nft;                             /* the netlink socket */

/* 0 or -errno: -EPERM without CAP_NET_ADMIN, -EOPNOTSUPP/-EPROTONOSUPPORT without nftables. */
int nft_open(struct nft **nft);
void nft_close(struct nft *nft);

/* Nothing passes but loopback and neighbour discovery; replaces whatever our table held. */
int nft_install_drop_all(struct nft *nft, const struct nft_rules *rules);
/* The real rules; replaces whatever our table held: at no moment is there less than the old or the
 * new rules, and the lists are free to go once it returns.  On error the old ones stay.  Over what
 * this struct nft installed no packet is lost; over anybody else's table there is a moment in which
 * all are.  -EBUSY: another program changes the ruleset all the time.  Takes a second or two for
 * 100,000 ranges. */
int nft_install(struct nft *nft, const struct nft_rules *rules);
/* Remove our table; 0 also when there was none. */
int nft_remove(struct nft *nft);

/* What stands behind the last -errno: which command the kernel refused, in plain words. */
const char *nft_error(const struct nft *nft);

/* The rules as `nft` would list them, made from the same builders. */
int nft_print(const struct nft_rules *rules, FILE *out);

/* Open these addresses, all in one transaction, before the answer that tells them leaves.  Costs
 * nothing when they are open for long enough already, so call it for cached answers too.  The same
 * address for several names stays open as long as one of them keeps it.
 * Flows that were accepted live on when an address is closed again.
 * A name that opens more than LEARNED_EACH_MAX loses those that would end first.
 * What is learned is kept here: a later nft_install() puts all of it in again.
 * 0: all are in force.  -errno: some are not, refuse the answer.  -ENOSPC: LEARNED_MAX are open,
 * wait for some to expire; -EINVAL: not dns-strict, or ports that *rules did not name when they
 * were installed; -ESTALE: the table is not as we left it, nft_install() it. */
int nft_learn(struct nft *nft, const struct learned *items, size_t count);
/* Forget what keep() says no to, and what has expired.  After a change of the policy: keep() asks
 * the new policy whether that name still opens those ports of that address, protocol 0: all.
 * Returns how many were forgotten that are still open: they are closed by the next nft_install(),
 * which is due then. */
typedef bool learned_keep_fn(void *context, struct str name, const union addr *addr,
			     const struct learned_ports *ports);
size_t nft_forget(struct nft *nft, learned_keep_fn *keep, void *context);
/* How many are open. */
size_t nft_learned_count(const struct nft *nft);

/* Does our table still hold exactly what we put there?  One message when nobody has changed any
 * rules since; else fingerprint.h.  1: yes, 0: someone changed or removed it, -errno. */
int nft_verify(struct nft *nft);
/* Has it been found changed or removed since the last call, also by what put it back since? */
bool nft_was_changed(struct nft *nft);
/* A netlink socket that turns readable when someone changes the ruleset; -errno. */
int nft_watch_open(void);
/* Drain it: true when something of ours may have changed by another hand: ask nft_verify(). */
bool nft_watch_read(struct nft *nft, int fd);

#endif
