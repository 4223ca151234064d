#!/bin/sh
# Dependencies run one way: base <- wire <- stack, tcp <- switch, port, os <- control, attach <- host, daemon,
# integrations, addon. Reads every
# #include of the C and C++ sources and says which ones go against it.
#   tools/check-layers.sh [ROOT]
set -eu
cd "${1:-$(dirname "$0")/..}"

find csrc integrations ts/native -name '*.[ch]' -o -name '*.cc' -o -name '*.cpp' | grep -v /node_modules/ | sort |
  xargs grep -HnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]' | awk '
BEGIN {
  # A layer, and the layers that it may include from beside itself.
  may["include"] = ""
  may["base"] = "include"
  may["wire"] = "include base"
  may["stack"] = "include base wire"
  may["tcp"] = "include base wire stack"
  may["switch"] = "include base wire"
  may["port"] = "include base"
  may["os"] = "include"
  may["control"] = "include"
  may["attach"] = "include base control os"
  may["host"] = "include base wire stack tcp switch port os"
  may["daemon"] = "include base wire stack tcp switch port control host os"
  may["posix"] = "include base wire stack tcp switch port host os"
  may["examples"] = "include"
  may["outside"] = "include" # integrations and addon
  # System headers that the pure layers may have.
  pure["include"] = " stdbool.h stddef.h stdint.h "
  core = pure["include"] "string.h stdio.h limits.h stdarg.h inttypes.h arpa/inet.h "
  pure["base"] = pure["wire"] = pure["stack"] = pure["tcp"] = core
}
function layer_of(path, part) {
  split(path, part, "/")
  return part[1] == "csrc" ? part[2] : "outside"
}
function fault(why) {
  printf "%s:%s: %s %s\n", file, line, header, why
  faults++
}
{
  split($0, field, ":")
  file = field[1]; line = field[2]
  match($0, /["<][^">]*[">]/)
  header = substr($0, RSTART, RLENGTH)
  name = substr(header, 2, length(header) - 2)
  system_header = header ~ /^</
  from = layer_of(file)
  includes++
  if (!(from in may)) { fault("is in a folder that has no layer: add it to this check"); next }
  split(name, part, "/")
  if (name ~ /^multistack\//) to = from == "outside" ? "outside" : "include"
  else if (!system_header && part[1] in may && name ~ /\//) to = part[1]
  else to = ""
  if (to == "") {
    if (system_header && from in pure && index(pure[from], " " name " ") == 0) fault("is not for " from)
    if (from != "outside" && name ~ /^(uv|napi|node|node_api|v8|event|ev)(\.h|\/)/) fault("is a loop library or Node")
    if (!system_header && name ~ /\.\.\//) fault("goes up by path: name the layer")
    next
  }
  if (to != from && index(" " may[from] " ", " " to " ") == 0) fault("is above " from)
}
END {
  if (faults) exit 1
  printf "layers: %d includes, all downward\n", includes
}'
