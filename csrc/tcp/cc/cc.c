#include "tcp/cc/cc.h"
#include <stddef.h>
#include <string.h>

const struct mst__cc_ops *mst__cc_find(const char *name) {
  static const struct mst__cc_ops *const all[] = {&mst__cc_cubic, &mst__cc_newreno};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (!strcmp(all[i]->name, name)) return all[i];
  return NULL;
}
