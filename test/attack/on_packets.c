/* Packets that no channel may send: each is well placed in the ring, and wrong. The first six are the faults of the
 * original of 2014. */
#include "attack.h"
#include <pthread.h>

static void another_channels_tuple(void) {
  const struct forged packets[] = {forge(VICTIM_ADDR, HONEST_PORT, VICTIM_ADDR, VICTIM_PORT),
                                   forge(VICTIM_ADDR, SERVICE_PORT, VICTIM_ADDR, VICTIM_PORT)};
  hostile_flood(packets, 2);
}

static void nobodys_tuple(void) {
  const struct forged packets[] = {forge(VICTIM_ADDR, 4, VICTIM_ADDR, VICTIM_PORT),
                                   forge(WIRE_ADDR, 4242, OUTSIDE_ADDR, 53), forge("8.8.8.8", 53, OUTSIDE_ADDR, 53),
                                   forge(OUTSIDE_ADDR, 53, VICTIM_ADDR, VICTIM_PORT)};
  hostile_flood(packets, 4);
}

static void without_a_lease(void) {
  const struct forged packet = forge(VICTIM_ADDR, HONEST_PORT, VICTIM_ADDR, VICTIM_PORT);
  struct mst_attach_options options = {.size = sizeof options, .path = rig.path, .name = "hostile"};
  options.channel = (struct mst_channel_options){.size = sizeof options.channel, .arena_bytes = 1u << 20};
  while (attack_goes_on()) {
    mst_attach *attach;
    if (mst_attach_open(&options, &attach, NULL)) continue;
    while (hostile_send(attach, &packet)) {
    }
    mst_attach_close(attach);
  }
}

/* What is validated is not what is sent, if it is read twice: a second thread goes on writing to the ring. */
struct twice {
  struct mst__tx_slot *slots;
  uint32_t count;
  atomic_bool stop;
};

static void *rewrite(void *user) {
  struct twice *twice = user;
  while (!atomic_load_explicit(&twice->stop, memory_order_relaxed)) {
    for (uint32_t i = 0; i < twice->count; i++) {
      volatile uint8_t *port = twice->slots[i].bytes + 20;
      port[0] = HONEST_PORT >> 8, port[1] = HONEST_PORT & 0xff;
      port[0] = HOSTILE_PORT >> 8, port[1] = HOSTILE_PORT & 0xff;
    }
  }
  return NULL;
}

static void changed_while_it_is_read(void) {
  /* To a tuple of its own, so that what is right does not count as the victim's wrong. */
  struct forged packet = forge(VICTIM_ADDR, HOSTILE_PORT, VICTIM_ADDR, HOSTILE_PORT);
  mst_attach *attach = hostile_attach();
  while (attach && attack_goes_on()) {
    const struct mst__channel_geometry *g = mst__channel_geometry(mst_attach_channel(attach));
    struct twice twice = {.slots = mst__tx_ring(g), .count = g->tx_slots};
    pthread_t thread;
    if (pthread_create(&thread, NULL, rewrite, &twice)) rig_fail("thread");
    while (hostile_send(attach, &packet)) {
      struct mst_packet got[64];
      size_t count = mst_channel_receive(mst_attach_channel(attach), got, 64);
      for (size_t i = 0; i < count; i++) {
        const uint8_t *port = (const uint8_t *)got[i].iov[0].base + 20;
        if ((port[0] << 8 | port[1]) != HOSTILE_PORT) atomic_fetch_add(&board->victim_wrong, 1);
      }
      mst_channel_release(mst_attach_channel(attach), count);
    }
    atomic_store(&twice.stop, true);
    pthread_join(thread, NULL);
    attach = hostile_again(attach);
  }
}

static void fragments(void) {
  struct forged packets[4];
  for (int i = 0; i < 4; i++) packets[i] = forge(VICTIM_ADDR, HOSTILE_PORT, VICTIM_ADDR, VICTIM_PORT);
  packets[0].bytes[6] = 0x20;                             /* the first of several */
  packets[1].bytes[6] = 0x20, packets[1].bytes[7] = 1;    /* one in the middle */
  packets[2].bytes[6] = 0, packets[2].bytes[7] = 185;     /* the last */
  packets[3].bytes[6] = 0x3f, packets[3].bytes[7] = 0xff; /* past the end of all packets */
  for (int i = 0; i < 4; i++) forged_checksum(&packets[i]);
  hostile_flood(packets, 4);
}

static void ip6_forged(void) {
  struct forged packets[] = {forge6("::1", HONEST_PORT, "::1", VICTIM_PORT),
                             forge6("fd07::1", 53, "fd07::2", 53),
                             forge6("::ffff:127.0.0.1", HOSTILE_PORT, "::ffff:127.0.0.1", VICTIM_PORT),
                             forge6("ff02::1", 1, "fd07::2", 53),
                             forge6("::", HOSTILE_PORT, "fd07::2", 53),
                             forge6("fd07::1", HOSTILE_PORT, "fd07::2", 53),
                             forge6("fd07::1", HOSTILE_PORT, "fd07::2", 53)};
  packets[5].bytes[6] = 44; /* a fragment header follows */
  packets[6].bytes[6] = 43; /* a routing header follows */
  hostile_flood(packets, 7);
}

