/* ask_stream.c - questions over connections, TCP or TLS. */
#include "core/ask_stream.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/resolver_inside.h"
#include "core/tls_client.h"

enum {
	CONNECT_MS = 2000,              /* with the TLS handshake */
	UNUSED_TCP_MS = 1000,           /* without a question; servers close after some seconds */
	UNUSED_TLS_MS = 20 * 1000,
	MUTE_MS = 1000,                 /* a question had so long: the connection may be dead */
	MESSAGE_MAX = 2 + 65535,
	OUT_MAX = 32 * 1024,            /* a hundred questions on their way out */
	RECORDS_MAX = 17 * 1024,        /* what is received at once for TLS */
};

enum stream_state { STREAM_CONNECTING, STREAM_SHAKING, STREAM_READY };

struct stream {
	struct owner owner;             /* holds the resolver's */
	struct resolver *resolver;
	struct stream *next, **link;
	struct server *server;
	struct op connect, receive, send, cancel;
	struct timer timer;
	enum stream_state state;
	int fd;
	bool at_end;
	bool closed_by_server;          /* at_end, and nothing was wrong */
	bool takes_many;                /* has answered two questions that were there at once */
	uint64_t heard_ms;
	struct try *tries;
	struct tls_client *tls;         /* NULL: TCP */
	size_t out_len, in_len;         /* to be sent; of messages not whole yet */
	uint8_t out[OUT_MAX];
	uint8_t in[MESSAGE_MAX];
	uint8_t sealed[RECORDS_MAX];    /* TLS only */
};

static op_fn on_connected, on_received, on_sent;

static struct loop *loop_of(const struct stream *stream)
{
	return stream->owner.loop;
}

/* The end */

static unsigned written(const struct stream *stream)
{
	unsigned count = 0;

	for (const struct try *try = stream->tries; try; try = try->next)
		count += try->written;
	return count;
}

static bool has_written(const struct stream *stream)
{
	const struct try *try = stream->tries;

	while (try && !try->written)
		try = try->next;
	return try != NULL;
}

static void stream_free(struct owner *owner)
{
	struct stream *stream = container_of(owner, struct stream, owner);
	struct resolver *resolver = stream->resolver;

	if (stream->fd >= 0)
		close(stream->fd);
	tls_client_close(stream->tls);
	resolver->stream_count--;
	free(stream);
	owner_release(&resolver->owner);
}

/* The server knows nothing of it yet, so it goes to the next connection as it is.  0 or -errno. */
static int try_move(struct stream *stream, struct try *try)
{
	if (stream->resolver->closed)
		return -ECANCELED;
	try->sent_ms = loop_of(stream)->now_ms;
	return stream_try(stream->resolver, try);
}

/* Takes no more questions; those it has are told.  Frees nothing yet. */
static void stream_close(struct stream *stream)
{
	struct try *tries = stream->tries, *try;
	bool was_ready = stream->state == STREAM_READY;

	if (stream->owner.closing)
		return;
	*stream->link = stream->next;
	if (stream->next)
		stream->next->link = stream->link;
	timer_cancel(&loop_of(stream)->timers, &stream->timer);
	op_cancel_fd(&stream->cancel, stream->fd);
	stream->owner.closing = true;
	stream->tries = NULL;
	if (tries)
		tries->link = &tries;
	while ((try = tries)) {
		try_leave(try);
		if (!was_ready || try->written || try_move(stream, try) < 0)
			try_ended(try, was_ready ? TRY_CLOSED : TRY_REFUSED);
	}
}

/* By the server, not by us. */
static void stream_closed(struct stream *stream)
{
	/* What it had sent may be lost with the connection, so it need not have been heard. */
	if (!stream->owner.closing && stream->state == STREAM_READY && !stream->takes_many &&
	    written(stream) > 1)
		server_closed_early(stream->server, loop_of(stream)->now_ms);
	stream_close(stream);
}

/* Its way to say so when it has not read all that we sent. */
static bool is_reset(int res)
{
	return res == -ECONNRESET || res == -EPIPE;
}

void streams_close(struct resolver *resolver)
{
	while (resolver->streams)
		stream_close(resolver->streams);
}

/* Sending */

static void out_send(struct stream *stream)
{
	if (op_idle(&stream->send) && stream->out_len > 0)
		op_send(&stream->send, stream->fd, stream->out, stream->out_len, on_sent);
}

/* What TLS wants to send goes behind what waits already. */
static void sealed_send(struct stream *stream)
{
	stream->out_len += tls_client_take(stream->tls, stream->out + stream->out_len,
					   sizeof(stream->out) - stream->out_len);
	out_send(stream);
}

