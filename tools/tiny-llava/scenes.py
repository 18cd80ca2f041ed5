"""Scenes of one to four coloured shapes or digits: what is in them, and how they are drawn."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

IMAGE_SIZE = 48
PATCH_SIZE = 8
GRID = 3  # positions are named on a 3 x 3 grid
CELL = IMAGE_SIZE // GRID

COLORS = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (40, 80, 225),
    "yellow": (240, 220, 50),
    "purple": (140, 50, 180),
    "orange": (245, 140, 30),
    "cyan": (60, 210, 220),
    "pink": (250, 140, 190),
}
SHAPES = ["circle", "square", "triangle", "star", "cross", "ring", "diamond"]
DIGITS = list("0123456789")
KINDS = SHAPES + DIGITS  # everything that can stand in a scene
SIZES = {"small": (9, 10), "large": (14, 15)}  # pixels, inclusive
BACKGROUNDS = {
    "black": (18, 18, 22),
    "gray": (112, 112, 112),
    "white": (238, 238, 236),
    "brown": (98, 66, 40),
    "navy": (22, 28, 84),
}
TEXTURES = ["plain", "stripes", "dots", "checks", "gradient"]
POSITIONS = [
    "top left", "top", "top right",
    "left", "center", "right",
    "bottom left", "bottom", "bottom right",
]  # fmt: skip

# Colour-shape pairs that no training scene and no training question contains.
HELD_OUT_PAIRS = {("red", "ring"), ("blue", "star"), ("green", "cross"), ("purple", "triangle")}

LINES = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]

# Digits as 5 x 7 bitmaps, one row of bits per line.
DIGIT_BITMAPS = {
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00110 01000 10000 11111",
    "3": "11110 00001 00001 01110 00001 00001 11110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "01110 10000 10000 11110 10001 10001 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
    "9": "01110 10001 10001 01111 00001 00001 01110",
}


@dataclass
class Thing:
    """One object: what it is, the grid cell it belongs to, and its box in pixels (set by `place`)."""

    color: str
    kind: str
    size: str
    cell: int
    x: int = 0
    y: int = 0
    pixels: int = 0

    @property
    def column(self):
        return self.cell % GRID

    @property
    def row(self):
        return self.cell // GRID

    @property
    def pair(self):
        return (self.color, self.kind)

    @property
    def is_digit(self):
        return self.kind in DIGITS


@dataclass
class Scene:
    things: list
    background: str
    texture: str


def make_scene(things, background, texture, rng):
    """Gives every thing its place in pixels and orders things by cell, as captions read them."""
    things = sorted(things, key=lambda thing: thing.cell)
    place(things, rng)
    return Scene(things, background, texture)


def random_pair(rng, colors=tuple(COLORS), kinds=tuple(SHAPES)):
    """A colour and a kind that are not a held-out pair."""
    while True:
        pair = rng.choice(colors), rng.choice(kinds)
        if pair not in HELD_OUT_PAIRS:
            return pair


def random_cells(rng, count):
    """Distinct cells: anywhere, or (a third of the time, up to three things) in one row, column or diagonal."""
    if 2 <= count <= 3 and rng.random() < 1 / 3:
        return rng.sample(rng.choice(LINES), count)
    return rng.sample(range(GRID * GRID), count)


def random_ground(rng):
    return rng.choice(list(BACKGROUNDS)), rng.choice(TEXTURES)


def random_scene(rng, max_things=4, held_out=False):
    """A scene without held-out pairs, or with exactly one if `held_out`."""
    cells = random_cells(rng, rng.randint(1, max_things))
    # Often several things share a colour or a kind, so that counting and telling apart matter.
    common_color = rng.choice(list(COLORS)) if rng.random() < 0.3 else None
    common_kind = rng.choice(SHAPES) if rng.random() < 0.3 else None
    with_digits = rng.random() < 0.2
    things = []
    for index, cell in enumerate(cells):
        if held_out and index == 0:
            color, kind = rng.choice(sorted(HELD_OUT_PAIRS))
        else:
            colors = (common_color,) if common_color and rng.random() < 0.6 else tuple(COLORS)
            kinds = (common_kind,) if common_kind and rng.random() < 0.6 else tuple(SHAPES)
            if with_digits and rng.random() < 0.6:
                kinds = tuple(DIGITS)
            if len(colors) == len(kinds) == 1:  # this one pair might be a held-out one
                colors = tuple(COLORS)
            color, kind = random_pair(rng, colors, kinds)
        things.append(Thing(color, kind, rng.choice(list(SIZES)), cell))
    return make_scene(things, *random_ground(rng), rng)


def place(things, rng):
    """Tight layouts keep each thing inside its cell; loose ones only its centre, without overlap."""
    loose = rng.random() < 0.5
    for thing in things:
        thing.pixels = rng.randint(*SIZES[thing.size])
    if len(things) == 1 and things[0].size == "large" and rng.random() < 0.5:
        things[0].pixels = rng.randint(15, 22)
    for attempt in range(30):
        spread = 5.5 if loose and attempt < 25 else 0.0
        for thing in things:
            slack = max(spread, (CELL - thing.pixels) / 2 + 0.5)
            thing.x = _coordinate(thing.column, thing.pixels, slack, rng)
            thing.y = _coordinate(thing.row, thing.pixels, slack, rng)
        if not any(_overlap(a, b) for i, a in enumerate(things) for b in things[:i]):
            return


def _coordinate(index, pixels, slack, rng):
    corner = index * CELL + (CELL - pixels) / 2 + rng.uniform(-slack, slack)
    return int(round(min(max(corner, 0), IMAGE_SIZE - pixels)))


def _overlap(a, b):
    return a.x < b.x + b.pixels and b.x < a.x + a.pixels and a.y < b.y + b.pixels and b.y < a.y + a.pixels


def _polygon(kind):
    """Corners in [-1, 1] x [-1, 1]."""
    if kind == "square":
        return [(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)]
    if kind == "triangle":
        return [(0, -1), (0.98, 0.8), (-0.98, 0.8)]
    if kind == "diamond":
        return [(0, -1), (0.68, 0), (0, 1), (-0.68, 0)]
    if kind == "star":
        radius = [1 if i % 2 == 0 else 0.42 for i in range(10)]
        return [(r * math.sin(i * math.pi / 5), -r * math.cos(i * math.pi / 5)) for i, r in enumerate(radius)]
    if kind == "cross":
        w = 0.34
        right = [(w, -1), (w, -w), (1, -w), (1, w), (w, w), (w, 1)]
        return right + [(-x, -y) for x, y in right]
    raise ValueError(f"no polygon for {kind}")


@lru_cache(None)
def _mask(kind, pixels, degrees):
    """[pixels, pixels, 1] coverage in 0..1, anti-aliased by drawing eight times larger."""
    side = pixels * 8
    image = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(image)
    if kind in DIGITS:
        rows = DIGIT_BITMAPS[kind].split()
        bitmap = Image.fromarray(np.array([[255 * int(bit) for bit in row] for row in rows], np.uint8))
        glyph = bitmap.resize((side * 5 // 7, side), Image.NEAREST)
        image.paste(glyph, ((side - glyph.width) // 2, 0))
    elif kind in ("circle", "ring"):
        draw.ellipse([0, 0, side - 1, side - 1], fill=255)
        if kind == "ring":
            inner = int(side * 0.27)
            draw.ellipse([inner, inner, side - 1 - inner, side - 1 - inner], fill=0)
    else:
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        corners = [(x * c - y * s, x * s + y * c) for x, y in _polygon(kind)]
        draw.polygon([((x + 1) * side / 2, (y + 1) * side / 2) for x, y in corners], fill=255)
    return (np.asarray(image.resize((pixels, pixels), Image.BOX), np.float32) / 255.0)[..., None]


def render(scene, rng):
    """uint8 [48, 48, 3]."""
    image = np.empty((IMAGE_SIZE, IMAGE_SIZE, 3), np.float32)
    image[:] = np.array(BACKGROUNDS[scene.background], np.float32) + rng.randint(-8, 8)
    _add_texture(image, scene, rng)
    for thing in scene.things:
        color = np.array([channel + rng.randint(-14, 14) for channel in COLORS[thing.color]], np.float32)
        mask = _mask(thing.kind, thing.pixels, rng.choice((-8, 0, 8)))
        box = image[thing.y : thing.y + thing.pixels, thing.x : thing.x + thing.pixels]
        box[:] = mask * color + (1 - mask) * box
    if rng.random() < 0.5:
        image += np.random.default_rng(rng.getrandbits(32)).normal(0, 3, (IMAGE_SIZE, IMAGE_SIZE, 1))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _add_texture(image, scene, rng):
    contrast = -22 if scene.background == "white" else 22
    y, x = np.mgrid[0:IMAGE_SIZE, 0:IMAGE_SIZE]
    if scene.texture == "stripes":
        image[((x + y + rng.randint(0, 5)) // 3) % 2 == 0] += contrast
    elif scene.texture == "dots":
        image[((x + rng.randint(0, 3)) % 4 < 2) & ((y + rng.randint(0, 3)) % 4 < 2)] += contrast
    elif scene.texture == "checks":
        image[((x + rng.randint(0, 5)) // 6 + (y + rng.randint(0, 5)) // 6) % 2 == 0] += contrast
    elif scene.texture == "gradient":
        across = x if rng.random() < 0.5 else y
        image += (contrast * across / IMAGE_SIZE)[..., None]


# Labels per patch for the auxiliary loss: 0 is "nothing here", then colour, kind, size, cell.
PATCHES = IMAGE_SIZE // PATCH_SIZE
PATCH_CLASSES = (len(COLORS) + 1, len(KINDS) + 1, len(SIZES) + 1, GRID * GRID + 1)


def patch_labels(scene):
    """int64 [4, patches]: a patch is labelled when a thing's box covers at least 12 of its 64 pixels."""
    labels = np.zeros((4, PATCHES, PATCHES), np.int64)
    edges = np.arange(PATCHES) * PATCH_SIZE
    for thing in scene.things:
        overlap = [
            np.clip(np.minimum(start + thing.pixels, edges + PATCH_SIZE) - np.maximum(start, edges), 0, None)
            for start in (thing.y, thing.x)
        ]
        values = (
            list(COLORS).index(thing.color),
            KINDS.index(thing.kind),
            list(SIZES).index(thing.size),
            thing.cell,
        )
        labels[:, np.outer(*overlap) >= 12] = 1 + np.array(values)[:, None]
    return labels.reshape(4, -1)
