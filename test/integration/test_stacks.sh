#!/bin/bash
# Four kinds of stack on one address at the same time, over multistackd: lwIP, UTCP, the OS's and a generator of raw
# packets. Clients of the OS stack ask all of them, from the same host over lo and from another over a veth.
set -euo pipefail
: "${BUILD:?the build directory}"
daemon=$BUILD/csrc/multistackd
uv_http=$BUILD/integrations/libuv/examples/uv-http
lwip_http=$BUILD/csrc/examples/lwip/lwip-http
raw_udp=$BUILD/csrc/examples/raw-udp
here=$(dirname "$(realpath "$0")")

skip() {
  echo "$1"
  exit 77
}
[ -x "$lwip_http" ] || skip "liblwip-dev is not installed: there is no second kind of stack to test"
[ -x "$uv_http" ] || skip "libuv is not installed: there is no program for our own stack"
[ "$(id -u)" = 0 ] || skip "needs root: it makes network namespaces and opens AF_XDP"
if [ -z "${INSIDE:-}" ]; then INSIDE=1 exec unshare --net --mount-proc --fork --pid --kill-child bash "$0"; fi

work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
mkfifo "$work/listens"
head -c 1048576 /dev/urandom > "$work/lwip"
head -c 1048576 /dev/urandom > "$work/os"
echo 'Hello from a user-space TCP stack.' > "$work/utcp"

# start PROGRAM ARGUMENTS...: returns when it listens.
start() {
  "$@" > "$work/listens" &
  started=$!
  read -r line < "$work/listens"
  [ "$line" = listening ]
}

# The network: this host is 10.7.0.1, another one 10.7.0.2.
ip link set lo up
unshare --net sh -c 'echo listening; exec sleep infinity' > "$work/listens" &
other=$!
read -r line < "$work/listens"
elsewhere() { nsenter --target "$other" --net "$@"; }
ip link add stacks0 type veth peer name other0 netns "$other"
ip addr add 10.7.0.1/24 dev stacks0
ip addr add fd07::1/64 dev stacks0 nodad
ip link set stacks0 up
elsewhere sh -c 'ip link set lo up; ip addr add 10.7.0.2/24 dev other0; ip addr add fd07::2/64 dev other0 nodad; ip link set other0 up'
devices() { ip -d link show lo; ip -d link show stacks0; sysctl net.ipv4.conf.lo; } 2> /dev/null
before=$(devices)

# start_daemon NAME: returns when it serves; what it says goes on to be seen.
start_daemon() {
  mkfifo "$work/$1"
  "$daemon" --port xdp:lo --port xdp:stacks0 --socket "$work/control" 2> "$work/$1" &
  multistackd=$!
  exec 3< "$work/$1"
  line=
  until [[ $line == *" $work/control"* ]]; do
    read -r line <&3
    echo "$line"
  done
  cat <&3 &
  exec 3<&-
}
start_daemon first
start "$lwip_http" --daemon "$work/control" --listen 10.7.0.1:8090 "$work/lwip"
lwip=$started
MULTISTACK=unix:$work/control start "$uv_http" --listen 10.7.0.1:8091
utcp=$started
start node "$here/os_peers.mjs" "$work/os" http:10.7.0.1:8092 udp:10.7.0.1:8093
start nsenter --target "$other" --net node "$here/os_peers.mjs" "$work/os" udp:10.7.0.2:8093

# fetch STACK ADDR:PORT [PREFIX]: the body is what this stack alone has.
fetch() {
  ${3:-} curl --silent --show-error --fail --max-time 20 --output "$work/got" "http://$2/"
  [ "$(sha256sum < "$work/got")" = "$(sha256sum < "$work/$1")" ]
}

# ask_all [PREFIX]: many connections to each stack, side by side, and raw packets between them.
ask_all() {
  local udp=10.7.0.1:8093
  if [ -n "${1:-}" ]; then udp=10.7.0.2:8093; fi
  "$raw_udp" --daemon "$work/control" --from 10.7.0.1:8094 --to $udp --count 1000 &
  ${1:-} curl --no-progress-meter --fail --max-time 20 --parallel --parallel-immediate \
    --output "$work/lwip#1" "http://10.7.0.1:8090/[1-8]" --output "$work/utcp#1" "http://10.7.0.1:8091/[1-8]" \
    --output "$work/os#1" "http://10.7.0.1:8092/[1-8]"
  wait $!
  for stack in lwip utcp os; do
    for i in 1 2 3 4 5 6 7 8; do cmp "$work/$stack" "$work/$stack$i"; done
    rm "$work/$stack"[1-8]
  done
}

for prefix in "" elsewhere; do
  echo "== lwIP, UTCP and the OS's stack, asked from ${prefix:-here}"
  fetch lwip 10.7.0.1:8090 $prefix
  fetch utcp 10.7.0.1:8091 $prefix
  fetch os 10.7.0.1:8092 $prefix
  ask_all $prefix
done

# refused PROGRAM ARGUMENTS...: it fails, and says that the address is in use.
refused() {
  if "$@" > "$work/refusal" 2>&1; then return 1; fi
  grep --quiet --ignore-case 'address already in use' "$work/refusal"
}

echo "== lwIP over IPv6"
start "$lwip_http" --daemon "$work/control" --listen [fd07::1]:8090 "$work/lwip"
fetch lwip [fd07::1]:8090
fetch lwip [fd07::1]:8090 elsewhere

echo "== lwIP goes on sending when multistackd is killed and another one comes"
mkfifo "$work/body"
elsewhere curl --silent --show-error --fail --max-time 60 --output "$work/body" http://10.7.0.1:8090/ &
client=$!
exec 4< "$work/body"
head -c 100000 <&4 > "$work/got"
{ kill -KILL $multistackd && wait $multistackd; } 2> /dev/null || true
start_daemon second
cat <&4 >> "$work/got"
exec 4<&-
wait $client
cmp "$work/lwip" "$work/got"
fetch utcp 10.7.0.1:8091 elsewhere

echo "== a tuple has one holder, whatever its stack"
refused node "$here/os_peers.mjs" "$work/os" http:10.7.0.1:8090
refused "$lwip_http" --daemon "$work/control" --listen 10.7.0.1:8091 "$work/lwip"
refused "$lwip_http" --daemon "$work/control" --listen 10.7.0.1:8092 "$work/lwip"
MULTISTACK=unix:$work/control refused "$uv_http" --listen 10.7.0.1:8090

echo "== killed, lwIP leaves its tuple to the OS, and the others alone"
{ kill -KILL $lwip && wait $lwip; } 2> /dev/null || true
status=0
elsewhere curl --silent --max-time 20 http://10.7.0.1:8090/ || status=$?
[ $status = 7 ] # refused: the OS has answered
start node "$here/os_peers.mjs" "$work/lwip" http:10.7.0.1:8090
fetch lwip 10.7.0.1:8090 elsewhere
fetch utcp 10.7.0.1:8091 elsewhere

echo "== the devices are as they were"
kill $multistackd
wait $multistackd
[ "$(devices)" = "$before" ] || { diff <(echo "$before") <(devices); exit 1; }
