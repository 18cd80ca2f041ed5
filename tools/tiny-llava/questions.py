"""Questions about scenes with their answers: the training mix and the held-out measurements.

None of the few-shot tasks (tasks.py) is asked here: no halves or left/right counts, no same/different, no symmetry, no
texture, no warm/cool or vivid/dull, no round/angular, no new words.
"""

from scenes import BACKGROUNDS, COLORS, DIGITS, GRID, HELD_OUT_PAIRS, POSITIONS, SHAPES, SIZES


def an(words):
    return ("an " if words[0] in "aeiou8" else "a ") + words


def plural(kind):
    return kind + ("es" if kind == "cross" else "s")


def joined(items):
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def name(thing):
    return f"{thing.color} {thing.kind}"


def full_name(thing):
    return f"{thing.size} {thing.color} {thing.kind}"


def at(cell):
    return f"at the {POSITIONS[cell]}"


def unique(scene, key):
    """The things that no other thing of the scene shares `key` with."""
    keys = [key(thing) for thing in scene.things]
    return [thing for thing, k in zip(scene.things, keys) if keys.count(k) == 1]


def options(rng, truth, pool, most=4):
    """'red, green or blue': the truth among one to three others, in any order."""
    others = rng.sample([item for item in pool if item != truth], rng.randint(1, most - 1))
    items = [truth, *others]
    rng.shuffle(items)
    return ", ".join(items[:-1]) + " or " + items[-1]


# Each question function takes (scene, rng) and returns (question, answer), or None if the scene does not allow it.


def ask_color(scene, rng):
    things = unique(scene, lambda thing: thing.kind)
    if not things:
        return None
    thing = rng.choice(things)
    if rng.random() < 0.3:
        return f"Is the {thing.kind} {options(rng, thing.color, COLORS)}?", thing.color
    forms = ["What color is the {}?", "What is the color of the {}?", "Which color does the {} have?"]
    return rng.choice(forms).format(thing.kind), thing.color


def ask_shape(scene, rng):
    things = [thing for thing in unique(scene, lambda thing: thing.color) if not thing.is_digit]
    if not things:
        return None
    thing = rng.choice(things)
    if rng.random() < 0.3:
        return f"Is the {thing.color} object a {options(rng, thing.kind, SHAPES)}?", thing.kind
    forms = ["What shape is the {} object?", "What is the {} object?", "Which shape is {}?"]
    return rng.choice(forms).format(thing.color), thing.kind


def ask_digit(scene, rng):
    digits = [thing for thing in scene.things if thing.is_digit]
    if len(digits) == 1 and rng.random() < 0.7:
        return rng.choice(["What digit is there?", "Which digit is in the image?"]), digits[0].kind
    things = [thing for thing in unique(scene, lambda thing: thing.color) if thing.is_digit]
    if not things:
        return None
    thing = rng.choice(things)
    return f"What digit is {thing.color}?", thing.kind


def ask_only(scene, rng):
    """Scenes of one thing: no name is needed to ask about it."""
    if len(scene.things) != 1 or scene.things[0].is_digit:
        return None
    thing = scene.things[0]
    if rng.random() < 0.5:
        forms = ["What color is the object?", "Is the object {}?", "What color is the shape?"]
        return rng.choice(forms).format(options(rng, thing.color, COLORS)), thing.color
    forms = ["What shape is the object?", "Is the object a {}?", "Is it a {}?", "What shape is in the image?"]
    return rng.choice(forms).format(options(rng, thing.kind, SHAPES)), thing.kind


def ask_count(scene, rng):
    forms = ["How many objects are there?", "How many objects are in the image?", "Count the objects."]
    return rng.choice(forms), str(len(scene.things))


def ask_count_of(scene, rng):
    which, present, seen = rng.random(), rng.random() < 0.8, rng.choice(scene.things)
    if which < 0.45:
        color = seen.color if present else rng.choice(list(COLORS))
        return f"How many {color} objects are there?", str(sum(t.color == color for t in scene.things))
    if which < 0.9:
        if seen.is_digit:
            return "How many digits are there?", str(sum(t.is_digit for t in scene.things))
        kind = seen.kind if present else rng.choice(SHAPES)
        return f"How many {plural(kind)} are there?", str(sum(t.kind == kind for t in scene.things))
    size = rng.choice(list(SIZES))
    return f"How many {size} objects are there?", str(sum(t.size == size for t in scene.things))


def ask_exists(scene, rng):
    which, present, seen = rng.random(), rng.random() < 0.5, rng.choice(scene.things)
    ask = rng.choice(["Is there {}?", "Is {} in the image?", "Do you see {}?"]).format
    if which < 0.3:
        color = seen.color if present else rng.choice(list(COLORS))
        return ask(f"{an(color)} object"), _yes_no(any(t.color == color for t in scene.things))
    if which < 0.6:
        kind = seen.kind if present else rng.choice(DIGITS if seen.is_digit else SHAPES)
        return ask(an(kind)), _yes_no(any(t.kind == kind for t in scene.things))
    if present:
        return ask(an(name(seen))), "yes"
    for _ in range(20):  # hard negatives: one of the two attributes is right
        if rng.random() < 0.5:
            color, kind = seen.color, rng.choice(DIGITS if seen.is_digit else SHAPES)
        else:
            color, kind = rng.choice(list(COLORS)), seen.kind
        if (color, kind) not in HELD_OUT_PAIRS and all(t.pair != (color, kind) for t in scene.things):
            return ask(f"{an(color)} {kind}"), "no"
    return None


