/* udp_lane.c - one direction of a flow: what came in a turn, passed on together at its end. */
#include "forward/dump.h"
#include "forward/port.h"
#include "forward/udp_flow.h"

static struct udp_flow *lane_flow(struct udp_lane *lane)
{
	return container_of(lane - lane->index, struct udp_flow, lanes[0]);
}

void udp_lane_drop(struct udp_lane *lane)
{
	struct udp_flow *flow = lane_flow(lane);
	struct udp *udp = flow->udp;

	while (lane->first != BUF_NONE) {
		uint16_t buf = lane->first;

		lane->first = udp->queued[buf].next;
		bufs_return(&flow->owner.loop->datagrams, buf);
	}
	lane->last = BUF_NONE;
	udp->held -= flow->held;
	flow->held = 0;
}

void udp_lane_busy(struct udp_lane *lane)
{
	struct udp_flow *flow = lane_flow(lane);

	if (lane->busy)
		return;
	owner_hold(&flow->owner);
	lane->busy = true;
	lane->next_busy = flow->udp->busy;
	flow->udp->busy = lane;
}

void udp_lane_put(struct udp_lane *lane, const struct datagram *datagram)
{
	struct udp_flow *flow = lane_flow(lane);
	struct udp_queued *queued = flow->udp->queued;

	if (udp_forward(flow->udp)->verbose > 1 && datagram->len > 0)
		dump(lane->index == UDP_UP ? DUMP_UP : DUMP_DOWN, lane->received, datagram->data,
		     datagram->len);
	lane->received += datagram->len;
	queued[datagram->buf] = (struct udp_queued){ .data = datagram->data, .len = datagram->len,
						     .segment = datagram->segment,
						     .next = BUF_NONE };
	if (lane->first == BUF_NONE)
		lane->first = datagram->buf;
	else
		queued[lane->last].next = datagram->buf;
	lane->last = datagram->buf;
	if (flow->state == UDP_OPEN)
		udp_lane_busy(lane);
}

/* Take as many as can go together from the front.  Returns the parts, *segment. */
static unsigned next_train(struct udp_lane *lane, struct iovec *parts, uint32_t *segment)
{
	struct udp *udp = lane_flow(lane)->udp;
	const struct udp_queued *queued = &udp->queued[lane->first];
	unsigned count = 0, datagrams = 0, bytes = 0;

	*segment = queued->segment;
	do {
		parts[count++] = (struct iovec){ queued->data, queued->len };
		bytes += queued->len;
		datagrams += *segment ? (queued->len + *segment - 1) / *segment : 1;
		lane->first = queued->next;
		/* A shorter one, and an empty one, is the last of its train. */
		if (lane->first == BUF_NONE || *segment > lane->segment_max || *segment == 0 ||
		    bytes % *segment != 0)
			break;
		queued = &udp->queued[lane->first];
	} while (count < TRAIN_MAX && queued->len > 0 && bytes + queued->len <= TRAIN_BYTES_MAX &&
		 datagrams + queued->len / *segment < TRAIN_MAX &&
		 (queued->segment == *segment ||
		  (queued->len < *segment && queued->segment == queued->len)));
	return count;
}

void udp_lane_flush(struct udp_lane *lane)
{
	struct udp_flow *flow = lane_flow(lane);
	struct udp *udp = flow->udp;
	struct bufs *bufs = &flow->owner.loop->datagrams;
	bool up = lane->index == UDP_UP;
	struct udp_way way = { .fd = up ? flow->rx.fd : flow->listener->rx.fd,
			       .to = up ? NULL : &flow->client, .from = &flow->local,
			       .segment_max = lane->segment_max };
	struct udp_sent sent = { 0 };
	struct iovec parts[TRAIN_MAX];
	struct metrics *metrics = udp_metrics(udp);

	while (lane->first != BUF_NONE) {
		uint16_t buf = lane->first;
		uint32_t segment;
		unsigned count = next_train(lane, parts, &segment);

		udp_train_send(&way, parts, count, segment, &sent);
		for (; count > 0; count--) {
			uint16_t next = udp->queued[buf].next;

			bufs_return(bufs, buf);
			buf = next;
		}
	}
	lane->last = BUF_NONE;
	lane->segment_max = way.segment_max;
	lane->datagrams += sent.datagrams;
	lane->bytes += sent.bytes;
	flow->active_ms = flow->owner.loop->now_ms;
	metric_add(up ? &metrics->datagrams_up : &metrics->datagrams_down, sent.datagrams);
	metric_add(up ? &metrics->bytes_up : &metrics->bytes_down, sent.bytes);
	if (sent.dropped > 0)
		metric_add(&metrics->datagrams_dropped, sent.dropped);
	if (sent.errors > 0)
		metric_add(&metrics->datagram_errors, sent.errors);
	lane->busy = false;
	owner_release(&flow->owner);
}
