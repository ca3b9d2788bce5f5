/* unblock.c - what was unblocked becomes a part of the policy. */
#include "jobs/unblock.h"

#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/policy.h"
#include "jobs/filter.h"
#include "jobs/policy_files.h"

enum { WHY_MAX = 1024, EDITS_MAX = 5 };    /* of a file that others write as well */

struct noted {                          /* an entry that was unblocked */
	struct policy_note note;
	bool in_overlay, over;          /* over: allowed once, and it was */
};

struct unblocker {
	struct running *running;
	struct watch watch;
	uint64_t seen_hash[4];          /* of the policy that noted is of */
	unsigned noted_count;
	bool expire_failing;
	struct noted noted[POLICY_NOTES_MAX];
	struct policy_note room[POLICY_NOTES_MAX];
	char overlay[PATH_MAX];
};

static const char overlay_head[] =
	"# What was unblocked in the dashboard and is not in the policy file: it counts too.\n"
	"# Written by ringfence.\n";

/* Where */

void unblocker_overlay(const struct running *running, char *out, size_t size)
{
	const struct options *options = &running->options;
	const char *path = running->reload.source.path;
	char folder[PATH_MAX];
	uint64_t hash[4];

	out[0] = '\0';
	if (options->policy_overlay_path[0] || !path || !options->enable_remote_unblock) {
		text_copy(out, size, path ? options->policy_overlay_path : "");
		return;
	}
	/* Several filters may share a file system: each policy file has an overlay of its own. */
	policy_hash(path, strlen(path), hash);
	text_copy(folder, sizeof(folder), options->control_socket);
	if (access("/var/lib/ringfence", W_OK) == 0 || access("/var/lib", W_OK) == 0 ||
	    !folder[0])
		text_copy(folder, sizeof(folder), "/var/lib/ringfence");
	else
		(void)dirname(folder);
	snprintf(out, size, "%s/overlay-%08" PRIx32 ".yaml", folder, (uint32_t)hash[0]);
}

/* Notes */

static void take_notes(struct unblocker *unblocker, struct str text, bool overlay)
{
	unsigned count = policy_edit_notes(text, unblocker->room, POLICY_NOTES_MAX);

	for (unsigned i = 0; i < count && unblocker->noted_count < POLICY_NOTES_MAX; i++)
		unblocker->noted[unblocker->noted_count++] =
			(struct noted){ unblocker->room[i], overlay, false };
}

/* What is in force now: the policy file may be broken, then its last good text is. */
static void refresh(struct unblocker *unblocker)
{
	const struct policy *policy = policy_current();
	const struct policy_text *kept = &unblocker->running->reload.source.kept;
	size_t len = 0;
	char *text;

	if (memcmp(unblocker->seen_hash, policy->hash, sizeof(policy->hash)) == 0)
		return;
	memcpy(unblocker->seen_hash, policy->hash, sizeof(policy->hash));
	unblocker->noted_count = 0;
	if (kept->text)                         /* the variables have no text */
		take_notes(unblocker, (struct str){ kept->text, kept->len }, false);
	if (!unblocker->overlay[0] || policy_file_read(unblocker->overlay, &text, &len, NULL) < 0)
		return;
	take_notes(unblocker, (struct str){ text, len }, true);
	free(text);
}

static struct noted *find_noted(struct unblocker *unblocker, const char *id, const char *value)
{
	for (unsigned i = 0; i < unblocker->noted_count; i++) {
		struct noted *noted = &unblocker->noted[i];

		if (id[0] ? strcmp(noted->note.id, id) == 0 :
			    strcasecmp(noted->note.entry, value) == 0)
			return noted;
	}
	return NULL;
}

/* Edits */

static bool in_force(const char *entry)
{
	const struct policy *policy = policy_current();

	for (size_t i = 0; i < policy->entry_count; i++)
		if (strcasecmp(policy->entries[i], entry) == 0)
			return true;
	return false;
}

struct edit {                           /* one of the two */
	const struct policy_note *add;
	const char *remove;             /* an id */
};

