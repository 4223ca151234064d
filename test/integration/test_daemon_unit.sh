#!/bin/bash
# The systemd unit, as systemd sees it.
set -euo pipefail
: "${BUILD:?the build directory}"

if ! command -v systemd-analyze > /dev/null; then
  echo "systemd-analyze is not installed: the unit is not checked"
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed "s|^ExecStart=.*/multistackd|ExecStart=$BUILD/csrc/multistackd|" "$BUILD/csrc/multistackd.service" > "$work/multistackd.service"
grep -q "^ExecStart=$BUILD" "$work/multistackd.service"

systemd-analyze verify --man=no "$work/multistackd.service" 2> "$work/complaints" || true
# What is wrong with other units of this machine is not ours.
if grep multistackd "$work/complaints"; then exit 1; fi

# 0 is safe, 10 is not: what is above a 3 has lost some of its walls.
exposure=$(systemd-analyze security --offline=true "$work/multistackd.service" | grep -oE 'level[^0-9]*[0-9.]+' | grep -oE '[0-9.]+$')
echo "exposure $exposure"
awk -v exposure="$exposure" 'BEGIN { exit !(exposure < 3) }'
