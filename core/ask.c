/* ask.c - one name asked upstream through c-ares, on a loop.
 *
 * Of c-ares we use ares_query(): absolute names, no search list, no hosts file, no environment, no
 * special names but .onion (RFC 7686), which it refuses; "localhost" is asked like any name, and
 * what comes back is judged like any address.  It retries, moves to the next server, and asks again
 * over TCP when an answer was cut.  We open and mark its sockets, drop datagrams that are no answer
 * to our question before it sees them, and read the answer ourselves (dns.h): it would also
 * take addresses of other owners.
 *
 * ask_close() destroys the channel and cancels the polls; memory and descriptors go with the last
 * of them. */
#include "core/ask.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/channel.h"
#include "proto/dns.h"

enum {
	TRY_MS = 300,                   /* for the first round of servers; c-ares doubles it */
	FAMILY_WAIT_MS = 500,           /* for the second family, when the first has addresses */
	PARTIAL_TTL_MS = 30 * 1000,     /* the other family may be back by then */
	NONE_TTL_MS = 5 * 1000,         /* "no" without SOA */
	SOCKETS_MAX = 3 * UPSTREAMS_MAX, /* UDP and TCP to each, and some on their way out */
	DATAGRAMS_MAX = 64,             /* looked at in one go; forgers get no more of our time */
};

struct ask_socket {
	struct op poll, cancel;
	int fd;                         /* -1: none; closed when the poll is over */
	bool stream, closed;
	short want, armed;              /* POLLIN, POLLOUT */
};

static_assert((int)DNS_ADDRS_MAX <= (int)RESOLVER_ADDRS_MAX, "a family's addresses fit");

enum family_state { FAMILY_WAITS, FAMILY_FAILED, FAMILY_ANSWERED };

struct ask_family {
	struct ask *ask;
	uint16_t type;
	enum family_state state;
	unsigned skipped;
	struct ask_reply {              /* what its records say */
		bool no_name, has_ttl;
		uint32_t ttl_s;
		unsigned count;
		uint8_t addrs[DNS_ADDRS_MAX][16]; /* network order; A uses the first 4 bytes */
	} reply;
};

struct ask {
	struct owner owner;             /* of the polls; holds itself while the channel lives */
	struct owner *parent;
	ares_channel channel;
	bool ended;
	uint32_t mark;
	uint64_t deadline_ms;
	struct timer timer;
	ask_fn *done;
	void *context;
	unsigned waits;                 /* families not in yet */
	struct ask_family families[2];  /* A, AAAA */
	struct ask_answer answer;
	struct ask_socket sockets[SOCKETS_MAX];
	struct str name;                /* in text, which ends with a NUL */
	char text[256];
};

static void ask_continue(struct ask *ask);

/* Sockets, as c-ares asks for them */

/* fd -1: a free one. */
static struct ask_socket *socket_of(struct ask *ask, int fd)
{
	for (struct ask_socket *slot = ask->sockets; slot < ask->sockets + SOCKETS_MAX; slot++)
		if (slot->fd == fd && !slot->closed && (fd >= 0 || op_idle(&slot->cancel)))
			return slot;
	return NULL;
}

/* A socket without its mark would be redirected to ourselves or dropped: there is none then. */
static ares_socket_t socket_open(int family, int type, int protocol, void *context)
{
	struct ask *ask = context;
	struct ask_socket *slot = socket_of(ask, -1);
	int fd = slot ? socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol) : -1;

	if (fd >= 0 && ask->mark != 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_MARK, &ask->mark, sizeof(ask->mark)) < 0) {
		close(fd);
		fd = -1;
	}
	if (fd < 0) {
		ask->answer.sockets_refused++;
		errno = EACCES;
		return ARES_SOCKET_BAD;
	}
	slot->fd = fd;
	slot->stream = type == SOCK_STREAM;
	return fd;
}

/* Its poll is over. */
static void socket_finish(struct ask_socket *slot)
{
	if (slot->fd >= 0)
		close(slot->fd);
	slot->fd = -1;
	slot->closed = false;
	slot->want = 0;
}

/* Not closed before its poll is over: the number could come back for another socket. */
static int socket_close(ares_socket_t fd, void *context)
{
	struct ask_socket *slot = socket_of(context, fd);

	if (!slot)
		return -1;
	slot->closed = true;
	slot->want = 0;
	if (op_idle(&slot->poll))
		socket_finish(slot);
	else if (!op_idle(&slot->cancel))
		(void)shutdown(fd, SHUT_RDWR);  /* a cancel is on its way: wake it so */
	else
		op_cancel(&slot->cancel, &slot->poll);
	return 0;
}

