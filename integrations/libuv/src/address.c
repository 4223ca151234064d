/* Between libuv's addresses and buffers and the stack's. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

int mst__uv_endpoint(const struct sockaddr *addr, struct mst_endpoint *out) {
  memset(out, 0, sizeof *out);
  if (addr->sa_family == AF_INET) {
    const struct sockaddr_in *in = (const void *)addr;
    out->addr = mst_addr_ip4((const uint8_t *)&in->sin_addr);
    out->port = ntohs(in->sin_port);
    return 0;
  }
  if (addr->sa_family == AF_INET6) {
    const struct sockaddr_in6 *in6 = (const void *)addr;
    memcpy(out->addr.bytes, &in6->sin6_addr, sizeof out->addr.bytes);
    out->port = ntohs(in6->sin6_port);
    out->scope_id = in6->sin6_scope_id;
    return 0;
  }
  return UV_EINVAL;
}

int mst__uv_sockaddr(const struct mst_endpoint *endpoint, int family, struct sockaddr *name, int *namelen) {
  struct sockaddr_storage storage = {.ss_family = (sa_family_t)family};
  int bytes;
  if (*namelen < 0) return UV_EINVAL;
  if (family == AF_INET) {
    struct sockaddr_in *in = (void *)&storage;
    memcpy(&in->sin_addr, endpoint->addr.bytes + 12, 4);
    in->sin_port = htons(endpoint->port);
    bytes = sizeof *in;
  } else {
    struct sockaddr_in6 *in6 = (void *)&storage;
    memcpy(&in6->sin6_addr, endpoint->addr.bytes, 16);
    in6->sin6_port = htons(endpoint->port);
    in6->sin6_scope_id = endpoint->scope_id;
    bytes = sizeof *in6;
  }
  memcpy(name, &storage, (size_t)(*namelen < bytes ? *namelen : bytes));
  *namelen = bytes;
  return 0;
}

void mst__uv_endpoint_destination(struct mst_endpoint *endpoint) {
  static const uint8_t loopback4[4] = {127, 0, 0, 1};
  if (!mst_addr_is_any(&endpoint->addr)) return;
  if (mst_addr_is_ip4(&endpoint->addr))
    endpoint->addr = mst_addr_ip4(loopback4);
  else
    endpoint->addr.bytes[15] = 1;
}

int mst__uv_bufs_copy(uv_buf_t **out, uv_buf_t *small, const uv_buf_t *bufs, unsigned nbufs) {
  *out = nbufs <= 4 ? small : malloc(nbufs * sizeof *bufs);
  if (!*out) return UV_ENOMEM;
  memcpy(*out, bufs, nbufs * sizeof *bufs);
  return 0;
}

size_t mst__uv_bufs_bytes(const uv_buf_t *bufs, unsigned nbufs) {
  size_t bytes = 0;
  for (unsigned i = 0; i < nbufs; ++i) bytes += bufs[i].len;
  return bytes;
}

size_t mst__uv_bufs_iov(const uv_buf_t *bufs, unsigned nbufs, size_t skip, struct mst_iov *iov) {
  size_t count = 0;
  for (unsigned i = 0; i < nbufs && count < MST__UV_IOV; ++i, skip = 0)
    if (bufs[i].len > skip) iov[count++] = (struct mst_iov){bufs[i].base + skip, bufs[i].len - skip};
  return count;
}
