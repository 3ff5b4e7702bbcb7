"""Make images to classify: colored circles, squares and triangles on noise, in a folder with a subfolder per class."""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("circle", "square", "triangle")
SIDE = 64


def draw(rng: np.random.Generator, shape: str) -> np.ndarray:
    """Draw a shape of random color and size at a random place: uint8 (SIDE, SIDE, 3)."""
    coarse = Image.fromarray(rng.integers(0, 80, (6, 6, 3), np.uint8))
    picture = coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    radius = int(rng.integers(10, 18))
    x, y = (int(center) for center in rng.integers(radius, SIDE - radius, 2))
    color = tuple(rng.integers(120, 256, 3).tolist())
    sides = {"circle": 60, "square": 4, "triangle": 3}[shape]
    ImageDraw.Draw(picture).regular_polygon((x, y, radius), sides, rotation=int(rng.integers(360)), fill=color)
    return np.array(picture)


def save_shapes(folder: Path, number: int, seed: int = 0) -> None:
    """Write so many images of each class: FOLDER/circle/0000.png and so on."""
    rng = np.random.default_rng(seed)
    for shape in CLASSES:
        (folder / shape).mkdir(parents=True, exist_ok=True)
        for i in range(number):
            Image.fromarray(draw(rng, shape)).save(folder / shape / f"{i:04}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("shapes"), help="the folder")
    parser.add_argument("--number", type=int, default=1000, help="images of each class")
    arguments = parser.parse_args()
    save_shapes(arguments.out, arguments.number)
    print(f"{len(CLASSES) * arguments.number} images in {arguments.out}")
