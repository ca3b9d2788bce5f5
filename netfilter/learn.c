/* learn.c - addresses that names open, put into the learned sets while the rules are in force.
 *
 * Kernels before 6.12 keep the time of an element that is added again, so one that is open is
 * deleted and added in the same transaction, and no packet sees it closed.  Its time may run out
 * just then: what we believe to be there may be gone, or the other way round, by milliseconds.
 * The kernel refuses a transaction that deletes what is not there, and one that may not find what
 * it adds; then everything is made to be there first.
 *
 * A name that has used up its share loses its earliest addresses in the same transaction. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <linux/netfilter/nf_tables.h>

#include "netfilter/install.h"

#ifndef ERESTART
#define ERESTART 85                     /* someone else changed the ruleset meanwhile */
#endif

enum {
	LEARN_TRIES = 20,
	SLACK_PART = 8,                 /* renewed for an eighth more than asked for, */
	SLACK_MS = 1000,                /* and a second: not at every answer */
};

/* What a batch asks the kernel for; left_ms is 0 when it is to be closed. */
struct request { struct opened element; bool is_open; };

struct work {
	struct request *requests;
	size_t count, size, claims;     /* claims: how many are new */
	bool evicted;                   /* the table has lost some that the kernel still has */
	uint64_t now_ms;
};

uint64_t learned_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- what has to be done ---- */

static uint64_t wanted_ms(const struct learned *item)
{
	return (uint64_t)item->for_s * 1000;
}

static uint64_t given_ms(const struct learned *item)
{
	return wanted_ms(item) + wanted_ms(item) / SLACK_PART + SLACK_MS;
}

static struct opened key_of(const struct learned *item, const struct learned_ports *piece)
{
	return (struct opened){ .addr = item->addr, .ports = *piece };
}

/* The whole item, or its first piece. */
static struct learned_ports ports_of(const struct learned *item)
{
	if (item->ports.protocol)
		return item->ports;
	return (struct learned_ports){ .range = { 0, 0 } };
}

static int work_add(struct work *work, const struct opened *element, bool is_open)
{
	if (work->count == work->size) {
		size_t size = work->size * 2 + 64;
		struct request *requests = realloc(work->requests, size * sizeof(*requests));

		if (!requests)
			return -ENOMEM;
		work->requests = requests;
		work->size = size;
	}
	work->requests[work->count++] = (struct request){ *element, is_open };
	return 0;
}

static int check_item(const struct learned_table *table, const struct learned *item)
{
	int family = item->addr.sa.sa_family;

	if ((family != AF_INET && family != AF_INET6) || item->for_s == 0 ||
	    item->name.len > CLAIM_NAME_MAX)
		return -EINVAL;
	return learned_check_ports(table, &item->ports);
}

/* What is new in an item, for its name. */
static size_t count_new(const struct work *work, const struct learned_table *table,
			const struct learned *item)
{
	struct learned_ports rest = ports_of(item), piece;
	size_t count = 0;

	while (learned_piece(table, &rest, &piece)) {
		struct opened element = key_of(item, &piece);

		count += !learned_has(table, item->name, &element, work->now_ms);
	}
	return count;
}

static int evict(struct work *work, struct learned_table *table, struct str name, size_t count)
{
	struct opened *dropped = calloc(count, sizeof(*dropped));
	int err = dropped ? 0 : -ENOMEM;

	count = dropped ? learned_evict(table, name, count, work->now_ms, dropped) : 0;
	work->evicted |= count > 0;
	for (size_t i = 0; err == 0 && i < count; i++)
		if (dropped[i].left_ms > 0)
			err = work_add(work, &dropped[i], true);
	free(dropped);
	return err;
}

/* Before anything else: what another item finds open must not be closed after it.  What goes here
 * and is in an item as well comes back beyond the share; the next new address makes up for it. */
