"""What transformers makes of generation_config.json, for test/model/generation-config.test.ts and score-processors.test.ts.

    python test/reference/generation.py                     # the committed fixtures
    python test/reference/generation.py FOLDER 120 20000    # more of both, for generation.ts; nothing of it is committed

`texts.json`: greedy ids under random settings, of the tiny checkpoints in test/fixtures/. Those whose choice is a near tie
(less than 1e-3 between the two best scores) are left out, as either token may win.
`scores.json`: scores after the processors, for logits that are drawn alike in Python and TypeScript (mulberry32).
"""

import json
import math
import random
import sys
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, GenerationConfig, logging
from transformers.generation.logits_process import LogitsProcessor
from transformers.generation.utils import GenerationMixin

FIXTURES = Path(__file__).parent.parent / "fixtures"
CHECKPOINTS = {
    "checkpoints/llava-f32": ("scene", "wide", "text"),
    "families/onevision-f32": ("scene", "text"),
    "families/qwen2-vl-f32": ("scene", "text"),
    "families/llama-text-f32": ("text",),
}


def settings(r: random.Random, vocab: int, prompt: list[int], ends: list[int], greedy: list[int] | None) -> dict:
    """Some settings; where the greedy text is known, ones that touch it."""
    likely = greedy or list(range(vocab))
    token = lambda: r.choice(likely) if r.random() < 0.7 else r.randrange(vocab)
    tokens = lambda most: [token() for _ in range(r.randint(1, most))]
    last = [prompt[-1], r.choice(likely)]
    choices = {
        "repetition_penalty": lambda: r.choice([0.8, 1.0, 1.05, 1.2, 1.7, 3.0]),
        "encoder_repetition_penalty": lambda: r.choice([0.7, 1.0, 1.3, 2.0]),
        "no_repeat_ngram_size": lambda: r.choice([0, 1, 2, 3]),
        "encoder_no_repeat_ngram_size": lambda: r.choice([0, 1, 2, 3]),
        "bad_words_ids": lambda: [r.choice([tokens(1), tokens(2), last, [ends[0]]]) for _ in range(r.randint(1, 4))],
        "sequence_bias": lambda: [[r.choice([tokens(1), tokens(2), last]), r.choice([-8.0, -1.5, 2.0, 6.5])] for _ in range(r.randint(1, 4))],
        "min_length": lambda: len(prompt) + r.randint(-2, 9),
        "min_new_tokens": lambda: r.randint(0, 9),
        "forced_bos_token_id": token,
        "forced_eos_token_id": lambda: r.choice([ends[0], ends, token()]),
        "suppress_tokens": lambda: r.choice([tokens(5), [-1], ends]),
        "begin_suppress_tokens": lambda: tokens(4),
        "exponential_decay_length_penalty": lambda: [r.randint(0, 5), r.choice([1.1, 1.5, 2.0])],
        "remove_invalid_values": lambda: r.random() < 0.5,
        "renormalize_logits": lambda: r.random() < 0.5,
    }
    names = r.sample(sorted(choices), r.choice([1, 1, 2, 3, 4]))
    found = {name: choices[name]() for name in names}
    if r.random() < 0.3:
        found["eos_token_id"] = sorted({token() for _ in range(r.randint(1, 2))})
    return found


def warpers(r: random.Random) -> dict:
    choices = {
        "temperature": lambda: r.choice([0.3, 0.7, 1.0, 1.9]),
        "top_h": lambda: r.choice([0.2, 0.5, 0.9]),
        "top_k": lambda: r.choice([0, 1, 3, 8, 200]),
        "top_p": lambda: r.choice([0.0, 0.3, 0.77, 0.95, 1.0]),
        "min_p": lambda: r.choice([0.0, 0.03, 0.21]),
        "typical_p": lambda: r.choice([0.2, 0.61, 0.95, 1.0]),
        "epsilon_cutoff": lambda: r.choice([0.0, 0.0123, 0.087]),
        "eta_cutoff": lambda: r.choice([0.0, 0.0123, 0.087]),
    }
    return {"do_sample": True} | {name: choices[name]() for name in r.sample(sorted(choices), r.choice([1, 1, 2, 3]))}


class Margins(LogitsProcessor):
    """Notes how near the best score is to the next one."""

    def __init__(self):
        self.least = math.inf

    def __call__(self, input_ids, scores):
        first, second = scores[0].nan_to_num(nan=math.inf, posinf=1e30).topk(2).values.tolist()
        self.least = min(self.least, first - second)
        return scores


def inputs_of(folder: str, name: str) -> dict:
    values = load_file(FIXTURES / folder / "expected.safetensors")
    own = {k.split("/", 1)[1]: v for k, v in values.items() if k.startswith(f"{name}/")}
    found = {"input_ids": own["input_ids"][None].long()}
    found["attention_mask"] = torch.ones_like(found["input_ids"])
    if "pixel_values" in own:
        many = "onevision" in folder
        found["pixel_values"] = own["pixel_values"].float()[None] if many else own["pixel_values"].float()
        for key in ("image_sizes", "image_grid_thw"):
            if key in own:
                found[key] = own[key].long()
    if "qwen2" in folder:
        config = json.loads((FIXTURES / folder / "config.json").read_text())
        found["mm_token_type_ids"] = (found["input_ids"] == config["image_token_id"]).int()
    return found


