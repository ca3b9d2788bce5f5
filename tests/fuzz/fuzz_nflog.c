/* fuzz_nflog.c - a logged packet is decoded the same however much follows, and within bounds.
 * The first byte of the input chooses the prefix. */
#include <assert.h>

#include "netfilter/nflog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const prefixes[] = { "blocked", "allowed", "redirected", "other", "" };
	struct event event;
	const char *prefix;

	if (len == 0)
		return 0;
	prefix = prefixes[data[0] % ARRAY_LEN(prefixes)];
	if (!nflog_decode(prefix, data + 1, len - 1, &event)) {
		for (size_t cut = 0; cut < len - 1 && len < 200; cut++)
			assert(!nflog_decode(prefix, data + 1, cut, &event));
		return 0;
	}
	assert(event.kind == EVENT_NFLOG_BLOCKED || event.kind == EVENT_NFLOG_ALLOWED ||
	       event.kind == EVENT_NFLOG_REDIRECTED);
	assert(event.src.sa.sa_family == event.dst.sa.sa_family);
	assert(event.src.sa.sa_family == (data[1] >> 4 == 4 ? AF_INET : AF_INET6));
	assert(event.payload_len == len - 1 && event.count == 1 && event.name_len == 0);
	assert(event.protocol == IPPROTO_TCP || event.protocol == IPPROTO_UDP ||
	       (addr_port(&event.src) == 0 && addr_port(&event.dst) == 0));
	return 0;
}
