"""Trains the model: a warm-up of the vision tower on labels per patch, then next-token training on the answers.

    python train.py --easy-vqa DIR --work DIR --out ../../weights/tiny-llava [--resume] [--minutes 80]

The schedule is in steps and the data depends only on the seed and the step, so an interrupted run continues with --resume
on the data and the learning rate that it would have had (not bit for bit: two uninterrupted runs differ in rounding, too).
--minutes bounds the training time over all resumptions: when the steps would not fit, the schedule runs by time instead
and still completes; the result then depends on the machine's speed.
"""

import argparse
import json
import math
import os
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from data import IGNORE, Batches, attention_bias
from easy_vqa import EasyVqa
from evaluate import exact_match
from model import VISION_WIDTH, build_model, check_forward, export, forward, vision_features, vision_tower
from scenes import PATCH_CLASSES
from tokenizer import Encoder

SEED = 0
WARM_UP_STEPS = 1200  # of the vision tower
RAMP_STEPS = 100  # of the learning rate
LEARNING_RATE = 1e-3
FLOOR = 0.02  # last learning rate over first
WEIGHT_DECAY = 0.05
PATCH_LOSS = 0.3  # falls to 0 over the first PATCH_LOSS_UNTIL of the training
PATCH_LOSS_UNTIL = 0.7
CURRICULUM = 0.04  # this share of the training has scenes of one or two things, the next as much three


class Optimizers:
    """Muon for the matrices inside the layers; AdamW for embeddings, LM head, convolution, norms and biases."""

    def __init__(self, modules):
        named = [(name, p) for module in modules for name, p in module.named_parameters()]
        inner = [p for name, p in named if p.ndim == 2 and "embed" not in name and "lm_head" not in name]
        chosen = {id(p) for p in inner}
        others = [p for _, p in named if id(p) not in chosen]
        self.parameters = inner + others
        self.all = [
            torch.optim.Muon(inner, weight_decay=WEIGHT_DECAY, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
        ]

    def step(self, loss, learning_rate):
        for optimizer in self.all:
            optimizer.zero_grad()
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in self.parameters if p.grad is not None], 1.0)
        for optimizer in self.all:
            optimizer.step()

    def state_dict(self):
        return [optimizer.state_dict() for optimizer in self.all]

    def load_state_dict(self, states):
        for optimizer, state in zip(self.all, states):
            optimizer.load_state_dict(state)


def schedule(step, share):
    """Learning rate: a linear ramp, then a cosine over `share` (0 to 1) of the training."""
    cosine = FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
    return LEARNING_RATE * min(1.0, (step + 1) / RAMP_STEPS) * cosine


def patch_loss(logits, labels):
    """Sum over colour, kind, size and cell of the cross entropy per patch."""
    parts = logits.float().flatten(0, 1).split(PATCH_CLASSES, -1)
    return sum(F.cross_entropy(part, label, ignore_index=IGNORE) for part, label in zip(parts, labels))


def warm_up(model, batches):
    """Supervised stand-in for CLIP's pre-training, read from the tower's last layer (LLaVA then takes the one before)."""
    tower = vision_tower(model)
    head = nn.Linear(VISION_WIDTH, sum(PATCH_CLASSES))
    optimizers = Optimizers([tower, head])
    for step in range(WARM_UP_STEPS):
        pixels, labels = batches.scenes(step)
        with torch.autocast("cpu", torch.bfloat16):
            logits = head(tower.post_layernorm(vision_features(tower, pixels, skip_last=0)))
        loss = patch_loss(logits, labels)
        optimizers.step(loss, schedule(step, step / WARM_UP_STEPS))
        if (step + 1) % 50 == 0:
            seen = labels[0] > 0
            guesses = [part.argmax(-1) for part in logits.flatten(0, 1).split(PATCH_CLASSES, -1)]
            right = [round((guess == label)[seen].float().mean().item(), 3) for guess, label in zip(guesses, labels)]
            log(f"warm-up {step + 1}: loss {loss.item():.3f}, colour/kind/size/cell right on {right} of object patches")


