/* install.c - our table put in or replaced, with no moment of less than the old or the new rules.
 *
 * There are two ways.  Over a table that we do not know (none, or a killed instance's) one
 * transaction deletes it and adds ours.  That closes for a moment: the kernel takes the new rules
 * and only then lets go of the old chains, empty by now, whose policy is to drop; and new sets are
 * searchable only some time after (milliseconds for 20,000 ranges).
 *
 * Over a table of our own nothing is lost.  First the new sets are put beside the old ones, where
 * no rule uses them yet, in slices.  Then one transaction empties the chains and fills them with
 * the new rules, which the kernel does for all packets at once.
 *
 * The kernel is told which generation of its ruleset each transaction is built on: when ours made
 * the next one nobody came in between, and what we then read back of the table is what we put
 * there. */
#include "netfilter/install.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/netfilter/nf_tables.h>

#include "netfilter/fingerprint.h"

#ifndef ERESTART
#define ERESTART 85                     /* someone else changed the ruleset meanwhile */
#endif

enum {
	INSTALL_TRIES = 20,
	SLICE_BYTES = 192 * 1024,       /* fits a socket that may not have larger buffers */
};

int transaction_begin(struct nft *nft, struct batch *batch, uint32_t generation)
{
	return batch_init(batch, ++nft->seq, generation);
}

int transaction_end(struct nft *nft, struct batch *batch, int err)
{
	if (err < 0)
		nft_fail(nft, err, "cannot put the transaction together");
	else
		err = batch_commit(batch, nft->netlink, nft->error);
	nft->seq = batch->seq + 1;              /* the end marker has a number too */
	batch_finish(batch);
	return err;
}

uint32_t generation_after(uint32_t generation)
{
	return generation + 1 != 0 ? generation + 1 : 1;        /* as the kernel counts */
}

/* ---- messages ---- */

int transaction_table(struct batch *batch, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *message = batch_add(batch, type, flags, "table", NFT_TABLE);

	if (!message)
		return -ENOMEM;
	mnl_attr_put_strz(message, NFTA_TABLE_NAME, NFT_TABLE);
	return 0;
}

static int add_chain(struct batch *batch, const struct chain *chain)
{
	struct nlmsghdr *message = batch_add(batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL,
					     "chain", chain->type ? chain->text : chain->name);
	struct nlattr *hook;

	if (!message)
		return -ENOMEM;
	mnl_attr_put_strz(message, NFTA_CHAIN_TABLE, NFT_TABLE);
	mnl_attr_put_strz(message, NFTA_CHAIN_NAME, chain->name);
	if (!chain->type)
		return 0;
	hook = mnl_attr_nest_start(message, NFTA_CHAIN_HOOK);
	mnl_attr_put_u32(message, NFTA_HOOK_HOOKNUM, htonl(chain->hook));
	mnl_attr_put_u32(message, NFTA_HOOK_PRIORITY, htonl((uint32_t)chain->priority));
	mnl_attr_nest_end(message, hook);
	mnl_attr_put_u32(message, NFTA_CHAIN_POLICY, htonl(chain->policy));
	mnl_attr_put_strz(message, NFTA_CHAIN_TYPE, chain->type);
	return 0;
}

/* One that is there already: the closed door's drops, that of dns mode does not. */
static int set_policy(struct batch *batch, const struct chain *chain)
{
	struct nlmsghdr *message;

	if (!chain->type)
		return 0;
	message = batch_add(batch, NFT_MSG_NEWCHAIN, 0, "policy of the chain", chain->name);
	if (!message)
		return -ENOMEM;
	mnl_attr_put_strz(message, NFTA_CHAIN_TABLE, NFT_TABLE);
	mnl_attr_put_strz(message, NFTA_CHAIN_NAME, chain->name);
	mnl_attr_put_u32(message, NFTA_CHAIN_POLICY, htonl(chain->policy));
	return 0;
}

static int add_rules(struct batch *batch, const struct table *table)
{
	for (unsigned i = 0; i < table->rule_count; i++) {
		struct nlmsghdr *message = batch_add(batch, NFT_MSG_NEWRULE,
						     NLM_F_CREATE | NLM_F_APPEND, "rule",
						     table->rules[i].text);

		if (!message)
			return -ENOMEM;
		nftnl_rule_nlmsg_build_payload(message, table->rules[i].nftnl);
	}
	return 0;
}

