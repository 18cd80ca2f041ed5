"""CLIP and SigLIP: a tower of pictures, a tower of texts, and how near their embeddings are.
openai/clip-vit-*, google/siglip-*."""


import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import CLIPModel, SiglipModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from families import tokenizers_of
from families.base import MEAN, STD, Family, Spec, pictures, write_json
from families.onevision import HALF


class Contrastive(Family):
    generates = False
    is_clip: bool
    image_processor: type

    def write_settings(self, folder, spec):
        ids = self.write_tokenizer(folder, spec.text["max_position_embeddings"])
        text = {"bos_token_id": ids["bos"], "eos_token_id": ids["eos"], "pad_token_id": ids["pad"], **spec.text}
        kind = "clip" if self.is_clip else "siglip"
        settings = {
            "architectures": [self.model_class.__name__],
            "model_type": kind,
            **spec.top,
            "text_config": {"model_type": f"{kind}_text_model", **text},
            "torch_dtype": spec.dtype_name,
            "vision_config": {"model_type": f"{kind}_vision_model", **spec.vision},
        }
        write_json(folder / "config.json", settings)
        write_json(folder / "preprocessor_config.json", self.pixel_settings(spec.vision["image_size"]))
        return ids["quiet"]

    def prepare(self, folder, images, entry):
        processor = self.image_processor.from_pretrained(folder)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.pad(folder, tokenizer)
        encoded = tokenizer.encode_batch(entry["texts"])
        entry["n_tokens"] = [sum(e.attention_mask) for e in encoded]
        inputs = dict(processor(pictures(images, entry["images"]), return_tensors="pt"))
        inputs["input_ids"] = torch.tensor([e.ids for e in encoded])
        if self.is_clip:
            inputs["attention_mask"] = torch.tensor([e.attention_mask for e in encoded])
        return inputs

    def stored_inputs(self, model, inputs):
        found = {name: inputs[name].to(torch.int32) for name in ("input_ids", "attention_mask") if name in inputs}
        return found | {"pixel_values": inputs["pixel_values"]}

    @torch.no_grad()
    def capture(self, model, inputs):
        with self.recorded(model) as recorder:
            out = model(**inputs)
        found = recorder.result()
        text = {k: v for k, v in inputs.items() if k != "pixel_values"}
        found["image_embeds"] = model.get_image_features(inputs["pixel_values"]).pooler_output
        found["text_embeds"] = model.get_text_features(**text).pooler_output
        found["logits_per_image"] = out.logits_per_image
        return found | self.stored_inputs(model, inputs)

    def watch(self, recorder, model):
        tower, texts = model.vision_model, model.text_model
        recorder.picture_tower(tower, model.config.vision_config)
        recorder.norm(tower.post_layernorm, "vision.ln_final")
        recorder.output(texts.embeddings.token_embedding, "text.hook_embed")
        recorder.output(texts.embeddings, "text.hook_full_embed")
        recorder.encoder(texts.encoder, "text", model.config.text_config.num_attention_heads)
        recorder.norm(texts.final_layer_norm, "text.ln_final")
        if not self.is_clip:
            recorder.output(tower.head.attention, "vision.head.hook_attn_out")
            recorder.norm(tower.head.layernorm, "vision.head.ln")
            recorder.plain_mlp(tower.head.mlp, "vision.head.mlp")
            recorder.output(tower.head.mlp, "vision.head.hook_mlp_out")


