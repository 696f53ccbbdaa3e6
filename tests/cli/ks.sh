#!/bin/sh
# SPDX-License-Identifier: MIT
# winnow ks fit: the flags of the program it follows as written there, what it writes, and torch reads it.
. "$(dirname "$0")/lib.sh"
weight=$(dirname "$0")/../fixtures/formats/pth/parameter.pth # 4 x 3

run 0 ks fit --weight_path "$weight" --rank 2 --bs_last --impl triton --batch_size 8 --num_epochs 2 --lr 1e-3 --weight_decay 1e-4 \
    --optimizer adamw --scheduler plateau --scheduler_patience 10 --scheduler_factor 0.5 --step_size 30 --gamma 0.1 --max_grad_norm 1.0 \
    --log_grad_norm --num_samples 50 --val_split 0.2 --output_dir "$dir/run" --save_prefix chain --save_interval 1 --device cuda \
    --dtype float16 --log_interval 1 --verbose --method sgd --json
prints '"factors": 4'; says 'the fit runs on the CPU'; says 'epoch 2/2 | train '
for file in chain_best.pth chain_final.pth chain_epoch_1.pth chain_epoch_2.pth chain_training_log.json chain_rank_2_loss_curves.json \
    chain_rank_2_loss_curves.csv; do
    [ -s "$dir/run/$file" ] || fail "no $file"
done
run 0 ks fit "$weight" --chain monarch:2x3 --output-dir "$dir/closed"; prints "relative error"
run 1 ks fit "$weight" --method als --output-dir "$dir/no"; says "method 'als': svd, sgd or auto expected"
run 1 ks fit "$dir/nothing.pth"; says "nothing.pth"
run 2 ks unfit "$weight"; says "fit expected"
run 2 ks fit; says "needs one weight"
run 2 ks fit "$weight" --device tpu; says "cpu or cuda"

if command -v python3 >/dev/null 2>&1 && python3 -c 'import torch' 2>/dev/null; then
    python3 - "$dir/run/chain_final.pth" "$weight" <<'PYTHON'
import sys

import torch

c = torch.load(sys.argv[1], weights_only=True)
w = torch.load(sys.argv[2], weights_only=True)
factors = [v for name, v in c["model_state_dict"].items() if name != "bias"]
assert [tuple(v.shape) for v in factors] == [(a * d, k, b) for a, b, k, d in c["patterns"]]
assert c["model_state_dict"]["bias"].shape == (w.shape[0],)
model = torch.nn.Module()
model.bias = torch.nn.Parameter(torch.zeros(w.shape[0]))
model.weights = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros_like(v)) for v in factors])
model.load_state_dict(c["model_state_dict"])
optimizer = torch.optim.AdamW(model.parameters())
optimizer.load_state_dict(c["optimizer_state_dict"])
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
scheduler.load_state_dict(c["scheduler_state_dict"])
for key in ("epoch", "train_loss", "val_loss", "grad_norm", "weight_grad_norms", "weight_names", "impl", "learning_rate", "compression_stats"):
    assert key in c, key
PYTHON
else
    echo "no torch here, its half left out"
fi