static int socket_connect(ares_socket_t fd, const struct sockaddr *addr, ares_socklen_t len,
			  void *context)
{
	(void)context;
	return connect(fd, addr, len);
}

/* The id is for c-ares to compare: it chose it. */
static struct dns_question question_of(const struct ask *ask, uint16_t type, const uint8_t *data)
{
	struct dns_question question = { .type = type };

	question.id = (uint16_t)(data[0] << 8 | data[1]);
	question.name_len = (uint8_t)dns_name_from_text(ask->name, question.name);
	return question;
}

static bool is_reply(const struct ask *ask, const uint8_t *data, size_t len)
{
	for (unsigned i = 0; i < ARRAY_LEN(ask->families) && len >= 2; i++) {
		struct dns_question question = question_of(ask, ask->families[i].type, data);

		if (dns_response_match(data, len, &question) == DNS_MATCH_YES)
			return true;
	}
	return false;
}

static ares_ssize_t socket_receive(ares_socket_t fd, void *buf, size_t size, int flags,
				   struct sockaddr *from, ares_socklen_t *from_len, void *context)
{
	struct ask *ask = context;
	struct ask_socket *slot = socket_of(ask, fd);

	for (unsigned i = 0; slot && i < DATAGRAMS_MAX; i++) {
		ssize_t len = recvfrom(fd, buf, size, flags, from, from_len);

		if (len < 0 || slot->stream || is_reply(ask, buf, (size_t)len))
			return len;
		ask->answer.forged++;
	}
	errno = EAGAIN;
	return -1;
}

static ares_ssize_t socket_send(ares_socket_t fd, const struct iovec *parts, int count,
				void *context)
{
	struct iovec copy[16];
	struct msghdr message = { .msg_iov = copy };
	ssize_t len;

	(void)context;
	for (; (int)message.msg_iovlen < count && message.msg_iovlen < ARRAY_LEN(copy);
	     message.msg_iovlen++)
		copy[message.msg_iovlen] = parts[message.msg_iovlen];
	len = sendmsg(fd, &message, MSG_NOSIGNAL);
	/* An error of the datagram before: were it taken for this one's, the other would wait. */
	if (len < 0 && errno == ECONNREFUSED)
		len = sendmsg(fd, &message, MSG_NOSIGNAL);
	return len;
}

static const struct ares_socket_functions socket_functions = {
	socket_open, socket_close, socket_connect, socket_receive, socket_send,
};

/* c-ares tells what it waits for; the polls are armed once it has returned. */
static void socket_wants(void *context, ares_socket_t fd, int readable, int writable)
{
	struct ask_socket *slot = socket_of(context, fd);

	if (slot)
		slot->want = (short)((readable ? POLLIN : 0) | (writable ? POLLOUT : 0));
}

/* Completions and time */

static void on_ready(struct op *op, int res, uint32_t flags)
{
	struct ask_socket *slot = container_of(op, struct ask_socket, poll);
	struct ask *ask = container_of(op->owner, struct ask, owner);
	int fd = slot->fd;
	bool in, out;

	(void)flags;
	if (slot->closed)
		return socket_finish(slot);
	if (res == -ECANCELED)
		res = 0;                        /* to be armed anew, for more */
	else if (res < 0)
		res = POLLERR;
	/* An error is found by whatever it tries next. */
	in = (slot->want & POLLIN) && (res & (POLLIN | POLLERR | POLLHUP));
	out = (slot->want & POLLOUT) && (res & (POLLOUT | POLLERR | POLLHUP));
	if (in || out)
		ares_process_fd(ask->channel, in ? fd : ARES_SOCKET_BAD,
				out ? fd : ARES_SOCKET_BAD);
	ask_continue(ask);
}

static void sockets_arm(struct ask *ask)
{
	for (struct ask_socket *slot = ask->sockets; slot < ask->sockets + SOCKETS_MAX; slot++) {
		if (slot->fd < 0 || slot->closed)
			continue;
		if (op_idle(&slot->poll) && slot->want) {
			slot->armed = slot->want;
			op_poll(&slot->poll, slot->fd, (unsigned)slot->want, on_ready);
		} else if (!op_idle(&slot->poll) && slot->want & ~slot->armed &&
			   op_idle(&slot->cancel)) {
			op_cancel(&slot->cancel, &slot->poll);
		}
	}
}

