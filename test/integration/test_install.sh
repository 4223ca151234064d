#!/bin/bash
# Installs into a fresh prefix and builds the libuv echo server as a stranger would: by pkg-config, statically by
# pkg-config, and by find_package. Then each is asked to say what it can do.
set -euo pipefail
: "${BUILD:?the build directory}"

examples=$(cd "$(dirname "$0")/../../integrations/libuv/examples" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix

if [ ! -e "$BUILD/integrations/libuv/multistack-uv.pc" ]; then
  echo "libuv is not installed: nothing to test"
  exit 77
fi
cmake --build "$BUILD" --target multistack multistack_static multistackd multistack_uv multistack_uv_static
cmake -DCMAKE_INSTALL_LOCAL_ONLY=ON -DCMAKE_INSTALL_PREFIX="$prefix" -P "$BUILD/csrc/cmake_install.cmake"
cmake -DCMAKE_INSTALL_LOCAL_ONLY=ON -DCMAKE_INSTALL_PREFIX="$prefix" -P "$BUILD/integrations/libuv/cmake_install.cmake"

libdir=$(dirname "$(find "$prefix" -name libmultistack.so -print -quit)")
export PKG_CONFIG_PATH=$libdir/pkgconfig LD_LIBRARY_PATH=$libdir
flags=(-std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror)
# A sanitizer build needs the same of who links it.
if grep -q '^MULTISTACK_SANITIZE:BOOL=ON' "$BUILD/CMakeCache.txt"; then flags+=(-fsanitize=address,undefined); fi

echo "== pkg-config"
cd "$work"
# The .pc files name the prefix of the configuration; pkg-config moves it to where they lie.
read -ra uv <<< "$(pkg-config --define-prefix --cflags multistack-uv)"
read -ra libs <<< "$(pkg-config --define-prefix --libs multistack-uv)"
cc "${flags[@]}" "${uv[@]}" -DOS_STACK -c "$examples/echo.c" -o echo_os.o
cc "${flags[@]}" "${uv[@]}" "$examples/main.c" "$examples/echo.c" echo_os.o "${libs[@]}" -o echo
./echo --help | grep -q -- --listen

echo "== the README's program"
awk '/^## A first program in C/ {section = 1} section && /^```$/ {exit} section && code {print}
     section && /^```c$/ {code = 1}' "$examples/../../../README.md" > hello.c
cc "${flags[@]}" "${uv[@]}" hello.c "${libs[@]}" -o hello

echo "== pkg-config --static"
read -ra libs <<< "$(pkg-config --define-prefix --static --libs multistack-uv)"
cc "${flags[@]}" "${uv[@]}" "$examples/main.c" "$examples/echo.c" echo_os.o \
  "$libdir/libmultistack-uv.a" "$libdir/libmultistack.a" "${libs[@]}" -o echo_static
./echo_static --help | grep -q -- --listen

echo "== find_package"
cmake -S "$examples" -B "$work/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_FLAGS="${flags[*]}"
cmake --build "$work/build" --target uv-echo
"$work/build/uv-echo" --help | grep -q -- --listen

echo "== the daemon"
"$prefix/sbin/multistackd" --check --config "$prefix/share/doc/multistack/multistackd.conf"
[ -e "$prefix/share/man/man8/multistackd.8" ]
grep -q ^ExecStart=/ "$prefix/lib/systemd/system/multistackd.service"
grep -q '^u multistack ' "$prefix/lib/sysusers.d/multistackd.conf"

echo "== only public names are exported"
for library in libmultistack.so libmultistack-uv.so; do
  if nm -D --defined-only "$libdir/$library" | awk '{print $3}' | grep -v '^mst_[a-z]'; then
    echo "$library exports a name that is not mst_..."
    exit 1
  fi
done

echo "== a refusal is one line and says what to do"
if ./echo --port xdp:no-such-device 2> refusal; then exit 1; fi
[ "$(wc -l < refusal)" = 1 ]
grep -q no-such-device refusal