def texts(count: int) -> list[dict]:
    found = []
    for folder, names in CHECKPOINTS.items():
        auto = AutoModelForCausalLM if "text" in folder else AutoModelForImageTextToText
        model = auto.from_pretrained(FIXTURES / folder, dtype=torch.float32).eval()
        own = json.loads((FIXTURES / folder / "generation_config.json").read_text())
        ends = [own["eos_token_id"]] if isinstance(own["eos_token_id"], int) else own["eos_token_id"]
        for name in names:
            inputs = inputs_of(folder, name)
            prompt = inputs["input_ids"][0].tolist()
            vocab = model.config.get_text_config().vocab_size
            plain = json.loads((FIXTURES / folder / "expected.json").read_text())["inputs"][name]["generated_ids"]
            r = random.Random(f"{folder}{name}")
            for _ in range(count * 3 if "text" in folder else count):  # which are quick
                says = settings(r, vocab, prompt, ends, plain)
                new = r.choice([6, 10, 12])
                margins = Margins()
                try:
                    model.generation_config = GenerationConfig(**own | says)
                    ids = model.generate(**inputs, max_new_tokens=new, logits_processor=[margins])[0, len(prompt) :].tolist()
                except (ValueError, RuntimeError) as e:
                    print(folder, name, says, e, file=sys.stderr)
                    continue
                if margins.least > 1e-3:
                    found.append({"checkpoint": folder, "input": name, "settings": says, "new": new, "ids": ids})
    return found


def mulberry(seed: int):
    mask = 0xFFFFFFFF
    while True:
        seed = (seed + 0x6D2B79F5) & mask
        t = ((seed ^ (seed >> 15)) * (seed | 1)) & mask
        t ^= (t + (((t ^ (t >> 7)) * (t | 61)) & mask)) & mask
        yield ((t ^ (t >> 14)) & mask) / 2**32


class NoModel(GenerationMixin):
    config = type("Config", (), {"is_encoder_decoder": False})()


def scores(count: int) -> list[dict]:
    """`cut` is the tokens at -Infinity (a bit each, as hexadecimal), `sum` of the others times their number."""
    found = []
    r = random.Random(7)
    for seed in range(count):
        draws = mulberry(seed)
        vocab = r.choice([7, 24, 40])
        spread = r.choice([1, 6, 20])
        logits = torch.tensor([[(next(draws) - 0.5) * spread for _ in range(vocab)]], dtype=torch.float32)
        prompt = [r.randrange(min(vocab, 12)) for _ in range(r.choice([1, 2, 9]))]
        ids = prompt + [r.randrange(min(vocab, 12)) for _ in range(r.choice([0, 0, 1, 2, 7]))]
        ends = sorted({r.randrange(vocab) for _ in range(r.choice([1, 1, 3]))})
        says = {} if r.random() < 0.3 else settings(r, vocab, prompt, ends, None)
        says.pop("eos_token_id", None)
        if not says or r.random() < 0.5:
            says |= warpers(r)
        new = len(ids) - len(prompt) + r.choice([1, 1, 5])
        try:
            config = GenerationConfig(**{"do_sample": False, "top_k": 50} | says)
            config.max_length = len(prompt) + new
            config._eos_token_tensor = torch.tensor(ends)
            given = torch.tensor([prompt])
            processors = NoModel()._get_logits_processor(config, len(prompt), given, device="cpu")
            result = processors(torch.tensor([ids]), logits)[0].double()
        except (ValueError, IndexError, RuntimeError) as e:
            print(says, e, file=sys.stderr)
            continue
        if not config.do_sample and says.get("renormalize_logits"):
            continue  # ours leaves it out where it changes no text
        cut = torch.isneginf(result)
        rest = torch.where(cut | result.isnan(), 0.0, result.clamp(-1e9, 1e9))
        found.append(
            {"seed": seed, "vocab": vocab, "spread": spread, "prompt": prompt, "ids": ids[len(prompt) :], "ends": ends, "new": new,
             "settings": says, "cut": f"{sum(1 << i for i, c in enumerate(cut.tolist()) if c):x}",
             "nan": int(result.isnan().sum()), "sum": round(float((rest * torch.arange(1, vocab + 1)).sum()), 4)}
        )  # fmt: skip
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    folder, text_count, score_count = (*sys.argv[1:], *(FIXTURES / "generation", 4, 900)[len(sys.argv) - 1 :])
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, cases in (("texts", texts(int(text_count))), ("scores", scores(int(score_count)))):
        lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
        (Path(folder) / f"{name}.json").write_text(f"[\n{lines}\n]\n")
        print(name, len(cases))
