#include "multistack/drop.h"
#include <stddef.h>

#define NAME_BYTES 24

static char names[][NAME_BYTES] = {
#define MST__X(name, text) #name,
    MST_DROP_MAP(MST__X)
#undef MST__X
};

static const char *const texts[] = {
#define MST__X(name, text) text,
    MST_DROP_MAP(MST__X)
#undef MST__X
};

/* Before main, so that readers in any thread find the names done. */
__attribute__((constructor)) static void lower_names(void) {
  for (size_t i = 0; i < MST_DROP_COUNT; i++)
    for (char *c = names[i]; *c; c++)
      if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
}

const char *mst_drop_name(enum mst_drop reason) {
  return (unsigned)reason < MST_DROP_COUNT ? names[reason] : NULL;
}

const char *mst_drop_text(enum mst_drop reason) {
  return (unsigned)reason < MST_DROP_COUNT ? texts[reason] : NULL;
}
