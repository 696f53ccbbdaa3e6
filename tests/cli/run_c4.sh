#!/bin/sh
# SPDX-License-Identifier: MIT
# The training commands of the documents this project follows, as they stand but for launcher, data path and model size: the plan of each, and
# a short run to its end. What has no effect is named; what was demanded there has a default here.
. "$(dirname "$0")/lib.sh"
make_text "$dir/text"
mkdir -p "$dir/en"
awk 'NF { printf "{\"text\": \"%s\", \"url\": \"u\"}\n", $0 }' "$dir/text" >"$dir/all"
head -n 600 "$dir/all" | gzip >"$dir/en/c4-train.00000-of-00002.json.gz"
sed -n '601,1200p' "$dir/all" | gzip >"$dir/en/c4-train.00001-of-00002.json.gz"
tail -n 8 "$dir/all" | gzip >"$dir/en/c4-validation.00000-of-00001.json.gz"
cd "$dir" || exit 1

loro="--dtype bfloat16 --batch_size 128 --total_batch_size 512 --num_training_steps 20000 --save_every 2000 --eval_every 2000 --lr 0.01 --scheduler cosine_restart
    --warmup_steps 2000 --min_lr_ratio 0.1 --cosine_restart_freq 500 --lr_adjust_steps -2000 --weight_decay 0 --optimizer loro_adamw --loro_refresh all
    --loro_refresh_freq 500 --loro_scope all --loro_init xavier --loro_attn_rank 256 --loro_mlp_rank 256 --loro_type loro --loro_freq 500 --loro_lr_scaler -1"
single="--single_gpu $(echo "$loro" | sed 's/attn_rank 256/attn_rank 128/; s/mlp_rank 256/mlp_rank 128/')"
integration="--enable_2to4_sparse --loro_attn_rank 64 --loro_mlp_rank 64"
sparse="$integration --optimizer loro_adamw --loro_scope all --attn_2by4 True"
bare="--num_training_steps 10 --enable_2to4_sparse"
activation="--dtype bfloat16 --batch_size 64 --total_batch_size 512 --num_training_steps 20000 --save_every 1000 --eval_every 1000 --lr 0.001 --scheduler cosine_restart
    --warmup_steps 2000 --min_lr_ratio 0.1 --cosine_restart_freq 500 --lr_adjust_steps -2000 --weight_decay 0.1 --optimizer adamw --loro_refresh all --loro_refresh_freq 500
    --loro_scope all --loro_init xavier --loro_attn_rank 256 --loro_mlp_rank 256 --loro_type loro --loro_freq 500 --loro_lr_scaler -1 --c4_local False
    --enable_2to4_sparse False --save_ckpt True --attn_2by4 True --mlp_2by4 False --seed 43 --flip_rate True --squ_relu True --activation_sparse_method mvue
    --activation_dense_warmup_steps 1000"
verification="--squ_relu True --activation_sparse_method mvue --activation_dense_warmup_steps 1000 --dx_direct_sparse False --batch_size 16 --total_batch_size 512 --lr 1e-4
    --num_training_steps 10000"
everything="--dtype bfloat16 --batch_size 64 --total_batch_size 512 --num_training_steps 20000 --save_every 1000 --eval_every 1000 --lr 0.0001 --scheduler cosine_restart
    --warmup_steps 2000 --min_lr_ratio 0.1 --cosine_restart_freq 500 --lr_adjust_steps -2000 --weight_decay 0.1 --optimizer loro_adamw --loro_refresh all
    --loro_refresh_freq 500 --loro_scope all --loro_init xavier --loro_attn_rank 256 --loro_mlp_rank 256 --loro_type loro --loro_freq 500 --loro_lr_scaler -1
    --c4_local False --enable_2to4_sparse False --save_ckpt True --attn_2by4 True --mlp_2by4 True --seed 43 --flip_rate True --activation_2by4 True
    --activation_soft_threshold True --squ_relu relu2 --activation_sparse_method soft_threshold_weights --dynamic_activation_steps 10
    --activation_calibration_samples 50 --activation_dense_warmup_steps 0 --dx_direct_sparse 1 --wandb_sparsityrelu True --permute_2by4 True
    --momentum_reset_steps 200 --more_activation_relu2 True --cola_sparse_method cola_init"
galore="--lr 0.01 --galore_scale 0.25 --rank 256 --update_proj_gap 200 --batch_size 256 --total_batch_size 512 --num_training_steps 20000 --warmup_steps 2000
    --weight_decay 0 --dtype bfloat16 --eval_every 1000 --optimizer galore_adamw"

# plan WORDS...: the plan of the command for the size the documents train.
plan() {
    # shellcheck disable=SC2068
    run 0 train --model_config configs/llama_130m.json $@ --dry-run
    says "134105856 parameters"
    says "memory"
}
# shellcheck disable=SC2086
{
    plan $loro; says "84 modules"; says "lowrank 256"; says "; 93997824 parameters are trained"
    plan $single; says "--single_gpu has no effect"
    plan $integration; says "converted 36 MLP layers"; says "no effect, as the optimizer is adam: --loro_attn_rank, --loro_mlp_rank"
    plan $sparse; says "84 modules"; says "lowrank 64 + 2:4"
    plan $bare; says "--batch_size 16"
    plan $galore
    run 0 train --model_config configs/llama_130m.json $activation --dry-run; says "1.5 x its intermediate size: 3072"; says "act 2:4 mvue"
    run 0 train --model_config configs/llama_60m.json $verification --dry-run; says "act 2:4 mvue"
    run 0 train --model_config configs/llama_1b.json $activation --dry-run; says "8191 -> 8192"
    run 0 train $bare --dry-run; says "llama_130m"
    run 0 train $bare --train_data_path 'nowhere/*.json.gz' --dry-run; says "a run would stop here: nowhere/"; says "memory"
}

