"""Qwen2-VL and Qwen2.5-VL: towers over patches of any picture, merged four by four, and rotary positions of three axes.
Qwen/Qwen2-VL-*-Instruct, Qwen/Qwen2.5-VL-*-Instruct."""

import numpy as np
import torch
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor

from families import prompts, tokenizers_of
from families.base import MEAN, STD, Family, Spec, write_json

CHAT = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nAnswer the question.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' or 'image' in part or 'image_url' in part %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'video' or 'video' in part %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PLACEHOLDERS = ["<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]


class QwenVL(Family):
    def __init__(self, version: str):
        """`version`: qwen2_vl or qwen2_5_vl."""
        self.model_type = version
        self.is_windowed = version == "qwen2_5_vl"
        self.model_class = Qwen2_5_VLForConditionalGeneration if self.is_windowed else Qwen2VLForConditionalGeneration
        self.processor_class = Qwen2_5_VLProcessor if self.is_windowed else Qwen2VLProcessor

    def write_settings(self, folder, spec):
        ids = tokenizers_of.qwen(folder, PLACEHOLDERS, {"chat_template": CHAT, "processor_class": self.processor_class.__name__})
        tokens = {
            "bos_token_id": ids["bos"],
            "eos_token_id": ids["eos"],
            "vision_start_token_id": ids["<|vision_start|>"],
            "vision_end_token_id": ids["<|vision_end|>"],
            "vision_token_id": ids["<|vision_pad|>"],
            "image_token_id": ids["<|image_pad|>"],
            "video_token_id": ids["<|video_pad|>"],
        }
        decoder = {"hidden_act": "silu", "max_position_embeddings": 512, **spec.text}
        top = {
            "architectures": [self.model_class.__name__],
            "model_type": self.model_type,
            "torch_dtype": spec.dtype_name,
            "vision_config": {"model_type": self.model_type, "spatial_patch_size": spec.vision["patch_size"], **spec.vision},
        }
        if spec.layout == "hub":  # the decoder's settings beside the others
            settings = top | tokens | decoder
        else:
            decoder_tokens = {k: tokens[k] for k in ("bos_token_id", "eos_token_id")}
            settings = top | tokens | {"text_config": {"model_type": f"{self.model_type}_text", **decoder_tokens, **decoder}}
            settings["tie_word_embeddings"] = spec.text["tie_word_embeddings"]
        write_json(folder / "config.json", settings)
        generation = {"bos_token_id": ids["bos"], "eos_token_id": [ids["eos"], ids["bos"]], "pad_token_id": ids["pad"]}
        if spec.eos is not None:
            generation["eos_token_id"] = spec.eos
        write_json(folder / "generation_config.json", generation)
        pixels = {
            "image_mean": MEAN,
            "image_processor_type": "Qwen2VLImageProcessor",
            "image_std": STD,
            "merge_size": spec.vision["spatial_merge_size"],
            "patch_size": spec.vision["patch_size"],
            "processor_class": self.processor_class.__name__,
            "temporal_patch_size": spec.vision["temporal_patch_size"],
        }
        write_json(folder / "preprocessor_config.json", pixels | spec.pixels)
        (folder / "chat_template.jinja").write_text(CHAT)
        return ids["quiet"]

    def stored_name(self, name, layout):
        if layout == "new":
            return name
        return name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")

    def prepare(self, folder, images, entry):
        processor = Qwen2VLImageProcessorPil.from_pretrained(folder)

        def videos(read):
            packed = [pack_video(processor, frames) for frames in read]
            made = {
                "pixel_values_videos": torch.cat([patches for patches, _ in packed]),
                "video_grid_thw": torch.tensor([grid for _, grid in packed]),
            }
            if self.is_windowed:
                rates = [video["fps"] for video in entry["videos"]]
                made["second_per_grid_ts"] = torch.tensor([processor.temporal_patch_size / fps for fps in rates])
            return made

        inputs = prompts.prepare(folder, images, entry, self.processor_class, {}, processor, videos)
        return inputs

    def stored_inputs(self, model, inputs):
        found = {"input_ids": inputs["input_ids"][0].to(torch.int32)}
        for name in ("pixel_values", "pixel_values_videos", "second_per_grid_ts"):
            if name in inputs:
                found[name] = inputs[name].to(torch.float32)
        for name in ("image_grid_thw", "video_grid_thw"):
            if name in inputs:
                found[name] = inputs[name].to(torch.int32)
        return found

    def capture(self, model, inputs):
        model.model.rope_deltas = None
        seen = {}
        rotary = model.model.language_model.rotary_emb
        keep = lambda module, args, kwargs: seen.update(ids=kwargs["position_ids"] if kwargs else args[1])
        handle = rotary.register_forward_pre_hook(keep, with_kwargs=True)
        found = super().capture(model, inputs)
        handle.remove()
        return found | {"position_ids": seen["ids"][:, 0].to(torch.int32)}

    def watch(self, recorder, model):
        recorder.qwen_tower(model.model.visual, model.config.vision_config.num_heads)
        recorder.decoder(model.model.language_model, model.lm_head, model.config.text_config)


