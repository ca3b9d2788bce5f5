/* vet_tls.c - every plaintext ClientHello of a connection is judged, also the second one after a
 * HelloRetryRequest; the relay goes blind only once no other can come (design.md, "TLS"). */
#include "forward/vet.h"

#include <assert.h>
#include <string.h>

#include "forward/refuse.h"
#include "forward/relay.h"

static bool same_name(const struct conn *conn, const struct tls_hello *hello)
{
	return str_equal(conn_name(conn), (struct str){ hello->name, hello->name_len });
}

/* A whole hello stands in the vet buffer: the first, or the one after a HelloRetryRequest. */
static void on_hello(struct conn *conn)
{
	struct vet *vet = conn->vet;
	const struct tls_hello *hello = &vet->hello;
	bool first = conn->state == CONN_VETTING;

	metric_add(&conn->filter->worker->metrics.hellos, 1);
	if (!first && !same_name(conn, hello))
		return refuse(conn, CLOSE_HELLO_SWITCHED, hello->name);
	memcpy(conn->name, hello->name, hello->name_len + 1u);
	conn->name_len = hello->name_len;
	if (hello->ech && conn->filter->settings->ech_block)
		return refuse(conn, CLOSE_ECH_BLOCKED, NULL);
	conn->vet_mode = VET_TLS_WATCH;
	if (first)
		return vet_decide(conn, false);
	tls_watch_hello_passed(&conn->watch);
	conn->head_by_ms = 0;
	vet->pass = vet->len;
}

static enum vet_says collect_hello(struct conn *conn, const uint8_t *data, size_t *len)
{
	struct vet *vet = conn->vet;
	size_t before = vet->len;

	*len = vet_collect(conn, data, *len);
	if (*len == 0)
		return VET_CLOSED;
	switch (tls_client_hello(&vet->hello, vet->data, vet->len)) {
	case PARSED_OK:
		assert(vet->hello.wire_len > before && vet->hello.wire_len <= vet->len);
		*len = vet->hello.wire_len - before;    /* what follows is judged by itself */
		vet->len = vet->hello.wire_len;
		on_hello(conn);
		return VET_TAKEN;
	case PARSED_MORE:
		return VET_TAKEN;
	case PARSED_BAD:
		break;
	}
	refuse(conn, vet->hello.bad == TLS_BAD_NO_NAME ? CLOSE_NO_SNI : CLOSE_HELLO_BAD,
	       tls_bad_text(vet->hello.bad));
	return VET_CLOSED;
}

enum vet_says vet_tls_client(struct conn *conn, const uint8_t *data, size_t *len)
{
	if (conn->vet_mode == VET_HELLO)
		return collect_hello(conn, data, len);
	assert(conn->vet_mode == VET_TLS_WATCH);
	switch (tls_watch_client(&conn->watch, data, len)) {
	case TLS_PASS:
		return VET_PASSES;
	case TLS_HELLO_NEXT:
		conn->vet_mode = VET_HELLO;
		/* An empty buffer tells the relay to ask again, which begins to collect. */
		return *len > 0 ? VET_PASSES : VET_TAKEN;
	case TLS_VIOLATION:
		break;
	}
	refuse(conn, CLOSE_HELLO_SWITCHED, "a hello or foreign record before the ServerHello");
	return VET_CLOSED;
}

bool vet_tls_server(struct conn *conn, const uint8_t *data, size_t len)
{
	size_t passes = len;

	if (conn->watch.state != TLS_WATCH_BLIND &&
	    (tls_watch_server(&conn->watch, data, &passes) != TLS_PASS || passes != len)) {
		refuse(conn, CLOSE_HELLO_SWITCHED, "the server's answer is not a ServerHello");
		return false;
	}
	if (conn->watch.state == TLS_WATCH_BLIND && conn->vet_mode == VET_TLS_WATCH)
		conn->vet_mode = VET_BLIND;
	return true;
}