def answer_loss(run, model, prefix, batch):
    """Cross entropy of the answer tokens, the share of them that is right, and the vision features."""
    pixels, tokens, segments, positions, targets, _ = batch
    bias = attention_bias(segments, torch.bfloat16)
    hidden, features = run(model, pixels, prefix, tokens, positions, bias)
    learned = targets != IGNORE
    logits, wanted = model.lm_head(hidden[learned]).float(), targets[learned]
    return F.cross_entropy(logits, wanted), (logits.argmax(-1) == wanted).float().mean().item(), features


def log(text):
    print(time.strftime("%H:%M:%S", time.gmtime()), text, flush=True)


def save(path, **state):
    torch.save(state, f"{path}.partial")
    os.replace(f"{path}.partial", path)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--easy-vqa", required=True, help="folder of the easy-VQA dataset")
    parser.add_argument("--work", type=Path, required=True, help="folder for the resumable checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="folder of the exported model; has tokenizer.json already")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--steps", type=int, default=15_000)
    parser.add_argument("--minutes", type=float, default=170.0, help="of training, over all resumptions")
    parser.add_argument("--save-every", type=int, default=500)
    parser.add_argument("--evaluate-every", type=int, default=1500)
    parser.add_argument("--export-at", type=int, nargs="*", default=[], help="steps after which to export a first model")
    parser.add_argument("--compile", action="store_true", help="torch.compile the forward pass (needs a C++ compiler)")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main():
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    checkpoint = args.work / "checkpoint.pt"

    encoder = Encoder(args.out / "tokenizer.json")
    easy_vqa = EasyVqa(args.easy_vqa)
    batches = Batches(encoder, easy_vqa, SEED)
    model = build_model(encoder, SEED)
    check_forward(model, encoder)
    patch_head = nn.Linear(VISION_WIDTH, sum(PATCH_CLASSES))  # for the auxiliary loss; not part of the model
    optimizers = Optimizers([model, patch_head])

    step, seconds = 0, 0.0
    if args.resume:
        state = torch.load(checkpoint)
        step, seconds = state["step"], state["seconds"]
        model.load_state_dict(state["model"])
        patch_head.load_state_dict(state["patch_head"])
        optimizers.load_state_dict(state["optimizers"])
        torch.set_rng_state(state["rng"])
    else:
        started = time.monotonic()
        warm_up(model, batches)
        seconds = time.monotonic() - started

    prefix = torch.tensor(encoder.prefix)
    run = torch.compile(forward) if args.compile else forward
    model.train()
    average = {}
    started = time.monotonic() - seconds
    while True:
        seconds = time.monotonic() - started
        share = max(step / args.steps, seconds / 60 / args.minutes)
        if step % args.save_every == 0 or share >= 1:
            save(
                checkpoint,
                step=step,
                seconds=seconds,
                model=model.state_dict(),
                patch_head=patch_head.state_dict(),
                optimizers=optimizers.state_dict(),
                rng=torch.get_rng_state(),
            )
        if share >= 1:
            break
        max_things = 2 if share < CURRICULUM else 3 if share < 2 * CURRICULUM else 4
        batch = batches.questions(step, max_things)
        with torch.autocast("cpu", torch.bfloat16):
            loss, right, features = answer_loss(run, model, prefix, batch)
            patches = patch_loss(patch_head(features), batch[-1])
        weight = PATCH_LOSS * max(0.0, 1 - share / PATCH_LOSS_UNTIL)
        optimizers.step(loss + weight * patches, schedule(step, share))
        step += 1
        for name, value in (("loss", loss.item()), ("patches", patches.item()), ("tokens right", right)):
            average[name] = 0.98 * average.get(name, value) + 0.02 * value
        if step % 100 == 0:
            log(f"step {step}, {seconds:.0f} s: " + ", ".join(f"{name} {value:.4f}" for name, value in average.items()))
        if step % args.evaluate_every == 0:
            log("exact match " + json.dumps(exact_match(model, encoder, easy_vqa, count=60, seed=1)))
        if step in args.export_at:
            export(model, args.out)
            log("exported")

    export(model, args.out)
    facts = {"steps": step, "minutes": round(seconds / 60)}
    (args.out / "training.json").write_text(json.dumps(facts) + "\n")
    log(f"done: {step} steps in {seconds / 60:.1f} minutes")


if __name__ == "__main__":
    main()
