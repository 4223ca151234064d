/* UDP sockets: a bounded queue in, one packet out a call. */
#include "multistack/udp.h"
#include "multistack/channel.h"
#include "stack/stack.h"
#include "wire/checksum.h"
#include "wire/udp.h"
#include <string.h>

#define QUEUE_BYTES_MAX (1u << 20)        /* of waiting datagrams, with what holds them */
#define MTU_LIFE_NS (600ull * 1000000000) /* RFC 1191 6.3 */
#define MTU_LEAST_IP4 552                 /* a forged report must not make the socket useless */
#define MTU_LEAST_IP6 1280                /* RFC 8201 4 */

struct datagram {
  struct mst__list node;
  struct mst_endpoint remote;
  struct mst_addr local;
  uint32_t bytes;
  uint8_t data[];
};

/* What ICMP told of the way to one destination. UDP has no sequence numbers to tell a forged report by, so it stays
 * with the socket and out of the paths that TCP shares. */
struct reported_mtu {
  struct mst_addr destination;
  uint32_t mtu;
  uint64_t until_ns;
};

struct mst_udp {
  struct mst__notice notice;
  struct mst__list node; /* in mst__udp_stack.sockets */
  mst_binding *binding;
  mst_udp_event_cb event;
  void *user;
  struct mst__list queue; /* struct datagram, oldest first */
  uint32_t queued_bytes;
  int error;     /* to be told: -MST_E..., or 0 */
  bool readable; /* to be told */
  bool connected;
  struct mst_endpoint remote; /* while connected */
  struct mst_addr source;     /* while connected: where it sends from */
  struct reported_mtu reported;
};

static mst_stack *stack_of(const mst_udp *udp) {
  return udp->binding->stack;
}

static size_t footprint(const struct datagram *datagram) {
  return sizeof *datagram + datagram->bytes;
}

static bool same_endpoint(const struct mst_endpoint *a, const struct mst_addr *addr, uint16_t port) {
  return a->port == port && mst_addr_equal(&a->addr, addr);
}

/* --- life --- */

static void tell(struct mst__notice *notice) {
  mst_udp *udp = MST__CONTAINER(notice, mst_udp, notice);
  int error = udp->error;
  udp->error = 0;
  if (!error)
    udp->readable = false;
  else if (udp->readable)
    mst__stack_notify(stack_of(udp), notice); /* one call for the error, the next for the datagrams */
  if (error || !mst__list_empty(&udp->queue)) udp->event(udp, error, udp->user);
}

static int open_ephemeral(mst_stack *stack, mst_binding **out) {
  struct mst_tuple tuple = {.addr = MST_ADDR_ANY6, .protocol = MST_UDP};
  int rc = mst__binding_open(stack, &tuple, out);
  if (rc != -MST_EADDRNOTAVAIL && rc != -MST_EAFNOSUPPORT) return rc;
  tuple.addr = MST_ADDR_ANY4; /* a host without IPv6 */
  return mst__binding_open(stack, &tuple, out);
}

int mst_udp_open(mst_stack *stack, mst_binding *binding, mst_udp_event_cb event, void *user, mst_udp **out) {
  if (binding && (binding->stack != stack || binding->tuple.protocol != MST_UDP)) return -MST_EINVAL;
  if (binding && binding->udp) return -MST_EADDRINUSE;
  mst_udp *udp = mst__zalloc(stack, sizeof *udp);
  if (!udp) return -MST_ENOMEM;
  int rc = 0;
  if (binding)
    udp->binding = mst__binding_ref(binding);
  else
    rc = open_ephemeral(stack, &udp->binding);
  if (rc) {
    mst__free(stack, udp, sizeof *udp);
    return rc;
  }
  udp->binding->udp = udp;
  udp->notice.run = tell;
  udp->event = event;
  udp->user = user;
  mst__list_init(&udp->queue);
  mst__list_push_back(&stack->udp.sockets, &udp->node);
  *out = udp;
  return 0;
}

void mst_udp_close(mst_udp *udp) {
  mst_stack *stack = stack_of(udp);
  for (struct mst__list *node; (node = mst__list_pop_front(&udp->queue));) {
    struct datagram *datagram = MST__CONTAINER(node, struct datagram, node);
    mst__free(stack, datagram, footprint(datagram));
  }
  mst__list_remove(&udp->notice.node);
  mst__list_remove(&udp->node);
  udp->binding->udp = NULL;
  mst__binding_unref(udp->binding);
  mst__free(stack, udp, sizeof *udp);
}

