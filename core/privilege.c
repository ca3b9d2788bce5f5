/* privilege.c - the least that each thread needs. */
#include "core/privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/str.h"

struct caps {
	struct __user_cap_header_struct header;
	struct __user_cap_data_struct data[2];  /* capabilities 0-31 and 32-63 */
};

static int caps_get(struct caps *caps)
{
	*caps = (struct caps){ .header = { .version = _LINUX_CAPABILITY_VERSION_3 } };
	return syscall(SYS_capget, &caps->header, caps->data) < 0 ? -errno : 0;
}

static bool has(unsigned cap)
{
	struct caps caps;

	return caps_get(&caps) == 0 && (caps.data[cap / 32].effective & (1U << (cap % 32)));
}

bool privilege_net_admin(void)
{
	return has(CAP_NET_ADMIN);
}

bool privilege_net_raw(void)
{
	return has(CAP_NET_RAW);
}

bool privilege_setuid(void)
{
	return has(CAP_SETUID);
}

void privilege_harden_process(void)
{
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* Of these capabilities those that we have stay, no other. */
static int keep_only(const unsigned *keep, unsigned count)
{
	struct caps caps = { .header = { .version = _LINUX_CAPABILITY_VERSION_3 } };

	for (unsigned i = 0; i < count; i++) {
		if (!has(keep[i]))
			continue;
		caps.data[keep[i] / 32].effective |= 1U << (keep[i] % 32);
		caps.data[keep[i] / 32].permitted |= 1U << (keep[i] % 32);
	}
	return syscall(SYS_capset, &caps.header, caps.data) < 0 ? -errno : 0;
}

/* SO_MARK: CAP_NET_RAW is enough since Linux 5.17, CAP_NET_ADMIN always was. */
static unsigned cap_to_mark(void)
{
	return privilege_net_raw() ? CAP_NET_RAW : CAP_NET_ADMIN;
}

int privilege_own_sockets(uint32_t uid)
{
	if (uid == 0)
		return 0;
	(void)setfsuid(uid);
	return (uint32_t)setfsuid(uid) == uid ? 0 : -EPERM;     /* returns the id before the call */
}

int privilege_drop_to_socket_work(void)
{
	/* With CAP_SYS_RESOURCE, which containers rarely have, our pipes are not counted. */
	const unsigned keep[] = { cap_to_mark(), CAP_SYS_RESOURCE };

	return keep_only(keep, ARRAY_LEN(keep));
}

int privilege_drop_to_shipping(void)
{
	/* CAP_SETUID to make sockets under another user id (egress.h); the other for files that
	 * belong to somebody else, where a container still has it. */
	const unsigned keep[] = { cap_to_mark(), CAP_SETUID, CAP_DAC_OVERRIDE };

	return keep_only(keep, ARRAY_LEN(keep));
}
