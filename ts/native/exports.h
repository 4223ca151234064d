// The functions of the addon, by what they are about.
#pragma once

#include <node_api.h>
#include <vector>

namespace multistack {

struct Export {
  const char *name;
  napi_callback function;
};

const std::vector<Export> &ConnExports();
const std::vector<Export> &ReportExports();

} // namespace multistack
