/* The control socket: messages at random, floods of them, and rights that nobody has. */
#include "attach/attach_internal.h"
#include "attack.h"
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>

static void random_bytes(uint8_t *out, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) out[i] = (uint8_t)attack_random();
}

/* Rubbish, and messages that are nearly right. */
static void rubbish(void) {
  static uint8_t message[70000];
  static const size_t lengths[] = {0, 1, 7, 8, 9, 20, 28, 32, 48, 64, 100, 200, 4096, 65535};
  while (attack_goes_on()) {
    int fd = mst__control_connect(rig.path, 5000);
    if (fd < 0) continue;
    for (int i = 0; i < 16; i++) {
      size_t bytes = lengths[attack_random() % (sizeof lengths / sizeof *lengths)];
      random_bytes(message, bytes);
      if (attack_random() % 4) message[0] = (uint8_t)(attack_random() % 24), message[1] = message[2] = message[3] = 0;
      if (message[0] == MST__CONTROL_YIELD) continue; /* which root may say */
      int fds[4] = {0, fd, 2, fd};
      unsigned fd_count = attack_random() % 3 ? 0 : (unsigned)(attack_random() % 5);
      /* To give way to another daemon of its own user is its duty. */
      if (message[0] == MST__CONTROL_YIELD && board->same_user) message[0] = MST__CONTROL_HELLO;
      attempted(1);
      if (mst__control_send(fd, message, bytes, fds, fd_count, true)) break;
    }
    close(fd);
  }
}

/* Pages that are larger than the daemon's, and of which there may be none. */
static int huge_region(const struct mst_channel_options *options, struct mst__control_hello *hello) {
  const int64_t huge = 2 << 20;
  int64_t bytes = mst_channel_region_bytes(options);
  int region = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
  hello->arena_bytes += (uint64_t)(huge - bytes % huge);
  bytes += huge - bytes % huge;
  if (region >= 0 && !ftruncate(region, (off_t)bytes))
    fcntl(region, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  return region;
}

static void regions(void) {
  struct mst_channel_options options = {
      .size = sizeof options, .tx_slots = 1024, .rx_slots = 1024, .rx_bytes = 2u << 20, .arena_bytes = 1u << 20};
  while (attack_goes_on()) {
    struct mst__control_hello hello = {.header = {.type = MST__CONTROL_HELLO},
                                       .magic = MST__CONTROL_MAGIC,
                                       .version_first = 1,
                                       .version_last = 1,
                                       .tx_slots = options.tx_slots,
                                       .rx_slots = options.rx_slots,
                                       .rx_bytes = options.rx_bytes,
                                       .arena_bytes = options.arena_bytes};
    int region = -1, fd = mst__control_connect(rig.path, 5000);
    unsigned kind = (unsigned)(attack_random() % 7);
    if (kind == 0) region = open("/dev/zero", O_RDWR | O_CLOEXEC);
    if (kind == 1) region = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (kind == 2 && (region = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING)) >= 0)
      if (ftruncate(region, (off_t)mst_channel_region_bytes(&options))) {
      }
    if (kind == 3) region = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    if (kind == 4) hello.arena_bytes = attack_random(), region = dup(fd);
    if (kind == 5) hello.tx_slots = (uint32_t)attack_random(), hello.rx_bytes = 0, region = dup(fd);
    if (kind == 6) region = huge_region(&options, &hello);
    if (fd >= 0 && region >= 0) mst__control_send(fd, &hello, sizeof hello, &region, 1, true);
    attempted(1);
    if (region >= 0) close(region);
    if (fd >= 0) close(fd);
  }
}

/* Descriptors in messages that have no use for them. */
static void stray_descriptors(void) {
  const struct mst__control_observe observe = {
      .header = {.type = MST__CONTROL_OBSERVE}, .magic = MST__CONTROL_MAGIC, .version_first = 1, .version_last = 1};
  const struct mst__control_hello hello = {.header = {.type = MST__CONTROL_HELLO}};
  while (attack_goes_on()) {
    int fd = mst__control_connect(rig.path, 5000), fds[4] = {fd, fd, fd, fd};
    if (fd < 0) continue;
    if (attack_random() % 2) {
      mst__control_send(fd, &observe, sizeof observe, NULL, 0, true);
      mst__control_send(fd, &hello, sizeof hello, fds, 1, true);
    } else {
      mst__control_send(fd, &hello, 0, fds, 1 + (unsigned)(attack_random() % 4), true);
    }
    attempted(1);
    close(fd);
  }
}

