/* load_udp.c - datagrams from many clients to one server.  A client has at most a window of them
 * under way, so that what is measured is the proxy's work and not how well it drops. */
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench/load.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
	WINDOW = 64,            /* datagrams of a client under way */
	WINDOW_ALL = 4096,      /* of all clients, but for one each */
	BURST = 16,
	BATCH = 64,
	FLOWS_PER_LOOK = 256,   /* clients that send before the server looks at what has come */
	TRAIN_MAX_BYTES = 65000,
	RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024,
	LOST_AFTER_NS = 20 * 1000 * 1000,               /* when nothing else comes either */
	LOST_ANYWAY_NS = 300 * 1000 * 1000,
	LOST_SHARE = 20,        /* more than a twentieth lost is an error */
};

struct flow {
	int fd;
	uint64_t sent, received, lost;
	uint64_t sent_ns;       /* the last of them */
};

static struct flow *flows;
static int server;
static unsigned char (*batch)[65536];

/* Every datagram begins with the number of its flow. */
static unsigned char train[65536];

static void sockets_open(void)
{
	const struct options *options = &load.options;
	const struct sockaddr *to = (const struct sockaddr *)&options->connect_to;
	const struct sockaddr *on = (const struct sockaddr *)&options->listen_on;
	int one = 1, bytes = RECEIVE_BUFFER_BYTES, size = (int)options->size;

	netns_enter(options->server_netns);
	server = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (server < 0 || bind(server, on, sizeof(options->listen_on)) < 0)
		die("bind");
	if (setsockopt(server, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		setsockopt(server, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (options->train > 0 && setsockopt(server, IPPROTO_UDP, UDP_GRO, &one, sizeof(one)) < 0)
		die("UDP_GRO");
	netns_enter(options->client_netns);
	for (uint32_t i = 0; i < options->udp; i++) {
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		if (fd < 0 || connect(fd, to, sizeof(options->connect_to)) < 0)
			die("connect");
		if (options->train > 0 &&
		    setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)) < 0)
			die("UDP_SEGMENT");
		flows[i].fd = fd;
	}
}

static uint32_t train_length(void)
{
	uint32_t most = TRAIN_MAX_BYTES / load.options.size;

	return load.options.train == 0 ? 1 : load.options.train < most ? load.options.train : most;
}

static uint32_t window_single(void)
{
	uint32_t share = WINDOW_ALL / load.options.udp;

	return share == 0 ? 1 : share < WINDOW ? share : WINDOW;
}

static bool flow_send(uint32_t i, uint64_t now_ns)
{
	struct flow *flow = &flows[i];
	uint32_t length = train_length(), size = load.options.size;
	uint32_t window = length > 1 ? 4 * length : window_single();
	bool any = false;

	for (uint32_t n = 0; n < length; n++)
		memcpy(train + n * size, &i, sizeof(i));
	for (uint32_t n = 0; n < BURST; n++) {
		if (flow->sent - flow->received - flow->lost + length > window)
			break;
		if (send(flow->fd, train, (size_t)length * size, 0) < 0) {
			if (errno != EAGAIN && errno != ECONNREFUSED)
				load_error("datagram send", errno);
			break;
		}
		flow->sent += length;
		flow->sent_ns = now_ns;
		load.now.sent += length;
		any = true;
	}
	return any;
}

static void count_in(struct flow *flow)
{
	if (flow->received == flow->sent)
		return;                 /* sent by a run before this one */
	if (flow->received + flow->lost == flow->sent)
		flow->lost--;           /* only late */
	flow->received++;
	load.now.ops++;
}

static bool server_receive(void)
{
	static struct mmsghdr messages[BATCH];
	static struct iovec parts[BATCH];
	uint32_t size = load.options.size;
	bool any = false;
	int count;

	do {
		for (uint32_t i = 0; i < BATCH; i++) {
			parts[i] = (struct iovec){ batch[i], sizeof(batch[i]) };
			messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i],
							       .msg_iovlen = 1 };
		}
		count = recvmmsg(server, messages, BATCH, 0, NULL);
		for (int i = 0; i < count; i++)
			for (uint32_t at = 0; at < messages[i].msg_len; at += size) {
				uint32_t flow = UINT32_MAX;

				memcpy(&flow, batch[i] + at, sizeof(flow));
				if (flow >= load.options.udp || messages[i].msg_len % size != 0) {
					load_error("a datagram that nobody sent", 0);
					break;
				}
				count_in(&flows[flow]);
			}
		any = any || count > 0;
	} while (count == BATCH);
	return any;
}

/* What was sent so long ago and has not arrived will not. */
static void write_off(uint64_t now_ns, uint64_t after_ns)
{
	for (uint32_t i = 0; i < load.options.udp; i++) {
		struct flow *flow = &flows[i];

		if (now_ns - flow->sent_ns > after_ns)
			flow->lost = flow->sent - flow->received;
	}
}

void udp_run(void)
{
	uint64_t quiet_since_ns = load_clock_ns(), limit_ns = quiet_since_ns + 10000000000ull;
	uint64_t looked_ns = quiet_since_ns;

	if (load.options.size < sizeof(uint32_t)) {
		errno = EINVAL;
		die("--size");
	}
	flows = calloc(load.options.udp, sizeof(*flows));
	batch = calloc(BATCH, sizeof(*batch));
	if (flows == NULL || batch == NULL)
		die("memory");
	sockets_open();
	while (load.phase != PHASE_DRAIN) {
		struct pollfd waiting = { .fd = server, .events = POLLIN };
		uint64_t now_ns = load_clock_ns();
		bool ready = true, any = false;

		for (uint32_t i = 0; i < load.options.udp; i++) {
			any |= flow_send(i, now_ns);
			if (i % FLOWS_PER_LOOK == FLOWS_PER_LOOK - 1)
				any |= server_receive();
			ready = ready && flows[i].received > 0;
		}
		any |= server_receive();
		now_ns = load_clock_ns();
		if (any) {
			quiet_since_ns = now_ns;
		} else {
			poll(&waiting, 1, 1);
			if (now_ns - quiet_since_ns > LOST_AFTER_NS)
				write_off(now_ns, LOST_AFTER_NS);
		}
		if (now_ns - looked_ns > LOST_ANYWAY_NS) {
			write_off(now_ns, LOST_ANYWAY_NS);
			looked_ns = now_ns;
		}
		if (load.phase == PHASE_OPEN && now_ns > limit_ns)
			return load_error("not every client's datagrams came through", 0);
		load_tick(ready, now_ns);
	}
	if (load.window.ops + load.window.sent / LOST_SHARE < load.window.sent)
		load_error("too many datagrams were lost", 0);
}