static int edit_text(struct str text, const struct edit *edit, char **out, size_t *out_len)
{
	return edit->add ? policy_edit_add(text, edit->add, out, out_len) :
			   policy_edit_remove(text, edit->remove, out, out_len);
}

/* It stands in a file, which may be newer than what is in force.  -EEXIST: it is in force now. */
static int check_there(struct running *running, const struct policy_note *note,
		       char why[WHY_MAX])
{
	int err = in_force(note->entry) ? 0 : reload_edited(running, why, WHY_MAX);

	if (in_force(note->entry))
		return -EEXIST;
	return err < 0 ? err : -EINVAL;
}

struct edited {                         /* a file, before and after */
	char *text;                     /* before; NULL: it was not there */
	size_t len;
	struct policy_file_state state; /* after */
};

/* 0; -EEXIST: it stands there; or another -errno.  -ESTALE: somebody saved it meanwhile. */
static int edit_file(const char *path, bool make, const struct edit *edit, struct edited *edited)
{
	struct str before = { overlay_head, sizeof(overlay_head) - 1 };
	char *new = NULL;
	size_t len = 0;
	int err = policy_file_read(path, &edited->text, &edited->len, &edited->state);

	if (err == 0)
		before = (struct str){ edited->text, edited->len };
	if (err == -ENOENT && make)
		err = 0;
	if (err == 0)
		err = edit_text(before, edit, &new, &len);
	if (err == 0)
		err = policy_file_write(path, (struct str){ new, len }, &edited->state);
	free(new);
	return err;
}

/* As it was, if nobody else has written it since. */
static void put_back(const char *path, struct edited *edited)
{
	if (edited->text)
		(void)policy_file_write(path, (struct str){ edited->text, edited->len },
					&edited->state);
	else
		(void)policy_file_remove(path, &edited->state);
}

static const char *change_error(int err)
{
	return err == -ENOTSUP ? "its layout has no place for another line" :
	       err == -EINVAL  ? "it is no good policy: correct it" :
	       err == -ESTALE  ? "somebody else keeps writing it: try again" :
				 strerror(-err);
}

/* Change a file and the policy in force, or neither.  0; -EEXIST: it is in force already; or
 * another -errno, *why says it. */
static int change(struct unblocker *unblocker, bool overlay, const struct edit *edit,
		  char why[WHY_MAX])
{
	struct running *running = unblocker->running;
	const char *path = overlay ? unblocker->overlay : running->reload.source.path;
	struct edited edited = { 0 };
	int err = path[0] ? -ESTALE : -ENOENT;

	for (int i = 0; i < EDITS_MAX && err == -ESTALE; i++) {
		free(edited.text);
		err = edit_file(path, overlay, edit, &edited);
	}
	if (err == 0) {
		err = reload_edited(running, why, WHY_MAX);
		if (err > 0)            /* the overlay is in force, the policy file is not */
			err = overlay ? 0 : -EINVAL;
		if (err < 0)
			put_back(path, &edited);
	} else if (err == -EEXIST && edit->add) {
		err = check_there(running, edit->add, why);
	} else if (path[0]) {
		snprintf(why, WHY_MAX, "%.700s: %s", path, change_error(err));
	}
	free(edited.text);
	return err;
}

/* For a while: the overlay first; for good: the policy file first. */
static int add(struct unblocker *unblocker, const struct policy_note *note, char why[WHY_MAX])
{
	bool overlay = note->until != 0;
	const struct edit edit = { .add = note };
	char other[WHY_MAX] = "";
	int err = change(unblocker, overlay, &edit, why);

	if (err == 0 || err == -EEXIST)
		return err;
	err = change(unblocker, !overlay, &edit, other);
	if (err < 0 && err != -EEXIST && other[0] && strlen(why) + strlen(other) + 4 < WHY_MAX)
		snprintf(why + strlen(why), WHY_MAX - strlen(why), "; %s", other);
	return err;
}

/* Answers */

struct ack {                            /* waits until every worker goes by the new policy */
	struct quiet_item quiet;
	struct unblocker *unblocker;
	struct unblock_item item;
	struct unblock_result result;
};