void mst__udp_stack_init(mst_stack *stack) {
  mst__list_init(&stack->udp.sockets);
}

void mst__udp_stack_destroy(mst_stack *stack) {
  while (!mst__list_empty(&stack->udp.sockets)) mst_udp_close(MST__CONTAINER(stack->udp.sockets.next, mst_udp, node));
}

/* --- addresses --- */

/* The route to `remote` and in it the address to send from. */
static int route_to(const mst_udp *udp, const struct mst_endpoint *remote, struct mst_route *route) {
  const struct mst_tuple *local = &udp->binding->tuple;
  bool remote_ip4 = mst_addr_is_ip4(&remote->addr), local_ip4 = mst_addr_is_ip4(&local->addr);
  bool dual = mst_addr_equal(&local->addr, &MST_ADDR_ANY6) && !(local->flags & MST_BIND_V6ONLY);
  if (remote->port == 0 || mst_addr_is_any(&remote->addr)) return -MST_EINVAL;
  if (remote_ip4 != local_ip4 && !dual) return -MST_ENETUNREACH;
  int rc = mst__path_route(stack_of(udp), &remote->addr, route);
  if (rc) return rc;
  if (!mst_addr_is_any(&local->addr)) route->source = local->addr;
  return mst_addr_is_ip4(&route->source) == remote_ip4 ? 0 : -MST_ENETUNREACH;
}

int mst_udp_connect(mst_udp *udp, const struct mst_endpoint *remote) {
  udp->connected = false;
  udp->error = 0;
  if (!remote) return 0;
  struct mst_route route;
  int rc = route_to(udp, remote, &route);
  if (rc) return rc;
  udp->connected = true;
  udp->remote = *remote;
  udp->source = route.source;
  return 0;
}

void mst_udp_local(const mst_udp *udp, struct mst_endpoint *out) {
  mst_binding_local(udp->binding, out);
  if (udp->connected) out->addr = udp->source;
}

/* --- output --- */

static uint32_t mtu_to(const mst_udp *udp, const struct mst_addr *destination, uint32_t route_mtu) {
  const struct reported_mtu *reported = &udp->reported;
  bool applies = reported->until_ns > stack_of(udp)->now_ns && mst_addr_equal(&reported->destination, destination);
  return applies && reported->mtu < route_mtu ? reported->mtu : route_mtu;
}

static size_t build_headers(const mst_udp *udp, uint8_t *out, const struct mst_addr *source,
                            const struct mst_endpoint *remote, uint32_t payload_bytes) {
  uint32_t udp_bytes = MST__UDP_HEADER_BYTES + payload_bytes;
  struct mst__ip_fields ip = {
      .source = source,
      .destination = &remote->addr,
      .payload_bytes = udp_bytes,
      .protocol = MST_UDP,
      .ttl = 64,
  };
  size_t at = mst__ip_build(out, &ip);
  uint16_t partial = mst__csum_fold(mst__csum_pseudo(source, &remote->addr, MST_UDP, udp_bytes));
  mst__udp_build(out + at, udp->binding->tuple.port, remote->port, payload_bytes);
  memcpy(out + at + 6, &partial, sizeof partial);
  return at + MST__UDP_HEADER_BYTES;
}

static void gather(uint8_t *out, const struct mst_iov *iov, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (iov[i].len) memcpy(out, iov[i].base, iov[i].len);
    out += iov[i].len;
  }
}

/* Short datagrams go with their headers; the net reads longer ones from memory of env.alloc, and env.free keeps that
 * back until it has been read. */
