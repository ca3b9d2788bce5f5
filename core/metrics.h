/* metrics.h - counters: see metrics.def.  Written by one worker, read by anyone. */
#ifndef CORE_METRICS_H
#define CORE_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

struct metrics {
#define METRIC(name, text) _Atomic uint64_t name;
#include "core/metrics.def"
#undef METRIC
};

/* One writer: a plain add that readers see whole. */
static inline void metric_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

/* total += part, counter by counter. */
void metrics_sum(struct metrics *total, const struct metrics *part);

#endif
