/* dial_plain.c - where a forwarded connection goes: TARGET, unjudged, its addresses in turn. */
#include <assert.h>

#include "forward/dial.h"
#include "forward/port.h"
#include "forward/refuse.h"
#include "forward/vet.h"
#include "proto/proxy_header.h"

/* SEND_PROXY: what the server is told before the client's first byte is sent like a head that was
 * held back.  False: the client is gone already, and nobody knows who it was. */
static bool put_proxy_header(struct conn *conn, unsigned version)
{
	struct vet *vet = conn->vet;
	union addr to;
	socklen_t len = sizeof(to);

	if (getsockname(conn->side[CLIENT].fd, &to.sa, &len) < 0)
		return false;
	vet->len = (uint32_t)proxy_header(version, &conn->src.sa, &to.sa, vet->data);
	return vet->len > 0;
}

static void go(struct conn *conn, const union addr *addrs, unsigned count)
{
	struct vet *vet = conn->vet;
	bool self;

	vet->candidate_count = (uint8_t)target_candidates(conn->filter, conn->port, addrs, count,
							  conn->id >> 8, vet->candidates,
							  VET_CANDIDATES_MAX, &self);
	conn->vet_mode = VET_BLIND;
	if (vet->candidate_count > 0)
		return dial_first(conn);
	if (self)
		return refuse(conn, CLOSE_SELF, "TARGET is ourselves, on a port of ours");
	refuse(conn, CLOSE_UNRESOLVED, "no address of the family that MODE asks for");
}

static void on_answer(struct conn *conn, const struct answer *answer)
{
	if (answer->count == 0)
		return refuse(conn, CLOSE_UNRESOLVED, answer_why_none(answer));
	go(conn, answer->addrs, answer->count);
}

static void on_asked(struct target_ask *ask, const struct answer *answer)
{
	struct conn *conn = container_of(ask->lookup.owner, struct conn, owner);

	if (conn->state == CONN_DIALLING)       /* the client has not gone in the meantime */
		on_answer(conn, answer);
}

void dial_plain(struct conn *conn)
{
	const struct forward_settings *forward = conn->filter->settings->forward;
	const struct answer *answer;

	assert(conn->port && forward);
	if (!vet_begin(conn))
		return refuse(conn, CLOSE_OVERLOAD, NULL);
	conn->deciding = true;          /* the client's bytes wait until we are connected */
	conn_set_state(conn, CONN_DIALLING);
	if (forward->send_proxy > 0 && !put_proxy_header(conn, forward->send_proxy))
		return conn_reset(conn, CLOSE_CLIENT_LOST);
	if (!forward->by_name)
		return go(conn, &forward->addr, 1);
	answer = target_ask(&conn->vet->ask, conn->filter, on_asked);
	if (answer)
		on_answer(conn, answer);
}
