#include "checksum.h"
#include "ip.h"
#include <string.h>

static inline uint64_t load64(const uint8_t *p) {
  uint64_t word;
  memcpy(&word, p, 8);
  return word;
}

/* Two 32-bit words at once: the sum of a packet's cannot overflow 64 bits, and folding gives the same 16 bits. */
static inline uint64_t halves(uint64_t word) {
  return (word & 0xffffffff) + (word >> 32);
}

static inline uint64_t tail_sum(const uint8_t *p, size_t bytes) {
  uint8_t padded[8] = {0};
  memcpy(padded, p, bytes);
  return halves(load64(padded));
}

static inline uint32_t load32(const uint8_t *p) {
  uint32_t word;
  memcpy(&word, p, 4);
  return word;
}

uint64_t mst__csum_ip4_header(const uint8_t *header) {
  return halves(load64(header)) + halves(load64(header + 8)) + load32(header + 16);
}

uint64_t mst__csum_add(uint64_t sum, const void *data, size_t bytes) {
  const uint8_t *p = data;
  size_t words = bytes / 8;
  for (size_t i = 0; i < words; i++) sum += halves(load64(p + 8 * i));
  return bytes % 8 ? sum + tail_sum(p + 8 * words, bytes % 8) : sum;
}

uint64_t mst__csum_copy(uint64_t sum, void *restrict to, const void *restrict from, size_t bytes) {
  const uint8_t *p = from;
  uint8_t *q = to;
  size_t words = bytes / 8;
  for (size_t i = 0; i < words; i++) {
    uint64_t word = load64(p + 8 * i);
    memcpy(q + 8 * i, &word, 8);
    sum += halves(word);
  }
  if (bytes % 8 == 0) return sum;
  memcpy(q + 8 * words, p + 8 * words, bytes % 8);
  return sum + tail_sum(p + 8 * words, bytes % 8);
}

/* A word and its halves exchanged: the upper half of the sum has the carry of the lower one. */
uint16_t mst__csum_fold(uint64_t sum) {
  sum += sum << 32 | sum >> 32;
  uint32_t half = (uint32_t)(sum >> 32);
  half += half << 16 | half >> 16;
  return (uint16_t)(half >> 16);
}

uint64_t mst__csum_pseudo(const struct mst_addr *source, const struct mst_addr *destination, uint8_t protocol,
                          uint32_t bytes) {
  uint8_t rest[8] = {0};
  mst__put32(rest, bytes);
  rest[7] = protocol;
  uint64_t sum = halves(load64(rest));
  if (mst_addr_is_ip4(destination)) return sum + load32(source->bytes + 12) + load32(destination->bytes + 12);
  sum += halves(load64(source->bytes)) + halves(load64(source->bytes + 8));
  return sum + halves(load64(destination->bytes)) + halves(load64(destination->bytes + 8));
}
