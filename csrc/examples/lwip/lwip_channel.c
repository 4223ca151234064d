#include "lwip_channel.h"

#include <lwip/inet_chksum.h>
#include <lwip/ip.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/sys.h>
#include <lwip/tcpip.h>
#include <string.h>
#include <sys/random.h>

enum { BATCH = 64, IP4_HEADER_BYTES = 20, IP6_HEADER_BYTES = 40 };

/* --- out: netif->output, with the lock, in whatever thread has it --- */

/* The head goes by copy, the rest from the channel's arena, where the switch reads it later. Giving the memory back at
 * once is right: the channel keeps it until the switch has read it, all but the first MST_CHANNEL_FREED_BYTES. */
static int send_copy(mst_channel *channel, const struct pbuf *p) {
  uint8_t head[MST_CHANNEL_INLINE_BYTES];
  u16_t head_bytes = p->tot_len < sizeof head ? p->tot_len : (u16_t)sizeof head;
  u16_t rest_bytes = (u16_t)(p->tot_len - head_bytes);
  size_t room_bytes = MST_CHANNEL_FREED_BYTES + (size_t)rest_bytes;
  struct mst_packet packet = {.len = p->tot_len, .iov_count = 1, .iov = {{head, head_bytes}}};
  uint8_t *room = NULL;
  pbuf_copy_partial(p, head, head_bytes, 0);
  if (rest_bytes) {
    room = mst_channel_alloc(channel, room_bytes);
    if (!room) return -MST_ENOMEM;
    pbuf_copy_partial(p, room + MST_CHANNEL_FREED_BYTES, rest_bytes, head_bytes);
    packet.iov[packet.iov_count++] = (struct mst_iov){room + MST_CHANNEL_FREED_BYTES, rest_bytes};
  }
  int error = mst_channel_send(channel, &packet);
  mst_channel_free(channel, room, room_bytes);
  return error;
}

static void ring(struct lwip_channel *lc) {
  if (!lc->wants_ring) return;
  lc->wants_ring = false;
  lc->ring(lc->ring_ctx);
}

/* lwIP has computed the checksums, so the packet bears no flag. Whether lwIP may send it at all is the switch's to
 * say: it looks at the source tuple, and answers for routes and neighbours. */
static err_t transmit(struct netif *netif, struct pbuf *p) {
  struct lwip_channel *lc = netif->state;
  int error = send_copy(lc->channel, p);
  if (error) {
    lc->ring_full = true;
    return ERR_MEM; /* TCP keeps the segment unsent: tcp_txnow, an ACK or a timer tries again */
  }
  lc->wants_ring = true;
  if (!lc->in_turn) ring(lc);
  return ERR_OK;
}

static err_t output4(struct netif *netif, struct pbuf *p, const ip4_addr_t *next_hop) {
  (void)next_hop;
  return transmit(netif, p);
}

static err_t output6(struct netif *netif, struct pbuf *p, const ip6_addr_t *next_hop) {
  (void)next_hop;
  return transmit(netif, p);
}

/* --- in --- */

/* Where TCP or UDP begins, and where its checksum is; 0: it is neither. */
static size_t find_checksum(const uint8_t *ip, size_t bytes, size_t *checksum_at) {
  bool ip4 = ip[0] >> 4 == 4;
  size_t l3_bytes = ip4 ? (size_t)(ip[0] & 15) * 4 : IP6_HEADER_BYTES;
  uint8_t protocol = ip[ip4 ? 9 : 6];
  *checksum_at = l3_bytes + (protocol == MST_TCP ? 16 : 6);
  if (protocol != MST_TCP && protocol != MST_UDP) return 0;
  return l3_bytes >= IP4_HEADER_BYTES && bytes >= *checksum_at + 2 ? l3_bytes : 0;
}

