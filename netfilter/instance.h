/* instance.h - one ringfence a network namespace: two would replace each other's rules for ever. */
#ifndef NETFILTER_INSTANCE_H
#define NETFILTER_INSTANCE_H

struct instance;

/* Be the one.  Waits up to a second for another that is just ending.  -EBUSY: another runs on;
 * -EPERM without CAP_NET_ADMIN; any other -errno: this kernel cannot tell.  Ours until released or
 * until the process ends, however it ends. */
int instance_take(struct instance **instance);
void instance_release(struct instance *instance);       /* NULL is fine */

#endif