static void answer(struct unblocker *unblocker, const struct unblock_result *result)
{
	if (unblocker->running->shipping.agent)
		agent_answer(unblocker->running->shipping.agent, result);
}

static void refuse(struct unblocker *unblocker, const struct unblock_item *item, const char *why)
{
	struct unblock_result result = { 0 };

	log_error("remote_unblock.apply_failed", log_str("id", item->id),
		  log_str("type", item->type), log_str("value", item->value), log_str("err", why));
	text_copy(result.id, sizeof(result.id), item->id);
	snprintf(result.error, sizeof(result.error), "%.380s", why);
	answer(unblocker, &result);
}

static void on_in_force(struct quiet_item *quiet)
{
	struct ack *ack = container_of(quiet, struct ack, quiet);

	log_info(ack->item.remove ? "remote_unblock.removed" : "remote_unblock.applied",
		 log_str("id", ack->item.id), log_str("type", ack->item.type),
		 log_str("value", ack->item.value), log_str("hash", ack->result.hash));
	answer(ack->unblocker, &ack->result);
	free(ack);
}

/* The old policy is unpublished: when all workers have passed a quiet point it is in force. */
static void answer_when_in_force(struct unblocker *unblocker, const struct unblock_item *item)
{
	struct ack *ack = calloc(1, sizeof(*ack));

	if (!ack)
		return refuse(unblocker, item, "no memory");
	ack->unblocker = unblocker;
	ack->item = *item;
	text_copy(ack->result.id, sizeof(ack->result.id), item->id);
	snprintf(ack->result.hash, sizeof(ack->result.hash), "%016" PRIx64,
		 policy_current()->hash[0]);
	quiet_free(&ack->quiet, on_in_force);
	quiet_reclaim();                /* workers that sleep have passed already */
}

static void unblock(struct unblocker *unblocker, const struct unblock_item *item)
{
	char reason[UNBLOCK_ERROR_MAX], why[WHY_MAX] = "";
	const char *wrong;
	struct policy_note note;
	struct noted *noted;
	int err = 0;

	wrong = unblock_check(item, (int64_t)time(NULL), &note, reason);
	if (wrong)
		return refuse(unblocker, item, wrong);
	/* There for a while, and now for longer: the new one takes its place. */
	noted = find_noted(unblocker, "", note.entry);
	if (noted && noted->note.until != 0 && (note.until == 0 || note.until > noted->note.until))
		(void)change(unblocker, noted->in_overlay,
			     &(struct edit){ .remove = noted->note.id }, why);
	if (!in_force(note.entry))
		err = add(unblocker, &note, why);
	refresh(unblocker);
	if (err < 0 && err != -EEXIST)
		return refuse(unblocker, item, why[0] ? why : strerror(-err));
	if (!in_force(note.entry))
		return refuse(unblocker, item, "it was written, and is not in force: see the "
			      "filter's log");
	answer_when_in_force(unblocker, item);
}

static void take_back(struct unblocker *unblocker, const struct unblock_item *item)
{
	struct noted *noted = find_noted(unblocker, item->undoes, item->value);
	char why[WHY_MAX] = "";

	if (!noted && !in_force(item->value))
		return answer_when_in_force(unblocker, item);   /* it is gone already */
	if (!noted)
		return refuse(unblocker, item, "it was not added by an unblock: take it out of "
			      "the policy file");
	if (change(unblocker, noted->in_overlay, &(struct edit){ .remove = noted->note.id }, why) <
	    0)
		return refuse(unblocker, item, why);
	refresh(unblocker);
	answer_when_in_force(unblocker, item);
}

static void on_items(struct watch *watch)
{
	struct unblocker *unblocker = container_of(watch, struct unblocker, watch);
	struct agent *agent = unblocker->running->shipping.agent;
	struct unblock_item item;
	uint64_t count;

	(void)!read(watch->fd, &count, sizeof(count));
	refresh(unblocker);
	while (agent_take_unblock(agent, &item)) {
		if (!unblocker->running->reload.source.path)
			refuse(unblocker, &item, "the policy comes from ALLOWLIST_IPS and "
			       "ALLOWLIST_DOMAINS, which only a restart can change: use a policy "
			       "file");
		else if (item.remove)
			take_back(unblocker, &item);
		else
			unblock(unblocker, &item);
	}
}

