"""Runs transformers' LLaVA in float32 and reads every activation under its hook name (DESIGN of the hooks: README.md)."""

import json
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import torch
from transformers import AutoProcessor, LlavaForConditionalGeneration
from transformers.image_utils import load_image
from transformers.models.clip import modeling_clip
from transformers.models.llama import modeling_llama

torch.set_num_threads(1)


def load(folder: Path) -> LlavaForConditionalGeneration:
    """The checkpoint in float32 with eager attention; every tensor of the files must have found its place."""
    model, info = LlavaForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    wrong = {k: v for k, v in info.items() if v}
    if wrong:
        raise ValueError(f"{folder.name}: {wrong}")
    return model.eval()


def prepare(folder: Path, images: Path, entry: dict) -> dict:
    """From messages or a raw prompt and image files to the model's inputs; sets entry['prompt']."""
    processor = AutoProcessor.from_pretrained(folder)
    if "messages" in entry:
        entry["prompt"] = processor.apply_chat_template(entry["messages"], add_generation_prompt=True)
    pictures = [load_image(str(images / file)) for file in entry["images"]]
    return dict(processor(text=entry["prompt"], images=pictures or None, return_tensors="pt"))


@contextmanager
def recorded(model: LlavaForConditionalGeneration):
    """Yields a dict that fills with {hook name: tensor} (with the batch dimension) while the model runs."""
    cache: dict[str, torch.Tensor] = {}
    with ExitStack() as stack:

        def on(module, function):
            handle = module.register_forward_hook(function)
            stack.callback(handle.remove)

        def output(name, shape=None):
            def store(module, args, out):
                out = out[0] if isinstance(out, tuple) else out
                cache[name] = (out.unflatten(-1, shape) if shape else out).detach()

            return store

        def norm(name):
            def store(module, args, out):
                x = args[0]
                if hasattr(module, "variance_epsilon"):  # RMS norm
                    scale = (x.pow(2).mean(-1, keepdim=True) + module.variance_epsilon).sqrt()
                else:
                    scale = (x.var(-1, keepdim=True, unbiased=False) + module.eps).sqrt()
                cache[f"{name}.hook_scale"] = scale.detach()
                cache[f"{name}.hook_normalized"] = out.detach()

            return store

        def output_projection(name, n_heads):
            def store(module, args, out):
                z = args[0].unflatten(-1, (n_heads, -1))
                weight = module.weight.unflatten(-1, (n_heads, -1))  # [dModel, head, dHead]
                cache[f"{name}.hook_z"] = z.detach()
                cache[f"{name}.hook_result"] = torch.einsum("bphd,mhd->bphm", z, weight).detach()

            return store

        def watch_block(block, name, n_heads, n_kv_heads, ln1, ln2, projection):
            def residuals(module, args, kwargs, out):
                cache[f"{name}.hook_resid_pre"] = (args[0] if args else kwargs["hidden_states"]).detach()
                cache[f"{name}.hook_resid_post"] = (out[0] if isinstance(out, tuple) else out).detach()

            handle = block.register_forward_hook(residuals, with_kwargs=True)
            stack.callback(handle.remove)
            on(ln1, norm(f"{name}.ln1"))
            on(ln2, norm(f"{name}.ln2"))
            on(ln2, lambda module, args, out: cache.__setitem__(f"{name}.hook_resid_mid", args[0].detach()))
            attention = block.self_attn
            attention.hook_name = f"{name}.attn"
            on(attention.q_proj, output(f"{name}.attn.hook_q", (n_heads, -1)))
            on(attention.k_proj, output(f"{name}.attn.hook_k", (n_kv_heads, -1)))
            on(attention.v_proj, output(f"{name}.attn.hook_v", (n_kv_heads, -1)))
            on(projection, output_projection(f"{name}.attn", n_heads))
            on(attention, output(f"{name}.hook_attn_out"))
            on(block.mlp, output(f"{name}.hook_mlp_out"))

        def watch_attention(modeling, rotary):
            eager = modeling.eager_attention_forward

            def attend(module, query, key, value, attention_mask, scaling, **kwargs):
                out, pattern = eager(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
                name = module.hook_name
                keys = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
                scores = query @ keys.transpose(2, 3) * scaling
                if rotary:
                    cache[f"{name}.hook_rot_q"] = query.transpose(1, 2).detach()
                    cache[f"{name}.hook_rot_k"] = key.transpose(1, 2).detach()
                    n_queries, n_keys = scores.shape[2:]
                    later = torch.ones(n_queries, n_keys, dtype=torch.bool).triu(n_keys - n_queries + 1)
                    scores = scores.masked_fill(later, float("-inf"))
                cache[f"{name}.hook_attn_scores"] = scores.detach()
                cache[f"{name}.hook_pattern"] = pattern.detach()
                return out, pattern

            stack.enter_context(patch.object(modeling, "eager_attention_forward", attend))

        watch_attention(modeling_llama, rotary=True)
        watch_attention(modeling_clip, rotary=False)

        tower, projector, decoder = model.model.vision_tower, model.model.multi_modal_projector, model.model.language_model
        patches = lambda module, args, out: cache.__setitem__("vision.hook_embed", out.flatten(2).transpose(1, 2).detach())
        on(tower.embeddings.patch_embedding, patches)
        on(tower.embeddings, output("vision.hook_full_embed"))
        on(tower.pre_layrnorm, output("vision.hook_ln_pre"))
        n_heads = model.config.vision_config.num_attention_heads
        for i, block in enumerate(tower.encoder.layers):
            name = f"vision.blocks.{i}"
            watch_block(block, name, n_heads, n_heads, block.layer_norm1, block.layer_norm2, block.self_attn.out_proj)
            on(block.mlp.fc1, output(f"{name}.mlp.hook_pre"))
            on(block.mlp.activation_fn, output(f"{name}.mlp.hook_post"))

        def projected(module, args, out):
            cache["projector.hook_in"] = args[0].detach()
            cache["projector.hook_out"] = out.detach()

        on(projector, projected)
        on(projector.linear_1, output("projector.hook_pre"))

        on(decoder.embed_tokens, output("hook_embed"))
        text = model.config.text_config
        for i, block in enumerate(decoder.layers):
            name = f"blocks.{i}"
            norms = block.input_layernorm, block.post_attention_layernorm
            watch_block(block, name, text.num_attention_heads, text.num_key_value_heads, *norms, block.self_attn.o_proj)
            on(block.mlp.gate_proj, output(f"{name}.mlp.hook_pre"))
            on(block.mlp.up_proj, output(f"{name}.mlp.hook_pre_linear"))
            store_post = lambda module, args, out, name=name: cache.__setitem__(f"{name}.mlp.hook_post", args[0].detach())
            on(block.mlp.down_proj, store_post)
        on(decoder.norm, norm("ln_final"))
        on(model.lm_head, output("logits"))
        yield cache


@torch.no_grad()
def capture(model: LlavaForConditionalGeneration, inputs: dict) -> dict[str, torch.Tensor]:
    """One forward; the text side without its batch dimension, the vision side as [image, ...]."""
    with recorded(model) as cache:
        model(**inputs, use_cache=False)
    batched = ("vision.", "projector.")
    found = {name: value if name.startswith(batched) else value[0] for name, value in cache.items()}
    found["hook_merged_embed"] = found["blocks.0.hook_resid_pre"]
    found["input_ids"] = inputs["input_ids"][0].to(torch.int32)
    if "pixel_values" in inputs:
        found["pixel_values"] = inputs["pixel_values"]
    return found


@torch.no_grad()
def greedy(model: LlavaForConditionalGeneration, inputs: dict, max_new_tokens: int) -> tuple[list[int], float]:
    """The greedy continuation (ends with an end token if one comes) and the smallest arg-max margin, relative to max |logit|."""
    out = model.generate(
        **inputs,
        do_sample=False,
        max_new_tokens=max_new_tokens,
        return_dict_in_generate=True,
        output_logits=True,
    )
    margins = []
    for logits in out.logits:
        best, second = logits[0].topk(2).values
        margins.append(float((best - second) / logits[0].abs().max()))
    return out.sequences[0, inputs["input_ids"].shape[1] :].tolist(), min(margins)


BRIEF = ("hook_z", "projector.hook_in", "projector.hook_out", "logits", "input_ids", "pixel_values")


def expected(folder: Path, images: Path, entries: dict[str, dict], whole: str, max_new_tokens: int = 16):
    """Tensors and JSON of one checkpoint: everything for the input `whole`, the essentials for the others."""
    model = load(folder)
    processor = AutoProcessor.from_pretrained(folder)
    tensors, report = {}, {}
    for name, entry in entries.items():
        entry = json.loads(json.dumps(entry))
        inputs = prepare(folder, images, entry)
        for key, value in capture(model, inputs).items():
            if name == whole or (key.endswith(BRIEF) and not key.startswith("vision.")):
                tensors[f"{name}/{key}"] = value.contiguous().clone()
        generated, margin = greedy(model, inputs, max_new_tokens)
        report[name] = entry | {
            "n_tokens": inputs["input_ids"].shape[1],
            "generated_ids": generated,
            "generated_text": processor.decode(generated, skip_special_tokens=True),
            "min_margin": margin,
        }
    return tensors, {"whole": whole, "max_new_tokens": max_new_tokens, "inputs": report}
