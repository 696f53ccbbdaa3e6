#!/bin/sh
# SPDX-License-Identifier: MIT
# What PyTorch is timed at is the model that winnow trains, of the same size, in the one file that both programs take it from
# (torch_ks_fit.py fits chains and trains no model). Nothing is timed here.
. "$(dirname "$0")/lib.sh"
peers=$(dirname "$0")/../../bench/peers
others=$(grep -l "optim\.\|\.backward()" "$peers"/*.py | grep -v 'torch_llama\|torch_ks_fit')
[ -z "$others" ] || fail "a training step outside of bench/peers/torch_llama.py: $others"
# the same factors, whether or not PyTorch is there
if command -v python3 >/dev/null; then
    (cd "$peers" && PYTHONDONTWRITEBYTECODE=1 python3 -c "from torch_peer import ks_works
print(*(n for n in ks_works() if n.startswith('factor')), sep='\\n')") | sort >"$dir/factors" || fail "ks_works"
    run 0 bench ks --shapes 1024x1024 --rows 1 --work 'forward factor' --repeats 1 --threads 1 --peers none
    one=$(sed -n 's/^forward \(factor ([0-9,]*)\).*/\1/p' "$out")
    [ -n "$one" ] && grep -qxF "$one" "$dir/factors" || fail "'$one' is not among PyTorch's $(cat "$dir/factors")"
fi
python=$(command -v python3) && "$python" -c "import torch" 2>/dev/null || { echo "no python3 with torch"; exit 77; }
export PYTHONDONTWRITEBYTECODE=1
make_text "$dir/text"
sizes="--hidden-size 24 --layers 2 --heads 2 --vocab-size 300 --seq-len 8 --batch-size 2"
(cd "$peers" && "$python" -c "from torch_llama import Trainer
for mlp in ('relu2', 'relu', 'swiglu'): print(mlp, Trainer(24, 2, 2, 300, 8, 2, mlp=mlp).parameters())") >"$dir/theirs" 2>"$err" || fail "torch_llama.py"
for mlp in relu2 relu swiglu; do
    # shellcheck disable=SC2086
    run 0 train --data "$dir/text" --out "$dir/$mlp" $sizes --mlp $mlp --steps 1 --eval-every 0 --threads 1
    echo "$mlp $(sed -n 's/^ *"parameters": \([0-9]*\),/\1/p' "$dir/$mlp/run.json" | head -n 1)"
done >"$dir/ours"
cmp "$dir/ours" "$dir/theirs" || fail "parameters: $(cat "$dir/ours"), in PyTorch $(cat "$dir/theirs")"
# shellcheck disable=SC2086
"$python" "$peers/torch_peer.py" train --json "$dir/torch.json" $sizes --mlp swiglu --dtype bf16 --repeats 1 --threads 1 >"$out" 2>"$err" || fail "torch_peer.py"
# shellcheck disable=SC2086
run 0 bench train $sizes --mlp swiglu --dtype bf16 --repeats 2 --threads 1 --merge "$dir/torch.json"; prints "own process"
"$python" "$peers/train_step.py" --winnow "$WINNOW" --hidden 16 --layers 1 --heads 2 --inner 24 --vocab 300 --seq 8 --batch 2 --threads 1 --repeats 1 --steps 1 >"$out" 2>"$err" || fail "train_step.py"
prints "winnow dense"; prints "pytorch"
exit 0
