/* nft_tool.c - the rules of netfilter/ from the command line, for test_rules.py.
 *
 * Words are done in order: "name=value" sets what the next command uses, anything else is a
 * command.  One line is printed for each command ("ok", "1", or the error), so that a test can
 * hold the program at "wait", look around, and let it go on by a line on its standard input.
 *
 *	nft_tool http=8080 https=8443 inbound=80,8000-8010 allowed=10.0.0.0/8 install wait verify
 *	nft_tool mode=dns-strict dns=53 ports=tcp/22 install learn=a.test/10.88.0.1/tcp/22/60
 *		learn=b.test/fd88::1/all/60 wait keep=b.test learned
 *	nft_tool nflog          events as lines, until standard input ends */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netfilter/nflog.h"
#include "netfilter/nft.h"

enum { RANGES_MAX = 200000, PORTS_MAX = 64, LEARN_ITEMS_MAX = 512 };

static struct addr_range ranges_v4[RANGES_MAX], ranges_v6[RANGES_MAX];

static struct learned_ports ports[PORTS_MAX];

static struct nft_rules rules = {
	.mark = 1, .uid = 65380, .match_uid = true, .http_port = 8080, .https_port = 8443,
	.nflog_snaplen = 96, .nflog_qthresh = 50, .inbound_any = true,
	.allowed_v4 = ranges_v4, .allowed_v6 = ranges_v6, .ports = ports,
};

static void die(const char *what, const char *value)
{
	fprintf(stderr, "nft_tool: %s: %s\n", what, value);
	exit(2);
}

/* "any", "none", "80,8000-8010" */
static void set_inbound(const char *list)
{
	int count = options_port_list(list, rules.inbound, INBOUND_PORTS_MAX);

	if (count < 0)
		die("inbound", list);
	rules.inbound_any = strcmp(list, "any") == 0;
	rules.inbound_count = (uint16_t)count;
}

/* Addresses and networks, sorted and disjoint. */
static void set_allowed(char *list)
{
	rules.allowed_v4_count = rules.allowed_v6_count = 0;
	for (char *word = strtok(list, ","); word; word = strtok(NULL, ",")) {
		struct addr_range range;

		if (!addr_range_parse(str_of(word), &range))
			die("allowed", word);
		if (range.first.sa.sa_family == AF_INET)
			ranges_v4[rules.allowed_v4_count++] = range;
		else
			ranges_v6[rules.allowed_v6_count++] = range;
	}
}

/* So many single addresses of each family: 11.0.0.1, 11.0.0.3, ..., 2001:db8:1::1, ... */
static void set_many(unsigned count)
{
	if (count > RANGES_MAX)
		die("many", "too many");
	for (unsigned i = 0; i < count; i++) {
		struct addr_range *v4 = &ranges_v4[i], *v6 = &ranges_v6[i];
		uint32_t low = htonl(2 * i + 1);

		*v4 = (struct addr_range){ .first.v4.sin_family = AF_INET };
		v4->first.v4.sin_addr.s_addr = htonl(0x0b000000 + 2 * i + 1);
		v4->last = v4->first;
		*v6 = (struct addr_range){ 0 };
		(void)addr_parse(STR("2001:db8:1::"), &v6->first);
		memcpy(&v6->first.v6.sin6_addr.s6_addr[12], &low, sizeof(low));
		v6->last = v6->first;
	}
	rules.allowed_v4_count = rules.allowed_v6_count = count;
}

static void set_mode(const char *mode)
{
	if (strcmp(mode, "https") == 0)
		rules.mode = NFT_HTTPS;
	else if (strcmp(mode, "dns") == 0)
		rules.mode = NFT_DNS;
	else if (strcmp(mode, "dns-strict") == 0)
		rules.mode = NFT_DNS_STRICT;
	else
		die("mode", mode);
}

/* "tcp/22", "udp/100-200", or "all" */
static struct learned_ports ports_from(const char *word)
{
	char protocol[4] = "";
	unsigned first = 0, last = 0;
	int found = sscanf(word, "%3[a-z]/%u-%u", protocol, &first, &last);