static int send_from(const mst_udp *udp, const struct mst_addr *source, const struct mst_iov *iov, size_t count,
                     uint32_t payload_bytes, const struct mst_endpoint *remote) {
  mst_stack *stack = stack_of(udp);
  uint8_t head[MST_CHANNEL_INLINE_BYTES];
  size_t head_bytes = build_headers(udp, head, source, remote, payload_bytes);
  struct mst_packet packet = {.len = (uint32_t)head_bytes + payload_bytes,
                              .flags = MST_CSUM_PARTIAL,
                              .iov_count = 1,
                              .iov = {{head, head_bytes}}};
  if (packet.len <= sizeof head) {
    gather(head + head_bytes, iov, count);
    packet.iov[0].len = packet.len;
    return mst__stack_output(stack, &packet);
  }
  uint8_t *memory = mst__alloc(stack, MST_CHANNEL_FREED_BYTES + payload_bytes);
  if (!memory) return -MST_ENOMEM;
  gather(memory + MST_CHANNEL_FREED_BYTES, iov, count);
  packet.iov[1] = (struct mst_iov){memory + MST_CHANNEL_FREED_BYTES, payload_bytes};
  packet.iov_count = 2;
  int rc = mst__stack_output(stack, &packet);
  mst__free(stack, memory, MST_CHANNEL_FREED_BYTES + payload_bytes);
  return rc;
}

/* The source address that the caller asks for, if any, in place of `*source`. */
static int choose_source(const mst_udp *udp, const struct mst_endpoint *local, struct mst_addr *source) {
  if (!local || mst_addr_is_any(&local->addr)) return 0;
  if (mst_addr_is_ip4(&local->addr) != mst_addr_is_ip4(source)) return -MST_EADDRNOTAVAIL;
  bool bound = !mst_addr_is_any(&udp->binding->tuple.addr);
  if (mst_addr_is_multicast(&local->addr) || (bound && !mst_addr_equal(&local->addr, source)))
    return -MST_EADDRNOTAVAIL;
  *source = local->addr;
  return 0;
}

int mst_udp_send(mst_udp *udp, const struct mst_iov *iov, size_t count, const struct mst_endpoint *local,
                 const struct mst_endpoint *remote) {
  bool to_peer = !remote;
  if (to_peer && !udp->connected) return -MST_EDESTADDRREQ;
  if (to_peer) remote = &udp->remote;
  struct mst_route route;
  int rc = route_to(udp, remote, &route);
  if (!rc && to_peer) route.source = udp->source;
  if (!rc) rc = choose_source(udp, local, &route.source);
  if (rc) return rc;
  size_t payload_bytes = 0;
  for (size_t i = 0; i < count; i++) {
    if (iov[i].len > MST_PACKET_BYTES_MAX) return -MST_EMSGSIZE;
    payload_bytes += iov[i].len;
  }
  bool ip4 = mst_addr_is_ip4(&remote->addr);
  size_t headers_bytes = (ip4 ? MST__IP4_HEADER_BYTES : MST__IP6_HEADER_BYTES) + MST__UDP_HEADER_BYTES;
  if (payload_bytes + headers_bytes > mtu_to(udp, &remote->addr, route.mtu)) return -MST_EMSGSIZE;
  rc = send_from(udp, &route.source, iov, count, (uint32_t)payload_bytes, remote);
  if (!rc) stack_of(udp)->stats.udp_out_datagrams++;
  return rc;
}

/* --- input --- */

static bool has_socket(const mst_binding *binding) {
  return binding->udp != NULL;
}

static mst_udp *find(mst_stack *stack, const struct mst_addr *local, uint16_t local_port, const struct mst_addr *remote,
                     uint16_t remote_port) {
  mst_binding *binding = mst__binding_find(stack, MST_UDP, local, local_port, has_socket);
  if (!binding) return NULL;
  mst_udp *udp = binding->udp;
  return udp->connected && !same_endpoint(&udp->remote, remote, remote_port) ? NULL : udp;
}

static enum mst_drop enqueue(mst_udp *udp, const struct mst__ip *ip, const struct mst__udp *header) {
  size_t bytes = sizeof(struct datagram) + header->payload_bytes;
  if (udp->queued_bytes + bytes > QUEUE_BYTES_MAX) return MST_DROP_UDP_BUFFER;
  struct datagram *datagram = mst__alloc(stack_of(udp), bytes);
  if (!datagram) return MST_DROP_NO_MEMORY;
  datagram->remote = (struct mst_endpoint){.addr = ip->source, .port = header->source_port};
  datagram->local = ip->destination;
  datagram->bytes = header->payload_bytes;
  memcpy(datagram->data, header->payload, header->payload_bytes);
  mst__list_push_back(&udp->queue, &datagram->node);
  udp->queued_bytes += (uint32_t)bytes;
  udp->readable = true;
  mst__stack_notify(stack_of(udp), &udp->notice);
  return MST_DROP_NONE;
}

