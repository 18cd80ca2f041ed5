"""Breaks the families' models in one place at a time; mutate.py prints the table into MUTATIONS.md. Run by itself, it prints
this table alone: python test/reference/mutate_families.py [checkpoint ...]"""

import json
import sys
from contextlib import ExitStack

import torch
from transformers import logging

import make_families
from families import entries
from families.mutations import MUTATIONS

NEEDED = 50  # times the tolerance
PICTURES = make_families.FIXTURES / "images"


def tolerance(name: str) -> float:
    return 1e-4 if name.endswith("f32") else 2e-3


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """max |a - b| / max |b| over what is finite in both; infinite where one is and the other is not."""
    if a.shape != b.shape or not torch.equal(a.isfinite(), b.isfinite()):
        return float("inf")
    finite = b.isfinite()
    return float((a - b)[finite].abs().max() / b[finite].abs().max())


@torch.no_grad()
def observe(family, spec, model, prepared: dict) -> dict[str, torch.Tensor]:
    """What the fixture stores of its inputs, and the logits of the continuation's second token."""
    found = {}
    for name, inputs in prepared.items():
        given = family.stored_inputs(model, inputs)
        for key, value in family.capture(model, inputs).items():
            stored = make_families.is_stored(key, name == spec.whole, given, family.generates)
            if stored and key not in given and key != "position_ids":
                found[f"{name}/{key}"] = value.float()
        if family.generates:
            out = model.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=2,
                min_new_tokens=2,
                return_dict_in_generate=True,
                output_logits=True,
            )
            found[f"{name}/second token"] = out.logits[1][0]
    return found


def table(names: list[str]) -> tuple[list[str], list[str]]:
    """The table's rows, and the mutations that move too little."""
    rows, weak = {what: [] for what in MUTATIONS}, []
    for family, spec in make_families.specs():
        if names and spec.name not in names:
            continue
        folder = make_families.FIXTURES / "families" / spec.name
        listed = entries.of(spec.inputs, bool(spec.vision))
        prepared = {n: family.prepare(folder, PICTURES, json.loads(json.dumps(e))) for n, e in listed.items()}
        base = observe(family, spec, family.load(folder), prepared)
        has = {
            None: True,
            "f32": spec.name.endswith("f32"),
            "pair": "pair" in listed,
            "videos": any("videos" in e for e in listed.values()),
        }
        for what, (mutate, needs) in MUTATIONS.items():
            if not has[needs]:
                continue
            with ExitStack() as stack:
                model = family.load(folder)
                if mutate(model, stack) is False:
                    continue
                found = observe(family, spec, model, prepared)
            changes = {key: distance(found[key], value) for key, value in base.items() if key in found}
            most = max(changes, key=changes.get)
            times = changes[most] / tolerance(spec.name)
            rows[what].append(f"| {what} | {spec.name} | {most} | {times:.0f} |")
            if times < NEEDED:
                weak.append(f"{what} in {spec.name}: {times:.1f}")
    return [row for found in rows.values() for row in found], weak


def report(names: list[str]) -> bool:
    """Prints the section; True if a mutation could pass."""
    rows, weak = table(names)
    print("## The families of checkpoints\n")
    print(
        "`most`: the stored tensor (`<input>/<hook>`) that moves most, and its change in units of the tolerance (1e-4 for f32"
    )
    print(
        "checkpoints, 2e-3 for f16 and bf16). `second token`: the logits that greedy decoding gives for its second token, what"
    )
    print("`generated_ids` follow from. inf: other places are hidden by a mask.\n")
    print("| broken | checkpoint | most | x tolerance |")
    print("|---|---|---|---|")
    print("\n".join(rows))
    print(f"\n{len(MUTATIONS)} mutations; below {NEEDED} times the tolerance: {len(weak)}.")
    for line in weak:
        print(f"- {line}")
    return bool(weak)


if __name__ == "__main__":
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    sys.exit(report(sys.argv[1:]))
