/* sync_report.h - how this instance is, for the dashboard's fleet view: the body of /api/v1/sync.
 * Which entries of the policy were used how often is counted here, from the events that workers
 * tell anyway; it costs the data path nothing. */
#ifndef JOBS_SYNC_REPORT_H
#define JOBS_SYNC_REPORT_H

struct running;
struct event;

/* Control thread. */
void sync_report_open(struct running *running);
void sync_report_close(struct running *running);
void sync_report_count(struct running *running, const struct event *event);
/* Tell it, when it is time or the policy has changed. */
void sync_report_tick(struct running *running);

#endif
