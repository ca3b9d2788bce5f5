/* ask_udp.c - questions as datagrams, each from a port that a forger must guess.
 *
 *   closed --open--> in use <--> unused, kept for the next (many questions)
 *                      `--> retired or unused (few): receive cancelled if armed --> closed */
#include "core/ask_udp.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "core/resolver_inside.h"

enum {
	OPEN_COST = 1000,               /* udp_ports.opens are thousandths */
	UNUSED_MS = 1000,               /* an unused port is kept for the next question */
	TAKEN_MAX = 2 * ASK_TRAIN_MAX,  /* datagrams in a row of one port */
};

static op_fn on_received, on_sent;
static void on_idle(struct timer *timer);

void udp_ports_init(struct resolver *resolver)
{
	struct udp_ports *udp = &resolver->udp;

	for (struct udp_port *port = udp->all; port < udp->all + UDP_PORTS_MAX; port++) {
		port->fd = -1;
		port->retired = true;
		udp->free[udp->free_count++] = (uint8_t)(port - udp->all);
		port->receive.owner = port->cancel.owner = &resolver->owner;
	}
	udp->refill_ms = resolver->owner.loop->now_ms;
	udp->opens = UDP_OPENS_BURST * OPEN_COST;
	udp->idle.fire = on_idle;
	ask_trains_init(&udp->trains);
}

/* Sockets */

static void refill(struct resolver *resolver)
{
	struct udp_ports *udp = &resolver->udp;
	uint64_t passed_ms = resolver->owner.loop->now_ms - udp->refill_ms, opens;

	if (passed_ms == 0)
		return;
	udp->refill_ms = resolver->owner.loop->now_ms;
	opens = udp->opens + passed_ms * UDP_OPENS_PER_S * OPEN_COST / 1000;
	udp->opens = opens < UDP_OPENS_BURST * OPEN_COST ? (uint32_t)opens :
							   UDP_OPENS_BURST * OPEN_COST;
}

/* A socket without its mark would be redirected to ourselves or dropped: there is none then. */
static int socket_open(struct resolver *resolver, const struct server *server)
{
	int fd = socket(server->addr.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err = fd < 0 ? -errno : 0;

	if (err == -EMFILE || err == -ENFILE || err == -ENOMEM)
		return -ENOBUFS;                /* one that is open will do */
	if (err == 0 && resolver->mark != 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_MARK, &resolver->mark, sizeof(resolver->mark)) < 0)
		err = -errno;
	if (err < 0)
		resolver_add(resolver, RESOLVER_SOCKETS_REFUSED, 1);
	else if (connect(fd, &server->addr.sa, addr_len(&server->addr)) < 0)
		err = -errno;
	if (err < 0 && fd >= 0)
		close(fd);
	return err < 0 ? err : fd;
}

static void port_retire(struct udp_ports *udp, struct udp_port *port)
{
	struct udp_pool *pool = &udp->pools[port->server->index];
	uint8_t last;

	if (port->retired)
		return;
	port->retired = true;
	last = pool->ports[--pool->count];
	pool->ports[port->place] = last;
	udp->all[last].place = port->place;
}

/* Once its receive is over: the kernel holds the buffer until then, and the number must not come
 * back for another socket. */
static void port_close(struct resolver *resolver, struct udp_port *port)
{
	struct udp_ports *udp = &resolver->udp;

	assert(port->waiting == 0 && port->fd >= 0);
	port_retire(udp, port);
	if (!op_idle(&port->receive)) {
		if (op_idle(&port->cancel))
			op_cancel(&port->cancel, &port->receive);
		return;
	}
	close(port->fd);
	port->fd = -1;
	udp->pools[port->server->index].open--;
	udp->free[udp->free_count++] = (uint8_t)(port - udp->all);
}

/* A place whose last cancel is over. */
static struct udp_port *port_free(struct udp_ports *udp)
{
	for (unsigned i = udp->free_count; i-- > 0;) {
		struct udp_port *port = &udp->all[udp->free[i]];

		if (op_idle(&port->cancel)) {
			udp->free[i] = udp->free[--udp->free_count];
			return port;
		}
	}
	return NULL;
}

/* One of those that take tries, at random; NULL: there is none. */
static struct udp_port *port_shared(struct resolver *resolver, const struct server *server)
{
	struct udp_ports *udp = &resolver->udp;
	const struct udp_pool *pool = &udp->pools[server->index];

