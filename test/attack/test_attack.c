/* test_attack [--seconds N] [NAME]: every attack, or one, for so long each. Without root there is no wire to watch. */
#include "attack.h"
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>

/* With sanitizers the attackers and the daemon are too slow to say what is fair, and what is freed stays for a while.
 */
#ifdef __SANITIZE_ADDRESS__
enum { COSTS_COUNT = 0 };
#else
enum { COSTS_COUNT = 1 };
#endif

struct board *board;
struct daemon_rig rig;

static double seconds = 1.5;
static int outside = -1; /* the namespace at the other end of the veth */

enum { WATCHERS = 4, NOBODY = 65534 };
static pid_t watchers[WATCHERS];

static void run(const char *command) {
  if (system(command)) rig_fail(command);
}

/* A veth between a namespace of ours and one beside it. False: not permitted. */
static bool make_wire(void) {
  if (geteuid() || unshare(CLONE_NEWNET)) return false;
  outside = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (unshare(CLONE_NEWNET)) return false;
  char command[256];
  run("ip link set lo up");
  snprintf(command, sizeof command, "ip link add here0 type veth peer name there0 netns /proc/%d/fd/%d", getpid(),
           outside);
  run(command);
  run("ip addr add " WIRE_ADDR "/24 dev here0; ip addr add fd07::1/64 dev here0 nodad; ip link set here0 up");
  int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (setns(outside, CLONE_NEWNET)) rig_fail("setns");
  run("ip addr add " OUTSIDE_ADDR "/24 dev there0; ip link set there0 up");
  if (setns(here, CLONE_NEWNET)) rig_fail("setns");
  close(here);
  run("ip neigh replace " OUTSIDE_ADDR " dev here0 lladdr 02:00:00:00:00:02"); /* so that a packet can leave at once */
  return true;
}

static void rest(double s) {
  struct timespec time = {(time_t)s, (long)((s - (double)(time_t)s) * 1e9)};
  nanosleep(&time, NULL);
}

static void start_watchers(void) {
  watchers[0] = app_process(watch_victim, NULL);
  watchers[1] = app_process(watch_service, NULL);
  watchers[2] = app_process(watch_client, NULL);
  watchers[3] = outside >= 0 ? app_process(watch_wire, &outside) : 0;
}

static bool watchers_end_well(void) {
  bool well = true;
  atomic_store(&board->over, true);
  for (int i = 0; i < WATCHERS; i++)
    if (watchers[i]) well &= app_ended_well(watchers[i]);
  return well;
}

/* Requests a second while `attack` goes on, or nothing does. */
static double service_rate(void (*attack)(void)) {
  pid_t hostile = 0;
  atomic_store(&board->stop, false);
  atomic_store(&board->worst_ns, 0);
  if (attack && !(hostile = fork())) {
    /* Another user than the others, and last in the scheduler's eyes, which is not what is tried here. */
    if (!board->same_user && (setgid(NOBODY) || setuid(NOBODY))) rig_fail("setuid");
    if (nice(19) < 0) rig_fail("nice");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    attack();
    _exit(0);
  }
  uint64_t served = atomic_load(&board->served), start_ns = attack_now_ns();
  rest(seconds);
  double rate = (double)(atomic_load(&board->served) - served) * 1e9 / (double)(attack_now_ns() - start_ns);
  atomic_store(&board->stop, true);
  if (hostile) waitpid(hostile, NULL, 0);
  return rate;
}

/* Bytes of memory of the daemon. */
static long daemon_memory(void) {
  char path[64];
  long pages = 0, ignored;
  snprintf(path, sizeof path, "/proc/%d/statm", rig.pid);
  FILE *file = fopen(path, "r");
  if (file && fscanf(file, "%ld %ld", &ignored, &pages) != 2) pages = 0;
  if (file) fclose(file);
  return pages * 4096;
}

/* What it has open. */
static long daemon_descriptors(void) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/fd", rig.pid);
  DIR *folder = opendir(path);
  if (!folder) return 0;
  long count = 0;
  while (readdir(folder)) count++;
  closedir(folder);
  return count;
}

static bool judge(const struct attack *attack, double rate, double usual) {
  unsigned long long victim = atomic_exchange(&board->victim_wrong, 0), wire = atomic_exchange(&board->wire_wrong, 0);
  unsigned long long attempts = atomic_exchange(&board->attempts, 0);
  bool alive = waitpid(rig.pid, NULL, WNOHANG) == 0;
  bool well = alive && !victim && !wire && (!COSTS_COUNT || rate >= 0.9 * usual) && attempts;
  printf("%-4s %-28s %10llu tried, service %3.0f %%, worst %4.0f ms%s%s%s\n", well ? "ok" : "FAIL", attack->name,
         attempts, 100 * rate / usual, (double)atomic_load(&board->worst_ns) / 1e6, alive ? "" : "; the daemon died",
         victim ? "; it got at another channel" : "", wire ? "; it got at the wire" : "");
  fflush(stdout);
  return well;
}

static bool attack_all(const struct attack *attacks, const char *only, double usual, unsigned *count) {
  bool well = true;
  for (; attacks->name; attacks++) {
    if (only && strcmp(only, attacks->name)) continue;
    well &= judge(attacks, service_rate(attacks->run), usual);
    ++*count;
  }
  return well;
}

int main(int argc, char **argv) {
  const char *only = NULL;
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--seconds") && i + 1 < argc)
      seconds = strtod(argv[++i], NULL);
    else
      only = argv[i];
  }
  board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (board == MAP_FAILED) rig_fail("mmap");
  board->same_user = geteuid() != 0;
  bool wire = make_wire();
  static const char *const ports[] = {"--port", "xdp:here0", NULL};
  daemon_open(&rig, wire ? ports : NULL);
  start_watchers();
  double usual = service_rate(NULL);
  long memory = daemon_memory(), descriptors = daemon_descriptors();
  unsigned count = 0;
  bool well = attack_all(attacks_on_packets, only, usual, &count);
  well &= attack_all(attacks_on_rings, only, usual, &count);
  well &= attack_all(attacks_on_control, only, usual, &count);
  bool calm = service_rate(NULL) >= 0.9 * usual || !COSTS_COUNT; /* nothing lasts */
  well &= calm && watchers_end_well() && atomic_load(&board->victim_right);
  memory = daemon_memory() - memory;
  descriptors = daemon_descriptors() - descriptors;
  printf("%u attacks, %.0f requests a second without; the daemon grew by %ld KB and %ld descriptors%s%s\n", count,
         usual, memory >> 10, descriptors, calm ? "" : "; the service did not come back",
         wire ? "" : "; no root: no wire was watched");
  if (!COSTS_COUNT) puts("with sanitizers: the service's rate and the daemon's memory were not judged");
  daemon_close(&rig);
  return well && count && (!COSTS_COUNT || memory < (64l << 20)) && descriptors < 16 ? 0 : 1;
}
