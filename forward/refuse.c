/* refuse.c - saying no. */
#include "forward/refuse.h"

#include <string.h>
#include <sys/socket.h>

#include "forward/relay.h"
#include "forward/vet.h"

enum { LINGER_MS = 1000 };              /* for the client to read a last word and close */

static op_fn on_word_sent;

/* False: it could not be served, which is nobody's fault: the client sees the end of the stream. */
static bool is_blocked_event(const struct conn *conn, enum close_reason reason)
{
	if (conn->kind == CONN_PLAIN && (reason == CLOSE_UNRESOLVED || reason == CLOSE_SELF))
		return false;
	return reason != CLOSE_CONNECT_FAILED && reason != CLOSE_CONNECT_TIMEOUT;
}

/* Where the name leads, all of which may not be dialled. */
static void add_candidates(struct event *event, const struct vet *vet)
{
	unsigned room = EVENT_ANSWERS_MAX, count = vet->candidate_count;

	event->answer_count = (uint8_t)(count < room ? count : room);
	event->answers_more = (uint16_t)(count - event->answer_count);
	memcpy(event->answers, vet->candidates, event->answer_count * sizeof(event->answers[0]));
}

static void emit(struct conn *conn, enum close_reason reason, const char *detail)
{
	bool blocked = is_blocked_event(conn, reason);
	struct event event;

	if (conn->src.sa.sa_family == 0)
		conn_note_client(conn);

	conn_event(conn, &event, blocked ? FACT_BLOCKED : FACT_DIAL);
	event.reason = reason;
	if (reason == CLOSE_BAD_ADDRESS)
		add_candidates(&event, conn->vet);
	if (detail)
		text_copy(event.detail, sizeof(event.detail), detail);
	if (blocked)
		metric_add(&conn->filter->worker->metrics.conns_blocked, 1);
	conn_emit(conn, &event);
}

/* What to say to the client; 0: nothing, reset. */
static size_t last_word(struct conn *conn, enum close_reason reason, char *out, size_t size)
{
	if (!conn->filter->settings->block_explain || conn->state == CONN_RELAYING ||
	    conn->kind == CONN_PLAIN)
		return 0;
	if (conn->kind == CONN_HTTP)
		return http_forbidden(out, size, conn_name(conn), str_of(reason_text(reason)));
	memcpy(out, tls_alert_access_denied, sizeof(tls_alert_access_denied));
	return sizeof(tls_alert_access_denied);
}

void refuse(struct conn *conn, enum close_reason reason, const char *detail)
{
	struct side *client = &conn->side[CLIENT];
	size_t len = 0;

	if (conn->owner.closing || conn->state == CONN_ENDING)
		return;
	emit(conn, reason, detail);
	if (conn->vet && is_blocked_event(conn, reason) && op_idle(&client->tx))
		len = last_word(conn, reason, (char *)conn->vet->small,
				vet_small_size(conn->filter));
	if (len == 0)
		return is_blocked_event(conn, reason) ? conn_reset(conn, reason) :
						  refuse_linger(conn, reason);
	conn->reason = reason;
	relay_drop_queue(client);
	conn_set_state(conn, CONN_ENDING);
	conn_arm_timer(conn, LINGER_MS);
	op_send(&client->tx, client->fd, conn->vet->small, len, on_word_sent);
}

static void on_word_sent(struct op *op, int res, uint32_t flags)
{
	struct side *client = container_of(op, struct side, tx);
	struct conn *conn = side_conn(client);

	(void)flags;
	if (res < 0 || client->eof)
		return conn_close(conn, conn->reason);
	(void)shutdown(client->fd, SHUT_WR);
	relay_receive(client);          /* until it closes too: an unread byte would make it RST */
}

void refuse_linger(struct conn *conn, enum close_reason reason)
{
	struct side *client = &conn->side[CLIENT];

	conn->reason = reason;
	if (client->eof)
		return conn_close(conn, reason);
	if (op_idle(&conn->side[UPSTREAM].tx))          /* nothing of it is being sent */
		relay_drop_queue(client);
	conn_set_state(conn, CONN_ENDING);
	conn_arm_timer(conn, LINGER_MS);
	(void)shutdown(client->fd, SHUT_WR);
	relay_receive(client);
}

void refuse_timeout(struct conn *conn)
{
	conn_close(conn, conn->reason);
}
