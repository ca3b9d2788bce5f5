/* print.c - the table in nft's words, as `nft list table inet ringfence` writes it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "netfilter/rules.h"

static void print_chain(const struct table *table, const struct chain *chain, FILE *out)
{
	fprintf(out, "\tchain %s {\n", chain->name);
	if (chain->type)
		fprintf(out, "\t\t%s\n", chain->text);
	for (unsigned i = 0; i < table->rule_count; i++)
		if (strcmp(table->rules[i].chain, chain->name) == 0)
			fprintf(out, "\t\t%s\n", table->rules[i].text);
	fputs("\t}\n", out);
}

void table_print(const struct table *table, FILE *out)
{
	fprintf(out, "table inet %s {\n", NFT_TABLE);
	for (unsigned i = 0; i < table->set_count; i++) {
		set_print(&table->sets[i], out);
		fputc('\n', out);
	}
	for (unsigned i = 0; i < table->chain_count; i++) {
		print_chain(table, &table->chains[i], out);
		fputs(i + 1 < table->chain_count ? "\n" : "", out);
	}
	fputs("}\n", out);
}

int nft_print(const struct nft_rules *rules, FILE *out)
{
	struct table *table = malloc(sizeof(*table));
	int err;

	if (!table)
		return -ENOMEM;
	err = table_init(table, rules, 0, NULL);
	if (err == 0)
		table_print(table, out);
	table_finish(table);
	free(table);
	if (err == 0 && (fflush(out) != 0 || ferror(out)))
		err = -EIO;
	return err;
}
