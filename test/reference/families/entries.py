"""The inputs of the families' checkpoints: prompts and the pictures and videos they speak of."""

from make import INPUTS as LLAVA_INPUTS
from make import said


def turn(*parts) -> dict:
    """A user's turn of pictures, videos ("image", "video") and texts in a given order."""
    content = [{"type": p} if p in ("image", "video") else {"type": "text", "text": p} for p in parts]
    return {"role": "user", "content": content}


def video(first: int, end: int, fps: float) -> dict:
    """Some of the five frames, taken every 1 / fps seconds."""
    return {"frames": [f"frame-{i}.png" for i in range(first, end)], "fps": fps}


INPUTS = LLAVA_INPUTS | {
    "tall": {"images": ["tall.png"], "messages": [said("user", "What is above the circle?", 1)]},
    "video": {"images": [], "videos": [video(0, 5, 0.25)], "messages": [turn("video", "What do they show?")]},
    # OneVision: a video, a picture and texts in an order that its chat template does not make
    "mixed": {
        "images": ["tall.png"],
        "videos": [video(1, 4, 2.0)],
        "prompt": "<|im_start|>user Is the class of <video>the same\nas of<image>?<|im_end|><|im_start|>assistant\n",
    },
    # Qwen: its chat template keeps the order of the parts
    "order": {
        "images": ["scene.png", "tall.png"],
        "videos": [video(1, 4, 0.8)],
        "messages": [turn("image", "Is it", "video", "as in the", "image", "or not?")],
    },
    "raw-qwen": {
        "images": ["scene.png"],
        "prompt": "Où est  l'été?<|vision_start|><|image_pad|><|vision_end|> ♥ answer:\n",
    },
    # CLIP and SigLIP
    "pairs": {
        "images": ["scene.png", "wide.png", "tall.png"],
        "texts": ["A red circle.", "two YELLOW  circles above!", "L'été, the shore's sky", "stones"],
    },
}
TEXT_TURNS = {
    "images": [],
    "messages": [
        said("user", "How many shapes are there?"),
        said("assistant", "There are three."),
        said("user", "Why?"),
    ],
}
TEXT_RAW = {"images": [], "prompt": "Où est  l'été? ♥ answer:\n"}


def of(names: tuple[str, ...], has_pictures: bool) -> dict[str, dict]:
    without = {"text": INPUTS["text"], "turns": TEXT_TURNS, "raw": TEXT_RAW}
    return {name: INPUTS[name] if has_pictures else without[name] for name in names}
