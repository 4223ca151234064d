/* The Internet checksum (RFC 1071). */
#ifndef MST_WIRE_CHECKSUM_H
#define MST_WIRE_CHECKSUM_H

#include "multistack/types.h"

/* The sum of the 20 bytes of an IPv4 header without options. */
uint64_t mst__csum_ip4_header(const uint8_t *header);

/* Sum of 16-bit words in memory order, added to `sum`; not folded. An odd last byte counts as followed by zero, so
 * only the last of several pieces may be odd. */
uint64_t mst__csum_add(uint64_t sum, const void *data, size_t bytes);

/* Copy and sum in one pass. */
uint64_t mst__csum_copy(uint64_t sum, void *to, const void *from, size_t bytes);

/* Fold to the 16 bits that go into a header as they are (memory order), not complemented. */
uint16_t mst__csum_fold(uint64_t sum);

/* The pseudo-header's sum (RFC 9293 3.1, RFC 8200 8.1), not folded. `bytes` is the transport header and payload. */
uint64_t mst__csum_pseudo(const struct mst_addr *source, const struct mst_addr *destination, uint8_t protocol,
                          uint32_t bytes);

#endif
