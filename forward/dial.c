/* dial.c - from a judged name to a connected server.
 *
 * The name is resolved by us; the client's own choice of address is dialled only when it is one of
 * the name's, otherwise one of ours is (security.md 3.4).  A workload can so never use an allowed
 * name to reach an address of its own choice. */
#include "forward/dial.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "core/policy.h"
#include "forward/refuse.h"
#include "forward/relay.h"
#include "forward/vet.h"

static op_fn on_connected;
static lookup_fn on_looked_up, on_looked_up_again;
static void dial_next(struct conn *conn, enum close_reason reason, int err);

bool dial_may_reach(const union addr *addr, bool has_dot, const struct policy *policy,
		    bool private_answers)
{
	switch (addr_classify(addr)) {
	case ADDR_GLOBAL:
		return true;
	case ADDR_PRIVATE:
		return !has_dot || private_answers || policy_has_addr(policy, addr);
	case ADDR_NEVER:
		break;
	}
	return false;
}

static bool contains(const union addr *addrs, unsigned count, const union addr *wanted)
{
	for (unsigned i = 0; i < count; i++)
		if (addr_equal_ip(&addrs[i], wanted))
			return true;
	return false;
}

unsigned dial_candidates(const struct answer *answer, const union addr *wanted, bool has_dot,
			 const struct policy *policy, bool private_answers, union addr *out,
			 bool *mismatch)
{
	unsigned count = 0;

	*mismatch = true;
	if ((contains(answer->addrs, answer->count, wanted) ||
	     contains(answer->recent, answer->recent_count, wanted)) &&
	    dial_may_reach(wanted, has_dot, policy, private_answers)) {
		out[count++] = *wanted;
		*mismatch = false;
	}
	/* First those of the client's family, then the others. */
	for (int other = 0; other < 2; other++) {
		for (unsigned i = 0; i < answer->count && count < VET_CANDIDATES_MAX; i++) {
			const union addr *addr = &answer->addrs[i];

			if ((addr->sa.sa_family != wanted->sa.sa_family) == other &&
			    dial_may_reach(addr, has_dot, policy, private_answers) &&
			    !contains(out, count, addr))
				out[count++] = *addr;
		}
	}
	return count;
}

static bool conn_candidates(struct conn *conn, const struct answer *answer, union addr *out,
			    unsigned *count, bool *mismatch)
{
	bool has_dot = memchr(conn->name, '.', conn->name_len) != NULL;

	*count = dial_candidates(answer, &conn->dst, has_dot, policy_current(),
				 conn->filter->settings->private_answers, out, mismatch);
	return *count > 0;
}

static void emit_mismatch(struct conn *conn)
{
	struct event event;

	metric_add(&conn->filter->worker->metrics.mismatches, 1);
	conn_event(conn, &event, FACT_MISMATCH);
	event.reason = CLOSE_DST_MISMATCH;
	event.dialled = conn->vet->candidates[0];
	conn_emit(conn, &event);
}

/* Those that are private, or those that are not; returns how many are there now. */
static unsigned note_addresses(struct vet *vet, unsigned noted, const union addr *addrs,
			       unsigned count, bool are_private)
{
	for (unsigned i = 0; i < count && noted < VET_CANDIDATES_MAX; i++)
		if ((addr_classify(&addrs[i]) == ADDR_PRIVATE) == are_private)
			vet->candidates[noted++] = addrs[i];
	return noted;
}

/* None of these may be dialled: say which, for refuse() tells the candidates, and what would help
 * (a private address can be listed; of the others the event says that they are never dialled). */
static void refuse_addresses(struct conn *conn, const union addr *addrs, unsigned count)
{
	struct vet *vet = conn->vet;
	/* Those that would help come first: not all may be told. */
	unsigned private_count = note_addresses(vet, 0, addrs, count, true);
	unsigned noted = note_addresses(vet, private_count, addrs, count, false);

	vet->candidate_count = vet->candidate_at = (uint8_t)noted;      /* nothing to try */
	refuse(conn, CLOSE_BAD_ADDRESS, private_count == 0 ? NULL :
	       "private: list the address, or set PRIVATE_ANSWERS=allow");
}

static void on_answer(struct conn *conn, const struct answer *answer)
{
	struct vet *vet = conn->vet;
	unsigned count;

	if (answer->count == 0)
		return refuse(conn, CLOSE_UNRESOLVED, answer_why_none(answer));
	if (!conn_candidates(conn, answer, vet->candidates, &count, &vet->mismatch))
		return refuse_addresses(conn, answer->addrs, answer->count);
	vet->candidate_count = (uint8_t)count;
	for (unsigned i = 0; i < count; i++)
		addr_set_port(&vet->candidates[i], addr_port(&conn->dst));
	if (vet->mismatch) {
		if (conn->filter->settings->destination_check == DESTINATION_STRICT)
			return refuse(conn, CLOSE_DST_MISMATCH, NULL);
		emit_mismatch(conn);
	}
	dial_next(conn, CLOSE_CONNECT_FAILED, 0);
}

static void on_looked_up(struct lookup *lookup, const struct answer *answer)
{
	struct conn *conn = container_of(lookup->owner, struct conn, owner);

	if (conn->state == CONN_DIALLING)       /* not refused in the meantime */
		on_answer(conn, answer);
}

/* One candidate that needs no resolver. */
static void dial_one(struct conn *conn, const union addr *addr)
{
	struct vet *vet = conn->vet;

	if (addr_classify(addr) == ADDR_NEVER)
		return refuse_addresses(conn, addr, 1);
	vet->candidates[0] = *addr;
	addr_set_port(&vet->candidates[0], addr_port(&conn->dst));
	vet->candidate_count = 1;
	dial_next(conn, CLOSE_CONNECT_FAILED, 0);
}

