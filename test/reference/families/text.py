"""Decoders without a tower: Llama, Mistral (a window in every layer), Qwen2 (biases, a window in some layers)."""

import torch
from transformers import LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM

from families import tokenizers_of
from families.base import Spec, TextOnly

QWEN_CHAT = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nAnswer the question.<|im_end|>\\n' }}{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA = TextOnly(LlamaForCausalLM, "LlamaForCausalLM", "llama", tokenizers_of.llama)
MISTRAL = TextOnly(MistralForCausalLM, "MistralForCausalLM", "mistral", tokenizers_of.llama)
QWEN2 = TextOnly(
    Qwen2ForCausalLM,
    "Qwen2ForCausalLM",
    "qwen2",
    lambda folder: tokenizers_of.qwen(folder, [], {"chat_template": QWEN_CHAT}),
)
INPUTS = ("turns", "text", "raw")

SPECS = [
    (
        LLAMA,
        Spec(
            name="llama-text-f32",
            seed=1,
            inputs=INPUTS,
            whole="raw",
            text=dict(
                hidden_size=28,
                intermediate_size=34,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                head_dim=10,
                hidden_act="silu",
                rms_norm_eps=1e-2,
                rope_theta=10000.0,
                tie_word_embeddings=False,
                vocab_size=431,
            ),
        ),
    ),
    (
        MISTRAL,
        Spec(
            name="mistral-text-bf16",
            seed=1,
            dtype=torch.bfloat16,
            inputs=INPUTS,
            text=dict(
                hidden_size=32,
                intermediate_size=39,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=1,
                hidden_act="silu",
                rms_norm_eps=2e-2,
                rope_theta=1000000.0,
                sliding_window=11,
                tie_word_embeddings=False,
                vocab_size=431,
            ),
        ),
    ),
    (
        QWEN2,
        Spec(
            name="qwen2-text-f16",
            seed=172,
            dtype=torch.float16,
            inputs=INPUTS,
            shards=2,
            text=dict(
                hidden_size=32,
                intermediate_size=38,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                hidden_act="silu",
                max_window_layers=1,  # the second layer looks back 9 tokens, the first one all the way
                rms_norm_eps=1e-2,
                rope_theta=1000000.0,
                sliding_window=9,
                tie_word_embeddings=True,
                use_sliding_window=True,
                vocab_size=439,
            ),
        ),
    ),
]
