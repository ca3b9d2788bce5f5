/* udp_dial.c - from a new flow to a socket that speaks to the target, and to nobody else. */
#include <errno.h>
#include <linux/filter.h>
#include <stdio.h>
#include <unistd.h>

#include "forward/port.h"
#include "forward/udp_flow.h"

enum {
	STRANGERS_MAX = 64,             /* datagrams that came before the socket was connected */
	CANDIDATES_MAX = 8,             /* addresses of the target that are tried */
};

static void fail(struct udp_flow *flow, enum close_reason reason, int err, const char *detail)
{
	struct udp *udp = flow->udp;
	uint32_t count = flood_count(&udp->dial_errors, flow->owner.loop->now_ms);
	struct event event;

	metric_add(&udp_metrics(udp)->dial_failures, 1);
	udp_flow_close(flow, reason);
	if (count == 0)
		return;
	udp_flow_event(flow, &event, EVENT_FLOW_DIAL);
	event.reason = reason;
	event.error = -err;
	event.count = count;
	snprintf(event.detail, sizeof(event.detail), "%s", detail);
	event_emit(udp->filter->worker->events, &event);
}

/* Of one way nothing is wanted back: what comes is dropped where it arrives, and never queued. */
static int drop_answers(int fd)
{
	struct sock_filter drop = { .code = BPF_RET | BPF_K, .k = 0 };
	struct sock_fprog program = { .len = 1, .filter = &drop };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ?
		       -errno : 0;
}

/* Between its getting a port and its being connected anybody could send to it. */
static bool forget_strangers(int fd)
{
	char byte;

	for (unsigned i = 0; i < STRANGERS_MAX; i++)
		if (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT | MSG_TRUNC) < 0 && errno == EAGAIN)
			return true;
	return false;
}

static int connect_socket(const struct udp *udp, const union addr *addr)
{
	uint32_t mark = udp->filter->settings->mark;
	bool answers = udp_forward(udp)->udp_answers;
	int fd = socket(addr->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	if (mark != 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0)
		err = -errno;
	if (err == 0)
		err = answers ? udp_receive_prepare(fd, addr->sa.sa_family, false) :
				drop_answers(fd);
	if (err == 0 && connect(fd, &addr->sa, addr_len(addr)) < 0)
		err = -errno;
	if (err == 0 && answers && !forget_strangers(fd))
		err = -EAGAIN;
	if (err == 0)
		return fd;
	close(fd);
	return err;
}

/* Connecting fails only where there is no way to an address at all: then the next one. */
static void connect_to(struct udp_flow *flow, const union addr *addrs, unsigned count)
{
	struct udp *udp = flow->udp;
	struct udp_lane *up = &flow->lanes[UDP_UP];
	union addr candidates[CANDIDATES_MAX];
	int fd = -EDESTADDRREQ;
	bool self;

	count = target_candidates(udp->filter, flow->listener->port, addrs, count, flow->id >> 8,
				  candidates, ARRAY_LEN(candidates), &self);
	if (count == 0 && self)
		return fail(flow, CLOSE_SELF, 0, "TARGET is ourselves, on a port of ours");
	if (count == 0)
		return fail(flow, CLOSE_UNRESOLVED, 0,
			    "no address of the family that MODE asks for");
	for (unsigned i = 0; i < count && fd < 0; i++) {
		flow->dialled = candidates[i];
		fd = connect_socket(udp, &candidates[i]);
	}
	if (fd < 0)
		return fail(flow, CLOSE_CONNECT_FAILED, fd, "");
	flow->rx.fd = fd;
	flow->state = UDP_OPEN;
	udp->held -= flow->held;
	flow->held = 0;
	udp_flow_opened(flow);
	if (udp_forward(udp)->udp_answers)
		udp_receive(&flow->rx);
	if (up->first != BUF_NONE)
		udp_lane_busy(up);
}

static void on_answer(struct udp_flow *flow, const struct answer *answer)
{
	if (answer->count == 0)
		return fail(flow, CLOSE_UNRESOLVED, 0, answer_why_none(answer));
	connect_to(flow, answer->addrs, answer->count);
}

static void on_asked(struct target_ask *ask, const struct answer *answer)
{
	on_answer(container_of(ask, struct udp_flow, ask), answer);
}

void udp_dial(struct udp_flow *flow)
{
	const struct forward_settings *forward = udp_forward(flow->udp);
	const struct answer *answer;

	if (!forward->by_name)
		return connect_to(flow, &forward->addr, 1);
	answer = target_ask(&flow->ask, flow->udp->filter, on_asked);
	if (answer)
		on_answer(flow, answer);
}