def _yes_no(value):
    return "yes" if value else "no"


def _one_named(scene, rng):
    """A thing and the shortest kind of name that fits only it: colour, kind or both (at random among those that fit)."""
    things = unique(scene, lambda thing: thing.pair)
    if not things:
        return None, None
    thing = rng.choice(things)
    names = [name(thing)] * 3
    if sum(t.color == thing.color for t in scene.things) == 1:
        names.append(f"{thing.color} object")
    if sum(t.kind == thing.kind for t in scene.things) == 1:
        names.append(thing.kind)
    return thing, rng.choice(names)


def ask_where(scene, rng):
    thing, called = _one_named(scene, rng)
    if thing is None:
        return None
    forms = ["Where is the {}?", "Where in the image is the {}?", "What is the position of the {}?"]
    return rng.choice(forms).format(called), at(thing.cell)


def ask_what_at(scene, rng):
    by_cell = {thing.cell: thing for thing in scene.things}
    cell = rng.choice(list(by_cell)) if rng.random() < 0.75 else rng.randrange(GRID * GRID)
    question = rng.choice(["What is {}?", "What object is {}?"]).format(at(cell))
    return question, an(full_name(by_cell[cell])) if cell in by_cell else "nothing"


def ask_size(scene, rng):
    thing, called = _one_named(scene, rng)
    if thing is None:
        return None
    forms = ["Is the {} small or large?", "Is the {} large or small?", "What size is the {}?"]
    return rng.choice(forms).format(called), thing.size


RELATIONS = {
    "left of": lambda a, b: a.column < b.column,
    "right of": lambda a, b: a.column > b.column,
    "above": lambda a, b: a.row < b.row,
    "below": lambda a, b: a.row > b.row,
}


def ask_relation(scene, rng):
    """What is left of the red star? Only if one thing is, or none ("nothing")."""
    thing, called = _one_named(scene, rng)
    if thing is None:
        return None
    relation = rng.choice(list(RELATIONS))
    found = [other for other in scene.things if RELATIONS[relation](other, thing)]
    if len(found) > 1 or (not found and rng.random() < 0.6):
        return None
    question = rng.choice(["What is {} the {}?", "What object is {} the {}?"]).format(relation, called)
    return question, an(name(found[0])) if found else "nothing"


def ask_which_side(scene, rng):
    things = unique(scene, lambda thing: thing.pair)
    if len(things) < 2:
        return None
    a, b = rng.sample(things, 2)
    if rng.random() < 0.5:
        if a.column == b.column:
            return None
        return f"Is the {name(a)} left or right of the {name(b)}?", "left" if a.column < b.column else "right"
    if a.row == b.row:
        return None
    return f"Is the {name(a)} above or below the {name(b)}?", "above" if a.row < b.row else "below"


def ask_background(scene, rng):
    if rng.random() < 0.3:
        return f"Is the background {options(rng, scene.background, BACKGROUNDS)}?", scene.background
    return rng.choice(["What color is the background?", "What is the background color?"]), scene.background


def ask_colors(scene, rng):
    question = rng.choice(["Which colors are there?", "What colors do you see?"])
    return question, joined([color for color in COLORS if any(t.color == color for t in scene.things)])


def ask_shapes(scene, rng):
    if any(thing.is_digit for thing in scene.things):
        return None
    question = rng.choice(["Which shapes are there?", "What shapes do you see?"])
    return question, joined([shape for shape in SHAPES if any(t.kind == shape for t in scene.things)])


def ask_caption(scene, rng):
    forms = ["Describe the image.", "Describe the image in detail.", "What is in the image?", "What do you see?"]
    return rng.choice(forms), joined([f"{an(full_name(thing))} {at(thing.cell)}" for thing in scene.things]) + "."


QUESTIONS = {
    "color": ask_color,
    "shape": ask_shape,
    "digit": ask_digit,
    "only": ask_only,
    "count": ask_count,
    "count of": ask_count_of,
    "exists": ask_exists,
    "where": ask_where,
    "what at": ask_what_at,
    "size": ask_size,
    "relation": ask_relation,
    "which side": ask_which_side,
    "background": ask_background,
    "colors": ask_colors,
    "shapes": ask_shapes,
    "caption": ask_caption,
}
# How often each is drawn for an image; captions come on top, with CAPTION_SHARE of the images.
WEIGHTS = {
    "color": 2.0,
    "shape": 2.5,
    "digit": 3.0,
    "only": 1.5,
    "count": 0.6,
    "count of": 2.0,
    "exists": 2.0,
    "where": 4.0,
    "what at": 3.0,
    "size": 1.5,
    "relation": 4.0,
    "which side": 3.0,
    "background": 0.5,
    "colors": 0.7,
    "shapes": 0.9,
}
CAPTION_SHARE = 0.4


def sample_questions(scene, rng, count):
    """About `count` distinct question-answer pairs."""
    pairs = []
    for kind in rng.choices(list(WEIGHTS), weights=list(WEIGHTS.values()), k=count):
        pair = QUESTIONS[kind](scene, rng)
        if pair and pair not in pairs:
            pairs.append(pair)
    if rng.random() < CAPTION_SHARE:
        pairs.append(ask_caption(scene, rng))
    rng.shuffle(pairs)
    return pairs
