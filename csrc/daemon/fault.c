/* Channels that cannot go on: those whose memory fails, and those that are abused.
 *
 * A region is memory that an app has made, and touching it may fail: no page to be had, or of a file system that is
 * full. The kernel says so by SIGBUS, in the middle of a copy. The handler puts a page of zeroes there, so that the
 * copy goes on, and marks the app's channel, which is closed after the batch. Where the region has pages of another
 * size (a memfd may have huge ones), zeroes take the place of all of it. */
#include "daemon.h"
#include "host/host_internal.h"
#include <errno.h>
#include <sys/mman.h>

#define PAGE_BYTES ((uintptr_t)4096)

static struct mst__daemon *caught; /* a signal handler has no other way to know */

static struct mst__client *client_of(const uint8_t *address) {
  MST__LIST_EACH(node, &caught->clients) {
    struct mst__client *client = MST__CONTAINER(node, struct mst__client, node);
    if (client->region && address >= client->region && address < client->region + client->region_bytes) return client;
  }
  return NULL;
}

static bool put_zeroes(uint8_t *at, size_t bytes) {
  return mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) !=
         MAP_FAILED;
}

static void on_fault(int number, siginfo_t *info, void *context) {
  int saved = errno;
  struct mst__client *client = client_of(info->si_addr);
  uint8_t *page = (uint8_t *)((uintptr_t)info->si_addr & ~(PAGE_BYTES - 1));
  (void)context;
  if (!client || (!put_zeroes(page, PAGE_BYTES) && !put_zeroes(client->region, client->region_bytes))) {
    signal(number, SIG_DFL); /* a fault of our own: it comes again and ends the daemon */
    return;
  }
  client->broken = 1;
  errno = saved;
}

int mst__fault_catch(struct mst__daemon *daemon) {
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  caught = daemon;
  return sigaction(SIGBUS, &action, NULL) ? -errno : 0;
}

void mst__fault_close_channels(struct mst__daemon *daemon) {
  for (struct mst__list *at = daemon->clients.next, *next; at != &daemon->clients; at = next) {
    next = at->next;
    struct mst__client *client = MST__CONTAINER(at, struct mst__client, node);
    if (client->kind != MST__CLIENT_APP) continue;
    if (client->broken)
      MST__CLIENT_LOG(client, MST_LOG_WARN,
                      "closed: memory of its region could not be had; give it more, or less to do");
    else if (mst_switch_is_abusive(daemon->sw, client->id))
      MST__CLIENT_LOG(client, MST_LOG_WARN, "closed: it went on sending what no honest stack sends; see its drops");
    else
      continue;
    mst__client_close(client);
  }
}