void dial_start(struct conn *conn, bool literal)
{
	const struct answer *answer;
	union addr addr;

	assert(conn->state == CONN_DIALLING);
	if (literal && addr_parse(conn_name(conn), &addr))
		return dial_one(conn, &addr);
	if (conn->filter->settings->destination_check == DESTINATION_OFF)
		return dial_one(conn, &conn->dst);
	answer = resolver_lookup(conn->filter->resolver, conn_name(conn), &conn->vet->ask.lookup,
				 on_looked_up);
	if (answer)
		on_answer(conn, answer);
}

void dial_first(struct conn *conn)
{
	dial_next(conn, CLOSE_CONNECT_FAILED, 0);
}

/* A socket of ours: marked, so that the rules let it out; of our uid, because this thread's
 * filesystem uid is (decisions.md 2). */
static int open_socket(struct conn *conn, sa_family_t family)
{
	uint32_t mark = conn->filter->settings->mark;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int zero = 0;

	if (fd < 0)
		return -errno;
	if (mark != 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	/* The first bytes to be sent acknowledge the SYN-ACK; without them an ACK alone must. */
	if (conn->vet->len > 0)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &zero, sizeof(zero));
	return fd;
}

/* Try the next address; when none is left, say why the last one failed. */
static void dial_next(struct conn *conn, enum close_reason reason, int err)
{
	struct side *upstream = &conn->side[UPSTREAM];
	struct vet *vet = conn->vet;

	while (vet->candidate_at < vet->candidate_count) {
		union addr *addr = &vet->candidates[vet->candidate_at++];
		int fd = open_socket(conn, addr->sa.sa_family);

		if (fd < 0) {
			err = fd;
			continue;
		}
		upstream->fd = fd;
		conn->dialled = *addr;
		conn_arm_timer(conn, conn->filter->settings->connect_timeout_ms);
		op_connect(&upstream->tx, fd, &addr->sa, addr_len(addr), on_connected);
		return;
	}
	/* Cancelled by us: the reason says that it was for the time. */
	refuse(conn, reason, err < 0 && err != -ECANCELED ? strerrordesc_np(-err) : NULL);
}

void dial_timeout(struct conn *conn)
{
	struct side *upstream = &conn->side[UPSTREAM];

	if (!op_idle(&upstream->tx) && op_idle(&upstream->tx_cancel))
		op_cancel(&upstream->tx_cancel, &upstream->tx); /* completes with -ECANCELED */
}

static void emit_allowed(struct conn *conn)
{
	struct event event;

	metric_add(&conn->filter->worker->metrics.conns_allowed, 1);
	if (!conn_event_wanted(conn, FACT_ALLOWED))
		return;
	conn_event(conn, &event, FACT_ALLOWED);
	memcpy(event.rule, conn->vet->rule, sizeof(event.rule));
	conn_emit(conn, &event);
}

static void on_connected(struct op *op, int res, uint32_t flags)
{
	struct side *upstream = container_of(op, struct side, tx);
	struct conn *conn = side_conn(upstream);

	(void)flags;
	if (conn->state == CONN_ENDING)
		return;
	assert(conn->state == CONN_DIALLING);
	conn_disarm_timer(conn);
	if (res < 0) {
		metric_add(&conn->filter->worker->metrics.dial_failures, 1);
		close(upstream->fd);
		upstream->fd = -1;
		return dial_next(conn, res == -ECANCELED ? CLOSE_CONNECT_TIMEOUT :
							   CLOSE_CONNECT_FAILED, res);
	}
	emit_allowed(conn);
	conn->deciding = false;
	conn->active_ms = conn->owner.loop->now_ms;
	conn_set_state(conn, CONN_RELAYING);
	conn_watch_relay(conn);
	if (conn->vet->len > 0)
		conn->vet->pass = conn->vet->len;       /* the hello or head we held back */
	else
		vet_end(conn);
	relay_receive_first(upstream);
	relay_pump(&conn->side[CLIENT]);
}

static void on_answer_again(struct conn *conn, const struct answer *answer)
{
	union addr candidates[VET_CANDIDATES_MAX];
	unsigned count;
	bool mismatch;
	bool same = answer->count > 0 &&
		    conn_candidates(conn, answer, candidates, &count, &mismatch) &&
		    contains(candidates, count, &conn->dialled);

	vet_http_same_address(conn, same);
}

static void on_looked_up_again(struct lookup *lookup, const struct answer *answer)
{
	struct conn *conn = container_of(lookup->owner, struct conn, owner);

	if (conn->state != CONN_RELAYING)
		return;
	on_answer_again(conn, answer);
	relay_pump(&conn->side[CLIENT]);        /* it held while the lookup waited */
}

bool dial_may_stay(const struct conn *conn)
{
	const struct filter_settings *settings = conn->filter->settings;
	bool has_dot = memchr(conn->name, '.', conn->name_len) != NULL;

	return settings->destination_check == DESTINATION_OFF ||
	       dial_may_reach(&conn->dialled, has_dot, policy_current(), settings->private_answers);
}

void dial_check_same(struct conn *conn)
{
	const struct answer *answer;
	union addr addr;

	if (addr_parse(conn_name(conn), &addr))
		return vet_http_same_address(conn, addr_equal_ip(&addr, &conn->dialled));
	if (conn->filter->settings->destination_check == DESTINATION_OFF)
		return vet_http_same_address(conn, true);
	answer = resolver_lookup(conn->filter->resolver, conn_name(conn), &conn->vet->ask.lookup,
				 on_looked_up_again);
	if (answer)
		on_answer_again(conn, answer);
}
