"""Writes ../fixtures/defaults.json: what transformers' config classes assume where config.json is silent.

    python defaults.py
"""

import json
from pathlib import Path

from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaNextConfig,
    LlavaOnevisionConfig,
    MistralConfig,
    Qwen2_5_VLConfig,
    Qwen2Config,
    Qwen2VLConfig,
    SiglipVisionConfig,
)

TEXT = """model_type vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads hidden_act
    max_position_embeddings rms_norm_eps sliding_window attention_bias mlp_bias tie_word_embeddings rope_parameters"""
VISION = """model_type hidden_size intermediate_size num_hidden_layers num_attention_heads image_size patch_size hidden_act
    layer_norm_eps vision_use_head projection_dim depth embed_dim mlp_ratio num_heads spatial_merge_size temporal_patch_size
    window_size fullatt_block_indexes tokens_per_second"""
WHOLE = """image_token_id image_token_index video_token_id video_token_index vision_feature_layer
    vision_feature_select_strategy image_grid_pinpoints vision_aspect_ratio projector_hidden_act multimodal_projector_bias"""


def kept(config: dict, keys: str) -> dict:
    return {key: config[key] for key in keys.split() if key in config}


def main() -> None:
    found = {}
    for whole in [LlavaConfig, LlavaNextConfig, LlavaOnevisionConfig, Qwen2VLConfig, Qwen2_5_VLConfig]:
        config = whole().to_dict()
        text, vision = kept(config["text_config"], TEXT), kept(config["vision_config"], VISION)
        found[whole.model_type] = kept(config, WHOLE) | {"text_config": text, "vision_config": vision}
    for text in [LlamaConfig, MistralConfig, Qwen2Config]:
        found[text.model_type] = kept(text().to_dict(), TEXT)
    for tower in [CLIPVisionConfig, SiglipVisionConfig]:
        found[tower.model_type] = kept(tower().to_dict(), VISION)
    out = Path(__file__).parent / "../fixtures/defaults.json"
    lines = [f"{json.dumps(name)}: {json.dumps(config)}" for name, config in found.items()]
    out.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