static void malformed_headers(void) {
  struct forged packets[8];
  for (int i = 0; i < 8; i++) packets[i] = forge(VICTIM_ADDR, HOSTILE_PORT, VICTIM_ADDR, VICTIM_PORT);
  packets[0].bytes[0] = 0x55;  /* version 5 */
  packets[1].bytes[0] = 0x44;  /* a header of 16 bytes */
  packets[2].bytes[0] = 0x4f;  /* one longer than the packet */
  packets[3].bytes[2] = 0xff;  /* total length past the end */
  packets[4].bytes[3] = 20;    /* and before it */
  packets[5].bytes[10] ^= 1;   /* checksum */
  packets[6].bytes[8] = 0;     /* no time to live */
  packets[7].bytes[24] = 0xff; /* UDP's length */
  for (int i = 0; i < 8; i++)
    if (i != 5) forged_checksum(&packets[i]);
  hostile_flood(packets, 8);
}

static void too_short(void) {
  struct forged packets[36];
  for (uint32_t i = 0; i < 36; i++) {
    packets[i] = forge(VICTIM_ADDR, HOSTILE_PORT, VICTIM_ADDR, VICTIM_PORT);
    packets[i].len = i;
  }
  hostile_flood(packets, 36);
}

static void source_routing(void) {
  static const uint8_t options[3][4] = {{131, 3, 4, 0}, {137, 3, 4, 0}, {148, 4, 0, 0}};
  struct forged packets[3];
  for (int i = 0; i < 3; i++) {
    packets[i] = forge(VICTIM_ADDR, HOSTILE_PORT, VICTIM_ADDR, VICTIM_PORT);
    memmove(packets[i].bytes + 24, packets[i].bytes + 20, 16);
    memcpy(packets[i].bytes + 20, options[i], 4);
    packets[i].bytes[0] = 0x46;
    packets[i].bytes[3] = 40;
    packets[i].len = 40;
    uint32_t sum = 0;
    packets[i].bytes[10] = packets[i].bytes[11] = 0;
    for (int at = 0; at < 24; at += 2) sum += (uint32_t)(packets[i].bytes[at] << 8 | packets[i].bytes[at + 1]);
    sum = ~((sum & 0xffff) + (sum >> 16));
    packets[i].bytes[10] = (uint8_t)(sum >> 8), packets[i].bytes[11] = (uint8_t)sum;
  }
  hostile_flood(packets, 3);
}

static void nobodys_address(void) {
  static const char *const sources[] = {"255.255.255.255", "224.0.0.1", "0.0.0.0", "10.7.0.255", "240.0.0.1"};
  struct forged packets[10];
  for (int i = 0; i < 5; i++) {
    packets[i] = forge(sources[i], HOSTILE_PORT, VICTIM_ADDR, VICTIM_PORT);
    packets[5 + i] = forge(sources[i], HOSTILE_PORT, OUTSIDE_ADDR, 53);
  }
  hostile_flood(packets, 10);
}

static void other_protocols(void) {
  static const uint8_t protocols[] = {1, 2, 4, 41, 47, 50, 58, 89, 132, 255};
  struct forged packets[20];
  for (int i = 0; i < 10; i++) {
    packets[i] = forge(VICTIM_ADDR, HOSTILE_PORT, VICTIM_ADDR, VICTIM_PORT);
    packets[10 + i] = forge(WIRE_ADDR, HOSTILE_PORT, OUTSIDE_ADDR, 53);
    packets[i].bytes[9] = packets[10 + i].bytes[9] = protocols[i];
    packets[i].bytes[20] = packets[10 + i].bytes[20] = 3; /* as ICMP: destination unreachable */
    forged_checksum(&packets[i]);
    forged_checksum(&packets[10 + i]);
  }
  hostile_flood(packets, 20);
}

static void segments_that_stand_for_many(void) {
  struct forged packets[4];
  for (int i = 0; i < 4; i++) packets[i] = forge(VICTIM_ADDR, HONEST_PORT, VICTIM_ADDR, VICTIM_PORT);
  packets[0].gso_size = 1;
  packets[1].gso_size = 65535, packets[1].flags = 0;
  packets[2].gso_size = 7, packets[2].flags = 0xff;
  packets[3].gso_size = 48;
  hostile_flood(packets, 4);
}

/* Nothing is wrong with these, but that there is no end of them, and that they are for the service. */
static void a_flood_at_the_service(void) {
  struct forged packet = forge(VICTIM_ADDR, HOSTILE_PORT, VICTIM_ADDR, SERVICE_PORT);
  packet.bytes[9] = MST_TCP;
  packet.bytes[3] = 40;
  packet.len = 40;
  forged_checksum(&packet);
  memset(packet.bytes + 24, 0, 16);
  packet.bytes[32] = 0x50; /* 20 bytes of header */
  packet.bytes[33] = 2;    /* SYN */
  hostile_flood(&packet, 1);
}

const struct attack attacks_on_packets[] = {
    {"another channel's tuple", "the source is what another channel holds", another_channels_tuple},
    {"nobody's tuple", "the source is held by nobody, or is another host's", nobodys_tuple},
    {"without a lease", "a channel that holds nothing sends", without_a_lease},
    {"changed while it is read", "a thread rewrites the ring while the switch validates", changed_while_it_is_read},
    {"fragments", "fragments of all kinds", fragments},
    {"IPv6", "forged sources, mapped addresses, fragment and routing headers", ip6_forged},
    {"malformed headers", "version, lengths, checksum, time to live", malformed_headers},
    {"too short", "packets of 0 to 35 bytes", too_short},
    {"source routing", "IP options", source_routing},
    {"nobody's address", "broadcast, multicast and reserved sources", nobodys_address},
    {"other protocols", "ICMP, GRE, ESP, SCTP ...", other_protocols},
    {"segments for many", "sizes and flags of segmentation that contradict themselves", segments_that_stand_for_many},
    {"a flood at the service", "SYNs from its own tuple, as many as it can", a_flood_at_the_service},
    {0}};
