"""Golden values for tests/video_features_golden.rs: python tests/golden/video_features.py

Resizing is PIL's, oriented gradients are scikit-image's, brightness is PIL's, the color histogram is numpy's; motion is
the short search below. The pictures are formulas that both languages can compute, so only the results are stored.
"""

import json
import pathlib

import numpy as np
import PIL
import skimage
from PIL import Image
from skimage.feature import hog


def picture(width, height, seed, right=0, down=0):
    """[height, width, 3], uint8: a texture that has moved `right` and `down`, half of it smooth, half noise."""
    x = np.arange(width, dtype=np.int64)[None, :, None] + 1000 - right
    y = np.arange(height, dtype=np.int64)[:, None, None] + 1000 - down
    c = np.arange(3, dtype=np.int64)[None, None, :]
    noise = ((x * 73856093) ^ (y * 19349663) ^ ((c + seed) * 83492791)) & 0xFFFFFFFF
    noise = (noise * 1664525 + 1013904223) & 0xFFFFFFFF
    smooth = (x * (3 + c) + y * (5 - c)) % 256
    return (((noise >> 24) + smooth) // 2).astype(np.uint8)


def gray(rgb):
    return np.asarray(Image.fromarray(rgb).convert("L"))


def planes(rgb, color):
    """[C, H, W]"""
    return gray(rgb)[None] if color == "gray" else rgb.transpose(2, 0, 1)


def motion(before, now, block, reach):
    """[3, blocks down, blocks across]; `before` and `now` are gray, [H, W]."""
    height, width = now.shape
    out = np.zeros((3, height // block, width // block))
    reaches = range(-reach, reach + 1)
    moves = sorted((dx * dx + dy * dy, dy, dx) for dx in reaches for dy in reaches)
    for row in range(out.shape[1]):
        for column in range(out.shape[2]):
            y, x = row * block, column * block
            wanted = now[y : y + block, x : x + block].astype(int)
            found = []
            for order, (_, dy, dx) in enumerate(moves):
                if 0 <= y - dy <= height - block and 0 <= x - dx <= width - block:
                    there = before[y - dy : y - dy + block, x - dx : x - dx + block]
                    found.append((np.abs(wanted - there).sum(), order, dx, dy))
            least, _, dx, dy = min(found)
            out[:, row, column] = dx / reach, dy / reach, least / (block * block * 255)
    return out


def vector(before, now, c):
    parts = []
    for feature in c["features"]:
        if feature == "thumbnail":
            parts.append(planes(now, c["color"]) / 255)
        elif feature == "difference":
            parts.append((planes(now, c["color"]).astype(int) - planes(before, c["color"])) / 255)
        elif feature == "color_histogram":
            counts = [np.histogram(now[..., i], c["histogram_bins"], range=(0, 256))[0] for i in range(3)]
            parts.append(np.array(counts) / now[..., 0].size)
        elif feature == "hog":
            cell = c["hog_cell"]
            parts.append(hog(gray(now), c["hog_orientations"], (cell, cell), cells_per_block=(2, 2),
                             block_norm="L2-Hys", transform_sqrt=False))
        elif feature == "motion":
            parts.append(motion(gray(before), gray(now), c["motion_block"], c["motion_range"]))
    return np.concatenate([p.ravel() for p in parts])


DEFAULT = dict(width=32, height=32, features=["thumbnail", "difference"], color="gray", histogram_bins=8, hog_cell=8,
               hog_orientations=9, motion_block=8, motion_range=4)

RESIZES = [  # from width, height, to width, height
    (64, 48, 16, 16), (101, 67, 20, 12), (640, 360, 16, 9), (7, 5, 24, 20), (33, 17, 32, 32), (1, 1, 4, 4),
    (3, 200, 12, 5), (500, 4, 9, 24),
]

CASES = [  # name, seed, right and down since the frame before, seed of the frame before
    ("default", 1, (1, 0), 1, dict(width=16, height=16)),
    ("rgb", 2, (2, 1), 2, dict(width=12, height=9, color="rgb")),
    ("color_histogram", 3, (0, 0), 3, dict(features=["color_histogram"])),
    ("color_histogram_of_5_bins", 4, (0, 0), 4, dict(features=["color_histogram"], histogram_bins=5)),
    ("color_histogram_of_256_bins", 4, (0, 0), 4, dict(features=["color_histogram"], histogram_bins=256)),
    ("hog", 5, (0, 0), 5, dict(features=["hog"])),
    ("hog_of_8_directions", 6, (0, 0), 6, dict(features=["hog"], hog_orientations=8, hog_cell=6)),
    ("hog_of_an_odd_size", 7, (0, 0), 7, dict(features=["hog"], width=37, height=23, hog_cell=5)),
    ("hog_of_4_directions", 8, (0, 0), 8, dict(features=["hog"], width=64, height=48, hog_cell=16, hog_orientations=4)),
    ("hog_of_2_pixels", 9, (0, 0), 9, dict(features=["hog"], width=8, height=8, hog_cell=2, hog_orientations=12)),
    ("motion", 10, (3, -2), 10, dict(features=["motion"])),
    ("motion_of_an_odd_size", 11, (-4, 4), 11, dict(features=["motion"], width=45, height=31, motion_block=7)),
    ("motion_of_other_pictures", 12, (0, 0), 13, dict(features=["motion"], motion_block=4, motion_range=6)),
    ("motion_beyond_reach", 14, (9, 0), 14, dict(features=["motion"], motion_range=2)),
    ("all", 15, (1, 1), 15,
     dict(features=["thumbnail", "difference", "motion", "hog", "color_histogram"], width=17, height=16)),
]


def rounded(x):
    return [float(f"{v:.7g}") for v in x]


def main():
    resizes = []
    for w, h, to_w, to_h in RESIZES:
        small = Image.fromarray(picture(w, h, 0)).resize((to_w, to_h), Image.Resampling.BILINEAR)
        resizes.append(dict(source=[w, h], target=[to_w, to_h], pixels=np.asarray(small).ravel().tolist()))
    cases = []
    for name, seed, (right, down), seed_before, changes in CASES:
        c = {**DEFAULT, **changes}
        now = picture(c["width"], c["height"], seed, right, down)
        before = picture(c["width"], c["height"], seed_before)
        cases.append(dict(name=name, seed=seed, moved=[right, down], seed_before=seed_before, config=changes,
                          vector=rounded(vector(before, now, c))))
    out = dict(made_by="tests/golden/video_features.py", pillow=PIL.__version__, skimage=skimage.__version__,
               numpy=np.__version__, resizes=resizes, cases=cases)
    text = json.dumps(out, separators=(",", ":")).replace('{"name"', '\n{"name"').replace('{"source"', '\n{"source"')
    pathlib.Path(__file__).with_suffix(".json").write_text(text + "\n")


main()