static int make_shares(struct work *work, struct learned_table *table, const struct learned *items,
		       size_t count)
{
	int err = 0;

	for (size_t i = 0, more = 0; err == 0 && i < count; i++) {
		bool last = i + 1 == count || !str_equal(items[i].name, items[i + 1].name);
		size_t beyond;

		more += count_new(work, table, &items[i]);
		if (!last)
			continue;
		beyond = more > 0 ? learned_beyond(table, items[i].name, more) : 0;
		if (beyond > 0)
			err = evict(work, table, items[i].name, beyond);
		more = 0;
	}
	/* Other names may keep them, and not as long. */
	for (size_t i = 0; i < work->count; i++) {
		struct opened *element = &work->requests[i].element;
		uint64_t until = learned_until(table, element);

		element->left_ms = until > work->now_ms ? until - work->now_ms : 0;
	}
	return err;
}

static int work_item(struct work *work, const struct learned_table *table,
		     const struct learned *item)
{
	struct learned_ports rest = ports_of(item), piece;
	int err = 0;

	work->claims += count_new(work, table, item);
	while (err == 0 && learned_piece(table, &rest, &piece)) {
		struct opened element = key_of(item, &piece);
		uint64_t until = learned_until(table, &element);

		element.left_ms = given_ms(item);
		if (until < work->now_ms + wanted_ms(item))
			err = work_add(work, &element, until > work->now_ms);
	}
	return err;
}

static int compare_requests(const void *a, const void *b)
{
	const struct opened *x = a, *y = b;
	int order = (int)opened_set(x) - (int)opened_set(y);

	if (order == 0)
		order = addr_compare_ip(&x->addr, &y->addr);
	if (order == 0)
		order = x->ports.protocol - y->ports.protocol;
	return order ? order : x->ports.range.first - y->ports.range.first;
}

/* By set, each element once, for the longest that was asked for. */
static void work_sort(struct work *work)
{
	struct request *requests = work->requests;
	size_t kept = 0;

	if (work->count > 0)
		qsort(requests, work->count, sizeof(*requests), compare_requests);
	for (size_t i = 0; i < work->count; i++) {
		if (kept == 0 || compare_requests(&requests[kept - 1], &requests[i]) != 0)
			requests[kept++] = requests[i];
		if (requests[kept - 1].element.left_ms < requests[i].element.left_ms)
			requests[kept - 1].element.left_ms = requests[i].element.left_ms;
		requests[kept - 1].is_open |= requests[i].is_open;
	}
	work->count = kept;
}

/* ---- transactions ---- */

enum pick { ALL, OPEN, LASTING };

static bool is_picked(const struct request *request, enum pick pick)
{
	return pick == ALL || (pick == OPEN ? request->is_open : request->element.left_ms > 0);
}

/* Add or delete those requests, one set after another. */
static int put(struct nft *nft, struct batch *batch, const struct work *work, struct opened *room,
	       enum pick pick, uint16_t type, uint16_t flags)
{
	size_t at = 0;
	int err = 0;

	for (unsigned i = 0; err == 0 && i < OPENED_SETS; i++) {
		struct set set = { .name = nft->learned_sets[i], .kind = opened_kinds[i],
				   .learned = true, .opened = room };

		for (; at < work->count && opened_set(&work->requests[at].element) == i; at++) {
			if (!is_picked(&work->requests[at], pick))
				continue;
			room[set.count] = work->requests[at].element;
			if (room[set.count].left_ms == 0)
				room[set.count].left_ms = SLACK_MS;     /* to be deleted */
			set.count++;
		}
		for (size_t from = 0; err == 0 && from < set.count; )
			err = set_change(&set, NFT_TABLE, type, flags, &from, batch);
	}
	return err;
}