	if (pool->count == 0)
		return NULL;
	return &udp->all[pool->ports[random_u64(&resolver->random) % pool->count]];
}

/* 0 or -errno; -ENOBUFS: it has its share. */
static int port_open(struct resolver *resolver, struct server *server, struct udp_port **out)
{
	struct udp_ports *udp = &resolver->udp;
	struct udp_pool *pool = &udp->pools[server->index];
	unsigned share = UDP_SHARE_MAX / server->set_size;
	struct udp_port *port;
	int fd;

	if (pool->open >= share || !(port = port_free(udp)))
		return -ENOBUFS;
	fd = socket_open(resolver, server);
	if (fd < 0) {
		udp->free[udp->free_count++] = (uint8_t)(port - udp->all);
		return fd;
	}
	port->fd = fd;
	port->server = server;
	port->retired = false;
	port->place = pool->count;
	pool->ports[pool->count++] = (uint8_t)(port - udp->all);
	pool->open++;
	*out = port;
	return 0;
}

/* The share is used up: one at random makes room, at once or with the answers to its questions.
 * Half of them stay for those who ask meanwhile. */
static void port_renew(struct resolver *resolver, const struct server *server)
{
	struct udp_port *port = port_shared(resolver, server);

	unsigned count = resolver->udp.pools[server->index].count;

	if (!port || count * 2 <= UDP_SHARE_MAX / server->set_size)
		return;
	if (port->waiting == 0)
		port_close(resolver, port);
	else
		port_retire(&resolver->udp, port);
}

/* 0; 1: it is shared, and the question may leave with others; or -errno. */
static int port_choose(struct resolver *resolver, const struct try *try, struct udp_port **port)
{
	struct udp_ports *udp = &resolver->udp;
	struct server *server = try->server;
	int err = -ENOBUFS;

	refill(resolver);
	if (udp->opens >= OPEN_COST) {
		err = port_open(resolver, server, port);
		if (err == -ENOBUFS) {
			port_renew(resolver, server);
			err = port_open(resolver, server, port);
		}
		if (err == 0)
			udp->opens -= OPEN_COST;
	}
	if (err != -ENOBUFS)                    /* not without its mark, not to nowhere */
		return err;
	*port = ask_train_port(&udp->trains, server, try->len);
	if (!*port)
		*port = port_shared(resolver, server);
	return *port ? 1 : port_open(resolver, server, port);
}

/* Nobody waits here any more. */
static void port_unused(struct resolver *resolver, struct udp_port *port)
{
	struct udp_ports *udp = &resolver->udp;
	struct loop *loop = resolver->owner.loop;

	if (port->waiting > 0 || port->fd < 0)
		return;
	refill(resolver);
	if (port->retired || udp->opens >= UDP_OPENS_BURST * OPEN_COST / 2)
		port_close(resolver, port);
	else if (!timer_armed(&udp->idle))
		timer_arm(&loop->timers, &udp->idle, loop->now_ms + UNUSED_MS);
}

static void on_idle(struct timer *timer)
{
	struct udp_ports *udp = container_of(timer, struct udp_ports, idle);
	struct resolver *resolver = container_of(udp, struct resolver, udp);
	struct loop *loop = resolver->owner.loop;
	bool more = false;

	for (struct udp_port *port = udp->all; port < udp->all + UDP_PORTS_MAX; port++) {
		if (port->fd >= 0 && port->waiting == 0)
			port_close(resolver, port);
		more = more || port->fd >= 0;
	}
	if (more)
		timer_arm(&loop->timers, &udp->idle, loop->now_ms + UNUSED_MS);
}

/* Receiving */

static void port_leave(struct try *try)
{
	assert(try->port->waiting > 0);
	ask_train_leave(&resolver_of(&try->send)->udp.trains, try);
	try->port->waiting--;
}

/* The socket is told of what an earlier datagram met; whoever waits here asks elsewhere. */
static void port_failed(struct resolver *resolver, struct udp_port *port)
{
	struct try *tries = port->tries, *try;

	port_retire(&resolver->udp, port);
	port->tries = NULL;                     /* the place may be taken again meanwhile */
	if (tries)
		tries->link = &tries;
	while ((try = tries)) {
		try_leave(try);
		port_leave(try);
		try_ended(try, TRY_REFUSED);
	}
	port_unused(resolver, port);
}