static void connections(void) {
  enum { MANY = 4096 };
  static int fds[MANY];
  while (attack_goes_on()) {
    int count = 0;
    while (count < MANY && attack_goes_on() && (fds[count] = mst__control_connect(rig.path, 5000)) >= 0) count++;
    attempted((uint64_t)count);
    while (count) close(fds[--count]);
  }
}

/* Leases taken and given back, with the answers read: a client that is only busy. */
static void leases(void) {
  mst_attach *attach = hostile_attach();
  struct mst_tuple tuple = {.protocol = MST_TCP};
  mst_addr_parse(VICTIM_ADDR, &tuple.addr);
  while (attach && attack_goes_on()) {
    tuple.port = (uint16_t)(20000 + attack_random() % 1000);
    if (!mst_attach_lease(attach, &tuple)) mst_attach_release(attach, &tuple);
    attempted(1);
    if (!mst_attach_is_up(attach)) attach = hostile_again(attach);
  }
}

/* Questions without end, whose answers nobody reads. */
static void answers_not_read(void) {
  mst_attach *attach = hostile_attach();
  struct mst__control_route question = {.header = {.type = MST__CONTROL_ROUTE}};
  while (attach && attack_goes_on()) {
    if (!mst__control_send(attach->control, &question, sizeof question, NULL, 0, true))
      attempted(1);
    else if (recv(attach->control, &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
      attach = hostile_again(attach);
    else
      sched_yield();
  }
}

/* Tuples of others, in each way that there is to ask for them. Getting one is the victim's wrong. */
static void tuples_of_others(void) {
  mst_attach *attach = hostile_attach();
  static const uint16_t ports[] = {VICTIM_PORT, HONEST_PORT, SERVICE_PORT};
  while (attach && attack_goes_on()) {
    uint8_t protocol = attack_random() % 2 ? MST_TCP : MST_UDP;
    uint16_t port = ports[attack_random() % 3];
    if ((protocol == MST_TCP) != (port == SERVICE_PORT)) continue;
    struct mst__control_lease question = {.header = {.type = MST__CONTROL_LEASE},
                                          .tuple = {.port = port, .protocol = protocol},
                                          .flags = attack_random() % 2 ? MST__CONTROL_CLAIM : 0};
    question.tuple.flags = (uint8_t)(attack_random() % 8);
    mst_addr_parse(attack_random() % 3 ? VICTIM_ADDR : "0.0.0.0", &question.tuple.addr);
    int error = mst__attach_call(attach, &question, sizeof question, MST__CONTROL_LEASED);
    const struct mst__control_leased *answer = (const void *)attach->received.message.bytes;
    if (!error && !answer->error) atomic_fetch_add(&board->victim_wrong, 1);
    struct mst__control_release release = {.header = {.type = MST__CONTROL_RELEASE}, .tuple = question.tuple};
    mst_addr_parse(VICTIM_ADDR, &release.tuple.addr);
    mst__attach_tell(attach, &release, sizeof release);
    attempted(1);
    if (!mst_attach_is_up(attach)) attach = hostile_again(attach);
  }
}

/* All ports that there are. */
static void hoarding(void) {
  while (attack_goes_on()) {
    mst_attach *attach = hostile_attach();
    struct mst_tuple tuple = {.protocol = MST_UDP};
    mst_addr_parse(VICTIM_ADDR, &tuple.addr);
    for (tuple.port = 40000; attach && attack_goes_on() && tuple.port < 60000; tuple.port++) {
      if (mst_attach_lease(attach, &tuple) == -MST_ENETDOWN) break;
      attempted(1);
    }
    mst_attach_close(attach);
  }
}

const struct attack attacks_on_control[] = {
    {"rubbish", "messages at random, with descriptors that nobody wants", rubbish},
    {"regions", "what is no sealed memfd of the right size", regions},
    {"stray descriptors", "descriptors where none are wanted", stray_descriptors},
    {"connections", "thousands of connections that say nothing", connections},
    {"leases", "leases taken and given back without end", leases},
    {"answers not read", "questions whose answers are not read", answers_not_read},
    {"tuples of others", "leases, claims, groups and hand-overs of what others hold", tuples_of_others},
    {"hoarding", "all ports that can be had", hoarding},
    {0}};
