/* learned.c - a hash table of claims, chained by index. */
#include "netfilter/learned.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { SWEEP_MS = 1000 };               /* a full table is not swept more often */

int learned_init(struct learned_table *table)
{
	*table = (struct learned_table){ 0 };
	table->claims = calloc(LEARNED_MAX, sizeof(*table->claims));
	table->chains = calloc(CLAIM_CHAINS, sizeof(*table->chains));
	table->shares = calloc(CLAIM_SHARES, sizeof(*table->shares));
	if (!table->claims || !table->chains || !table->shares)
		return -ENOMEM;
	return getrandom(&table->key, sizeof(table->key), 0) == sizeof(table->key) ? 0 : -EIO;
}

void learned_finish(struct learned_table *table)
{
	free(table->claims);
	free(table->chains);
	free(table->shares);
	*table = (struct learned_table){ 0 };
}

/* ---- claims ---- */

static uint32_t *chain_of(const struct learned_table *table, const union addr *addr,
			  const struct learned_ports *ports)
{
	uint8_t bytes[16 + 1 + sizeof(ports->range)] = { 0 };

	if (addr->sa.sa_family == AF_INET)
		memcpy(bytes, &addr->v4.sin_addr, 4);
	else
		memcpy(bytes, &addr->v6.sin6_addr, 16);
	bytes[16] = ports->protocol;
	memcpy(bytes + 17, &ports->range, sizeof(ports->range));
	return &table->chains[siphash(&table->key, bytes, sizeof(bytes)) % CLAIM_CHAINS];
}

static bool is_same(const struct claim *claim, const union addr *addr,
		    const struct learned_ports *ports)
{
	return claim->ports.protocol == ports->protocol &&
	       claim->ports.range.first == ports->range.first &&
	       claim->ports.range.last == ports->range.last && addr_equal_ip(&claim->addr, addr);
}

static struct claim *claim_at(const struct learned_table *table, uint32_t place)
{
	return place ? &table->claims[place - 1] : NULL;
}

uint64_t learned_until(const struct learned_table *table, const struct opened *key)
{
	uint64_t until = 0;

	for (const struct claim *claim = claim_at(table, *chain_of(table, &key->addr, &key->ports));
	     claim; claim = claim_at(table, claim->next))
		if (is_same(claim, &key->addr, &key->ports) && claim->until_ms > until)
			until = claim->until_ms;
	return until;
}

static uint32_t share_of(const struct learned_table *table, struct str name)
{
	return (uint32_t)(siphash(&table->key, name.at, name.len) % CLAIM_SHARES);
}

static bool is_of(const struct claim *claim, struct str name)
{
	return claim->name_len == name.len && memcmp(claim->name, name.at, name.len) == 0;
}

bool learned_has(const struct learned_table *table, struct str name, const struct opened *key,
		 uint64_t now_ms)
{
	for (const struct claim *claim = claim_at(table, *chain_of(table, &key->addr, &key->ports));
	     claim; claim = claim_at(table, claim->next))
		if (is_same(claim, &key->addr, &key->ports) && is_of(claim, name))
			return claim->until_ms > now_ms;
	return false;
}

static struct claim *claim_take(struct learned_table *table)
{
	struct claim *claim = claim_at(table, table->free);

	assert(table->count < LEARNED_MAX);
	if (claim)
		table->free = claim->next;
	else
		claim = &table->claims[table->high++];
	table->count++;
	claim->used = 1;
	return claim;
}

static void claim_drop(struct learned_table *table, struct claim *claim)
{
	uint32_t place = (uint32_t)(claim - table->claims) + 1;
	uint32_t *link = chain_of(table, &claim->addr, &claim->ports);

	while (*link != place)
		link = &table->claims[*link - 1].next;
	*link = claim->next;
	table->shares[claim->share]--;
	claim->used = 0;
	claim->next = table->free;
	table->free = place;
	table->count--;
}

static void claim_add(struct learned_table *table, struct str name, const union addr *addr,
		      const struct learned_ports *ports, uint64_t until_ms)
{
	struct claim *claim = claim_take(table);
	uint32_t *chain = chain_of(table, addr, ports);

	claim->addr = *addr;
	addr_set_port(&claim->addr, 0);
	claim->ports = *ports;
	claim->until_ms = until_ms;
	claim->share = share_of(table, name);
	table->shares[claim->share]++;
	claim->name_len = (uint8_t)name.len;
	memcpy(claim->name, name.at, name.len);
	claim->next = *chain;
	*chain = (uint32_t)(claim - table->claims) + 1;
}

