/* vet.c - looking at what a client sends before it passes, and judging it: what both protocols
 * share. */
#include "forward/vet.h"

#include <assert.h>
#include <string.h>

#include "core/policy.h"
#include "forward/dial.h"
#include "forward/refuse.h"
#include "forward/relay.h"

bool vet_begin(struct conn *conn)
{
	struct vet *vet = pool_take(&conn->filter->vets);

	assert(conn->vet == NULL);
	if (!vet)
		return false;
	memset(vet, 0, sizeof(*vet));
	vet->data = vet->small;
	vet->size = VET_SMALL - sizeof(*vet);
	vet->ask.lookup.owner = &conn->owner;
	conn->vet = vet;
	conn->vet_mode = conn->kind == CONN_TLS ? VET_HELLO : VET_HEAD;
	return true;
}

void vet_end(struct conn *conn)
{
	struct vet *vet = conn->vet;

	if (!vet)
		return;
	if (vet->data != vet->small)
		pool_give(&conn->filter->vet_pages, vet->data);
	pool_give(&conn->filter->vets, vet);
	conn->vet = NULL;
}

/* A hello or head that does not fit the small buffer moves to a large one. */
static bool grow(struct conn *conn)
{
	struct vet *vet = conn->vet;
	uint8_t *page;

	if (vet->data != vet->small)
		return false;
	page = pool_take(&conn->filter->vet_pages);
	if (!page)
		return false;
	memcpy(page, vet->data, vet->len);
	vet->data = page;
	vet->size = VET_LARGE;
	return true;
}

size_t vet_collect(struct conn *conn, const uint8_t *data, size_t len)
{
	struct vet *vet = conn->vet;

	if (vet->len == vet->size && !grow(conn)) {
		bool large = vet->data != vet->small;
		enum close_reason bad = conn->kind == CONN_TLS ? CLOSE_HELLO_BAD : CLOSE_HEAD_BAD;

		refuse(conn, large ? bad : CLOSE_OVERLOAD, large ? "too large" : NULL);
		return 0;
	}
	if (len > vet->size - vet->len)
		len = vet->size - vet->len;
	memcpy(vet->data + vet->len, data, len);
	vet->len += (uint32_t)len;
	return len;
}

void vet_decide(struct conn *conn, bool literal)
{
	const struct policy *policy = policy_current();
	const char *rule = NULL;
	union addr addr;

	if (!literal)
		rule = policy_match_port(policy, conn_name(conn), IPPROTO_TCP,
					 addr_port(&conn->dst));
	else if (addr_parse(conn_name(conn), &addr) && policy_has_addr(policy, &addr))
		rule = conn->name;
	if (!rule && !literal && policy_match_name(policy, conn_name(conn)))
		return refuse(conn, CLOSE_PORT_NOT_LISTED, NULL);
	if (!rule)
		return refuse(conn, CLOSE_NOT_ALLOWLISTED, NULL);
	text_copy(conn->vet->rule, sizeof(conn->vet->rule), rule);
	conn->deciding = true;
	if (conn->state == CONN_VETTING) {
		conn_disarm_timer(conn);
		conn_set_state(conn, CONN_DIALLING);
		return dial_start(conn, literal);
	}
	dial_check_same(conn);
}

enum vet_says vet_client(struct conn *conn, const uint8_t *data, size_t *len)
{
	enum vet_says says;

	if (conn->deciding)
		return VET_HOLDS;
	if (conn->kind == CONN_HTTP && conn->http.ending)
		return VET_TAKEN;                       /* meant for another server: dropped */
	if (!conn->vet && (conn->vet_mode == VET_HELLO || conn->vet_mode == VET_HEAD)) {
		enum vet_mode mode = conn->vet_mode;

		if (!vet_begin(conn)) {
			refuse(conn, CLOSE_OVERLOAD, NULL);
			return VET_CLOSED;
		}
		conn->vet_mode = mode;
		conn->head_by_ms = conn->owner.loop->now_ms +
				   conn->filter->settings->hello_timeout_ms;
		conn_arm_timer(conn, conn->filter->settings->hello_timeout_ms);
	}
	says = conn->kind == CONN_TLS ? vet_tls_client(conn, data, len) :
					vet_http_client(conn, data, len);
	if (conn->owner.closing || conn->state == CONN_ENDING)
		return VET_CLOSED;
	return says;
}

bool vet_client_eof(struct conn *conn)
{
	bool collecting = conn->vet && conn->vet->len > 0 && !conn->deciding;

	if (conn->deciding)
		return false;
	if (collecting && conn->vet->pass == 0) {
		refuse(conn, conn->kind == CONN_TLS ? CLOSE_HELLO_BAD : CLOSE_HEAD_BAD,
		       "ended in the middle");
		return false;
	}
	if (conn->state == CONN_VETTING) {
		conn_close(conn, CLOSE_CLIENT_LOST);
		return false;
	}
	return true;
}

bool vet_server(struct conn *conn, const uint8_t *data, size_t len)
{
	bool go_on = conn->kind == CONN_TLS ? vet_tls_server(conn, data, len) :
					      vet_http_server(conn, data, len);

	return go_on && !conn->owner.closing;
}

size_t vet_unseen(const struct side *from)
{
	const struct conn *conn = side_conn((struct side *)(uintptr_t)from);

	if (conn->vet_mode == VET_BLIND)
		return SIZE_MAX;
	if (conn->kind != CONN_HTTP)
		return 0;
	if (from->index == UPSTREAM)            /* answers count, but are not read */
		return conn->http.upgrade ? 0 : SIZE_MAX;
	if (conn->vet_mode == VET_BODY && conn->http.body.framing == HTTP_BODY_LENGTH)
		return conn->http.body.left;
	return 0;
}

void vet_skip(struct side *from, size_t len)
{
	struct conn *conn = side_conn(from);

	if (conn->vet_mode == VET_BLIND || conn->kind != CONN_HTTP)
		return;
	if (from->index == UPSTREAM) {
		vet_http_answered(conn);
		return;
	}
	conn->http.body.left -= len;
	if (conn->http.body.left == 0)
		conn->vet_mode = conn->http.upgrade ? VET_UPGRADE : VET_HEAD;
}

void vet_sent(struct conn *conn)
{
	vet_end(conn);
	conn->head_by_ms = 0;
	if (conn->kind == CONN_HTTP)
		vet_http_sent(conn);
}

void vet_timeout(struct conn *conn)
{
	refuse(conn, CLOSE_HELLO_TIMEOUT, NULL);
}
