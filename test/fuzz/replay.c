/* Stands in for libFuzzer where it is not linked: runs a target over each file of a folder, so that the corpus is a
 * regression test in every build. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) return -1;
  static uint8_t bytes[1 << 20];
  size_t size = fread(bytes, 1, sizeof bytes, file);
  fclose(file);
  /* An allocation of the exact size lets a sanitizer see reads past the end. */
  uint8_t *exact = malloc(size ? size : 1);
  if (!exact) return -1;
  for (size_t i = 0; i < size; i++) exact[i] = bytes[i];
  LLVMFuzzerTestOneInput(exact, size);
  free(exact);
  return 0;
}

int main(int argc, char **argv) {
  int runs = 0;
  for (int i = 1; i < argc; i++) {
    DIR *folder = opendir(argv[i]);
    if (!folder) {
      runs += run_file(argv[i]) == 0;
      continue;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
      if (entry->d_name[0] == '.') continue;
      char path[1024];
      snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
      runs += run_file(path) == 0;
    }
    closedir(folder);
  }
  printf("%d inputs\n", runs);
  return 0;
}