/* A datagram.  false: it was none of the answers that are waited for. */
static bool port_take(struct resolver *resolver, struct udp_port *port, const uint8_t *data,
		      size_t len)
{
	struct try *try = NULL;
	enum try_end end;

	/* Behind the answer that was waited for, what comes is late or worth nothing. */
	if (port->tries)
		try = try_match(resolver, port->tries, data, len, &end);
	if (!try)
		return false;
	port_leave(try);
	/* What did not fit is cut, whatever its header says. */
	if (len == UDP_DATAGRAM_MAX) {
		resolver->heard.cut = true;
		end = TRY_HEARD;
	}
	try_ended(try, end);
	return true;
}

/* The length of the next datagram that is there, or -errno. */
static int port_next(struct resolver *resolver, struct udp_port *port)
{
	ssize_t len;

	if (port->waiting == 0)
		return -EAGAIN;
	len = recv(port->fd, resolver->udp.next, sizeof(resolver->udp.next), MSG_DONTWAIT);
	return len < 0 ? -errno : (int)len;
}

/* Of those who asked together the answers come together: as many as are there are taken, before
 * the kernel is told to wait for more.  A guess ends that: forgers are not heard faster. */
static void on_received(struct op *op, int res, uint32_t flags)
{
	struct udp_port *port = container_of(op, struct udp_port, receive);
	struct resolver *resolver = resolver_of(op);
	const uint8_t *data = port->buf;

	(void)flags;
	if (res == -ECANCELED && port->waiting == 0)
		return port_close(resolver, port);
	for (unsigned taken = 0; res >= 0; taken++) {
		bool good = port_take(resolver, port, data, (size_t)res);

		data = resolver->udp.next;      /* port->buf may be the kernel's again */
		res = good && taken < TAKEN_MAX ? port_next(resolver, port) : -EAGAIN;
	}
	if (res != -ECANCELED && res != -EINTR && res != -EAGAIN)
		return port_failed(resolver, port);
	if (port->waiting == 0)
		port_unused(resolver, port);
	else if (op_idle(&port->receive))
		op_recv_later(&port->receive, port->fd, port->buf, sizeof(port->buf), on_received);
}

/* Nothing that a server or the way to it could do about. */
static bool is_our_own(int res)
{
	return res == -EAGAIN || res == -ENOBUFS || res == -ENOMEM;
}

static void on_sent(struct op *op, int res, uint32_t flags)
{
	struct try *try = container_of(op, struct try, send);

	(void)flags;
	if (!try->ask)
		return try_sent(try);
	if (res >= 0)
		return;
	try_leave(try);
	port_leave(try);
	port_retire(&resolver_of(op)->udp, try->port);
	port_unused(resolver_of(op), try->port);
	try_ended(try, is_our_own(res) ? TRY_UNSENT : TRY_REFUSED);
}

static bool has_id(const struct udp_port *port, uint16_t id)
{
	for (const struct try *try = port->tries; try; try = try->next)
		if (try->question.id == id)
			return true;
	return false;
}

void udp_send_alone(struct try *try)
{
	op_send_now(&try->send, try->port->fd, try->wire + 2, try->len, on_sent);
}

int udp_try(struct resolver *resolver, struct try *try)
{
	struct udp_port *port;
	int shared = port_choose(resolver, try, &port);

	if (shared < 0)
		return shared;
	if (has_id(port, try->question.id))
		return -EEXIST;
	try->port = port;
	try_join(try, &port->tries);
	port->waiting++;
	if (op_idle(&port->receive))
		op_recv_later(&port->receive, port->fd, port->buf, sizeof(port->buf), on_received);
	if (!shared || !ask_train_join(&resolver->udp.trains, &resolver->owner, try))
		udp_send_alone(try);
	return 0;
}

void udp_forget(struct try *try)
{
	struct resolver *resolver = resolver_of(&try->send);

	try_leave(try);
	port_leave(try);
	port_unused(resolver, try->port);
}

void udp_ports_close(struct resolver *resolver)
{
	struct udp_ports *udp = &resolver->udp;

	timer_cancel(&resolver->owner.loop->timers, &udp->idle);
	for (struct udp_port *port = udp->all; port < udp->all + UDP_PORTS_MAX; port++)
		if (port->fd >= 0)
			port_close(resolver, port);
}

void udp_ports_finish(struct resolver *resolver)
{
	struct udp_ports *udp = &resolver->udp;

	for (struct udp_port *port = udp->all; port < udp->all + UDP_PORTS_MAX; port++) {
		if (port->fd >= 0)
			close(port->fd);
		port->fd = -1;
	}
}
