"""Measures the exported model: exact match per question type, and SAVs on the frozen few-shot tasks.

    python evaluate.py --easy-vqa DIR --model ../../weights/tiny-llava

Writes evaluation.json and tasks/reference-results.json into the model's folder.
"""

import argparse
import json
import random
import statistics
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from easy_vqa import EasyVqa
from model import IMAGE_TOKENS, TEXT_HEADS, TEXT_LAYERS, build_model, image_processor, load, normalise
from questions import QUESTIONS
from sav import Sav, head_outputs
from scenes import random_scene, render
from tokenizer import Encoder

GENERATE = 64  # tokens at most
SEEDS = [11, 12, 13]
HEADS = 20  # SAVs: heads that vote
ALL_HEADS = TEXT_LAYERS * TEXT_HEADS
HEAD_COUNTS = [1, 5, 10, HEADS, ALL_HEADS]


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
    """`count` images with a question of one kind each, and the answers; a random stream that training does not use."""
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


def normalised(text):
    """For comparing a generated answer with a label: lower case, no full stop at the end, no leading article."""
    text = text.strip().lower().rstrip(".").strip()
    for article in ("a ", "an ", "the "):
        text = text.removeprefix(article)
    return text


def accuracy(predictions, labels):
    return round(sum(a == b for a, b in zip(predictions, labels)) / len(labels), 4)


@torch.no_grad()
def likeliest(model, encoder, pixels, question, labels, batch=50):
    """The label whose tokens have the highest mean log-probability as the answer, per image."""
    before = encoder.prefix + [encoder.image_id] * IMAGE_TOKENS + encoder.question(question)
    columns = []
    for label in labels:
        wanted = torch.tensor(encoder.answer(label)[:-1])  # without </s>
        ids = torch.tensor(before + wanted.tolist())
        scores = []
        for chunk in pixels.split(batch):
            logits = model(input_ids=ids.expand(len(chunk), -1), pixel_values=chunk).logits[:, len(before) - 1 : -1]
            picked = logits.log_softmax(-1).gather(-1, wanted[None, :, None].expand(len(chunk), -1, 1))
            scores.append(picked.mean((1, 2)))
        columns.append(torch.cat(scores))
    return [labels[index] for index in torch.stack(columns, 1).argmax(1).tolist()]


def read_task(folder, name, part):
    rows = [json.loads(line) for line in (folder / f"{name}.{part}.jsonl").read_text().splitlines()]
    images = [Image.open(folder / row["image"]).convert("RGB") for row in rows]
    pixels = image_processor()(images, return_tensors="pt")["pixel_values"]
    return rows[0]["question"], pixels, [row["label"] for row in rows]


def few_shot(model, encoder, folder):
    """SAVs, all heads and zero-shot on every frozen task; and SAVs on the untrained model, as a control."""
    untrained = build_model(encoder, seed=0).eval()
    listed = json.loads((folder / "tasks.json").read_text())
    results = []
    for task in listed["tasks"]:
        question, pixels, labels = read_task(folder, task["name"], "train")
        _, query_pixels, query_labels = read_task(folder, task["name"], "test")
        ids = encoder.prefix + [encoder.image_id] * IMAGE_TOKENS + encoder.question(question)
        shots, queries = head_outputs(model, ids, pixels), head_outputs(model, ids, query_pixels)
        answers = answer(model, encoder, query_pixels, [question] * len(query_labels))
        result = {
            "name": task["name"],
            "chance": task["chance"],
            "zeroShot": accuracy([normalised(text) for text in answers], query_labels),
            "zeroShotLikelihood": accuracy(
                likeliest(model, encoder, query_pixels, question, task["labels"]), query_labels
            ),
            "zeroShotAnswers": dict(Counter(answers).most_common(6)),
        }
        for scoring in ("train", "leave-one-out"):
            sav = Sav(shots, labels, scoring)
            accuracies = {str(k): accuracy(sav.predict(queries, k), query_labels) for k in HEAD_COUNTS}
            result[scoring] = {
                "accuracy": accuracies[str(HEADS)],
                "accuracyByHeads": accuracies,
                "heads": [divmod(head, TEXT_HEADS) for head in sav.ranking[:HEADS]],
                "scores": sav.scores.view(-1, TEXT_HEADS).tolist(),
                "predictions": sav.predict(queries, HEADS),
            }
        control = Sav(head_outputs(untrained, ids, pixels), labels, "leave-one-out")
        result["untrained"] = accuracy(control.predict(head_outputs(untrained, ids, query_pixels), HEADS), query_labels)
        result["allHeads"] = result["train"]["accuracyByHeads"][str(ALL_HEADS)]
        results.append(result)
        print(
            f"{task['name']:15} chance {task['chance']:.2f}",
            f"zero-shot {result['zeroShot']:.3f} / {result['zeroShotLikelihood']:.3f}",
            f"SAV train {result['train']['accuracyByHeads']} leave-one-out {result['leave-one-out']['accuracyByHeads']}",
            f"untrained {result['untrained']:.3f}",
            flush=True,
        )
    return {
        "method": f"SAV, {HEADS} of {ALL_HEADS} heads, 20 examples a class, majority vote; float32 on the f16 weights",
        "zeroShot": "greedy text, exact match after: lower case, no final full stop, no leading article",
        "zeroShotLikelihood": "the label with the highest mean log-probability of its tokens",
        "tasksSha256": listed["sha256"],
        "tasks": results,
    }


def over_seeds(model, encoder, easy_vqa, count, held_out):
    """{question type: mean and standard deviation over the seeds of the questions}."""
    runs = [exact_match(model, encoder, easy_vqa, count, seed, held_out) for seed in SEEDS]
    return {
        kind: {
            "mean": round(statistics.mean(run[kind] for run in runs), 4),
            "sd": round(statistics.stdev(run[kind] for run in runs), 4),
        }
        for kind in runs[0]
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--easy-vqa", required=True, help="folder of the easy-VQA dataset")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200, help="questions per type and seed")
    args = parser.parse_args()
    torch.set_num_threads(1)
    encoder, model, easy_vqa = Encoder(args.model / "tokenizer.json"), load(args.model), EasyVqa(args.easy_vqa)

    tasks = args.model / "tasks"
    results = few_shot(model, encoder, tasks)
    (tasks / "reference-results.json").write_text(json.dumps(results, indent=1) + "\n")

    evaluation = {
        "questionsPerTypeAndSeed": args.count,
        "seeds": SEEDS,
        "heldOutScenes": over_seeds(model, encoder, easy_vqa, args.count, held_out=False),
        "heldOutPairs": over_seeds(model, encoder, easy_vqa, args.count, held_out=True),
    }
    (args.model / "evaluation.json").write_text(json.dumps(evaluation, indent=1) + "\n")
    for part in ("heldOutScenes", "heldOutPairs"):
        figures = (f"{kind} {100 * v['mean']:.1f} ± {100 * v['sd']:.1f}" for kind, v in evaluation[part].items())
        print(part, ", ".join(figures))


if __name__ == "__main__":
    main()
