/* nameserver.c - the upstream of the DNS bench: as fast as one core lets it, always the same.
 *
 *     nameserver ADDRESS PORT TTL
 *
 * Every A question has one address, every other an empty answer with a SOA. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	BATCH = 64, QUERY_MAX = 512, ANSWER_MAX = QUERY_MAX + 64, HEADER_LEN = 12,
	RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024,
	TYPE_A = 1,
};

static const unsigned char address[] = "\300\14\0\1\0\1\0\0\0\0\0\4\313\0\161\7"; /* TTL at 6 */
static const unsigned char soa[] =                                      /* TTL at 6 and its end */
	"\300\14\0\6\0\1\0\0\0\0\0\26\0\0\0\0\0\1\0\0\16\20\0\0\16\20\0\0\16\20\0\0\0\0";
static const unsigned char opt[] = "\0\0\51\4\320\0\0\0\0\0\0";

static unsigned char queries[BATCH][QUERY_MAX], answers[BATCH][ANSWER_MAX];
static struct sockaddr_in peers[BATCH];
static struct iovec query_parts[BATCH], answer_parts[BATCH];
static struct mmsghdr received[BATCH], sent[BATCH];

static void put_ttl(unsigned char *at, unsigned ttl)
{
	memcpy(at, &(unsigned){ htonl(ttl) }, 4);
}

/* The length of the answer; 0: none. */
static size_t answer(const unsigned char *query, size_t len, unsigned char *out, unsigned ttl)
{
	size_t at = HEADER_LEN;
	int is_address, has_opt;

	if (len < HEADER_LEN || query[2] & 0x80)
		return 0;
	while (at < len && query[at] != 0)
		at += 1 + (size_t)query[at];
	if (at + 5 > len)
		return 0;
	at += 5;                                /* with the root, type and class */
	is_address = query[at - 3] == TYPE_A && query[at - 4] == 0;
	has_opt = query[11] != 0;
	memcpy(out, query, at);
	out[2] = 0x84 | (query[2] & 0x01);      /* QR, AA, RD */
	out[3] = 0x80;
	memset(out + 6, 0, 6);
	out[is_address ? 7 : 9] = 1;
	out[11] = (unsigned char)has_opt;
	if (is_address) {
		memcpy(out + at, address, sizeof(address) - 1);
		put_ttl(out + at + 6, ttl);
		at += sizeof(address) - 1;
	} else {
		memcpy(out + at, soa, sizeof(soa) - 1);
		put_ttl(out + at + 6, ttl);
		at += sizeof(soa) - 1;
		put_ttl(out + at - 4, ttl);
	}
	if (has_opt) {
		memcpy(out + at, opt, sizeof(opt) - 1);
		at += sizeof(opt) - 1;
	}
	return at;
}

static void serve(int fd, unsigned ttl)
{
	for (;;) {
		int count = recvmmsg(fd, received, BATCH, MSG_WAITFORONE, NULL);
		unsigned ready = 0;

		for (int i = 0; i < count; i++) {
			size_t len = answer(queries[i], received[i].msg_len, answers[ready], ttl);

			received[i].msg_hdr.msg_namelen = sizeof(peers[i]);
			if (len == 0)
				continue;
			answer_parts[ready].iov_len = len;
			sent[ready++].msg_hdr.msg_name = &peers[i];
		}
		for (unsigned done = 0; done < ready;) {
			int more = sendmmsg(fd, sent + done, ready - done, 0);

			done += more > 0 ? (unsigned)more : 1;  /* or its client is gone */
		}
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in on = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), bytes = RECEIVE_BUFFER_BYTES;

	if (argc != 4 || inet_pton(AF_INET, argv[1], &on.sin_addr) != 1) {
		fprintf(stderr, "usage: nameserver ADDRESS PORT TTL\n");
		return 2;
	}
	on.sin_port = htons((unsigned short)atoi(argv[2]));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (fd < 0 || bind(fd, (struct sockaddr *)&on, sizeof(on)) < 0) {
		perror("nameserver");
		return 1;
	}
	for (unsigned i = 0; i < BATCH; i++) {
		query_parts[i] = (struct iovec){ queries[i], QUERY_MAX };
		received[i].msg_hdr = (struct msghdr){ .msg_name = &peers[i],
			.msg_namelen = sizeof(peers[i]), .msg_iov = &query_parts[i],
			.msg_iovlen = 1 };
		answer_parts[i].iov_base = answers[i];
		sent[i].msg_hdr = (struct msghdr){ .msg_namelen = sizeof(peers[i]),
			.msg_iov = &answer_parts[i], .msg_iovlen = 1 };
	}
	serve(fd, (unsigned)strtoul(argv[3], NULL, 10));
}