static void addresses(const uint8_t *ip, ip_addr_t *source, ip_addr_t *destination) {
  memset(source, 0, sizeof *source);
  memset(destination, 0, sizeof *destination);
  if (ip[0] >> 4 == 4) {
    memcpy(ip_2_ip4(source), ip + 12, 4);
    memcpy(ip_2_ip4(destination), ip + 16, 4);
  } else {
    IP_SET_TYPE(source, IPADDR_TYPE_V6);
    IP_SET_TYPE(destination, IPADDR_TYPE_V6);
    memcpy(ip_2_ip6(source)->addr, ip + 8, 16);
    memcpy(ip_2_ip6(destination)->addr, ip + 24, 16);
  }
}

/* A packet that the switch vouches for has perhaps no checksum that could be verified. This lwIP always verifies (it is
 * built without LWIP_CHECKSUM_CTRL_PER_NETIF), so it gets the one that it expects. */
static void complete_checksum(struct pbuf *p) {
  uint8_t *ip = p->payload;
  size_t checksum_at, l3_bytes = find_checksum(ip, p->tot_len, &checksum_at);
  if (!l3_bytes) return;
  bool udp = checksum_at == l3_bytes + 6;
  ip_addr_t source, destination;
  addresses(ip, &source, &destination);
  memset(ip + checksum_at, 0, 2);
  pbuf_remove_header(p, l3_bytes);
  u16_t sum = ip_chksum_pseudo(p, udp ? IP_PROTO_UDP : IP_PROTO_TCP, p->tot_len, &source, &destination);
  pbuf_add_header(p, l3_bytes);
  if (udp && sum == 0) sum = 0xffff; /* RFC 768: zero would mean none */
  memcpy(ip + checksum_at, &sum, 2);
}

/* To 127.0.0.0/8 and ::1 this lwIP sends nothing but to itself, so nobody there can be answered. */
static bool from_loopback(const uint8_t *ip) {
  static const uint8_t loopback6[16] = {[15] = 1};
  return ip[0] >> 4 == 4 ? ip[12] == 127 : !memcmp(ip + 8, loopback6, 16);
}

static bool can_be_taken(const struct mst_packet *packet) {
  const uint8_t *ip = packet->iov[0].base;
  if (packet->len < IP4_HEADER_BYTES || packet->len > MST_PACKET_BYTES_MAX) return false;
  if (ip[0] >> 4 != 4 && (ip[0] >> 4 != 6 || packet->len < IP6_HEADER_BYTES)) return false;
  return !from_loopback(ip);
}

/* A packet of up to 64 KiB in one pbuf: gso_size tells what it was or will be on a wire, and is nothing to a receiver.
 */
static void input(struct lwip_channel *lc, const struct mst_packet *packet) {
  struct pbuf *p = can_be_taken(packet) ? pbuf_alloc(PBUF_RAW, (u16_t)packet->len, PBUF_RAM) : NULL;
  if (!p) {
    lc->dropped++;
    return;
  }
  pbuf_take(p, packet->iov[0].base, (u16_t)packet->len);
  if (packet->flags & (MST_CSUM_PARTIAL | MST_CSUM_VALID)) complete_checksum(p);
  ip_input(p, &lc->wire); /* takes the pbuf, whatever becomes of it */
}

size_t lwip_channel_process(struct lwip_channel *lc) {
  struct mst_packet packets[BATCH];
  size_t total = 0, count;
  LOCK_TCPIP_CORE();
  lc->in_turn = true;
  while (total < LWIP_CHANNEL_TURN && (count = mst_channel_receive(lc->channel, packets, BATCH)) != 0) {
    for (size_t i = 0; i < count; i++) input(lc, &packets[i]);
    mst_channel_release(lc->channel, count);
    lc->wants_ring = true; /* the switch may have waited for the room */
    total += count;
  }
  if (lc->ring_full) {
    lc->ring_full = false;
    tcp_txnow();
  }
  lc->in_turn = false;
  ring(lc);
  UNLOCK_TCPIP_CORE();
  return total;
}

/* --- life --- */

