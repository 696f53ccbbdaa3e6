#!/bin/sh
# SPDX-License-Identifier: MIT
# The program on an emulated processor without AVX (Core 2): reference kernels are chosen and pass, vector kernels are refused with the reason, a tiny
# sparse model trains, and its losses are those of this processor but for rounding. An instruction that the old processor lacks would end it by a signal.
. "$(dirname "$0")/lib.sh"

command -v qemu-x86_64 >/dev/null 2>&1 || { echo "no qemu-x86_64 here (Debian package qemu-user)"; exit 77; }
! sanitized || { echo "sanitizers do not run in an emulator"; exit 77; }

native=$WINNOW
cat >"$dir/old" <<EOF
#!/bin/sh
exec qemu-x86_64 -cpu core2duo "$native" "\$@"
EOF
chmod +x "$dir/old"

# same LABEL A B: two losses that differ by rounding. The model is 32 wide and 2 layers deep, so a logit of size 10 is the sum of some hundred products
# of 2^-24 each: 1e-4 of it; a loss is off by twice the largest error of a logit, and each of both is printed with four decimals.
same() {
    awk -v a="$2" -v b="$3" 'BEGIN { d = a - b; exit !(a > 0 && b > 0 && d < 3e-3 && d > -3e-3) }' || fail "$1: $2 and $3"
}
step_loss() { sed -n "s/^step $1\/.*| loss \([0-9.]*\) .*/\1/p" "$out" "$err" | head -n 1; }
eval_loss() { sed -n 's/^loss \([0-9.]*\) .*/\1/p' "$out" "$err" | head -n 1; }

WINNOW=$dir/old
run 0 kernels --op spmm24 --problem T=64,n=32,k=32; prints "* spmm24_ref"; prints "spmm24_avx2"; prints "this processor has no avx2"
for op in mask24 pack24 spmm24 matmul rmsnorm; do
    run 0 kernels --check --quick --op "$op"; prints "${op}_ref"; prints " 0 failed"
done
run 4 kernels --check --quick --op mask24 --variant avx2; says "no kernel that runs here"; says "mask24_avx2: this processor has no avx2"

make_text "$dir/book.txt"
options="$tiny --log-every 1 --steps 2 --data $dir/book.txt --sparse"
# shellcheck disable=SC2086
run 0 train $options --out "$dir/old.run"; says "spmm24_ref"; old=$(step_loss 1)
run 0 eval "$dir/old.run" --data "$dir/book.txt" --max-tokens 512; old_eval=$(eval_loss)
WINNOW=$native
# shellcheck disable=SC2086
run 0 train $options --out "$dir/new.run"; same "the first update's loss" "$old" "$(step_loss 1)"
run 0 eval "$dir/old.run" --data "$dir/book.txt" --max-tokens 512; same "the loss of one model" "$old_eval" "$(eval_loss)"
