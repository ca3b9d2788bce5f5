/* instance.c - a lock whose scope is the network namespace.
 *
 * A log group that no rule logs to: the kernel gives each to one socket of the namespace, only to
 * who has CAP_NET_ADMIN, and takes it back when the process is gone.  So a lock needs no file, no
 * workload can hold it, and none is left behind.  A port would not do: our listeners share theirs,
 * and another instance may be told to use others. */
#include "netfilter/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>

#include <libnetfilter_log/libnetfilter_log.h>

#include "core/privilege.h"

enum {
	LOCK_GROUP = 0x5246,            /* "RF" */
	TRIES = 100, PAUSE_MS = 10,
};

struct instance {
	struct nflog_handle *handle;
	struct nflog_g_handle *group;
};

/* With CAP_NET_ADMIN "not permitted" says that the group is another socket's. */
static int bind_patiently(struct instance *instance)
{
	struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000L };

	for (unsigned i = 0; i < TRIES; i++) {
		errno = 0;
		instance->group = nflog_bind_group(instance->handle, LOCK_GROUP);
		if (instance->group)
			return 0;
		if (errno != EPERM && errno != EBUSY)
			return errno ? -errno : -EIO;
		nanosleep(&pause, NULL);
	}
	return -EBUSY;
}

int instance_take(struct instance **out)
{
	struct instance *instance;
	int err;

	if (!privilege_net_admin())
		return -EPERM;
	instance = calloc(1, sizeof(*instance));
	if (!instance)
		return -ENOMEM;
	errno = 0;
	instance->handle = nflog_open();
	err = instance->handle ? bind_patiently(instance) : errno ? -errno : -EIO;
	if (err == 0 && fcntl(nflog_fd(instance->handle), F_SETFD, FD_CLOEXEC) < 0)
		err = -errno;
	if (err < 0) {
		instance_release(instance);
		return err;
	}
	*out = instance;
	return 0;
}

void instance_release(struct instance *instance)
{
	if (!instance)
		return;
	if (instance->group)
		nflog_unbind_group(instance->group);
	if (instance->handle)
		nflog_close(instance->handle);
	free(instance);
}