	if (strcmp(word, "all") == 0)
		return (struct learned_ports){ 0 };
	if (found < 2)
		die("ports", word);
	return (struct learned_ports){
		.protocol = strcmp(protocol, "tcp") == 0 ? IPPROTO_TCP : IPPROTO_UDP,
		.range = { (uint16_t)first, (uint16_t)(found == 3 ? last : first) } };
}

static void set_ports(char *list)
{
	rules.ports_count = 0;
	for (char *word = strtok(list, ","); word; word = strtok(NULL, ",")) {
		if (rules.ports_count == PORTS_MAX)
			die("ports", "too many");
		ports[rules.ports_count++] = ports_from(word);
	}
}

/* "name/address/ports/seconds", several with commas: one call. */
static int learn(struct nft *nft, char *list)
{
	static struct learned items[LEARN_ITEMS_MAX];
	size_t count = 0;

	for (char *word = strtok(list, ","); word; word = strtok(NULL, ",")) {
		struct learned *item = &items[count++];
		char *addr = strchr(word, '/'), *opens = addr ? strchr(addr + 1, '/') : NULL;
		char *seconds = strrchr(word, '/');

		if (!opens || seconds <= opens || count == LEARN_ITEMS_MAX)
			die("learn", word);
		*addr++ = *opens++ = *seconds++ = '\0';
		*item = (struct learned){ .name = str_of(word), .ports = ports_from(opens),
					  .for_s = (uint32_t)strtoul(seconds, NULL, 10) };
		if (!addr_parse(str_of(addr), &item->addr))
			die("learn", addr);
	}
	return nft_learn(nft, items, count);
}

/* So many addresses for one name each, ten in a call: 11.0.0.0, 11.0.0.1, ... */
static int learn_many(struct nft *nft, unsigned count)
{
	int err = 0;

	for (unsigned i = 0; err == 0 && i < count; ) {
		static char names[10][24];
		struct learned items[10];
		unsigned part = 0;

		for (; part < 10 && i < count; part++, i++) {
			snprintf(names[part], sizeof(names[part]), "n%u.test", i);
			items[part] = (struct learned){ .name = str_of(names[part]), .for_s = 60 };
			items[part].addr.v4.sin_family = AF_INET;
			items[part].addr.v4.sin_addr.s_addr = htonl(0x0b000000 + i);
		}
		err = nft_learn(nft, items, part);
	}
	return err;
}

static bool is_kept(void *context, struct str name, const union addr *addr,
		    const struct learned_ports *opens)
{
	(void)addr;
	(void)opens;
	return str_equal(name, str_of(context));
}

/* What does something at once; false: it sets a value. */
static bool do_value(struct nft *nft, const char *name, char *value, int *result)
{
	if (strcmp(name, "learn") == 0)
		*result = learn(nft, value);
	else if (strcmp(name, "learn_many") == 0)
		*result = learn_many(nft, (unsigned)strtoul(value, NULL, 0));
	else if (strcmp(name, "keep") == 0)
		*result = (int)nft_forget(nft, is_kept, value);
	else
		return false;
	return true;
}

static void set_value(char *name, char *value)
{
	unsigned number = (unsigned)strtoul(value, NULL, 0);

	if (strcmp(name, "mode") == 0)
		set_mode(value);
	else if (strcmp(name, "dns") == 0)
		rules.dns_port = (uint16_t)number;
	else if (strcmp(name, "ports") == 0)
		set_ports(value);
	else if (strcmp(name, "mark") == 0)
		rules.mark = number;
	else if (strcmp(name, "uid") == 0)
		rules.uid = number;
	else if (strcmp(name, "match_uid") == 0)
		rules.match_uid = number;
	else if (strcmp(name, "http") == 0)
		rules.http_port = (uint16_t)number;
	else if (strcmp(name, "https") == 0)
		rules.https_port = (uint16_t)number;
	else if (strcmp(name, "group") == 0)
		rules.nflog_group = (uint16_t)number;
	else if (strcmp(name, "log_allowed") == 0)
		rules.log_allowed = number;
	else if (strcmp(name, "inbound") == 0)
		set_inbound(value);
	else if (strcmp(name, "allowed") == 0)
		set_allowed(value);
	else if (strcmp(name, "many") == 0)
		set_many(number);
	else
		die("unknown name", name);
}

