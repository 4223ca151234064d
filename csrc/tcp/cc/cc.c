#include "tcp/cc/cc.h"
#include "multistack/tcp.h"
#include <string.h>

static const struct mst__cc_ops *const all[] = {&mst__cc_cubic, &mst__cc_newreno, &mst__cc_bbr};

#define COUNT (sizeof all / sizeof *all)

const struct mst__cc_ops *mst__cc_find(const char *name) {
  if (!strcmp(name, "reno")) name = "newreno"; /* the OS's name for it */
  for (size_t i = 0; i < COUNT; i++)
    if (!strcmp(all[i]->name, name)) return all[i];
  return NULL;
}

const char *mst_congestion_control_name(size_t index) {
  return index < COUNT ? all[index]->name : NULL;
}

void mst__cc_switch(struct mst__cc *cc, const struct mst__cc_ops *ops, uint64_t now_ns) {
  /* One that models the path has no ssthresh; one that goes by the window is not to probe again from scratch. */
  uint32_t known = cc->cwnd > 2 * cc->mss ? cc->cwnd : 2 * cc->mss; /* RFC 5681 (4): in recovery cwnd may be anything */
  if (cc->ops->rate_based && !ops->rate_based && cc->ssthresh > known) cc->ssthresh = known;
  if (cc->ops != ops) cc->pacing_rate = 0;
  cc->held_bytes = 0;
  cc->ops = ops;
  ops->init(cc, now_ns);
}
