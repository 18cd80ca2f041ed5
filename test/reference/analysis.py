"""Regenerates test/fixtures/analysis: python test/reference/analysis.py

Every analysis of src/analysis/ on two checkpoints, done to transformers' models from outside: by hooks on their modules and
by plain algebra on what these see. The input is `scene` of the checkpoint's expected.safetensors; the corrupted one is the
same with the picture's negative.
"""

import sys
from contextlib import contextmanager
from unittest.mock import patch

import torch
from safetensors.torch import load_file, save_file

import oracle
from families import qwen_vl
from make import FIXTURES

WANTED = [100, 87, 17]  # tokens a and b of differences, and one more for the lens


def load(checkpoint: str):
    folder = FIXTURES / checkpoint
    if checkpoint.startswith("checkpoints/"):
        return oracle.load(folder), oracle.capture
    family = next(family for family, spec in qwen_vl.SPECS if spec.name == folder.name)
    return family.load(folder), family.capture


def inputs_of(checkpoint: str) -> tuple[dict, dict]:
    stored = load_file(FIXTURES / checkpoint / "expected.safetensors")
    names = ("input_ids", "pixel_values", "image_grid_thw")
    clean = {name: stored[f"scene/{name}"] for name in names if f"scene/{name}" in stored}
    clean["input_ids"] = clean["input_ids"].long()[None]
    if "image_grid_thw" in clean:
        clean["image_grid_thw"] = clean["image_grid_thw"].long().reshape(-1, 3)
        clean["mm_token_type_ids"] = (clean["input_ids"] == 412).int()
    return clean, clean | {"pixel_values": -clean["pixel_values"]}


