/* entry.h - one event of an agent: from what it ships to what is kept, shown and streamed.
 *
 * An event is what the agents said (struct entry: fields).  For the store it is cut in two: its
 * subject, which many events share (who, whom, which rule, why) and which is stored once, and the
 * rest.  entry_join() puts both together again.  Pure functions of bytes, but for memory. */
#ifndef DASHBOARD_ENTRY_H
#define DASHBOARD_ENTRY_H

#include <jansson.h>

#include "dashboard/out.h"
#include "proto/str.h"

enum verdict { VERDICT_ALLOWED, VERDICT_BLOCKED, VERDICT_AUDIT, VERDICT_COUNT };
extern const char *const verdict_words[VERDICT_COUNT];  /* "ALLOWED"... */
/* Blanks around it and any case are good.  false: none of them. */
bool verdict_parse(struct str text, enum verdict *verdict);

/* 16 TiB or 500 years: so large a number of a connection is no mistake yet. */
#define ENTRY_NUMBER_MAX ((int64_t)1 << 44)
enum { ENTRY_REMOTE_MAX = 64, ENTRY_JSON_MAX = 256 << 10 };

struct entry {
	int64_t id;                     /* 0: not stored yet */
	int64_t time_ns;
	enum verdict verdict;
	int64_t link;                   /* how its end finds it (ends.h); 0: there will be none */
	json_t *msg, *fields;           /* a string; an object; ours to release */
	char remote[ENTRY_REMOTE_MAX];  /* who shipped it, "ip:port" */
};

/*
 * From one item of a payload.  false: nothing to store: no msg, one of the agents' own messages
 * (_dashboard_...), or no verdict in action.  now_ns stands in for a missing or bad time.
 * An entry, also a false one, is given to entry_finish().
 */
bool entry_init(struct entry *entry, const json_t *item, const char *remote, int64_t now_ns);
void entry_finish(struct entry *entry);

/* All fields of an item in one new object, as entries have them; NULL: no memory. */
json_t *entry_merge_fields(const json_t *item);

/* The LogEntry object, as generation B writes it. */
void entry_json(const struct entry *entry, struct out *out);

/* What the store keeps of it.  Texts are ours to release with entry_parts_finish(). */
struct entry_parts {
	char *subject;                  /* canonical JSON: the same for the same subject */
	char *rest;                     /* JSON object of the other fields */
	size_t subject_len, rest_len;
	/* Borrowed from the entry; empty where there is none. */
	struct str component, name, source_ip, destination_ip, hostname, reason, version;
	int64_t bytes;                  /* both ways, each up to ENTRY_NUMBER_MAX */
	int64_t duration_ms;            /* -1: not known; up to it too */
};

/* 0, -ENOMEM, or -EMSGSIZE when the entry is over ENTRY_JSON_MAX. */
int entry_split(const struct entry *entry, struct entry_parts *parts);
void entry_parts_finish(struct entry_parts *parts);
/* Of its subject, in lower case and by lines: what a person would type to find it. */
void entry_search(const struct entry *entry, struct out *out);

/* Back from the store: 0 or -EBADMSG (not what entry_split() made). */
int entry_join(struct entry *entry, struct str subject, struct str rest);

/* A text field, empty when it is not there or no text. */
struct str entry_text(const struct entry *entry, const char *key);
/* The first of http_host, host, https, qname. */
struct str entry_name(const struct entry *entry);

/* Generation B's check of what claims to be a host name: printable ASCII, no "..", no "<script",
 * no '-' or '.' in front, at most 255. */
bool host_text_ok(struct str text);

#endif