void learned_claim(struct learned_table *table, struct str name, const struct opened *key,
		   uint64_t until_ms)
{
	struct claim *first_to_end = NULL;
	unsigned others = 0;

	for (struct claim *claim = claim_at(table, *chain_of(table, &key->addr, &key->ports));
	     claim; claim = claim_at(table, claim->next)) {
		if (!is_same(claim, &key->addr, &key->ports))
			continue;
		if (is_of(claim, name)) {
			if (claim->until_ms < until_ms)
				claim->until_ms = until_ms;
			return;
		}
		others++;
		if (!first_to_end || claim->until_ms < first_to_end->until_ms)
			first_to_end = claim;
	}
	if (others >= CLAIMS_EACH_MAX) {
		if (first_to_end->until_ms >= until_ms)
			return;
		claim_drop(table, first_to_end);
	}
	claim_add(table, name, &key->addr, &key->ports, until_ms);
}

size_t learned_keep(struct learned_table *table, uint64_t now_ms, learned_keep_fn *keep,
		    void *context)
{
	size_t forgotten = 0;

	for (size_t i = 0; i < table->high; i++) {
		struct claim *claim = &table->claims[i];
		struct str name = { claim->name, claim->name_len };
		bool ended = claim->until_ms <= now_ms;

		if (!claim->used)
			continue;
		if (!ended && (!keep || keep(context, name, &claim->addr, &claim->ports)))
			continue;
		claim_drop(table, claim);
		forgotten += !ended;
	}
	return forgotten;
}

size_t learned_beyond(const struct learned_table *table, struct str name, size_t more)
{
	size_t claims = table->shares[share_of(table, name)] + more;

	return claims > LEARNED_EACH_MAX ? claims - LEARNED_EACH_MAX : 0;
}

static int compare_ends(const void *a, const void *b)
{
	const struct claim *x = *(struct claim *const *)a, *y = *(struct claim *const *)b;

	return x->until_ms < y->until_ms ? -1 : x->until_ms > y->until_ms;
}

size_t learned_evict(struct learned_table *table, struct str name, size_t count, uint64_t now_ms,
		     struct opened *dropped)
{
	uint32_t share = share_of(table, name);
	struct claim **claims = calloc(table->shares[share] + 1u, sizeof(struct claim *));
	size_t found = 0;

	for (size_t i = 0; claims && i < table->high; i++) {
		struct claim *claim = &table->claims[i];

		if (claim->used && claim->share == share && is_of(claim, name))
			claims[found++] = claim;
	}
	if (found > 0)
		qsort(claims, found, sizeof(struct claim *), compare_ends);
	count = count < found ? count : found;
	for (size_t i = 0; i < count; i++) {
		struct claim *claim = claims[i];

		dropped[i] = (struct opened){
			.addr = claim->addr, .ports = claim->ports,
			.left_ms = claim->until_ms > now_ms ? claim->until_ms - now_ms : 0,
		};
		claim_drop(table, claim);
	}
	free(claims);
	return count;
}

bool learned_has_room(struct learned_table *table, size_t claims, uint64_t now_ms)
{
	if (LEARNED_MAX - table->count >= claims)
		return true;
	if (now_ms - table->swept_ms >= SWEEP_MS || table->swept_ms == 0) {
		table->swept_ms = now_ms;
		(void)learned_keep(table, now_ms, NULL, NULL);
	}
	return LEARNED_MAX - table->count >= claims;
}

/* ---- ports ---- */

static const struct port_cuts *cuts_of(const struct learned_table *table, uint8_t protocol)
{
	return protocol == IPPROTO_TCP ? &table->tcp : &table->udp;
}

static bool is_cut(const struct port_cuts *cuts, uint32_t port)
{
	return port > UINT16_MAX || cuts->begins[port / 64] >> port % 64 & 1;
}

int learned_check_ports(const struct learned_table *table, const struct learned_ports *ports)
{
	const struct port_cuts *cuts = cuts_of(table, ports->protocol);

	if (ports->protocol == 0)
		return 0;
	if (ports->protocol != IPPROTO_TCP && ports->protocol != IPPROTO_UDP)
		return -EINVAL;
	return ports->range.first <= ports->range.last && is_cut(cuts, ports->range.first) &&
	       is_cut(cuts, ports->range.last + 1u) ? 0 : -EINVAL;
}

