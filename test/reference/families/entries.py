"""The inputs of the families' checkpoints: prompts and the pictures and videos they speak of."""

from make import INPUTS as LLAVA_INPUTS
from make import said


def turn(*parts) -> dict:
    """A user's turn of pictures, videos ("image", "video") and texts in a given order."""
    content = [{"type": p} if p in ("image", "video") else {"type": "text", "text": p} for p in parts]
    return {"role": "user", "content": content}


# Frames are pictures that Pillow resized (bicubic) to the `size` [width, height] of the video, one every 1 / fps seconds.
FRAMES = ["scene.png", "wide.png", "photo.jpg", "tall.png", "odd-37x53.png"]


def video(n_frames: int, size: list[int], fps: float) -> dict:
    return {"frames": FRAMES[:n_frames], "size": size, "fps": fps}


INPUTS = LLAVA_INPUTS | {
    "tall": {"images": ["tall.png"], "messages": [said("user", "What is above the circle?", 1)]},
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
