"""Measures the exported model: exact match per question type, and SAVs on the frozen few-shot tasks.

    python evaluate.py --easy-vqa DIR --model ../../weights/tiny-llava

Writes evaluation.json and tasks/reference-results.json into the model's folder.
"""

import argparse
import json
import random
import statistics
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from easy_vqa import EasyVqa
from model import IMAGE_TOKENS, image_processor, load, normalise
from questions import QUESTIONS
from scenes import random_scene, render
from tokenizer import Encoder

GENERATE = 64  # tokens at most


@torch.no_grad()
def answer(model, encoder, pixels, questions, batch=50):
    """Greedy answers. Questions of one number of tokens run together, so that nothing is padded."""
    answers = [None] * len(questions)
    by_length = defaultdict(list)
    for index, question in enumerate(questions):
        by_length[len(encoder.question(question))].append(index)
    for indices in by_length.values():
        for chunk in (indices[i : i + batch] for i in range(0, len(indices), batch)):
            ids = [encoder.prefix + [encoder.image_id] * IMAGE_TOKENS + encoder.question(questions[i]) for i in chunk]
            out = model.generate(
                input_ids=torch.tensor(ids),
                attention_mask=torch.ones(len(ids), len(ids[0]), dtype=torch.long),
                pixel_values=pixels[chunk],
                do_sample=False,
                max_new_tokens=GENERATE,
            )
            for index, row in zip(chunk, out[:, len(ids[0]) :].tolist()):
                end = row.index(encoder.end_id) if encoder.end_id in row else len(row)
                answers[index] = encoder.decode(row[:end])
    return answers


def scene_questions(kind, count, seed, held_out):
    """`count` images with a question of one kind each, and the answers; never a training scene (another random stream)."""
    rng = random.Random(f"evaluation {seed} {kind} {held_out}")
    images, pairs = [], []
    while len(pairs) < count:
        scene = random_scene(rng, held_out=held_out)
        pair = QUESTIONS[kind](scene, rng)
        if pair:
            images.append(render(scene, rng))
            pairs.append(pair)
    return normalise(np.stack(images)), [q for q, _ in pairs], [a for _, a in pairs]


def easy_vqa_questions(easy_vqa, count, seed):
    rng = random.Random(f"evaluation {seed} easy-vqa")
    asked = [(image_id, *pair) for image_id in easy_vqa.ids("validation") for pair in easy_vqa.by_image[image_id]]
    chosen = rng.sample(asked, count)
    images = [easy_vqa.image(image_id) for image_id, _, _ in chosen]
    pixels = image_processor()(images, return_tensors="pt")["pixel_values"]
    return pixels, [q for _, q, _ in chosen], [a for _, _, a in chosen]


def exact_match(model, encoder, easy_vqa, count, seed, held_out=False):
    """{question type: share of answers that are exactly right}."""
    training = model.training
    model.eval()
    sets = {kind: scene_questions(kind, count, seed, held_out) for kind in QUESTIONS}
    if not held_out:
        sets["easy-vqa"] = easy_vqa_questions(easy_vqa, count, seed)
    result = {}
    for kind, (pixels, questions, expected) in sets.items():
        given = answer(model, encoder, pixels, questions)
        result[kind] = round(sum(a == b for a, b in zip(given, expected)) / count, 4)
    model.train(training)
    return result