/* No ARP, no neighbour discovery, no multicast: a channel carries IP packets, and layer 2 is the switch's. */
static err_t set_up(struct netif *netif) {
  netif->name[0] = 'm';
  netif->name[1] = 's';
  netif->output = output4;
  netif->output_ip6 = output6;
  netif->flags = NETIF_FLAG_LINK_UP;
  return ERR_OK;
}

static void add_netif(struct lwip_channel *lc, struct netif *netif, const ip4_addr_t *addr, const ip4_addr_t *mask,
                      uint32_t mtu) {
  netif_add(netif, addr, mask, NULL, lc, set_up, ip_input);
  netif->mtu = netif->mtu6 = (u16_t)mtu;
  netif_set_ip6_autoconfig_enabled(netif, 0);
  netif_set_up(netif);
  netif->rs_count = 0; /* no router solicitations, which the switch would refuse */
}

static void add_netifs(struct lwip_channel *lc, const struct lwip_channel_options *options) {
  ip_addr_t addr4 = lwip_channel_addr(&options->addr4), addr6 = lwip_channel_addr(&options->addr6);
  uint32_t mtu = options->mtu ? options->mtu : 1500;
  ip4_addr_t host_mask, dummy;
  IP4_ADDR(&host_mask, 255, 255, 255, 255);
  IP4_ADDR(&dummy, 192, 0, 0, 8); /* RFC 7600: an address that stands for none */
  add_netif(lc, &lc->self, ip_2_ip4(&addr4), &host_mask, mtu);
  if (!mst_addr_is_any(&options->addr6)) {
    netif_ip6_addr_set(&lc->self, 0, ip_2_ip6(&addr6));
    netif_ip6_addr_set_state(&lc->self, 0, IP6_ADDR_PREFERRED);
  }
  /* Added last, it is asked first for a route, and everything is on its network, our own address included. */
  add_netif(lc, &lc->wire, &dummy, IP4_ADDR_ANY4, mtu);
  netif_set_default(&lc->wire);
}

static void started(void *semaphore) {
  sys_sem_signal(semaphore);
}

static void start_lwip(void) {
  sys_sem_t semaphore;
  unsigned seed;
  if (getrandom(&seed, sizeof seed, 0) == sizeof seed) srand(seed); /* LWIP_RAND is rand() */
  sys_sem_new(&semaphore, 0);
  tcpip_init(started, &semaphore);
  sys_arch_sem_wait(&semaphore, 0);
  sys_sem_free(&semaphore);
}

ip_addr_t lwip_channel_addr(const struct mst_addr *addr) {
  ip_addr_t out = *IP_ADDR_ANY;
  if (mst_addr_is_ip4(addr)) {
    memcpy(ip_2_ip4(&out), addr->bytes + 12, 4);
    return out;
  }
  IP_SET_TYPE(&out, IPADDR_TYPE_V6);
  memcpy(ip_2_ip6(&out)->addr, addr->bytes, 16);
  return out;
}

int lwip_channel_open(struct lwip_channel *lc, const struct lwip_channel_options *options) {
  if (mst_addr_is_loopback(&options->addr4) || mst_addr_is_loopback(&options->addr6)) return -MST_EADDRNOTAVAIL;
  memset(lc, 0, sizeof *lc);
  lc->channel = options->channel;
  lc->ring = options->ring;
  lc->ring_ctx = options->ring_ctx;
  start_lwip();
  LOCK_TCPIP_CORE();
  add_netifs(lc, options);
  UNLOCK_TCPIP_CORE();
  return 0;
}

struct tcp_pcb *lwip_channel_tcp(struct lwip_channel *lc, const struct mst_addr *addr, uint16_t port) {
  ip_addr_t local = lwip_channel_addr(addr);
  struct tcp_pcb *pcb = tcp_new_ip_type(IP_GET_TYPE(&local));
  if (!pcb) return NULL;
  tcp_bind_netif(pcb, &lc->wire);
  if (tcp_bind(pcb, &local, port) == ERR_OK) return pcb;
  tcp_abort(pcb);
  return NULL;
}