class Analysis:
    def __init__(self, checkpoint: str):
        self.checkpoint = checkpoint
        self.model, self.capture = load(checkpoint)
        self.text = self.model.model.language_model
        self.config = self.text.config
        self.heads = self.config.num_attention_heads
        self.layers = len(self.text.layers)
        self.head = self.text.layers[0].self_attn.o_proj.weight.shape[1] // self.heads
        self.clean, self.corrupted = inputs_of(checkpoint)
        image = getattr(self.model.config, "image_token_id", None) or self.model.config.image_token_index
        self.image = (self.clean["input_ids"][0] == image).nonzero()[:, 0]
        self.found = self.capture(self.model, self.clean)
        self.other = self.capture(self.model, self.corrupted)
        self.n = self.clean["input_ids"].shape[1]

    def pattern(self, name: str) -> torch.Tensor:
        return self.found[f"{name}.attn.hook_pattern"].double()

    # ---- rollout: the product of whole matrices

    def rollout(self, patterns: list[torch.Tensor]) -> torch.Tensor:
        product = torch.eye(patterns[0].shape[-1], dtype=torch.float64)
        for pattern in patterns:
            product = (0.5 * pattern.mean(0) + 0.5 * torch.eye(len(product))) @ product
        return product

    def rollouts(self) -> dict:
        decoder = self.rollout([self.pattern(f"blocks.{l}") for l in range(self.layers)])
        vision = [self.pattern(f"vision.blocks.{l}") for l in range(self.vision_layers())]
        if vision[0].dim() == 4:  # [crop, head, n, n]: the class token, onto the patches
            tower = self.rollout([pattern[0] for pattern in vision])[0, 1:]
        else:
            height, width = self.clean["image_grid_thw"][0, 1:].tolist()
            tower = self.rollout(vision).mean(0)
            # From squares of 2 x 2 patches to rows and columns.
            tower = tower.view(height // 2, width // 2, 2, 2).permute(0, 2, 1, 3).reshape(-1)
        return {"rollout/decoder": decoder[-1], "rollout/vision": tower}

    def vision_layers(self) -> int:
        return sum(name.startswith("vision.") and name.endswith("hook_pattern") for name in self.found)

    # ---- what is read through the unembedding

    def unembed(self, x: torch.Tensor) -> torch.Tensor:
        return self.model.lm_head(self.text.norm(x))

    def lens(self) -> dict:
        logits = torch.stack([self.unembed(self.found[f"blocks.{l}.hook_resid_post"]) for l in range(self.layers)])
        probabilities = logits.double().softmax(-1)
        ranks = torch.stack([(logits > logits[..., t : t + 1]).sum(-1) for t in WANTED], -1)
        entropy = -(probabilities * probabilities.log()).sum(-1)
        return {
            "lens/logits": logits[..., WANTED],
            "lens/probabilities": probabilities[..., WANTED],
            "lens/ranks": ranks.int(),
            "lens/top": logits.topk(3).indices.int(),
            "lens/entropy": entropy,
        }

    def attribution(self) -> dict:
        weight, scale = self.text.norm.weight.double(), self.found["ln_final.hook_scale"][-1].double()
        a, b = self.model.lm_head.weight.double()[WANTED[:2]]
        along = lambda x: x.double() @ ((a - b) * weight) / scale
        logits = self.found["logits"][-1]
        layers = range(self.layers)
        return {
            "attribution/embed": along(self.found["hook_merged_embed"][-1]),
            "attribution/heads": torch.stack([along(self.found[f"blocks.{l}.attn.hook_result"][-1]) for l in layers]),
            "attribution/mlp": torch.cat([along(self.found[f"blocks.{l}.hook_mlp_out"][-1]) for l in layers]),
            "attribution/logit": logits[WANTED[0]] - logits[WANTED[1]],
        }

    def words(self) -> dict:
        found = []
        for l in range(self.layers):
            weight = self.text.layers[l].self_attn.o_proj.weight.unflatten(1, (self.heads, -1))  # [dModel, head, dHead]
            z = self.found[f"blocks.{l}.attn.hook_z"][-1]  # [head, dHead]
            written = torch.einsum("hd,mhd->hm", z, weight)
            found.append(self.model.lm_head(self.text.norm.weight * written))
        return {"words/values": torch.cat(found)}  # [layer * head, vocabulary]

    # ---- how alike heads are in the two runs, each position an example

    def similarity(self) -> dict:
        cosines, ckas = [], []
        for l in range(self.layers):
            z = [run[f"blocks.{l}.attn.hook_z"].double() for run in (self.found, self.other)]  # [pos, head, dHead]
            cosines.append(torch.cosine_similarity(*(x.mean(0) for x in z), dim=-1))
            # Kornblith et al. 2019, by Gram matrices of examples
            p, q = (torch.einsum("phd,qhd->hpq", x - x.mean(0), x - x.mean(0)) for x in z)
            ckas.append((p * q).sum((1, 2)) / (p.norm(dim=(1, 2)) * q.norm(dim=(1, 2))))
        return {"similarity/cosine": torch.stack(cosines), "similarity/cka": torch.stack(ckas)}

    # ---- the model with something changed

    @torch.no_grad()
    def difference(self, inputs: dict) -> torch.Tensor:
        logits = self.model(**inputs, use_cache=False).logits[0, -1]
        return logits[WANTED[0]] - logits[WANTED[1]]

    @contextmanager
    def changed(self, module, change):
        """`change(x)` edits what goes into a module, in place of a copy."""

        def before(module, args, kwargs):
            if args:
                return (change(args[0].clone()), *args[1:]), kwargs
            return args, kwargs | {"hidden_states": change(kwargs["hidden_states"].clone())}

        handle = module.register_forward_pre_hook(before, with_kwargs=True)
        yield
        handle.remove()

    def over_heads(self, inputs: dict, value, where=slice(None)) -> torch.Tensor:
        """The difference with each head's z replaced at `where`."""
        found = torch.zeros(self.layers, self.heads)
        for l, layer in enumerate(self.text.layers):
            for h in range(self.heads):
                columns = slice(h * self.head, (h + 1) * self.head)

                def change(x, l=l, h=h, columns=columns):
                    x[0, where, columns] = value(l, h)
                    return x

                with self.changed(layer.self_attn.o_proj, change):
                    found[l, h] = self.difference(inputs)
        return found

    def ablation(self) -> dict:
        z = [torch.cat([run[f"blocks.{l}.attn.hook_z"] for run in (self.found, self.other)]) for l in range(self.layers)]
        zeroed = torch.zeros(self.layers, self.heads)
        for l, layer in enumerate(self.text.layers):  # by columns of o_proj that are zero
            for h in range(self.heads):
                weight = layer.self_attn.o_proj.weight
                kept = weight.detach().clone()
                with torch.no_grad():
                    weight[:, h * self.head : (h + 1) * self.head] = 0
                    zeroed[l, h] = self.difference(self.clean)
                    weight.copy_(kept)
        return {
            "ablation/zero": zeroed,
            "ablation/mean": self.over_heads(self.clean, lambda l, h: z[l].mean(0)[h]),
        }

    def patching(self) -> dict:
        residual = torch.zeros(self.layers, self.n)
        for l, layer in enumerate(self.text.layers):
            for p in range(self.n):

                def change(x, l=l, p=p):
                    x[0, p] = self.found[f"blocks.{l}.hook_resid_pre"][p]
                    return x

                with self.changed(layer, change):
                    residual[l, p] = self.difference(self.corrupted)
        heads = self.over_heads(self.corrupted, lambda l, h: self.found[f"blocks.{l}.attn.hook_z"][-1, h], -1)
        return {
            "patching/clean": self.difference(self.clean),
            "patching/corrupted": self.difference(self.corrupted),
            "patching/residual": residual,
            "patching/heads": heads,
        }

    @contextmanager
    def blind(self, layers, queries):
        """Queries do not see the image's tokens in these layers."""
        modeling = sys.modules[type(self.text.layers[0].self_attn).__module__]
        eager = modeling.eager_attention_forward

        def attend(module, query, key, value, attention_mask, *args, **kwargs):
            if getattr(module, "layer_idx", None) in layers and query.shape[2] == self.n:
                hidden = torch.zeros(self.n, self.n).bool()
                hidden[queries[:, None], self.image[None]] = True
                attention_mask = attention_mask.masked_fill(hidden, torch.finfo(torch.float32).min)
            return eager(module, query, key, value, attention_mask, *args, **kwargs)

        with patch.object(modeling, "eager_attention_forward", attend):
            yield

    def knockout(self) -> dict:
        last = torch.tensor([self.n - 1])
        text = torch.arange(self.n)[torch.arange(self.n) > self.image.max()]
        found = {}
        for name, queries in (("last", last), ("text", text)):
            rows = []
            for layers in [*[[l] for l in range(self.layers)], list(range(self.layers))]:
                with self.blind(layers, queries):
                    rows.append(self.difference(self.clean))
            found[f"knockout/{name}"] = torch.stack(rows)
        return found

    @torch.no_grad()
    def all(self) -> dict:
        found = self.rollouts() | self.lens() | self.attribution() | self.words() | self.similarity()
        found |= self.ablation() | self.patching() | self.knockout()
        found["tokens"] = torch.tensor(WANTED).int()
        return {k: (v.float() if v.is_floating_point() else v).detach().contiguous() for k, v in found.items()}


for checkpoint in ("checkpoints/llava-f32", "families/qwen2-vl-f32"):
    folder = FIXTURES / "analysis"
    folder.mkdir(exist_ok=True)
    analysis = Analysis(checkpoint)
    tensors = analysis.all()
    save_file(tensors, folder / f"{checkpoint.split('/')[1]}.safetensors")
    print(checkpoint, {k: tuple(v.shape) for k, v in tensors.items()})