def pack_video(processor, frames: list) -> tuple[torch.Tensor, list[int]]:
    """[patch, 3 * temporal patch * patch * patch] and the grid: what Qwen2VLVideoProcessor does, with Pillow's resizing.

    A last frame is repeated until the frames divide into temporal patches. Patches of one merged square follow each other.
    """
    merge, side, depth = processor.merge_size, processor.patch_size, processor.temporal_patch_size
    singles = [processor(frame, temporal_patch_size=1, return_tensors="pt") for frame in frames]
    rows, columns = singles[0]["image_grid_thw"][0, 1:].tolist()
    pixels = [single["pixel_values"].reshape(-1, 3, 1, side, side) for single in singles]
    pixels += [pixels[-1]] * (-len(pixels) % depth)
    times = [torch.cat(pixels[at : at + depth], dim=2) for at in range(0, len(pixels), depth)]
    assert rows % merge == 0 and columns % merge == 0 and np.prod(times[0].shape[1:]) == 3 * depth * side * side
    return torch.cat(times).flatten(1), [len(times), rows, columns]


QWEN2 = QwenVL("qwen2_vl")
QWEN2_5 = QwenVL("qwen2_5_vl")
INPUTS = ("scene", "wide", "pair", "video", "order", "text", "raw-qwen")
TEXT = dict(
    hidden_size=32,
    intermediate_size=36,
    num_attention_heads=2,
    num_hidden_layers=2,
    num_key_value_heads=1,
    rms_norm_eps=1e-2,
    vocab_size=433,
)

SPECS = [
    (
        QWEN2,
        Spec(
            name="qwen2-vl-f32",
            seed=6,
            inputs=INPUTS,
            whole="scene",
            text=TEXT
            | dict(
                rope_scaling={"type": "mrope", "mrope_section": [2, 3, 3]},
                rope_theta=1000.0,
                tie_word_embeddings=False,
                use_sliding_window=False,
            ),
            vision=dict(
                depth=2,
                embed_dim=16,
                hidden_act="quick_gelu",
                hidden_size=32,
                in_chans=3,
                mlp_ratio=2,
                num_heads=2,
                patch_size=4,
                spatial_merge_size=2,
                temporal_patch_size=2,
            ),
            pixels={"min_pixels": 256, "max_pixels": 1000},
        ),
    ),
    (
        QWEN2_5,
        Spec(
            name="qwen2_5-vl-f32",
            seed=7,
            inputs=INPUTS,
            whole="scene",
            text=TEXT
            | dict(
                rope_scaling={"type": "mrope", "mrope_section": [3, 2, 3]},
                rope_theta=1000.0,
                tie_word_embeddings=False,
                use_sliding_window=False,
            ),
            vision=dict(
                depth=2,
                fullatt_block_indexes=[1],
                hidden_act="silu",
                hidden_size=16,
                in_chans=3,
                intermediate_size=22,
                num_heads=2,
                out_hidden_size=32,
                patch_size=4,
                spatial_merge_size=2,
                temporal_patch_size=2,
                tokens_per_second=3,
                window_size=16,  # two merged squares a side
            ),
            pixels={"min_pixels": 256, "max_pixels": 1000},
        ),
    ),
    # newer names and settings, tied embeddings
    (
        QWEN2,
        Spec(
            name="qwen2-vl-bf16",
            seed=1,
            dtype=torch.bfloat16,
            layout="new",
            inputs=("pair", "video"),
            text=TEXT
            | dict(
                hidden_size=24,
                rms_norm_eps=3e-2,
                rope_parameters={"mrope_section": [2, 1, 3], "rope_theta": 1000.0, "rope_type": "default"},
                tie_word_embeddings=True,
            ),
            vision=dict(
                depth=2,
                embed_dim=16,
                hidden_act="quick_gelu",
                hidden_size=24,
                in_channels=3,
                mlp_ratio=2,
                num_heads=2,
                patch_size=3,
                spatial_merge_size=2,
                temporal_patch_size=2,
            ),
            pixels={"size": {"shortest_edge": 144, "longest_edge": 600}},
        ),
    ),
    (
        QWEN2_5,
        Spec(
            name="qwen2_5-vl-f16",
            seed=1,
            dtype=torch.float16,
            layout="new",
            shards=2,
            inputs=("scene", "order"),
            text=TEXT
            | dict(
                hidden_size=24,
                rms_norm_eps=3e-2,
                rope_scaling={"mrope_section": [1, 3, 2], "rope_type": "default", "type": "default"},
                rope_theta=1000.0,
                tie_word_embeddings=True,
            ),
            vision=dict(
                depth=2,
                fullatt_block_indexes=[0],
                hidden_act="silu",
                hidden_size=16,
                in_channels=3,
                intermediate_size=21,
                num_heads=2,
                out_hidden_size=24,
                patch_size=3,
                spatial_merge_size=2,
                temporal_patch_size=2,
                tokens_per_second=2,
                window_size=12,
            ),
            pixels={"size": {"shortest_edge": 144, "longest_edge": 600}},
        ),
    ),
]