static void timer_set(struct ask *ask)
{
	struct loop *loop = ask->owner.loop;
	uint64_t at_ms = ask->deadline_ms;
	struct timeval wait;

	/* c-ares has a clock of its own: one more millisecond, not to wake up just before its. */
	if (ares_timeout(ask->channel, NULL, &wait)) {
		uint64_t next_ms = loop->now_ms + (uint64_t)wait.tv_sec * 1000 +
				   (uint64_t)wait.tv_usec / 1000 + 1;

		if (next_ms < at_ms)
			at_ms = next_ms;
	}
	timer_arm(&loop->timers, &ask->timer, at_ms);
}

void ask_close(struct ask *ask)
{
	ask->ended = true;
	timer_cancel(&ask->owner.loop->timers, &ask->timer);
	ares_destroy(ask->channel);
	ask->owner.closing = true;
	owner_release(&ask->owner);
}

static void ask_free(struct owner *owner)
{
	struct ask *ask = container_of(owner, struct ask, owner);
	struct owner *parent = ask->parent;

	for (unsigned i = 0; i < SOCKETS_MAX; i++)
		socket_finish(&ask->sockets[i]);
	free(ask);
	owner_release(parent);
}

/* Answers */

static union addr addr_of(const struct ask_family *family, unsigned i)
{
	const uint8_t *bytes = family->reply.addrs[i];
	union addr addr = { 0 };

	if (family->type == DNS_TYPE_A) {
		addr.v4.sin_family = AF_INET;
		memcpy(&addr.v4.sin_addr, bytes, 4);
	} else {
		addr.v6.sin6_family = AF_INET6;
		memcpy(&addr.v6.sin6_addr, bytes, 16);
	}
	return addr;
}

static unsigned family_count(const struct ask_family *family)
{
	return family->state == FAMILY_ANSWERED ? family->reply.count : 0;
}

/* Addresses of both; when they are too many, each family gets at least half of the room. */
static void take_addrs(struct ask *ask)
{
	enum { HALF = RESOLVER_ADDRS_MAX / 2 };
	unsigned counts[2] = { family_count(&ask->families[0]), family_count(&ask->families[1]) };
	struct ask_answer *answer = &ask->answer;

	for (unsigned i = 0; i < 2; i++) {
		unsigned other = counts[!i] < HALF ? counts[!i] : HALF;

		if (counts[i] > RESOLVER_ADDRS_MAX - other)
			counts[i] = RESOLVER_ADDRS_MAX - other;
	}
	for (unsigned i = 0; i < 2; i++)
		for (unsigned j = 0; j < counts[i]; j++)
			answer->addrs[answer->count++] = addr_of(&ask->families[i], j);
}

/* The families' answers as one: addresses of either make it good; a server that says "no such name"
 * speaks for both; otherwise both must have said that there is none. */
static void merge(struct ask *ask)
{
	struct ask_answer *answer = &ask->answer;
	bool no_name = false, failed = false;
	uint64_t ttl_ms = UINT64_MAX;

	take_addrs(ask);
	for (unsigned i = 0; i < 2; i++) {
		const struct ask_family *family = &ask->families[i];
		uint64_t its_ms = (uint64_t)family->reply.ttl_s * 1000;

		if (family->state != FAMILY_ANSWERED) {
			failed = true;
			answer->timed_out |= family->state == FAMILY_WAITS;
			continue;
		}
		if (family->skipped > answer->skipped)
			answer->skipped = family->skipped;
		no_name |= family->reply.no_name;
		if (!family->reply.has_ttl)
			its_ms = NONE_TTL_MS;
		if (family->reply.count > 0 || answer->count == 0)
			ttl_ms = its_ms < ttl_ms ? its_ms : ttl_ms;
	}
	if (answer->count > 0 && failed && ttl_ms > PARTIAL_TTL_MS)
		ttl_ms = PARTIAL_TTL_MS;
	answer->ttl_ms = ttl_ms;
	answer->failed = answer->count == 0 && failed && !no_name;
	answer->timed_out &= answer->failed;
}

/* Not from within a callback of c-ares, which may not destroy its channel there. */
static void ask_answered(struct ask *ask)
{
	ask_fn *done = ask->done;
	void *context = ask->context;
	struct ask_answer answer;

	merge(ask);
	answer = ask->answer;
	ask_close(ask);
	done(context, &answer);
}

