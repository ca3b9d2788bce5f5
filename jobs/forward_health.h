/* forward_health.h - what a running forward says of itself, and looks after by itself. */
#ifndef JOBS_FORWARD_HEALTH_H
#define JOBS_FORWARD_HEALTH_H

struct forwarding;
struct forward_health;

/* Before anything listens: answer at the control socket, and begin HEALTHCHECK_INTERVAL's checks.
 * 0, or 1 after saying what is wrong. */
int forward_health_open(struct forwarding *forwarding);
/* We are stopping: what we check by ourselves would be our own end. */
void forward_health_rest(struct forwarding *forwarding);
void forward_health_close(struct forwarding *forwarding);
/* Log the counters. */
void forward_health_tell(const struct forwarding *forwarding);

#endif
