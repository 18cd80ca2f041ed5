"""Reads every activation of a transformers model under its hook name while the model runs (the names: README.md)."""

import sys
from collections import defaultdict
from contextlib import ExitStack
from unittest.mock import patch

import torch
from torch import Tensor, nn

# Towers run once for the images and once for the videos of a prompt; what they give is joined along the first axis.
JOINED = ("vision.", "projector.")


class Recorder:
    """Watches modules. `result()` gives {hook name: tensor}: batch dimensions as the model has them."""

    def __init__(self, stack: ExitStack):
        self.stack = stack
        self.parts: dict[str, list[Tensor]] = defaultdict(list)
        self.squares: dict[str, list[Tensor]] = defaultdict(list)  # attention of one segment after another
        self.watched = set()

    def put(self, name: str, value: Tensor) -> None:
        if not name.startswith(JOINED):
            self.parts[name].clear()
        self.parts[name].append(value.detach())

    def result(self) -> dict[str, Tensor]:
        found = {name: torch.cat(values) if len(values) > 1 else values[0] for name, values in self.parts.items()}
        for name, squares in self.squares.items():
            found[name] = block_diagonal(squares, float("-inf") if name.endswith("scores") else 0.0)
        return found

    # ---- pieces

    def on(self, module: nn.Module, function) -> None:
        self.stack.callback(module.register_forward_hook(function).remove)

    def output(self, module: nn.Module, name: str, shape: tuple | None = None) -> None:
        def store(module, args, out):
            out = out[0] if isinstance(out, tuple) else out
            self.put(name, out.unflatten(-1, shape) if shape else out)

        self.on(module, store)

    def input(self, module: nn.Module, name: str) -> None:
        self.on(module, lambda module, args, out: self.put(name, args[0]))

    def norm(self, module: nn.Module, name: str) -> None:
        def store(module, args, out):
            x = args[0]
            if hasattr(module, "variance_epsilon"):  # RMS norm
                scale = (x.pow(2).mean(-1, keepdim=True) + module.variance_epsilon).sqrt()
            else:
                scale = (x.var(-1, keepdim=True, unbiased=False) + module.eps).sqrt()
            self.put(f"{name}.hook_scale", scale)
            self.put(f"{name}.hook_normalized", out)

        self.on(module, store)

    def output_projection(self, module: nn.Module, name: str, n_heads: int) -> None:
        def store(module, args, out):
            z = args[0].unflatten(-1, (n_heads, -1))
            weight = module.weight.unflatten(-1, (n_heads, -1))  # [dModel, head, dHead]
            self.put(f"{name}.hook_z", z)
            self.put(f"{name}.hook_result", torch.einsum("...hd,mhd->...hm", z, weight))

        self.on(module, store)

    def block(self, block: nn.Module, name: str, ln1: nn.Module, ln2: nn.Module, attention: nn.Module) -> None:
        """The stream around a block; `attention` and `block.mlp` are its two branches."""

        def residuals(module, args, kwargs, out):
            self.put(f"{name}.hook_resid_pre", args[0] if args else kwargs["hidden_states"])
            self.put(f"{name}.hook_resid_post", out[0] if isinstance(out, tuple) else out)

        self.stack.callback(block.register_forward_hook(residuals, with_kwargs=True).remove)
        self.norm(ln1, f"{name}.ln1")
        self.norm(ln2, f"{name}.ln2")
        self.input(ln2, f"{name}.hook_resid_mid")
        self.output(attention, f"{name}.hook_attn_out")
        self.output(block.mlp, f"{name}.hook_mlp_out")
        attention.hook_name = f"{name}.attn"
        self.attention_function(sys.modules[type(attention).__module__])

    def projections(self, attention: nn.Module, name: str, n_heads: int, n_kv_heads: int, projection: nn.Module) -> None:
        self.output(attention.q_proj, f"{name}.hook_q", (n_heads, -1))
        self.output(attention.k_proj, f"{name}.hook_k", (n_kv_heads, -1))
        self.output(attention.v_proj, f"{name}.hook_v", (n_kv_heads, -1))
        self.output_projection(projection, name, n_heads)

    def gated_mlp(self, mlp: nn.Module, name: str) -> None:
        self.output(mlp.gate_proj, f"{name}.hook_pre")
        self.output(mlp.up_proj, f"{name}.hook_pre_linear")
        self.input(mlp.down_proj, f"{name}.hook_post")

    def plain_mlp(self, mlp: nn.Module, name: str) -> None:
        self.output(mlp.fc1, f"{name}.hook_pre")
        self.input(mlp.fc2, f"{name}.hook_post")

    def attention_function(self, modeling) -> None:
        """Scores and pattern from the function that all attention of a modeling file goes through."""
        if modeling in self.watched:
            return
        self.watched.add(modeling)
        eager = modeling.eager_attention_forward

        def attend(module, query, key, value, attention_mask, scaling, **kwargs):
            out, pattern = eager(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
            name = module.hook_name
            keys = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
            scores = query @ keys.transpose(2, 3) * scaling
            if attention_mask is not None:
                scores = scores.masked_fill(attention_mask < torch.finfo(scores.dtype).min / 2, float("-inf"))
            packed = hasattr(module, "qkv")  # Qwen's towers: one call a segment, no batch
            if packed:
                self.put(f"{name}.hook_rot_q", query[0].transpose(0, 1))
                self.put(f"{name}.hook_rot_k", key[0].transpose(0, 1))
                self.squares[f"{name}.hook_attn_scores"].append(scores[0].detach())
                self.squares[f"{name}.hook_pattern"].append(pattern[0].detach())
                return out, pattern
            if not name.startswith(("vision.", "text.")):
                self.put(f"{name}.hook_rot_q", query.transpose(1, 2))
                self.put(f"{name}.hook_rot_k", key.transpose(1, 2))
            self.put(f"{name}.hook_attn_scores", scores)
            self.put(f"{name}.hook_pattern", pattern)
            return out, pattern

        self.stack.enter_context(patch.object(modeling, "eager_attention_forward", attend))

    # ---- whole models

    def decoder(self, decoder: nn.Module, lm_head: nn.Module, config) -> None:
        """Llama, Mistral, Qwen2 and the decoders of Qwen2-VL."""
        self.output(decoder.embed_tokens, "hook_embed")
        for i, block in enumerate(decoder.layers):
            name = f"blocks.{i}"
            attention = block.self_attn
            self.block(block, name, block.input_layernorm, block.post_attention_layernorm, attention)
            heads = config.num_attention_heads, config.num_key_value_heads
            self.projections(attention, f"{name}.attn", *heads, attention.o_proj)
            self.gated_mlp(block.mlp, f"{name}.mlp")
        self.norm(decoder.norm, "ln_final")
        self.output(lm_head, "logits")

    def encoder(self, encoder: nn.Module, name: str, n_heads: int) -> None:
        """The blocks of CLIP's and SigLIP's towers, of pictures or of text."""
        for i, block in enumerate(encoder.layers):
            at = f"{name}.blocks.{i}"
            attention = block.self_attn
            self.block(block, at, block.layer_norm1, block.layer_norm2, attention)
            self.projections(attention, f"{at}.attn", n_heads, n_heads, attention.out_proj)
            self.plain_mlp(block.mlp, f"{at}.mlp")

    def picture_tower(self, tower: nn.Module, config) -> None:
        """CLIP's and SigLIP's vision towers."""
        patches = lambda module, args, out: self.put("vision.hook_embed", out.flatten(2).transpose(1, 2))
        self.on(tower.embeddings.patch_embedding, patches)
        self.output(tower.embeddings, "vision.hook_full_embed")
        if hasattr(tower, "pre_layrnorm"):
            self.output(tower.pre_layrnorm, "vision.hook_ln_pre")
        self.encoder(tower.encoder, "vision", config.num_attention_heads)

    def projector(self, projector: nn.Module) -> None:
        """LLaVA's connectors."""
        self.input(projector, "projector.hook_in")
        self.output(projector.linear_1, "projector.hook_pre")
        self.output(projector, "projector.hook_out")

    def qwen_tower(self, tower: nn.Module, n_heads: int) -> None:
        """The towers of Qwen2-VL and Qwen2.5-VL: patches of all pictures in one row, in the order of the blocks."""
        self.output(tower.patch_embed, "vision.hook_embed")
        for i, block in enumerate(tower.blocks):
            name = f"vision.blocks.{i}"
            self.block(block, name, block.norm1, block.norm2, block.attn)

            def split(module, args, out, name=name):
                for part, value in zip("qkv", out.unflatten(-1, (3, n_heads, -1)).unbind(1)):
                    self.put(f"{name}.attn.hook_{part}", value)

            self.on(block.attn.qkv, split)
            self.output_projection(block.attn.proj, f"{name}.attn", n_heads)
            mlp = self.gated_mlp if hasattr(block.mlp, "gate_proj") else self.plain_mlp
            mlp(block.mlp, f"{name}.mlp")
        self.input(tower.merger, "projector.hook_in")
        self.norm(tower.merger.ln_q, "projector.ln")
        self.output(tower.merger.mlp[0], "projector.hook_pre")
        self.on(tower, lambda module, args, out: self.put("projector.hook_out", out.pooler_output))


def block_diagonal(squares: list[Tensor], outside: float) -> Tensor:
    """[head, n, n] each, to one [head, sum of n, sum of n] with `outside` off the blocks."""
    size = sum(square.shape[-1] for square in squares)
    whole = torch.full((squares[0].shape[0], size, size), outside)
    at = 0
    for square in squares:
        end = at + square.shape[-1]
        whole[:, at:end, at:end] = square
        at = end
    return whole
