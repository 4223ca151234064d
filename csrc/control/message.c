#include "message.h"
#include <string.h>

/* By the number of the type. */
static const struct {
  size_t bytes; /* with its last array in full */
  size_t fds;
} kinds[] = {
#define X(name, number, type, count) [number] = {sizeof(struct type), count},
    MST__CONTROL_MAP(X)
#undef X
};

static bool is_known(unsigned type) {
  return type < sizeof kinds / sizeof *kinds && kinds[type].bytes;
}

size_t mst__control_bytes(enum mst__control_type type, size_t count) {
  switch (type) {
  case MST__CONTROL_OFFER: return offsetof(struct mst__control_offer, remotes) + count * sizeof(struct mst_endpoint);
  case MST__CONTROL_QUERY:
  case MST__CONTROL_ANSWER:
  case MST__CONTROL_SOCKETS_ARE: return offsetof(struct mst__control_text, text) + count;
  case MST__CONTROL_PACKETS: return offsetof(struct mst__control_packets, data) + count;
  default: return is_known(type) ? kinds[type].bytes : 0;
  }
}

/* Elements in the array that ends a message; 0: it has none. */
static size_t count_of(const void *message, enum mst__control_type type) {
  switch (type) {
  case MST__CONTROL_OFFER: return ((const struct mst__control_offer *)message)->count;
  case MST__CONTROL_QUERY:
  case MST__CONTROL_ANSWER:
  case MST__CONTROL_SOCKETS_ARE: return ((const struct mst__control_text *)message)->bytes;
  case MST__CONTROL_PACKETS: return ((const struct mst__control_packets *)message)->bytes;
  default: return 0;
  }
}

static bool terminated(const char *text, size_t bytes) {
  return memchr(text, 0, bytes) != NULL;
}

bool mst__control_check(const void *message, size_t bytes, size_t fds) {
  const struct mst__control_header *header = message;
  if (bytes < sizeof *header || header->reserved) return false;
  enum mst__control_type type = (enum mst__control_type)header->type;
  if (!is_known(type) || bytes < mst__control_bytes(type, 0) || fds != kinds[type].fds) return false;
  size_t count = count_of(message, type);
  if (count > MST__CONTROL_BYTES_MAX || bytes != mst__control_bytes(type, count)) return false;
  switch (type) {
  case MST__CONTROL_OFFER: return count <= MST__CONTROL_REMOTES_MAX;
  case MST__CONTROL_HELLO:
    return terminated(((const struct mst__control_hello *)message)->name, MST__CONTROL_NAME_BYTES);
  case MST__CONTROL_REFUSED: return terminated(((const struct mst__control_refused *)message)->message, 192);
  case MST__CONTROL_BLOCK_LEASED:
    return ((const struct mst__control_block_leased *)message)->count <= MST__CONTROL_BLOCK_MAX;
  default: return true;
  }
}

uint16_t mst__control_common_version(uint16_t first, uint16_t last) {
  if (first > MST__CONTROL_VERSION || last < MST__CONTROL_VERSION_FIRST) return 0;
  return last < MST__CONTROL_VERSION ? last : MST__CONTROL_VERSION;
}
