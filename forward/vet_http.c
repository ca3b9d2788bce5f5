/* vet_http.c - every request of a connection is judged (decisions.md 14).
 *
 * A request for another allowed host goes on when that host has the connected address; otherwise
 * it is not sent, and the connection ends once the answers to earlier requests have come: the
 * client asks again on a new one.  Answers are not parsed: they have come when the server has
 * said something since the last request and then nothing for VET_QUIET_MS. */
#include "forward/vet.h"

#include <assert.h>
#include <string.h>

#include "core/policy.h"
#include "forward/dial.h"
#include "forward/refuse.h"
#include "forward/relay.h"

/* The head in the vet buffer may go; what its body or upgrade means for what follows. */
static void let_pass(struct conn *conn)
{
	const struct http_head *head = &conn->vet->head;

	/* Only the first request of a connection can become a tunnel: with others before it
	 * nobody can tell whose answer the 101 is. */
	conn->http.upgrade = head->upgrade_websocket && conn->http.requests == 0;
	conn->http.requests++;
	http_body_start(&conn->http.body, head);
	if (head->framing == HTTP_BODY_CHUNKED || head->body_len > 0)
		conn->vet_mode = VET_BODY;
	else
		conn->vet_mode = conn->http.upgrade ? VET_UPGRADE : VET_HEAD;
	conn->head_by_ms = 0;
	conn->vet->pass = conn->vet->len;
}

/* A whole head stands in the vet buffer. */
static void on_head(struct conn *conn)
{
	const struct http_head *head = &conn->vet->head;
	struct str host = { head->host, head->host_len };
	bool first = conn->state == CONN_VETTING;
	bool same = str_equal(host, conn_name(conn));

	metric_add(&conn->filter->worker->metrics.requests, 1);
	memcpy(conn->name, head->host, head->host_len + 1u);
	conn->name_len = head->host_len;
	if (first) {
		/* dial.c connects; the relay then sends what let_pass() marked. */
		let_pass(conn);
		return vet_decide(conn, head->host_is_address);
	}
	if (same && !head->host_is_address &&
	    policy_match_port(policy_current(), host, IPPROTO_TCP, addr_port(&conn->dst)))
		return let_pass(conn);
	vet_decide(conn, head->host_is_address);
}

void vet_http_same_address(struct conn *conn, bool same)
{
	conn->deciding = false;
	if (same) {
		struct event event;

		conn_event(conn, &event, FACT_ALLOWED);
		memcpy(event.rule, conn->vet->rule, sizeof(event.rule));
		conn_emit(conn, &event);
		let_pass(conn);
	} else {
		conn->http.ending = true;
		conn->vet_mode = VET_HEAD;
		conn->head_by_ms = 0;
		vet_end(conn);
		conn_arm_timer(conn, VET_QUIET_MS);
	}
}

static enum vet_says collect_head(struct conn *conn, const uint8_t *data, size_t *len)
{
	struct vet *vet = conn->vet;
	size_t before = vet->len;

	*len = vet_collect(conn, data, *len);
	if (*len == 0)
		return VET_CLOSED;
	switch (http_request_head(&vet->head, vet->data, vet->len)) {
	case PARSED_OK:
		assert(vet->head.len > before && vet->head.len <= vet->len);
		*len = vet->head.len - before;          /* the body, or the next head, follows */
		vet->len = vet->head.len;
		on_head(conn);
		return VET_TAKEN;
	case PARSED_MORE:
		return VET_TAKEN;
	case PARSED_BAD:
		break;
	}
	refuse(conn, vet->head.bad == HTTP_BAD_NO_HOST ? CLOSE_NO_HOST : CLOSE_HEAD_BAD,
	       http_bad_text(vet->head.bad));
	return VET_CLOSED;
}

static enum vet_says pass_body(struct conn *conn, const uint8_t *data, size_t *len)
{
	switch (http_body_feed(&conn->http.body, data, len)) {
	case PARSED_OK:
		conn->vet_mode = conn->http.upgrade ? VET_UPGRADE : VET_HEAD;
		break;
	case PARSED_MORE:
		break;
	case PARSED_BAD:
		refuse(conn, CLOSE_HEAD_BAD, http_bad_text(conn->http.body.bad));
		return VET_CLOSED;
	}
	return *len > 0 ? VET_PASSES : VET_TAKEN;
}

enum vet_says vet_http_client(struct conn *conn, const uint8_t *data, size_t *len)
{
	if (conn->vet_mode == VET_UPGRADE)
		return VET_HOLDS;
	if (conn->vet_mode == VET_BODY)
		return pass_body(conn, data, len);
	return collect_head(conn, data, len);
}

void vet_http_answered(struct conn *conn)
{
	conn->http.answered = true;
	conn->http.answered_ms = conn->owner.loop->now_ms;
}

bool vet_http_server(struct conn *conn, const uint8_t *data, size_t len)
{
	unsigned status = 0;

	vet_http_answered(conn);
	if (!conn->http.upgrade)
		return true;
	while (len > 0 && conn->http.status_len < sizeof(conn->http.status)) {
		conn->http.status[conn->http.status_len++] = *data++;
		len--;
	}
	switch (http_response_status(conn->http.status, conn->http.status_len, &status)) {
	case PARSED_MORE:
		return true;
	case PARSED_OK:
	case PARSED_BAD:
		break;
	}
	conn->http.upgrade = false;
	if (conn->vet_mode == VET_UPGRADE) {
		/* A tunnel begins only when the server says so; else it was a plain request. */
		conn->vet_mode = status == 101 ? VET_BLIND : VET_HEAD;
		relay_pump(&conn->side[CLIENT]);
	}
	return true;
}

void vet_http_sent(struct conn *conn)
{
	conn->http.answered = false;
}
