#!/bin/sh
# Runs stacks (all that are named below, or those of the command line), keeps their results and makes README.md of them.
# CONFORMANCE is the program, else the one of the checkout's .venv, else that of the PATH. Where not
# all was run the results stay as they were.
set -eu
cd "$(dirname "$0")/.."
program=${CONFORMANCE:-$(ls "$PWD/.venv/bin/conformance" 2>/dev/null || echo conformance)}
[ $# -gt 0 ] || set -- linux lwip gvisor libslirp pytcp ns3
failed=""
for target; do
    case $target in
    linux* | lwipv6* | runsc* | smoltcp*) tier=default ;; # in real time
    *) tier=all ;;
    esac
    rm -rf reports/latest
    $program run --target "$target" --tier "$tier" --report reports/latest || true # findings, which the page shows
    if ! tail -n 1 reports/latest/report.jsonl | grep -q '"how":"complete"'; then
        failed="$failed $target"
        continue
    fi
    $program export brief reports/latest -o "reports/results/$(echo "$target" | tr : -).jsonl.xz"
done
$program export matrix reports/results --about reports/about.md -o reports/README.md
[ -z "$failed" ] || { echo "not brought up to date:$failed" >&2; exit 3; }
