"""Golden values for tests/video_embedding_golden.rs, made with torchvision: python tests/golden/video_embedding.py

The weights are a formula that both languages can compute, so no file of weights is needed; their names and shapes are
torchvision's. So are the pictures, which are those of video_features.py.
"""

import json
import math
import pathlib

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision.transforms.functional import InterpolationMode, center_crop, resize


def picture(width, height, seed):
    """[height, width, 3], uint8: as in video_features.py."""
    x = np.arange(width, dtype=np.int64)[None, :, None] + 1000
    y = np.arange(height, dtype=np.int64)[:, None, None] + 1000
    c = np.arange(3, dtype=np.int64)[None, None, :]
    noise = ((x * 73856093) ^ (y * 19349663) ^ ((c + seed) * 83492791)) & 0xFFFFFFFF
    noise = (noise * 1664525 + 1013904223) & 0xFFFFFFFF
    smooth = (x * (3 + c) + y * (5 - c)) % 256
    return (((noise >> 24) + smooth) // 2).astype(np.uint8)


def hashed(name, count):
    """`count` numbers from -1 to 1, others for each name."""
    seed = 0
    for byte in name.encode():
        seed = (seed * 31 + byte) & 0xFFFFFFFF
    h = (np.arange(count, dtype=np.uint64) * 2654435761 + seed) & 0xFFFFFFFF
    for factor in (0x45D9F3B, 0x45D9F3B):
        h = ((h ^ (h >> 16)) * factor) & 0xFFFFFFFF
    return (h ^ (h >> 16)).astype(np.float64) / 2**31 - 1


def weight(name, shape):
    values = hashed(name, math.prod(shape))
    if name.endswith("running_var"):
        values = 1 + 0.5 * values
    elif len(shape) > 1:  # a convolution: keeps the size of what goes through it
        values = values * math.sqrt(6 / math.prod(shape[1:]))
    elif name.endswith("weight"):
        values = 1 + 0.2 * values
    else:
        values = 0.2 * values
    return torch.tensor(values.reshape(shape), dtype=torch.float32)


def transformed(frame, size):
    image = resize(Image.fromarray(frame), (8 * size + 3) // 7, InterpolationMode.BILINEAR)
    image = np.asarray(center_crop(image, size)).astype(np.float32) / np.float32(255)
    image = (image - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    return torch.tensor(image.transpose(2, 0, 1)[None])


# Width, height, seed, side of the square. Where something is resized PIL's levels and ours may differ by one, which
# MobileNetV2 with weights that were never trained blows up: ResNet-18 alone has those.
UNCHANGED = [(256, 256, 1, 224), (110, 110, 2, 96)]
RESIZED = [(300, 170, 3, 96), (57, 90, 4, 128)]
CASES = dict(resnet18=UNCHANGED + RESIZED, mobilenet_v2=UNCHANGED)


def main():
    torch.set_grad_enabled(False)
    networks = {}
    for kind in CASES:
        model = getattr(torchvision.models, kind)(weights=None).eval()
        shapes = {name: list(t.shape) for name, t in model.state_dict().items()}
        state = {n: weight(n, s) for n, s in shapes.items() if not n.endswith("num_batches_tracked")}
        model.load_state_dict(state, strict=False)
        model.fc = model.classifier = torch.nn.Identity()
        cases = []
        for w, h, seed, size in CASES[kind]:
            values = model(transformed(picture(w, h, seed), size))[0].tolist()
            cases.append(dict(frame=[w, h], seed=seed, size=size, resized=w != h,
                              embedding=[float(f"{v:.6g}") for v in values]))
        networks[kind] = dict(shapes=shapes, cases=cases)
    out = dict(made_by="tests/golden/video_embedding.py", torch=torch.__version__, torchvision=torchvision.__version__,
               pillow=PIL.__version__, networks=networks)
    text = json.dumps(out, separators=(",", ":")).replace('{"frame"', '\n{"frame"')
    pathlib.Path(__file__).with_suffix(".json").write_text(text + "\n")


main()