/* 0 or -errno: no room. */
static int try_write(struct stream *stream, struct try *try)
{
	size_t len = 2 + (size_t)try->len, room = sizeof(stream->out) - stream->out_len;

	/* A TLS record adds less than a hundred bytes. */
	if (len + 100 > room)
		return -ENOBUFS;
	try->in_company = has_written(stream);
	try->written = true;
	if (stream->tls) {
		if (tls_client_write(stream->tls, try->wire, len) < 0)
			return -EPROTO;
		sealed_send(stream);
		return 0;
	}
	memcpy(stream->out + stream->out_len, try->wire, len);
	stream->out_len += len;
	out_send(stream);
	return 0;
}

static void timer_set(struct stream *stream)
{
	struct loop *loop = loop_of(stream);
	uint64_t wait_ms = stream->tls ? UNUSED_TLS_MS : UNUSED_TCP_MS;

	timer_cancel(&loop->timers, &stream->timer);
	if (!stream->tries)
		timer_arm(&loop->timers, &stream->timer, loop->now_ms + wait_ms);
}

/* What waits for the connection, for room or for its turn.  0 or -errno. */
static int tries_write(struct stream *stream)
{
	bool one_by_one = server_wants_one_by_one(stream->server, loop_of(stream)->now_ms);
	int err = 0;

	if (one_by_one && has_written(stream))
		return 0;
	for (struct try *try = stream->tries; try && err == 0; try = try->next) {
		if (try->written)
			continue;
		err = try_write(stream, try);
		if (one_by_one)
			break;
	}
	/* What is in front is being sent, then there is room again. */
	return err == -ENOBUFS ? 0 : err;
}

static void on_sent(struct op *op, int res, uint32_t flags)
{
	struct stream *stream = container_of(op, struct stream, send);

	(void)flags;
	if (is_reset(res))
		return stream_closed(stream);
	if (res < 0)
		return stream_close(stream);
	memmove(stream->out, stream->out + res, stream->out_len - (size_t)res);
	stream->out_len -= (size_t)res;
	if (stream->tls)
		sealed_send(stream);
	else
		out_send(stream);
	if (stream->state == STREAM_READY && tries_write(stream) < 0)
		stream_close(stream);
}

static void become_ready(struct stream *stream)
{
	stream->state = STREAM_READY;
	timer_set(stream);
	if (tries_write(stream) < 0)
		stream_close(stream);
}

/* Receiving */

static void receive(struct stream *stream)
{
	if (stream->tls)
		op_recv_later(&stream->receive, stream->fd, stream->sealed, sizeof(stream->sealed),
			      on_received);
	else
		op_recv_later(&stream->receive, stream->fd, stream->in + stream->in_len,
			      sizeof(stream->in) - stream->in_len, on_received);
}

static void message_in(struct stream *stream, const uint8_t *data, size_t len)
{
	enum try_end end;
	struct try *try = try_match(stream->resolver, stream->tries, data, len, &end);

	stream->heard_ms = loop_of(stream)->now_ms;
	if (!try)
		return;
	if (try->in_company) {
		stream->takes_many = true;
		server_takes_many(stream->server);
	}
	timer_set(stream);
	try_ended(try, end);
}

/* All whole messages; what is told may close the stream. */
static void messages_in(struct stream *stream)
{
	size_t at = 0;

	while (!stream->owner.closing && stream->in_len - at >= 2) {
		size_t len = (size_t)stream->in[at] << 8 | stream->in[at + 1];

		if (stream->in_len - at < 2 + len)
			break;
		message_in(stream, stream->in + at + 2, len);
		at += 2 + len;
	}
	memmove(stream->in, stream->in + at, stream->in_len - at);
	stream->in_len -= at;
}

static void note_failure(struct stream *stream)
{
	char text[160];

	tls_client_error(stream->tls, text, sizeof(text));
	resolver_add(stream->resolver, RESOLVER_TLS_FAILURES, 1);
	resolver_note_tls_error(stream->server->text, text);
}

/* False: the stream is closed. */
static bool shake(struct stream *stream)
{
	int err = tls_client_shake(stream->tls);

	sealed_send(stream);                    /* an alert, too */
	if (err == 0)
		become_ready(stream);
	if (err == 0 || err == -EAGAIN)
		return !stream->owner.closing;
	note_failure(stream);
	stream_close(stream);
	return false;
}

static void unseal(struct stream *stream)
{
	ssize_t len = 1;

	while (!stream->owner.closing && len > 0) {
		len = tls_client_read(stream->tls, stream->in + stream->in_len,
				      sizeof(stream->in) - stream->in_len);
		if (len > 0) {
			stream->in_len += (size_t)len;
			messages_in(stream);
		}
	}
	if (len == 0 || (len < 0 && len != -EAGAIN))
		stream->at_end = true;
	stream->closed_by_server = len == 0;
	if (!stream->owner.closing)
		sealed_send(stream);            /* TLS may have something to say by itself */
}