/* Delete a set, a chain, or all rules of a chain. */
static int delete_object(struct batch *batch, uint16_t type, const char *kind, const char *name)
{
	uint16_t attr = type == NFT_MSG_DELRULE ? NFTA_RULE_CHAIN :
			type == NFT_MSG_DELCHAIN ? NFTA_CHAIN_NAME : NFTA_SET_NAME;
	struct nlmsghdr *message = batch_add(batch, type, 0, kind, name);

	if (!message)
		return -ENOMEM;
	mnl_attr_put_strz(message, NFTA_RULE_TABLE, NFT_TABLE);
	mnl_attr_put_strz(message, attr, name);
	return 0;
}

/* ---- over a table that we do not know ---- */

/* Sets before the rules that look into them: a constant set is closed by its first user. */
static int add_everything(struct batch *batch, const struct table *table)
{
	int err = transaction_table(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE);

	if (err == 0)
		err = transaction_table(batch, NFT_MSG_DELTABLE, 0);
	if (err == 0)
		err = transaction_table(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
	for (unsigned i = 0; err == 0 && i < table->chain_count; i++)
		err = add_chain(batch, &table->chains[i]);
	for (unsigned i = 0; err == 0 && i < table->set_count; i++) {
		const struct set *set = &table->sets[i];

		err = set_create(set, NFT_TABLE, i + 1, batch);
		for (size_t from = 0; err == 0 && from < set->count; )
			err = set_fill(set, NFT_TABLE, &from, batch);
	}
	return err < 0 ? err : add_rules(batch, table);
}

static int replace(struct nft *nft, const struct table *table, uint32_t *generation)
{
	struct batch batch;
	int err = transaction_begin(nft, &batch, *generation);

	if (err == 0)
		err = add_everything(&batch, table);
	err = transaction_end(nft, &batch, err);
	if (err == 0)
		*generation = generation_after(*generation);
	return err;
}

/* ---- over a table of our own ---- */

/* How far we are with the sets. */
struct position { unsigned set; size_t element; };

/* One transaction with the next elements. */
static int put_slice(struct nft *nft, const struct table *table, struct position *at,
		     uint32_t *generation)
{
	struct batch batch;
	int err = transaction_begin(nft, &batch, *generation);

	while (err == 0 && at->set < table->set_count && batch.len < SLICE_BYTES) {
		const struct set *set = &table->sets[at->set];

		if (at->element == 0)
			err = set_create(set, NFT_TABLE, at->set + 1, &batch);
		if (err == 0 && at->element < set->count)
			err = set_fill(set, NFT_TABLE, &at->element, &batch);
		if (at->element >= set->count)
			*at = (struct position){ .set = at->set + 1 };
	}
	err = transaction_end(nft, &batch, err);
	if (err == 0)
		*generation = generation_after(*generation);
	return err;
}

/* Take back what put_slice() left.  Each on its own: some may not be there.  Where this fails too
 * the fingerprint says that the table is not as it should be. */
static void remove_sets(struct nft *nft, const struct table *table)
{
	char error[BATCH_ERROR_MAX];            /* nft->error keeps the first failure */

	for (unsigned i = 0; i < table->set_count; i++) {
		struct batch batch;

		if (transaction_begin(nft, &batch, 0) == 0 &&
		    delete_object(&batch, NFT_MSG_DELSET, "set", table->sets[i].name) == 0)
			(void)batch_commit(&batch, nft->netlink, error);
		nft->seq = batch.seq + 1;
		batch_finish(&batch);
	}
}

static bool is_among(const char *name, const char *const *names, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* Rules first, they hold on to the rest. */
static int remove_old(const struct nft *nft, const struct table *table, struct batch *batch)
{
	const char *kept[TABLE_CHAINS_MAX];
	int err = 0;

	for (unsigned i = 0; i < table->chain_count; i++)
		kept[i] = table->chains[i].name;
	for (unsigned i = 0; err == 0 && i < nft->chain_count; i++)
		err = delete_object(batch, NFT_MSG_DELRULE, "rules of the chain", nft->chains[i]);
	for (unsigned i = 0; err == 0 && i < nft->chain_count; i++)
		if (!is_among(nft->chains[i], kept, table->chain_count))
			err = delete_object(batch, NFT_MSG_DELCHAIN, "chain", nft->chains[i]);
	for (unsigned i = 0; err == 0 && i < nft->set_count; i++)
		err = delete_object(batch, NFT_MSG_DELSET, "set", nft->sets[i]);
	return err;
}

static int swap_rules(struct nft *nft, const struct table *table, uint32_t *generation)
{
	struct batch batch;
	int err = transaction_begin(nft, &batch, *generation);

	if (err == 0)
		err = remove_old(nft, table, &batch);
	for (unsigned i = 0; err == 0 && i < table->chain_count; i++) {
		const struct chain *chain = &table->chains[i];
		bool is_there = is_among(chain->name, nft->chains, nft->chain_count);

		err = is_there ? set_policy(&batch, chain) : add_chain(&batch, chain);
	}
	if (err == 0)
		err = add_rules(&batch, table);
	err = transaction_end(nft, &batch, err);
	if (err == 0)
		*generation = generation_after(*generation);
	return err;
}

static int swap(struct nft *nft, const struct table *table, uint32_t *generation)
{
	struct position at = { 0 };
	int err = 0;

	while (err == 0 && at.set < table->set_count)
		err = put_slice(nft, table, &at, generation);
	if (err == 0)
		err = swap_rules(nft, table, generation);
	if (err < 0)
		remove_sets(nft, table);
	return err;
}

/* ---- either way ---- */

/* Remember what our table looks like.  -ERESTART: somebody has changed the ruleset since the
 * generation we made, so that nobody knows whose work we would be looking at. */
static int remember(struct nft *nft, const struct table *table, enum nft_mode mode, unsigned side,
		    uint32_t generation)
{
	uint32_t now;
	int err = table_fingerprint(nft->netlink, &nft->seq, NFT_TABLE, &nft->fingerprint);

	if (err == 0)
		err = ruleset_generation(nft->netlink, ++nft->seq, &now);
	if (err == 0 && now != generation)
		err = -ERESTART;
	if (err < 0)
		nft->was_changed |= nft->installed;     /* perhaps: rather told than not */
	nft->installed = false;
	if (err < 0)
		return nft_fail(nft, err, "cannot read the installed rules back");
	nft->installed = true;
	nft->generation = generation;
	nft->side = side;
	nft->chain_count = table->chain_count;
	nft->set_count = table->set_count;
	for (unsigned i = 0; i < table->chain_count; i++)
		nft->chains[i] = table->chains[i].name;
	for (unsigned i = 0; i < table->set_count; i++)
		nft->sets[i] = table->sets[i].name;
	for (unsigned i = 0; i < OPENED_SETS; i++)
		nft->learned_sets[i] = mode == NFT_DNS_STRICT ? table->names->learned[i] : NULL;
	return 0;
}

/* rules NULL: the closed door. */
static int install_once(struct nft *nft, const struct nft_rules *rules,
			const struct opened_sets *opened, struct table *table)
{
	unsigned side = nft->installed && nft->set_count > 0 ? !nft->side : 0;
	bool ours = nft_verify(nft) == 1;
	uint32_t generation = nft->generation;  /* in which it is ours */
	int err = rules ? table_init(table, rules, side, opened) : table_init_drop_all(table);

	if (err < 0)
		return nft_fail(nft, err, "cannot make the rules");
	if (!ours)
		err = ruleset_generation(nft->netlink, ++nft->seq, &generation);
	if (err < 0)
		return nft_fail(nft, err, "cannot read the ruleset's generation");
	err = ours ? swap(nft, table, &generation) : replace(nft, table, &generation);
	if (err < 0)
		return err;
	return remember(nft, table, rules ? rules->mode : NFT_HTTPS, side, generation);
}

/* What is open now, to be put in again; with the ports of these rules. */
static int list_opened(struct nft *nft, const struct nft_rules *rules, struct opened **elements,
		       struct opened_sets *opened)
{
	int err = 0;

	if (!rules || rules->mode != NFT_DNS_STRICT)
		return 0;
	if (!nft->learned.claims)
		err = learned_init(&nft->learned);
	if (err < 0) {
		learned_finish(&nft->learned);
		return err;
	}
	learned_cut(&nft->learned, rules->ports, rules->ports_count);
	return learned_list(&nft->learned, learned_now_ms(), elements, opened);
}

static int install(struct nft *nft, const struct nft_rules *rules)
{
	struct table *table = malloc(sizeof(*table));
	struct opened_sets opened = { 0 };
	struct opened *elements = NULL;
	int err = table ? list_opened(nft, rules, &elements, &opened) : -ENOMEM;

	nft->error[0] = '\0';
	if (err < 0) {
		free(table);
		return nft_fail(nft, err, "cannot make the rules");
	}
	err = -EINTR;
	for (int i = 0; i < INSTALL_TRIES && (err == -ERESTART || err == -EINTR); i++) {
		err = install_once(nft, rules, &opened, table);
		table_finish(table);
	}
	free(table);
	free(elements);
	if (err == -ERESTART || err == -EINTR)
		err = nft_fail(nft, -EBUSY, "another program changes the ruleset all the time");
	return err;
}

int nft_install(struct nft *nft, const struct nft_rules *rules)
{
	return install(nft, rules);
}

int nft_install_drop_all(struct nft *nft, const struct nft_rules *rules)
{
	(void)rules;                            /* nobody is exempt, not even we */
	return install(nft, NULL);
}
