#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes a small llama as safetensors in the directory $1: config.json, an index
# and two files, weights of zeros. ODD=1: as old writers left them, so that the
# weights begin at odd bytes.
set -eu

mkdir -p "$1"
cd "$1"

cat > config.json << 'END'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
 "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
 "head_dim": 32, "intermediate_size": 128, "vocab_size": 128,
 "max_position_embeddings": 8192, "torch_dtype": "bfloat16"}
END

# part FILE: reads "name rows columns" and writes them as BF16. The header's
# length comes first, 8 bytes, the lowest first.
part() {
    awk -v odd="${ODD:-0}" '{
        shape = $3 == "" ? "[" $2 "]" : "[" $2 "," $3 "]"
        bytes = 2 * $2 * ($3 == "" ? 1 : $3)
        text = text (NR > 1 ? "," : "") "\"" $1 "\":{\"dtype\":\"BF16\",\"shape\":" shape \
            ",\"data_offsets\":[" at "," at + bytes "]}"
        at += bytes
    }
    BEGIN { at = 0 }
    END {
        text = "{" text "}"
        while (length(text) % 8 != odd) text = text " "
        print text > "header"
        print at > "bytes"
    }'
    size=$(($(wc -c < header) - 1))
    {
        # shellcheck disable=SC2059
        printf "$(printf '\\%03o\\%03o\\000\\000\\000\\000\\000\\000' $((size % 256)) $((size / 256)))"
        head -c "$size" header
        head -c "$(cat bytes)" /dev/zero
    } > "$1"
    rm header bytes
}

layer() {
    for row in 'self_attn.q_proj 64 64' 'self_attn.k_proj 32 64' 'self_attn.v_proj 32 64' 'self_attn.o_proj 64 64' \
        'mlp.gate_proj 128 64' 'mlp.up_proj 128 64' 'mlp.down_proj 64 128' 'input_layernorm 64' 'post_attention_layernorm 64'; do
        echo "model.layers.$1.${row%% *}.weight ${row#* }"
    done
}

first=model-00001-of-00002.safetensors second=model-00002-of-00002.safetensors
{
    echo 'model.embed_tokens.weight 128 64'
    layer 0
} > front
{
    layer 1
    echo 'model.norm.weight 64'
    echo 'lm_head.weight 128 64'
} > back
part "$first" < front
part "$second" < back
awk -v first="$first" -v second="$second" '
    { map = map (NR > 1 ? "," : "") "\"" $1 "\":\"" (FILENAME == "front" ? first : second) "\"" }
    END { printf "{\"metadata\":{},\"weight_map\":{%s}}\n", map }' front back > model.safetensors.index.json
rm front back
