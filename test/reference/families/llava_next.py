"""LLaVA-NeXT (v1.6): a CLIP tower over the whole picture and its tiles, packed with row ends. llava-hf/llava-v1.6-*-hf."""

import torch
from transformers import LlavaNextForConditionalGeneration
from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

from families import tokenizers_of
from families.base import MEAN, STD, ImageProcessed, Spec, write_json

PART = {
    "images": "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}",
    "texts": "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] }}{% endfor %}",
}
MISTRAL_CHAT = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' }}" + PART["images"] + PART["texts"] + "{{ ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' }}" + PART["texts"] + "{{ '</s> ' }}{% endif %}"
    "{% endfor %}"
)
VICUNA_CHAT = (
    "{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ message['role'].upper() + ': ' }}{% endif %}"
    + PART["images"]
    + "{% if message['role'] != 'assistant' %}"
    + PART["texts"].replace("part['text']", "part['text'] + ' '")
    + "{% else %}"
    + PART["texts"].replace("part['text']", "part['text'] + '</s>'")
    + "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
QWEN_CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    + PART["images"]
    + PART["texts"]
    + "{{ '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


class LlavaNext(ImageProcessed):
    model_class = LlavaNextForConditionalGeneration

    def __init__(self, decoder: str, chat_template: str):
        self.decoder, self.chat_template = decoder, chat_template

    def tokenizer(self, folder):
        if self.decoder == "qwen2":
            return tokenizers_of.qwen(folder, ["<image>"], {"processor_class": "LlavaNextProcessor"})
        return tokenizers_of.llama(folder, "LlavaNextProcessor")

    def write_settings(self, folder, spec):
        ids = self.tokenizer(folder)
        size, patch = spec.vision["image_size"], spec.vision["patch_size"]
        top = {
            "projector_hidden_act": "gelu",
            "vision_feature_layer": -2,
            "vision_feature_select_strategy": "default",
            **spec.top,
        }
        decoder = {"mistral": "MistralForCausalLM", "llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}[self.decoder]
        settings = {
            "architectures": ["LlavaNextForConditionalGeneration"],
            "ignore_index": -100,
            "image_token_index": ids["<image>"],
            "model_type": "llava_next",
            **top,
            "text_config": {
                "architectures": [decoder],
                "max_position_embeddings": 512,
                "model_type": self.decoder,
                "torch_dtype": spec.dtype_name,
                **spec.text,
            },
            "torch_dtype": spec.dtype_name,
            "use_image_newline_parameter": True,
            "vision_config": {"model_type": "clip_vision_model", "projection_dim": 32, **spec.vision},
        }
        write_json(folder / "config.json", settings)
        eos = spec.eos if spec.eos is not None else ids["eos"]
        tokens = {"bos_token_id": ids["bos"], "eos_token_id": eos, "pad_token_id": ids["pad"]}
        write_json(folder / "generation_config.json", tokens)
        pixels = {
            "crop_size": {"height": size, "width": size},
            "do_center_crop": True,
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_pad": True,
            "do_rescale": True,
            "do_resize": True,
            "image_grid_pinpoints": top["image_grid_pinpoints"],
            "image_mean": MEAN,
            "image_processor_type": "LlavaNextImageProcessor",
            "image_std": STD,
            "resample": 3,
            "rescale_factor": 1 / 255,
            "size": {"shortest_edge": size},
        }
        write_json(folder / "preprocessor_config.json", pixels | spec.pixels)
        processor = {
            "image_token": "<image>",
            "num_additional_image_tokens": 1,
            "patch_size": patch,
            "processor_class": "LlavaNextProcessor",
            "vision_feature_select_strategy": top["vision_feature_select_strategy"],
        }
        write_json(folder / "processor_config.json", processor)
        write_json(folder / "chat_template.json", {"chat_template": self.chat_template})
        return ids["quiet"]

    def stored_name(self, name, layout):
        name = name.replace("vision_tower.", "vision_tower.vision_model.")
        if layout == "new":
            return name
        if name == "lm_head.weight":
            return "language_model.lm_head.weight"
        return name.removeprefix("model.").replace("language_model.", "language_model.model.", 1)

    def stored_inputs(self, model, inputs):
        found = {"input_ids": inputs["input_ids"][0].to(torch.int32)}
        if "pixel_values" in inputs:
            sizes = inputs["image_sizes"]
            crops = self.crops(model.config, inputs)
            found["pixel_values"] = torch.cat([pixels[:n] for pixels, n in zip(inputs["pixel_values"], crops)])
            found["image_crops"] = torch.tensor(crops, dtype=torch.int32)
            found["image_sizes"] = sizes.to(torch.int32)
        return found

    def crops(self, config, inputs) -> list[int]:
        """Of each picture: the whole one and its tiles."""
        side = config.vision_config.image_size
        return [image_size_to_num_patches(size, config.image_grid_pinpoints, side) for size in inputs["image_sizes"]]

    def watch(self, recorder, model):
        recorder.picture_tower(model.model.vision_tower, model.config.vision_config)
        recorder.projector(model.model.multi_modal_projector)
        recorder.decoder(model.model.language_model, model.lm_head, model.config.text_config)


def pinpoints(side: int, grids: list[tuple[int, int]]) -> list[list[int]]:
    """(height, width) of the resolutions in pixels, from tiles down and across."""
    return [[side * rows, side * columns] for rows, columns in grids]


SPECS = [
    (
        LlavaNext("mistral", MISTRAL_CHAT),
        Spec(
            name="next-mistral-f32",
            seed=11,
            inputs=("scene", "wide", "tall", "text", "pair", "raw"),
            whole="wide",
            top=dict(
                image_grid_pinpoints=pinpoints(12, [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)]),
                tie_word_embeddings=False,
            ),
            text=dict(
                hidden_size=28,
                intermediate_size=34,
                num_attention_heads=2,
                num_hidden_layers=2,
                num_key_value_heads=1,
                head_dim=16,
                rms_norm_eps=1e-2,
                rope_theta=1000000.0,
                sliding_window=23,
                vocab_size=431,
            ),
            vision=dict(
                hidden_size=20,
                intermediate_size=26,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=12,
                patch_size=4,
                hidden_act="quick_gelu",
                layer_norm_eps=2e-2,
            ),
        ),
    ),
    # the features of two layers, Llama's decoder, newer names, shards
    (
        LlavaNext("llama", VICUNA_CHAT),
        Spec(
            name="next-llama-f16",
            seed=1,
            dtype=torch.float16,
            layout="new",
            shards=3,
            inputs=("wide", "tall", "turns"),
            top=dict(
                image_grid_pinpoints=pinpoints(15, [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)]),
                projector_hidden_act="gelu",
                tie_word_embeddings=False,
                vision_feature_layer=[1, -1],
            ),
            text=dict(
                hidden_size=24,
                intermediate_size=30,
                num_attention_heads=2,
                num_hidden_layers=2,
                num_key_value_heads=2,
                rms_norm_eps=2e-2,
                rope_parameters={"rope_theta": 10000.0, "rope_type": "default"},
                vocab_size=431,
            ),
            vision=dict(
                hidden_size=18,
                intermediate_size=23,
                num_hidden_layers=2,
                num_attention_heads=3,
                image_size=15,
                patch_size=5,
                hidden_act="quick_gelu",
                layer_norm_eps=5e-2,
            ),
        ),
    ),
    # biases of Qwen2, tied embeddings
    (
        LlavaNext("qwen2", QWEN_CHAT),
        Spec(
            name="next-qwen2-bf16",
            seed=1,
            dtype=torch.bfloat16,
            inputs=("scene", "wide"),
            top=dict(image_grid_pinpoints=pinpoints(12, [(1, 2), (2, 1), (1, 3)]), tie_word_embeddings=True),
            text=dict(
                hidden_size=24,
                intermediate_size=29,
                num_attention_heads=4,
                num_hidden_layers=2,
                num_key_value_heads=2,
                rms_norm_eps=2e-2,
                rope_theta=1000000.0,
                sliding_window=131072,
                tie_word_embeddings=True,
                use_sliding_window=False,
                vocab_size=433,
            ),
            vision=dict(
                hidden_size=16,
                intermediate_size=22,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=12,
                patch_size=4,
                hidden_act="quick_gelu",
                layer_norm_eps=5e-2,
            ),
        ),
    ),
]
