#!/bin/bash
# What comes with multistackd: its manual is well formed and speaks of every option, the example of a configuration says
# what holds, and --check tells good files from bad ones.
set -euo pipefail
: "${BUILD:?the build directory}"

daemon=$BUILD/csrc/multistackd
source=$(cd "$(dirname "$0")/../../csrc/daemon" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "== the manual"
groff -man -Tutf8 -ww -z "$source/multistackd.8" 2> "$work/complaints"
[ ! -s "$work/complaints" ] || { cat "$work/complaints"; exit 1; }
groff -man -Tutf8 -P-cbou "$source/multistackd.8" > "$work/manual"
for option in $("$daemon" --help | grep -oE -- '--[a-z]+'); do
  grep -qF -- "$option" "$work/manual" || { echo "the manual lacks $option"; exit 1; }
done
names=$(grep -oE '(VALUE|SECTION)\("[a-z_]+|\.name = "[a-z_]+' "$source/config_file.c" | grep -oE '[a-z_]+$')
for name in $names; do
  grep -qw "$name" "$work/manual" || { echo "the manual lacks $name"; exit 1; }
done

echo "== the example of a configuration"
"$daemon" --check --config "$source/multistackd.conf"
# Everything that is shown in it, in force. The names are examples.
sed -E 's/^#([^ ]|  )/\1/; s/alice/nobody/; s/www-data/root/; s/^run_as.*/run_as = "root"/' \
  "$source/multistackd.conf" > "$work/all.conf"
grep -q '^ports' "$work/all.conf"
grep -q '^    icmp' "$work/all.conf"
"$daemon" --check --config "$work/all.conf"

echo "== a bad one"
echo 'thread = 1' > "$work/bad.conf"
status=0
"$daemon" --check --config "$work/bad.conf" 2> "$work/complaints" || status=$?
[ "$status" = 2 ]
[ "$(wc -l < "$work/complaints")" = 1 ]
grep -q "bad.conf:1: no such option 'thread'" "$work/complaints"

"$daemon" --version | grep -qE '^multistackd [0-9]+\.'