/* Time */

static void expire(struct unblocker *unblocker, struct noted *noted)
{
	struct policy_note note = noted->note;
	char why[WHY_MAX] = "";
	int err = change(unblocker, noted->in_overlay, &(struct edit){ .remove = note.id }, why);

	/* Where the file cannot be written its time is over all the same (source.c). */
	if (err < 0 && note.until != 0 && note.until <= (int64_t)time(NULL))
		(void)reload_edited(unblocker->running, why, sizeof(why));
	if (err < 0 && !unblocker->expire_failing)
		log_error("remote_unblock.expire_failed", log_str("id", note.id),
			  log_str("value", note.entry), log_str("err", why));
	unblocker->expire_failing = err < 0;
	if (err == 0)
		log_info("remote_unblock.expired", log_str("id", note.id),
			 log_str("value", note.entry), log_bool("once", note.once));
	noted->over = false;
	noted->note.until = 0;
}

void unblocker_tick(struct running *running)
{
	struct unblocker *unblocker = running->unblocker;
	int64_t now = (int64_t)time(NULL);

	if (!unblocker || !running->reload.source.path)
		return;
	refresh(unblocker);
	for (unsigned i = 0; i < unblocker->noted_count; i++) {
		struct noted *noted = &unblocker->noted[i];

		if (!noted->over && (noted->note.until == 0 || noted->note.until > now))
			continue;
		expire(unblocker, noted);
		refresh(unblocker);
		break;                  /* they are others now: the next in a second */
	}
}

static bool entry_fits(const struct policy_note *note, struct str name)
{
	struct str entry = str_of(note->entry);

	if (entry.len > 2 && entry.at[0] == '*') {
		size_t len = entry.len - 1;     /* with its dot */

		return name.len > len &&
		       str_equal_nocase((struct str){ name.at + name.len - len, len },
					(struct str){ entry.at + 1, len });
	}
	return str_equal_nocase(entry, name);
}

void unblocker_tell(struct running *running, const struct event *event)
{
	struct unblocker *unblocker = running->unblocker;

	if (!unblocker || !event_is_end(event->kind) || event->dialled.sa.sa_family == 0)
		return;
	for (unsigned i = 0; i < unblocker->noted_count; i++) {
		struct noted *noted = &unblocker->noted[i];

		if (noted->note.once && noted->note.list == POLICY_DOMAINS &&
		    entry_fits(&noted->note, (struct str){ event->name, event->name_len }))
			noted->over = true;
	}
}

void unblocker_open(struct running *running)
{
	struct unblocker *unblocker;
	int err;

	if (!running->options.enable_remote_unblock)
		return;
	if (!running->shipping.agent || !running->shipping.settings.unblocks) {
		log_warn("remote_unblock.disabled", log_str("note", "ENABLE_REMOTE_UNBLOCK needs "
			 "DASHBOARD_HOST and DASHBOARD_API_KEY"));
		return;
	}
	unblocker = calloc(1, sizeof(*unblocker));
	if (!unblocker)
		return;
	unblocker->running = running;
	unblocker->watch = (struct watch){ agent_unblock_fd(running->shipping.agent), on_items };
	unblocker_overlay(running, unblocker->overlay, sizeof(unblocker->overlay));
	err = control_add(&running->control, &unblocker->watch);
	if (err < 0) {
		log_warn("remote_unblock.disabled", log_str("err", strerror(-err)));
		free(unblocker);
		return;
	}
	running->unblocker = unblocker;
	refresh(unblocker);
	log_info("remote_unblock.enabled", log_str("overlay", unblocker->overlay));
}

void unblocker_close(struct running *running)
{
	if (!running->unblocker)
		return;
	quiet_reclaim();                        /* workers have ended: what waits is answered */
	control_forget(&running->control, &running->unblocker->watch);
	free(running->unblocker);
	running->unblocker = NULL;
}
