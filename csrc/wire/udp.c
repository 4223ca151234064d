#include "udp.h"
#include "checksum.h"
#include "ip.h"
#include <string.h>

enum mst_drop mst__udp_parse(const uint8_t *datagram, size_t bytes, struct mst__udp *out) {
  if (bytes < MST__UDP_HEADER_BYTES) return MST_DROP_SHORT;
  size_t length = mst__get16(datagram + 4);
  if (length < MST__UDP_HEADER_BYTES || length > bytes) return MST_DROP_UDP_HEADER;
  *out = (struct mst__udp){
      .source_port = mst__get16(datagram),
      .destination_port = mst__get16(datagram + 2),
      .checksum = mst__get16(datagram + 6),
      .payload = datagram + MST__UDP_HEADER_BYTES,
      .payload_bytes = (uint32_t)(length - MST__UDP_HEADER_BYTES),
  };
  return MST_DROP_NONE;
}

size_t mst__udp_build(uint8_t *out, uint16_t source_port, uint16_t destination_port, uint32_t payload_bytes) {
  mst__put16(out, source_port);
  mst__put16(out + 2, destination_port);
  mst__put16(out + 4, (uint16_t)(MST__UDP_HEADER_BYTES + payload_bytes));
  mst__put16(out + 6, 0);
  return MST__UDP_HEADER_BYTES;
}

bool mst__udp_checksum_ok(const struct mst_addr *source, const struct mst_addr *destination, const uint8_t *datagram,
                          size_t bytes, bool allow_partial) {
  if (bytes < MST__UDP_HEADER_BYTES) return false;
  uint64_t pseudo = mst__csum_pseudo(source, destination, MST_UDP, (uint32_t)bytes);
  uint16_t field;
  memcpy(&field, datagram + 6, 2);
  if (field == 0) return mst_addr_is_ip4(destination);
  if (allow_partial && field == mst__csum_fold(pseudo)) return true;
  return mst__csum_fold(mst__csum_add(pseudo, datagram, bytes)) == 0xffff;
}
