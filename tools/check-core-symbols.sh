#!/bin/sh
# The core has no clock, no I/O, no memory and no randomness of its own: what its archive takes from outside is this
# list and nothing else.
#   tools/check-core-symbols.sh build/csrc/libmultistack_core.a
set -eu
archive=${1:?usage: check-core-symbols.sh ARCHIVE}

# Pure functions of libc; the forms that compilers turn them into; what -fstack-protector and sanitizers call.
allowed='memcpy|memmove|memset|memcmp|memchr|bcmp|strlen|strcmp|strncmp|snprintf|vsnprintf|inet_pton|inet_ntop'
compiler="__(memcpy|memmove|memset|snprintf|vsnprintf)_chk|__stack_chk_(fail|guard)|_GLOBAL_OFFSET_TABLE_|__(asan|ubsan|sanitizer|sancov|gcov|llvm)_.*|__start___sancov.*|__stop___sancov.*"

lists=$(mktemp -d)
trap 'rm -rf "$lists"' EXIT
nm --defined-only "$archive" | awk 'NF == 3 { print $3 }' | sort -u >"$lists/defined"
nm -u "$archive" | awk '$1 == "U" || $1 == "w" { print $2 }' | sort -u >"$lists/wanted"
comm -13 "$lists/defined" "$lists/wanted" >"$lists/outside"
if grep -vxE "$allowed|$compiler" "$lists/outside" >"$lists/forbidden"; then
  for symbol in $(cat "$lists/forbidden"); do
    echo "the core must not call $symbol:" >&2
    nm -uA "$archive" | grep -E " [Uw] $symbol\$" | sed 's/^/  /' >&2
  done
  exit 1
fi
echo "core: $(wc -l <"$lists/defined") symbols defined, $(wc -l <"$lists/outside") taken from outside, all of them pure"