class Clip(Contrastive):
    model_class, is_clip, image_processor = CLIPModel, True, CLIPImageProcessorPil

    def write(self, folder, spec):
        super().write(folder, spec)
        if spec.layout == "old":  # files of before transformers 4.31 hold what is not a parameter
            file = folder / "model.safetensors"
            tensors = load_file(file)
            for tower, n in (("text", spec.text["max_position_embeddings"]), ("vision", self.positions(spec.vision))):
                tensors[f"{tower}_model.embeddings.position_ids"] = torch.arange(n)[None]
            save_file(tensors, file, {"format": "pt"})

    def positions(self, vision: dict) -> int:
        return (vision["image_size"] // vision["patch_size"]) ** 2 + 1

    def write_tokenizer(self, folder, longest):
        return tokenizers_of.clip(folder, longest)

    def pad(self, folder, tokenizer):
        """To the longest text of the batch, with end tokens, as `padding=True` does."""
        token = "<|endoftext|>"
        tokenizer.enable_padding(pad_id=tokenizer.token_to_id(token), pad_token=token)

    def pixel_settings(self, side):
        return {
            "crop_size": {"height": side, "width": side},
            "do_center_crop": True,
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": MEAN,
            "image_processor_type": "CLIPImageProcessor",
            "image_std": STD,
            "resample": 3,
            "rescale_factor": 1 / 255,
            "size": {"shortest_edge": side},
        }


class Siglip(Contrastive):
    model_class, is_clip, image_processor = SiglipModel, False, SiglipImageProcessorPil

    def write_tokenizer(self, folder, longest):
        return tokenizers_of.siglip(folder, longest)

    def pad(self, folder, tokenizer):
        """Every text to the model's longest, with end tokens that attention sees: `padding="max_length"`."""
        longest = tokenizers_of.longest(folder)
        token = "</s>"
        tokenizer.enable_truncation(longest)
        tokenizer.enable_padding(pad_id=tokenizer.token_to_id(token), pad_token=token, length=longest)

    def pixel_settings(self, side):
        return {
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": HALF,
            "image_processor_type": "SiglipImageProcessor",
            "image_std": HALF,
            "processor_class": "SiglipProcessor",
            "resample": 3,
            "rescale_factor": 1 / 255,
            "size": {"height": side, "width": side},
        }


def tower(**settings) -> dict:
    return dict(num_hidden_layers=2, num_attention_heads=2) | settings


SPECS = [
    (
        Clip(),
        Spec(
            name="clip-f32",
            seed=1,
            layout="old",
            inputs=("pairs",),
            whole="pairs",
            top={"projection_dim": 20},
            # the end token as old checkpoints name it: 2, which means the largest id of a text
            text=tower(
                hidden_size=20,
                intermediate_size=25,
                max_position_embeddings=20,
                hidden_act="quick_gelu",
                layer_norm_eps=2e-2,
                vocab_size=619,
                bos_token_id=0,
                eos_token_id=2,
            ),
            vision=tower(
                hidden_size=16, intermediate_size=22, image_size=16, patch_size=4, hidden_act="quick_gelu", layer_norm_eps=2e-2
            ),
        ),
    ),
    (
        Clip(),
        Spec(
            name="clip-bf16",
            seed=2,
            dtype=torch.bfloat16,
            inputs=("pairs",),
            top={"projection_dim": 18},
            text=tower(
                hidden_size=20,
                intermediate_size=26,
                max_position_embeddings=20,
                hidden_act="gelu",
                layer_norm_eps=5e-2,
                vocab_size=619,
            ),
            vision=tower(
                hidden_size=18, intermediate_size=23, image_size=15, patch_size=5, hidden_act="gelu", layer_norm_eps=5e-2
            ),
        ),
    ),
    (
        Siglip(),
        Spec(
            name="siglip-f32",
            seed=3,
            inputs=("pairs",),
            whole="pairs",
            tower_mlp=(-2.7, 0.2, 4.0),
            text=tower(
                hidden_size=16,
                intermediate_size=22,
                max_position_embeddings=16,
                hidden_act="gelu_pytorch_tanh",
                layer_norm_eps=2e-2,
                projection_size=16,
                vocab_size=331,
            ),
            vision=tower(
                hidden_size=16,
                intermediate_size=23,
                image_size=18,
                patch_size=4,
                hidden_act="gelu_pytorch_tanh",
                layer_norm_eps=2e-2,
            ),
        ),
    ),
    (
        Siglip(),
        Spec(
            name="siglip-f16",
            seed=4,
            dtype=torch.float16,
            shards=2,
            inputs=("pairs",),
            text=tower(
                hidden_size=20,
                intermediate_size=22,
                max_position_embeddings=16,
                hidden_act="gelu_pytorch_tanh",
                layer_norm_eps=5e-2,
                num_attention_heads=4,
                projection_size=12,
                vocab_size=331,
            ),
            vision=tower(
                hidden_size=12,
                intermediate_size=19,
                image_size=15,
                patch_size=5,
                hidden_act="gelu_pytorch_tanh",
                layer_norm_eps=5e-2,
            ),
        ),
    ),
]
