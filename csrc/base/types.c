#include "multistack/types.h"
#include "multistack/error.h"
#include <arpa/inet.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct mst_addr mst_addr_ip4(const uint8_t bytes[4]) {
  struct mst_addr addr = MST_ADDR_ANY4;
  memcpy(addr.bytes + 12, bytes, 4);
  return addr;
}

bool mst_addr_is_ip4(const struct mst_addr *addr) {
  return memcmp(addr->bytes, mapped_prefix, sizeof mapped_prefix) == 0;
}

bool mst_addr_is_any(const struct mst_addr *addr) {
  return mst_addr_equal(addr, &MST_ADDR_ANY6) || mst_addr_equal(addr, &MST_ADDR_ANY4);
}

bool mst_addr_is_loopback(const struct mst_addr *addr) {
  static const struct mst_addr loopback6 = {{[15] = 1}};
  return mst_addr_is_ip4(addr) ? addr->bytes[12] == 127 : mst_addr_equal(addr, &loopback6);
}

bool mst_addr_is_multicast(const struct mst_addr *addr) {
  static const uint8_t broadcast[4] = {255, 255, 255, 255};
  if (!mst_addr_is_ip4(addr)) return addr->bytes[0] == 0xff;
  return (addr->bytes[12] & 0xf0) == 0xe0 || memcmp(addr->bytes + 12, broadcast, sizeof broadcast) == 0;
}

bool mst_addr_equal(const struct mst_addr *a, const struct mst_addr *b) {
  return memcmp(a, b, sizeof *a) == 0;
}

int mst_addr_parse(const char *text, struct mst_addr *out) {
  struct mst_addr addr = MST_ADDR_ANY4;
  if (inet_pton(AF_INET, text, addr.bytes + 12) != 1 && inet_pton(AF_INET6, text, addr.bytes) != 1) return -MST_EINVAL;
  *out = addr;
  return 0;
}

char *mst_addr_format(const struct mst_addr *addr, char *out) {
  if (mst_addr_is_ip4(addr))
    inet_ntop(AF_INET, addr->bytes + 12, out, MST_ADDR_TEXT_BYTES);
  else
    inet_ntop(AF_INET6, addr->bytes, out, MST_ADDR_TEXT_BYTES);
  return out;
}
