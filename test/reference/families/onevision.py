"""LLaVA-OneVision: a SigLIP tower, tiles that are shrunk when they are many, several pictures, videos.
llava-hf/llava-onevision-qwen2-*-hf."""

import torch
from transformers import LlavaOnevisionForConditionalGeneration
from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from families import prompts, tokenizers_of
from families.base import Family, Spec, write_json
from families.llava_next import pinpoints

HALF = [0.5, 0.5, 0.5]
CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ' ' }}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>' }}{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'video') %}{{ '<video>' }}{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ '\\n' + part['text'] }}{% endfor %}"
    "{{ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


class OneVision(Family):
    model_class = LlavaOnevisionForConditionalGeneration

    def write_settings(self, folder, spec):
        tokenizer = {"processor_class": "LlavaOnevisionProcessor"}
        ids = tokenizers_of.qwen(folder, ["<image>", "<video>"], tokenizer)
        side = spec.vision["image_size"]
        settings = {
            "architectures": ["LlavaOnevisionForConditionalGeneration"],
            "ignore_index": -100,
            "image_token_index": ids["<image>"],
            "model_type": "llava_onevision",
            "projector_hidden_act": "gelu",
            **spec.top,
            "text_config": {
                "architectures": ["Qwen2ForCausalLM"],
                "bos_token_id": ids["bos"],
                "eos_token_id": ids["eos"],
                "max_position_embeddings": 512,
                "model_type": "qwen2",
                "torch_dtype": spec.dtype_name,
                **spec.text,
            },
            "torch_dtype": spec.dtype_name,
            "use_image_newline_parameter": True,
            "video_token_index": ids["<video>"],
            "vision_config": {"model_type": "siglip_vision_model", "vision_use_head": False, **spec.vision},
            "vision_feature_select_strategy": "full",
        }
        write_json(folder / "config.json", settings)
        eos = spec.eos if spec.eos is not None else [ids["eos"], ids["bos"]]
        tokens = {"bos_token_id": ids["bos"], "eos_token_id": eos, "pad_token_id": ids["pad"]}
        write_json(folder / "generation_config.json", tokens)
        pixels = {
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": HALF,
            "image_std": HALF,
            "resample": 3,
            "rescale_factor": 1 / 255,
            "size": {"height": side, "width": side},
        }
        pictures = {
            "do_pad": True,
            "image_grid_pinpoints": spec.top["image_grid_pinpoints"],
            "image_processor_type": "LlavaOnevisionImageProcessor",
        }
        write_json(folder / "preprocessor_config.json", pixels | pictures | spec.pixels)
        videos = {"video_processor_type": "LlavaOnevisionVideoProcessor"}
        write_json(folder / "video_preprocessor_config.json", pixels | videos)
        processor = {"processor_class": "LlavaOnevisionProcessor", **self.processor_settings(spec.vision, spec.top)}
        write_json(folder / "processor_config.json", processor)
        (folder / "chat_template.jinja").write_text(CHAT)
        return ids["quiet"]

    def processor_settings(self, vision: dict, top: dict) -> dict:
        return {
            "image_token": "<image>",
            "num_image_tokens": (vision["image_size"] // vision["patch_size"]) ** 2,
            "video_token": "<video>",
            "vision_aspect_ratio": top["vision_aspect_ratio"],
            "vision_feature_select_strategy": "full",
        }

    def stored_name(self, name, layout):
        name = name.replace("vision_tower.", "vision_tower.vision_model.")
        if layout == "new":
            return name
        if name == "lm_head.weight":
            return "language_model.lm_head.weight"
        return name.removeprefix("model.").replace("language_model.", "language_model.model.", 1)

    def prepare(self, folder, images, entry):
        config = self.model_class.config_class.from_pretrained(folder)
        processor = LlavaOnevisionImageProcessorPil.from_pretrained(folder)
        one_crop = SiglipImageProcessorPil(
            size=dict(processor.size), resample=3, image_mean=processor.image_mean, image_std=processor.image_std
        )

        def videos(read):
            return {"pixel_values_videos": torch.stack([torch.tensor(prompts.frames_of(one_crop, v)) for v in read])}

        settings = self.processor_settings(config.vision_config.to_dict(), {"vision_aspect_ratio": config.vision_aspect_ratio})
        return prompts.prepare(folder, images, entry, LlavaOnevisionProcessor, settings, processor, videos)

    def stored_inputs(self, model, inputs):
        found = {"input_ids": inputs["input_ids"][0].to(torch.int32)}
        if "pixel_values" in inputs:
            sizes = inputs["image_sizes"]
            side, grids = model.config.vision_config.image_size, model.config.image_grid_pinpoints
            alone = len(sizes) == 1
            crops = [image_size_to_num_patches(size, grids, side) if alone else 1 for size in sizes]
            found["pixel_values"] = torch.cat([pixels[:n] for pixels, n in zip(inputs["pixel_values"], crops)])
            found["image_crops"] = torch.tensor(crops, dtype=torch.int32)
            found["image_sizes"] = sizes.to(torch.int32)
        if "pixel_values_videos" in inputs:
            videos = inputs["pixel_values_videos"]
            found["pixel_values_videos"] = videos.flatten(0, 1)
            found["video_frames"] = torch.tensor([len(video) for video in videos], dtype=torch.int32)
        return found

    def watch(self, recorder, model):
        recorder.picture_tower(model.model.vision_tower, model.config.vision_config)
        recorder.projector(model.model.multi_modal_projector)
        recorder.decoder(model.model.language_model, model.lm_head, model.config.text_config)


VISION = dict(
    hidden_size=20,
    intermediate_size=26,
    num_hidden_layers=2,
    num_attention_heads=2,
    image_size=14,  # three patches of 4 and a rest that no patch covers, as 384 and 14 leave one
    patch_size=4,
    hidden_act="gelu_pytorch_tanh",
    layer_norm_eps=2e-2,
)
TEXT = dict(
    hidden_size=28,
    intermediate_size=34,
    num_attention_heads=2,
    num_hidden_layers=2,
    num_key_value_heads=1,
    rms_norm_eps=1e-2,
    rope_theta=1000000.0,
    vocab_size=431,
)
GRIDS = [(rows, columns) for rows in (1, 2, 3) for columns in (1, 2, 3)]

SPECS = [
    (
        OneVision(),
        Spec(
            name="onevision-f32",
            seed=14,
            inputs=("scene", "wide", "tall", "pair", "video", "mixed", "text", "raw"),
            whole="wide",
            top=dict(
                image_grid_pinpoints=pinpoints(14, GRIDS),
                tie_word_embeddings=False,
                vision_aspect_ratio="anyres_max_4",
                vision_feature_layer=-1,
            ),
            text=TEXT,
            vision=VISION,
            tower_mlp=(-2.7, 0.2, 4.0),
        ),
    ),
    # newer names, tied embeddings
    (
        OneVision(),
        Spec(
            name="onevision-bf16",
            seed=1,
            dtype=torch.bfloat16,
            layout="new",
            inputs=("wide", "video"),
            top=dict(
                image_grid_pinpoints=pinpoints(15, GRIDS[:6]),
                tie_word_embeddings=True,
                vision_aspect_ratio="anyres_max_2",
                vision_feature_layer=-1,
            ),
            text=TEXT | dict(hidden_size=24, num_attention_heads=3, rms_norm_eps=3e-2, tie_word_embeddings=True),
            vision=VISION | dict(image_size=15, patch_size=5, layer_norm_eps=5e-2),
        ),
    ),
    # also in the layout of lmms-lab: see original.py
    (
        OneVision(),
        Spec(
            name="onevision-f16",
            seed=1,
            dtype=torch.float16,
            inputs=("scene", "pair"),
            top=dict(
                image_grid_pinpoints=pinpoints(14, GRIDS),
                tie_word_embeddings=False,
                vision_aspect_ratio="anyres_max_4",
                vision_feature_layer=-1,
            ),
            text=TEXT | dict(hidden_size=24, rms_norm_eps=3e-2, tie_word_embeddings=False),
            vision=VISION | dict(layer_norm_eps=5e-2),
        ),
    ),
]