bool learned_piece(const struct learned_table *table, struct learned_ports *rest,
		   struct learned_ports *piece)
{
	const struct port_cuts *cuts = cuts_of(table, rest->protocol);
	uint32_t last = rest->range.first, end = rest->range.last;

	if (rest->range.first > rest->range.last)
		return false;
	*piece = *rest;
	while (rest->protocol && last < end && !is_cut(cuts, last + 1))
		last++;
	if (rest->protocol)
		piece->range.last = (uint16_t)last;
	/* An empty rest is 1-0: there may be no port behind the last. */
	rest->range = rest->protocol && last < end
		? (struct port_range){ (uint16_t)(last + 1), (uint16_t)end }
		: (struct port_range){ 1, 0 };
	return true;
}

/* Cut a claim where cuts were made since; what finds no room is forgotten. */
static void claim_cut(struct learned_table *table, struct claim *claim)
{
	struct learned_ports rest = claim->ports, piece;
	struct str name = { claim->name, claim->name_len };
	struct claim whole = *claim;

	(void)learned_piece(table, &rest, &piece);
	if (rest.range.first > rest.range.last)
		return;
	name.at = whole.name;
	claim_drop(table, claim);
	do {
		if (table->count < LEARNED_MAX)
			claim_add(table, name, &whole.addr, &piece, whole.until_ms);
	} while (learned_piece(table, &rest, &piece));
}

void learned_cut(struct learned_table *table, const struct learned_ports *ports, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		bool tcp = ports[i].protocol == IPPROTO_TCP;
		struct port_cuts *cuts = tcp ? &table->tcp : &table->udp;
		uint32_t ends[] = { ports[i].range.first, ports[i].range.last + 1u };

		for (int j = 0; j < 2; j++)
			if (ends[j] <= UINT16_MAX)
				cuts->begins[ends[j] / 64] |= UINT64_C(1) << ends[j] % 64;
	}
	/* A piece that lands behind the one it came from is looked at again, and is whole. */
	for (size_t i = 0; i < table->high; i++)
		if (table->claims[i].used && table->claims[i].ports.protocol)
			claim_cut(table, &table->claims[i]);
}

/* ---- all of it ---- */

/* Is it the first claim of its chain to this element?  Then it stands for all of them. */
static bool is_first(const struct learned_table *table, const struct claim *claim)
{
	const struct claim *at = claim_at(table, *chain_of(table, &claim->addr, &claim->ports));

	while (!is_same(at, &claim->addr, &claim->ports))
		at = claim_at(table, at->next);
	return at == claim;
}

/* The element that a claim stands for; false: another does, or it is not open any more. */
static bool element_of(const struct learned_table *table, const struct claim *claim,
		       uint64_t now_ms, struct opened *element)
{
	uint64_t until;

	if (!claim->used || !is_first(table, claim))
		return false;
	*element = (struct opened){ .addr = claim->addr, .ports = claim->ports };
	until = learned_until(table, element);
	element->left_ms = until > now_ms ? until - now_ms : 0;
	return element->left_ms > 0;
}

size_t learned_count(const struct learned_table *table, uint64_t now_ms, uint64_t longer_ms)
{
	size_t count = 0;
	struct opened element;

	for (size_t i = 0; i < table->high; i++)
		count += element_of(table, &table->claims[i], now_ms, &element) &&
			 element.left_ms > longer_ms;
	return count;
}

static int compare_sets(const void *a, const void *b)
{
	return (int)opened_set(a) - (int)opened_set(b);
}

int learned_list(const struct learned_table *table, uint64_t now_ms, struct opened **elements,
		 struct opened_sets *sets)
{
	size_t count = 0;

	*sets = (struct opened_sets){ 0 };
	*elements = calloc(table->count + 1, sizeof(**elements));
	if (!*elements)
		return -ENOMEM;
	for (size_t i = 0; i < table->high; i++)
		count += element_of(table, &table->claims[i], now_ms, &(*elements)[count]);
	qsort(*elements, count, sizeof(**elements), compare_sets);
	for (size_t i = 0; i < count; i++) {
		unsigned set = opened_set(&(*elements)[i]);

		if (sets->count[set]++ == 0)
			sets->elements[set] = &(*elements)[i];
	}
	return 0;
}
