#!/bin/sh
# SPDX-License-Identifier: MIT
# ./run: what it asks cmake for. The stand-ins write down their arguments and build a program that does nothing.
. "$(dirname "$0")/lib.sh"
mkdir "$dir/bin" "$dir/tree"
cp "$(dirname "$0")/../../run" "$dir/tree/run"
cat >"$dir/bin/cmake" <<'TXT'
#!/bin/sh
echo "$*" >>"$LOG"
: >build/CMakeCache.txt
TXT
cat >"$dir/bin/ninja" <<'TXT'
#!/bin/sh
printf '#!/bin/sh\n' >build/winnow
chmod 755 build/winnow
TXT
# Nothing is looked for and nothing installed here.
for name in pkg-config apt-get sudo; do printf '#!/bin/sh\n' >"$dir/bin/$name"; done
chmod 755 "$dir"/bin/*
make_text "$dir/text"

# asks CODE ARGUMENTS...: runs ./run and keeps what cmake was given in $dir/log.
asks() {
    : >"$dir/log"
    want=$1
    shift
    (cd "$dir/tree" && LOG=$dir/log PATH=$dir/bin:$PATH sh ./run "$@") >"$out" 2>"$err" </dev/null
    got=$?
    [ "$got" = "$want" ] || fail "exit code $got, not $want: ./run $*"
}
gave() { grep -qF -- "$1" "$dir/log" || fail "cmake was not given $1: $(cat "$dir/log")"; }
gave_not() { ! grep -qF -- "$1" "$dir/log" || fail "cmake was given $1: $(cat "$dir/log")"; }

# A demo needs no device code, and whatever is built after it has it again, once.
asks 0 demo --data "$dir/text" --dry-run; gave "-DWN_WITH_CUDA=OFF"
asks 0 demo --data "$dir/text" --dry-run; gave "-DWN_WITH_CUDA=OFF"
asks 0 build; gave "-DWN_WITH_CUDA=ON"
asks 0 build; gave_not "WN_WITH_CUDA"
asks 0 demo --data "$dir/text" --dry-run; gave_not "WN_WITH_CUDA"
asks 1 demo --data "$dir/absent"; says "cannot read the file"
asks 2 nothing; says "unknown command 'nothing'"
exit 0