# a run of winnow's own options
begin="--vocab-size 300 --hidden-size 32 --layers 2 --heads 2 --seq-len 32 --batch-size 4 --eval-every 0"
# short WORDS...: to the end on a toy of the same family.
short() {
    rm -rf run
    # shellcheck disable=SC2068
    run 0 train --model_config configs/llama_toy.json $@ --total_batch_size 4 --batch_size 2 --num_training_steps 5 --max_length 32 --save_dir run --vocab-size 400
    says "step 5/5"
    [ -s run/latest/model.safetensors ] || fail "no model was saved"
}
# shellcheck disable=SC2086
{
    short $loro
    short $integration
    short $sparse --loro_freq 4 --loro_refresh all; says "exact"
    short $bare
    short $activation
    short $verification --activation_dense_warmup_steps 3
    short $everything --dynamic_activation_steps 4; says "--more_activation_relu2 has no effect"
    short $galore
    # a run that goes on keeps its settings: only what is given changes, also to a value that is the default of a flag
    toy="--model_config configs/llama_toy.json $single --loro_freq 3 --loro_refresh_freq 3 --total_batch_size 4 --batch_size 2 --max_length 32 --vocab-size 400"
    settings() { sed -n '/"train": {/,/^  }/p' "$1/run.json"; }
    run 0 train $toy --num_training_steps 4 --save_dir c4run
    settings c4run >before
    [ -s before ] || fail "run.json has no settings"
    run 0 train --save_dir c4run --resume; says_not "from here on"; says_not "is ignored"; says "no update is left"
    settings c4run | cmp - before || fail "a resumed run changed its settings"
    run 0 train --out c4run --resume --num_training_steps 6 --save_ckpt; says "steps: 6 from here on, 4 before"; says "step 6/6"
    settings c4run | sed 's/"steps": 6/"steps": 4/' | cmp - before || fail "a flag changed other settings than its own"
    run 0 train $toy --num_training_steps 6 --save_dir c4run --resume; says_not "from here on"; says_not "is ignored"
    run 0 train $toy --num_training_steps 7 --save_dir c4run --resume --lr 0.001; says "lr: 0.001 from here on, 0.01 before"; says "step 7/7"
    grep -q '"lr": 0.001,' c4run/run.json || fail "the learning rate was not recorded"
    run 0 train --out c4run --resume --total_batch_size 8 --num_training_steps 8; says "grad_accum: 4 from here on, 2 before"
    run 2 train --resume --loro_freq 5; says "--resume needs --out DIR"
    run 1 train --save_dir nowhere --resume; says "nothing to resume"
    # what has no effect is not in the header either
    run 0 train --model_config llama_toy --optimizer loro_adamw --loro_freq 5 --loro_refresh lrk --loro_refresh_freq 5 --dry-run
    says "method   loro_adamw, float32"; says "as --loro_scope is none: --loro_freq, --loro_refresh"
    run 0 train $begin --optimizer loro_adamw --exact-every 5 --refresh all --dry-run; says "method   loro_adamw, refresh all every 5, float32"
    # sizes are a shape as much as a configuration, and so is a model to begin from
    run 0 train --hidden-size 32 --layers 2 --heads 2 --vocab-size 300 --enable_2to4_sparse --dry-run
    says "2 layers, hidden 32,"; says_not "llama_130m"; says "those it demands are --batch_size 16"
    run 0 train --model-config llama_toy --hidden-size 64 --layers 4 --dry-run
    says "hidden_size has no effect: the shape is model_config's"; says_not "layers has no effect"
    run 0 train --data text $begin --steps 2 --out relu2
    run 0 train --data text --init-from relu2 --out more --seq-len 32 --steps 1 --hidden-size 64 --layers 8 --heads 2 --mlp swiglu
    says "hidden_size has no effect: the shape is init_from's"; says "layers has no effect"; says_not "heads has no effect"
    says "mlp swiglu has no effect: the model of relu2"; grep -q '"mlp": "relu2"' more/run.json || fail "run.json has another MLP"
    run 0 train --train_data_path text --continue_from relu2 --model_config llama_130m --squ_relu silu --max_length 32 --num_training_steps 1 --eval_every 0
    says "model_config has no effect: the shape is init_from's"; says "mlp swiglu has no effect"; says_not "shape    "; says "directory: ckpt/test-relu2-adam-"
    run 0 train --train_data_path text --continue_from relu2 --max_length 32 --save_dir again --num_training_steps 1 --activation_2by4; says "act 2:4 naive"
    for optimizer in Adam sgd adafactor adam8bit; do short --optimizer $optimizer; done
    short $loro --pack --galore-compat-eval; says "compat"
    run 1 train --model_config configs/llama_toy.json --batch_size 2 --train_data_path 'nowhere/*.json.gz' --save_dir none; says "nowhere/"
    run 2 train --model_config configs/llama_toy.json --optimizer cola_adamw --cola_silu True; says "CoLA"
}
