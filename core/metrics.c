/* metrics.c - counters, summed over workers. */
#include "core/metrics.h"

void metrics_sum(struct metrics *total, const struct metrics *part)
{
#define METRIC(name, text)                                                                         \
	metric_add(&total->name, atomic_load_explicit(&part->name, memory_order_relaxed));
#include "core/metrics.def"
#undef METRIC
}
