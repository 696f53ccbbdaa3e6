#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/run.sh counts what programs of either kind of cmocka say: the older names no group in its closing lines, the newer does.
cd "$(dirname "$0")/../.." || exit 1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bad=0

# counts 'P F K' EXIT-CODE LINE...: of a program that prints these lines and exits so.
counts() {
    want=$1 code=$2
    shift 2
    { echo '#!/bin/sh'; for line in "$@"; do echo "echo '$line'"; done; echo "exit $code"; } >"$dir/program"
    chmod +x "$dir/program"
    sh tests/run.sh --one "$dir" "$dir" "$dir/program" >/dev/null
    got=$(cat "$dir/program.count")
    [ "$got" = "$want" ] || { echo "counted $got, not $want: $*"; bad=1; }
}

counts '6 0 0' 0 '[  PASSED  ] 6 test(s).'
counts '0 0 5' 0 '[  PASSED  ] 0 test(s).' '[  SKIPPED ] 5 test(s), listed below:' '[  SKIPPED ] test_12'
counts '0 0 5' 0 '[  PASSED  ] 0 test(s).' '[  SKIPPED ] tests: 5 test(s), listed below:' '[  SKIPPED ] test_12'
counts '1 2 3' 2 '[  PASSED  ] 1 test(s).' '[  SKIPPED ] 3 test(s), listed below:' '[  FAILED  ] 2 test(s), listed below:' '[  FAILED  ] test_7'
counts '1 2 0' 2 '[  PASSED  ] 1 test(s).' '[  FAILED  ] tests: 2 test(s), listed below:' '[  FAILED  ] test_7'
counts '0 1 0' 0
counts '4 1 0' 139 '[  PASSED  ] 4 test(s).'
exit $bad