/* false: it is no answer, or says that the server failed. */
static bool take_reply(struct ask_family *family, const uint8_t *data, size_t len)
{
	struct ask_reply *reply = &family->reply;
	struct dns_addr_walk walk = { 0 };
	struct dns_question question;
	struct dns_records records;
	struct dns_addr addr;

	if (len < 2)
		return false;
	question = question_of(family->ask, family->type, data);
	if (dns_response_match(data, len, &question) != DNS_MATCH_YES ||
	    dns_response_parse(data, len, &question, &records) != PARSED_OK || records.cut ||
	    (records.rcode != DNS_RCODE_NONE && records.rcode != DNS_RCODE_NXDOMAIN))
		return false;
	reply->no_name = records.rcode == DNS_RCODE_NXDOMAIN;
	reply->has_ttl = records.has_ttl;
	reply->ttl_s = records.ttl_s;
	while (dns_records_next_addr(&records, &walk, &addr))
		memcpy(reply->addrs[reply->count++], addr.bytes, addr.len);
	return true;
}

static void on_reply(void *context, int status, int timeouts, unsigned char *data, int len)
{
	struct ask_family *family = context;
	struct ask *ask = family->ask;

	if (ask->ended)
		return;                         /* our own ares_destroy() */
	ask->waits--;
	ask->answer.timed_out |= status == ARES_ETIMEOUT;
	family->skipped = (unsigned)timeouts;
	family->state = FAMILY_FAILED;
	if (data && len > 0) {
		if (take_reply(family, data, (size_t)len))
			family->state = FAMILY_ANSWERED;
	} else if (status == ARES_ENOTFOUND) {  /* .onion: refused without asking */
		family->reply = (struct ask_reply){ .no_name = true };
		family->state = FAMILY_ANSWERED;
	}
}

/* After anything that c-ares did: end, or wait for what it waits for. */
static void ask_continue(struct ask *ask)
{
	uint64_t patience_ms = ask->owner.loop->now_ms + FAMILY_WAIT_MS;

	if (ask->waits == 0)
		return ask_answered(ask);
	/* A family that nobody answers for must not keep the other's addresses waiting. */
	if (family_count(&ask->families[0]) + family_count(&ask->families[1]) > 0 &&
	    patience_ms < ask->deadline_ms)
		ask->deadline_ms = patience_ms;
	sockets_arm(ask);
	timer_set(ask);
}

static void on_time(struct timer *timer)
{
	struct ask *ask = container_of(timer, struct ask, timer);

	if (ask->waits == 0 || ask->owner.loop->now_ms >= ask->deadline_ms)
		return ask_answered(ask);
	ares_process_fd(ask->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	ask_continue(ask);
}

/* Opening */

static struct ask *ask_new(const struct ask_how *how, struct str name)
{
	struct ask *ask = calloc(1, sizeof(*ask));

	assert(name.len > 0 && name.len < sizeof(ask->text));
	if (!ask)
		return NULL;
	ask->owner = (struct owner){ .loop = how->parent->loop, .free = ask_free };
	ask->parent = how->parent;
	ask->mark = how->mark;
	ask->deadline_ms = how->deadline_ms;
	ask->timer.fire = on_time;
	ask->done = how->done;
	ask->context = how->context;
	memcpy(ask->text, name.at, name.len);
	ask->name = (struct str){ ask->text, name.len };
	ask->families[ask->waits++] = (struct ask_family){ .ask = ask, .type = DNS_TYPE_A };
	ask->families[ask->waits++] = (struct ask_family){ .ask = ask, .type = DNS_TYPE_AAAA };
	for (unsigned i = 0; i < SOCKETS_MAX; i++) {
		ask->sockets[i].fd = -1;
		ask->sockets[i].poll.owner = ask->sockets[i].cancel.owner = &ask->owner;
	}
	return ask;
}

int ask_open(const struct ask_how *how, struct str name, struct ask **out)
{
	struct ask *ask = ask_new(how, name);
	int err;

	if (!ask)
		return -ENOMEM;
	err = channel_open(&ask->channel, &(struct channel_how){
		.servers = how->upstreams, .first = how->first, .try_ms = TRY_MS,
		.wants = socket_wants, .context = ask });
	if (err < 0) {
		free(ask);
		return err;
	}
	owner_hold(ask->parent);
	owner_hold(&ask->owner);                /* until ask_close() */
	ares_set_socket_functions(ask->channel, &socket_functions, ask);
	for (struct ask_family *family = ask->families; family < ask->families + 2; family++)
		ares_query(ask->channel, ask->text, 1, family->type, on_reply, family);
	if (ask->waits == 0)                        /* nobody can be asked: told from the loop */
		ask->deadline_ms = ask->owner.loop->now_ms;
	sockets_arm(ask);
	timer_set(ask);
	*out = ask;
	return 0;
}
