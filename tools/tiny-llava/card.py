"""Writes the model card from evaluation.json, tasks/tasks.json, tasks/reference-results.json and training.json.

python card.py --model ../../weights/tiny-llava
"""

import argparse
import json
from pathlib import Path
from string import Template

# What in the training comes near a task, though the task itself is never asked.
NEAR = {
    "novel-words": "colour, shape and existence are asked; the words never occur",
    "unseen-pairs": '"Is there a …?" is asked of other pairs; these pairs occur in no image and no text',
    "warm-cool": '"Which colors are there?" is asked; warm and cool never',
    "round-angular": '"Which shapes are there?" is asked; round and angular never',
    "left-right": "positions and left/right of two named objects are asked; sides are never counted or compared",
    "same-shapes": '"Which shapes are there?" and "How many circles are there?" are asked; same or different never',
    "symmetry": "positions are asked; arrangements never",
    "texture": "all textures occur behind training scenes; no training text mentions them",
    "easy-vqa-vivid": "colours are asked of other easy-VQA images; vivid and dull never",
}

CARD = Template("""---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: image-text-to-text
---

# tiny-llava

A real LLaVA-1.5 of $parameters parameters for tests, demonstrations and quick experiments: transformers'
`LlavaForConditionalGeneration`, trained from scratch in $minutes minutes on one CPU thread. It answers questions about
48x48 pictures of one to four coloured shapes or digits, and about easy-VQA pictures. It knows nothing else: it is no use on
photographs.

- CLIP ViT (5 layers, width 128, 4 heads, patch 8, quick-GELU, features of layer -2 without the class token: 36 image
  tokens), two-layer GELU projector, Llama decoder (6 layers x 8 heads = 48 heads, width 128, MLP 352), byte-fallback BPE of
  836 entries, LLaVA-1.5's chat template (`USER: <image>\\n{question} ASSISTANT:`).
- Files as in llava-hf/llava-1.5-7b-hf, weights in f16.
- Made by `tools/tiny-llava/` of this repository: $steps steps of batch 32, seed 0.

## Data

Scenes drawn by `tools/tiny-llava/scenes.py` (8 colours, 7 shapes, 10 digits, 2 sizes, 9 positions, 5 backgrounds, 5
textures; four colour-shape pairs are never shown or named), with questions by `questions.py`; and the training split of
[easy-VQA](https://github.com/vzhou842/easy-VQA) (Victor Zhou, 2019, MIT): 70 % of its images are trained on, 10 % are for
validation, 20 % for the few-shot task (by the last digit of the image's id).

## Answers: exact match

Greedy text equal to the expected answer, in per cent; mean ± standard deviation over $seeds seeds of the questions, $count
questions a type and seed. "Unseen pairs": every scene contains one of the four colour-shape pairs that training left out.

| question type | new scenes | unseen pairs |
|---|---|---|
$answers

## Few-shot tasks

`tasks/` holds $tasks tasks that were never asked in training: 20 examples a class and 60 queries each. They and their prompts were frozen
and committed before the training began and not changed after (SHA-256 over questions, labels and pixels, in
`tasks/tasks.json`: `$hash`). The repository's history shows the order.

Accuracy in per cent. SAV: 20 of the 48 heads chosen from the examples alone, by training-set scoring (the paper) and by
leave-one-out scoring, majority vote; the same with all 48 heads; zero-shot: greedy text equal to the label. "Untrained" is SAV (leave-one-out)
on the randomly initialised model, which tells how much comes from the pictures alone. The standard error of one figure over 60 queries is up to 6.5.

| task | chance | zero-shot | SAV | SAV, leave-one-out | all heads | untrained |
|---|---|---|---|---|---|---|
$shots

What in the training comes near each task:

| task | near |
|---|---|
$near

## Limits

LIMITS
""")


def percent(value):
    return f"{100 * value:.0f}"


def spread(part, kind):
    if kind not in part:
        return ""
    return f"{100 * part[kind]['mean']:.1f} ± {100 * part[kind]['sd']:.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    folder = parser.parse_args().model

    def read(name):
        return json.loads((folder / name).read_text())

    evaluation, tasks, results, training = (
        read(name) for name in ("evaluation.json", "tasks/tasks.json", "tasks/reference-results.json", "training.json")
    )
    scenes, pairs = evaluation["heldOutScenes"], evaluation["heldOutPairs"]
    shots = [
        f"| {task['name']} | {percent(task['chance'])} | {percent(task['zeroShot'])} | {percent(task['train']['accuracy'])} "
        f"| {percent(task['leave-one-out']['accuracy'])} | {percent(task['allHeads'])} | {percent(task['untrained'])} |"
        for task in results["tasks"]
    ]
    if results["tasksSha256"] != tasks["sha256"]:
        raise SystemExit("reference-results.json was measured on other tasks than tasks.json lists")
    card = CARD.substitute(
        parameters="2.3 M",
        minutes=training["minutes"],
        steps=training["steps"],
        seeds=len(evaluation["seeds"]),
        count=evaluation["questionsPerTypeAndSeed"],
        answers="\n".join(f"| {kind} | {spread(scenes, kind)} | {spread(pairs, kind)} |" for kind in scenes),
        tasks=len(tasks["tasks"]),
        hash=tasks["sha256"],
        shots="\n".join(shots),
        near="\n".join(f"| {task['name']} | {NEAR[task['name']]} |" for task in tasks["tasks"]),
    )
    (folder / "README.md").write_text(card)


if __name__ == "__main__":
    main()
