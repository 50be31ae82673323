#!/bin/sh
# In the style of the kernel's selftests: KTAP on standard output, 4 (skip) where the kernel can't be tested here.
# Arguments are those of conformance run: run_kselftest.sh cases/reset --requirement RFC9293-MUST-12
report=$(mktemp -d) || exit 4
trap 'rm -rf "$report"' EXIT
conformance run --report "$report" "$@" >"$report/log" 2>&1
code=$?
if [ -s "$report/report.jsonl" ]; then
    conformance export ktap "$report"
else
    sed 's/^/# /' "$report/log"
    [ "$code" -eq 3 ] && echo "1..0 # SKIP this kernel can't be tested here" && exit 4
fi
exit "$code"