static int commit(struct nft *nft, const struct work *work, struct opened *room, bool add_only)
{
	uint16_t exclusive = add_only ? 0 : NLM_F_EXCL;
	struct batch batch;
	int err = transaction_begin(nft, &batch, nft->generation);

	if (err == 0 && !add_only)
		err = put(nft, &batch, work, room, OPEN, NFT_MSG_DELSETELEM, 0);
	if (err == 0)
		err = put(nft, &batch, work, room, add_only ? ALL : LASTING, NFT_MSG_NEWSETELEM,
			  NLM_F_CREATE | exclusive);
	err = transaction_end(nft, &batch, err);
	if (err == 0)
		nft->generation = generation_after(nft->generation);
	return err;
}

/* Somebody came in between: go on if it was nothing of ours that he changed. */
static int look_again(struct nft *nft)
{
	int whole = nft_verify(nft);

	if (whole == 1)
		return 0;
	return whole < 0 ? whole : nft_fail(nft, -ESTALE, "another program changed our rules");
}

static int open_all(struct nft *nft, struct work *work, struct opened *room)
{
	bool add_only = false;
	int err = -ERESTART;

	for (int i = 0; i < LEARN_TRIES; i++) {
		err = commit(nft, work, room, add_only);
		if (err == 0 && !add_only)
			return 0;
		if (err == 0) {                         /* now all of them are there */
			for (size_t j = 0; j < work->count; j++)
				work->requests[j].is_open = true;
			add_only = false;
		} else if (err == -ENOENT || err == -EEXIST) {
			add_only = true;
		} else if (err != -ERESTART || (err = look_again(nft)) < 0) {
			break;
		}
	}
	if (err == -ENFILE)
		err = nft_fail(nft, -ENOSPC, "the kernel's set of learned addresses is full");
	return err == -ERESTART || err == 0 ? -EBUSY : err;
}

static int learn_in_kernel(struct nft *nft, struct work *work)
{
	struct opened *room;
	int err;

	work_sort(work);
	if (work->count == 0)
		return 0;
	room = malloc(work->count * sizeof(*room));
	if (!room)
		return -ENOMEM;
	err = open_all(nft, work, room);
	free(room);
	return err;
}

static void note(struct learned_table *table, const struct learned *item, uint64_t now_ms)
{
	struct learned_ports rest = ports_of(item), piece;

	while (learned_piece(table, &rest, &piece)) {
		struct opened key = key_of(item, &piece);
		uint64_t until = learned_until(table, &key), enough = now_ms + wanted_ms(item);

		learned_claim(table, item->name, &key,
			      until >= enough ? enough : now_ms + given_ms(item));
	}
}

int nft_learn(struct nft *nft, const struct learned *items, size_t count)
{
	struct work work = { .now_ms = learned_now_ms() };
	int err = 0;

	nft->error[0] = '\0';
	if (!nft->installed)
		return nft_fail(nft, -ESTALE, "the rules are not installed");
	if (!nft->learned_sets[0])
		return nft_fail(nft, -EINVAL, "nothing is learned in this mode");
	for (size_t i = 0; err == 0 && i < count; i++)
		err = check_item(&nft->learned, &items[i]);
	if (err == -EINVAL)
		nft_fail(nft, err, "not an address, or ports that no entry names");
	if (err == 0)
		err = make_shares(&work, &nft->learned, items, count);
	for (size_t i = 0; err == 0 && i < count; i++)
		err = work_item(&work, &nft->learned, &items[i]);
	if (err == 0 && !learned_has_room(&nft->learned, work.claims, work.now_ms))
		err = nft_fail(nft, -ENOSPC, "too many addresses are open for names already");
	if (err == 0)
		err = learn_in_kernel(nft, &work);
	for (size_t i = 0; err == 0 && i < count; i++)
		note(&nft->learned, &items[i], work.now_ms);
	free(work.requests);
	return err < 0 && work.evicted ? -ESTALE : err; /* what they lost is to be closed */
}

size_t nft_forget(struct nft *nft, learned_keep_fn *keep, void *context)
{
	return learned_keep(&nft->learned, learned_now_ms(), keep, context);
}

size_t nft_learned_count(const struct nft *nft)
{
	return learned_count(&nft->learned, learned_now_ms(), 0);
}