static void on_received(struct op *op, int res, uint32_t flags)
{
	struct stream *stream = container_of(op, struct stream, receive);

	(void)flags;
	if (res <= 0) {
		if (stream->state == STREAM_SHAKING)
			note_failure(stream);
		return res == 0 || is_reset(res) ? stream_closed(stream) : stream_close(stream);
	}
	if (!stream->tls) {
		stream->in_len += (size_t)res;
		messages_in(stream);
	} else {
		if (tls_client_feed(stream->tls, stream->sealed, (size_t)res) < 0)
			return stream_close(stream);
		if (stream->state == STREAM_SHAKING && !shake(stream))
			return;
		if (stream->state == STREAM_READY)
			unseal(stream);
	}
	if (stream->owner.closing)
		return;
	if (stream->closed_by_server)
		stream_closed(stream);
	else if (stream->at_end || (stream->state == STREAM_READY && tries_write(stream) < 0))
		stream_close(stream);
	else
		receive(stream);
}

/* Opening */

static void on_connected(struct op *op, int res, uint32_t flags)
{
	struct stream *stream = container_of(op, struct stream, connect);

	(void)flags;
	if (res < 0)
		return stream_close(stream);
	receive(stream);
	if (stream->tls) {
		stream->state = STREAM_SHAKING;
		(void)shake(stream);
	} else {
		become_ready(stream);
	}
}

/* Not connected in time, or not used for long. */
static void on_time(struct timer *timer)
{
	struct stream *stream = container_of(timer, struct stream, timer);

	if (stream->state == STREAM_SHAKING)
		note_failure(stream);
	stream_close(stream);
}

/* A socket without its mark would be redirected to ourselves or dropped: there is none then. */
static int socket_open(struct resolver *resolver, const struct server *server)
{
	int fd = socket(server->addr.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err = fd < 0 ? -errno : 0, on = 1;

	if (err == 0 && resolver->mark != 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_MARK, &resolver->mark, sizeof(resolver->mark)) < 0)
		err = -errno;
	if (err < 0) {
		resolver_add(resolver, RESOLVER_SOCKETS_REFUSED, 1);
		if (fd >= 0)
			close(fd);
		return err;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static int stream_open(struct resolver *resolver, struct server *server, struct stream **out)
{
	struct stream *stream;
	int err = -ENOBUFS;

	if (resolver->stream_count >= STREAMS_MAX || !(stream = malloc(sizeof(*stream))))
		return err;
	memset(stream, 0, offsetof(struct stream, out));
	stream->owner = (struct owner){ .loop = resolver->owner.loop, .free = stream_free };
	stream->connect.owner = stream->receive.owner = &stream->owner;
	stream->send.owner = stream->cancel.owner = &stream->owner;
	stream->resolver = resolver;
	stream->server = server;
	stream->timer.fire = on_time;
	if (server->tls.on)
		err = tls_client_open(&stream->tls, server->tls.name, &server->addr);
	stream->fd = server->tls.on && err < 0 ? err : socket_open(resolver, server);
	if (stream->fd < 0) {
		err = stream->fd;
		tls_client_close(stream->tls);
		free(stream);
		return err;
	}
	resolver->stream_count++;
	resolver_add(resolver, RESOLVER_STREAMS, 1);
	owner_hold(&resolver->owner);
	stream->next = resolver->streams;
	stream->link = &resolver->streams;
	if (stream->next)
		stream->next->link = &stream->next;
	resolver->streams = stream;
	timer_arm(&loop_of(stream)->timers, &stream->timer, loop_of(stream)->now_ms + CONNECT_MS);
	op_connect(&stream->connect, stream->fd, &server->addr.sa, addr_len(&server->addr),
		   on_connected);
	*out = stream;
	return 0;
}

static bool has_id(const struct stream *stream, uint16_t id)
{
	for (const struct try *try = stream->tries; try; try = try->next)
		if (try->question.id == id)
			return true;
	return false;
}

int stream_try(struct resolver *resolver, struct try *try)
{
	struct stream *stream = resolver->streams;
	int err;

	while (stream && stream->server != try->server)
		stream = stream->next;
	if (!stream && (err = stream_open(resolver, try->server, &stream)) < 0)
		return err;
	if (has_id(stream, try->question.id))
		return -EEXIST;
	try->stream = stream;
	try_join(try, &stream->tries);
	if (stream->state != STREAM_READY)
		return 0;
	timer_cancel(&loop_of(stream)->timers, &stream->timer);
	err = tries_write(stream);
	if (err < 0)
		try_leave(try);
	return err;
}

void stream_forget(struct try *try)
{
	struct stream *stream = try->stream;
	uint64_t now_ms = loop_of(stream)->now_ms;

	try_leave(try);
	if (stream->owner.closing || stream->state != STREAM_READY || stream->resolver->closed)
		return;
	/* What became of a connection that says nothing, nobody knows: the next gets a new one. */
	if (now_ms >= try->sent_ms + MUTE_MS && stream->heard_ms < try->sent_ms)
		return stream_close(stream);
	timer_set(stream);
	if (tries_write(stream) < 0)            /* it may have been another's turn */
		stream_close(stream);
}
