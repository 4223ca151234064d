#!/bin/bash
# Scripts that must fail: each *.bad begins with `# fails: TEXT`, and TEXT must be among what the runner says.
# The last lines are as cmocka prints its own, so that each counts as a case.
runner=$1
passed=0 failed=0
for script in "$(dirname "$0")"/*.bad; do
  wanted=$(sed -n '1s/^# fails: //p' "$script")
  if ! said=$("$runner" "$script" 2>&1) && [[ $wanted && $said == *"$wanted"* ]]; then
    ((passed++))
  else
    ((failed++))
    echo "[  FAILED  ] $script: should fail with \"$wanted\", said:"
    echo "$said"
  fi
done
echo "[  PASSED  ] $passed test(s)."
[[ $failed -eq 0 && $passed -gt 0 ]]