static void tell(void *context, const struct event *event)
{
	static const char *const actions[EVENT_KIND_COUNT] = {
		[EVENT_NFLOG_BLOCKED] = "BLOCKED", [EVENT_NFLOG_ALLOWED] = "ALLOWED",
		[EVENT_NFLOG_REDIRECTED] = "REDIRECTED",
	};
	char src[ADDR_TEXT_MAX] = "-", dst[ADDR_TEXT_MAX] = "-";

	(void)context;
	if (event->src.sa.sa_family)
		addr_format(&event->src, src);
	if (event->dst.sa.sa_family)
		addr_format(&event->dst, dst);
	printf("%s %u %s %s x%u %s\n", actions[event->kind], event->protocol, src, dst,
	       event->count, event->detail);
	fflush(stdout);
}

static int read_log(void)
{
	struct nflog_reader *reader;
	int err = nflog_reader_open(rules.nflog_group, rules.nflog_snaplen, rules.nflog_qthresh,
				    tell, NULL, &reader);

	if (err < 0)
		return err;
	puts("listening");
	fflush(stdout);
	for (;;) {
		struct pollfd fds[] = { { .fd = nflog_reader_fd(reader), .events = POLLIN },
					{ .fd = 0, .events = POLLIN } };
		int ready = poll(fds, 2, 200);

		if (ready > 0 && fds[0].revents)
			err = nflog_reader_read(reader);
		nflog_reader_tick(reader);
		if (err < 0 || (ready > 0 && fds[1].revents))
			break;
	}
	printf("lost %llu\n", (unsigned long long)nflog_reader_lost(reader));
	nflog_reader_close(reader);
	return err;
}

static int do_command(struct nft *nft, int watch, const char *command)
{
	if (strcmp(command, "drop_all") == 0)
		return nft_install_drop_all(nft, &rules);
	if (strcmp(command, "install") == 0)
		return nft_install(nft, &rules);
	if (strcmp(command, "remove") == 0)
		return nft_remove(nft);
	if (strcmp(command, "print") == 0)
		return nft_print(&rules, stdout);
	if (strcmp(command, "verify") == 0)
		return nft_verify(nft);
	if (strcmp(command, "watch") == 0)
		return nft_watch_read(nft, watch);
	if (strcmp(command, "learned") == 0)
		return (int)nft_learned_count(nft);
	while (strcmp(command, "ended") == 0)           /* to be there in the very moment */
		if (nft_learned_count(nft) == 0)
			return 0;
	if (strcmp(command, "nflog") == 0)
		return read_log();
	if (strcmp(command, "wait") == 0)
		return getchar() == EOF ? -EPIPE : 0;
	die("unknown command", command);
	return 0;
}

int main(int argc, char **argv)
{
	struct nft *nft = NULL;
	int watch = nft_watch_open(), err = nft_open(&nft);

	if (err < 0 || watch < 0)
		die("cannot open", strerror(err < 0 ? -err : -watch));
	for (int i = 1; i < argc && err >= 0; i++) {
		char *value = strchr(argv[i], '=');

		if (value) {
			*value++ = '\0';
			if (!do_value(nft, argv[i], value, &err)) {
				set_value(argv[i], value);
				continue;
			}
		} else {
			err = do_command(nft, watch, argv[i]);
		}
		if (err < 0)
			printf("error %s: %s\n", strerror(-err), nft_error(nft));
		else if (strcmp(argv[i], "print") != 0 && strcmp(argv[i], "nflog") != 0)
			printf("%s %d\n", argv[i], err);
		fflush(stdout);
	}
	nft_close(nft);
	return err < 0;
}