void mst__udp_input(mst_stack *stack, const struct mst__ip *ip, uint8_t packet_flags) {
  struct mst__udp header;
  enum mst_drop drop = mst__udp_parse(ip->payload, ip->payload_bytes, &header);
  if (drop) return mst__drop(stack, drop);
  /* RFC 1122 4.1.3.6. */
  if (mst_addr_is_multicast(&ip->source) || mst_addr_is_any(&ip->source))
    return mst__drop(stack, MST_DROP_SOURCE_ADDRESS);
  if (!(packet_flags & (MST_CSUM_VALID | MST_CSUM_PARTIAL)) &&
      !mst__udp_checksum_ok(&ip->source, &ip->destination, ip->payload, MST__UDP_HEADER_BYTES + header.payload_bytes,
                            false))
    return mst__drop(stack, MST_DROP_UDP_CHECKSUM);
  mst_udp *udp = find(stack, &ip->destination, header.destination_port, &ip->source, header.source_port);
  if (!udp) {
    stack->stats.udp_no_ports++;
    return mst__drop(stack, MST_DROP_UDP_NO_SOCKET);
  }
  drop = enqueue(udp, ip, &header);
  if (drop) return mst__drop(stack, drop);
  stack->stats.udp_in_datagrams++;
}

ptrdiff_t mst_udp_receive(mst_udp *udp, void *buffer, size_t bytes, struct mst_endpoint *remote,
                          struct mst_endpoint *local) {
  struct mst__list *node = mst__list_pop_front(&udp->queue);
  if (!node) return -MST_EAGAIN;
  struct datagram *datagram = MST__CONTAINER(node, struct datagram, node);
  ptrdiff_t size = datagram->bytes;
  if (remote) *remote = datagram->remote;
  if (local) *local = (struct mst_endpoint){.addr = datagram->local, .port = udp->binding->tuple.port};
  if (bytes > datagram->bytes) bytes = datagram->bytes;
  if (bytes) memcpy(buffer, datagram->data, bytes);
  udp->queued_bytes -= (uint32_t)footprint(datagram);
  mst__free(stack_of(udp), datagram, footprint(datagram));
  return size;
}

/* --- ICMP --- */

static void take_mtu(mst_udp *udp, const struct mst__icmp_error *icmp) {
  uint32_t least = mst_addr_is_ip4(&icmp->destination) ? MTU_LEAST_IP4 : MTU_LEAST_IP6;
  udp->reported = (struct reported_mtu){
      .destination = icmp->destination,
      .mtu = icmp->mtu < least ? least : icmp->mtu,
      .until_ns = stack_of(udp)->now_ns + MTU_LIFE_NS,
  };
}

/* What a connected socket is told, as by Linux: the kinds that say that sending on is no use. */
static int error_of(enum mst__icmp_kind kind) {
  switch (kind) {
  case MST__ICMP_PORT_UNREACHABLE: return -MST_ECONNREFUSED;
  case MST__ICMP_PROTOCOL_UNREACHABLE: return -MST_ENOPROTOOPT;
  case MST__ICMP_PROHIBITED: return -MST_EHOSTUNREACH;
  case MST__ICMP_PARAMETER_PROBLEM: return -MST_EPROTO;
  case MST__ICMP_TOO_BIG: return -MST_EMSGSIZE;
  default: return 0;
  }
}

void mst__udp_icmp(mst_stack *stack, const struct mst__icmp_error *icmp) {
  mst_udp *udp = find(stack, &icmp->source, icmp->source_port, &icmp->destination, icmp->destination_port);
  if (!udp) return mst__drop(stack, MST_DROP_ICMP);
  if (icmp->kind == MST__ICMP_TOO_BIG) take_mtu(udp, icmp);
  int error = error_of(icmp->kind);
  if (!error || !udp->connected) return;
  udp->error = error;
  mst__stack_notify(stack, &udp->notice);
}

void mst_stack_each_udp(const mst_stack *stack, void (*each)(const struct mst_udp_info *info, void *user), void *user) {
  MST__LIST_EACH(node, &stack->udp.sockets) {
    const mst_udp *udp = MST__CONTAINER(node, mst_udp, node);
    struct mst_udp_info info = {.unread_bytes = udp->queued_bytes};
    mst_udp_local(udp, &info.local);
    if (udp->connected) info.remote = udp->remote;
    each(&info, user);
  }
}
