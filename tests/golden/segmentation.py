"""Labels of frames and what the metrics of action segmentation say of them: segmentation.json.

    python tests/golden/segmentation.py EVAL.PY

EVAL.PY is eval.py of MS-TCN (github.com/yabufarha/ms-tcn, commit 4d3bc71f); its functions are called, none is copied.
"""

import importlib.util
import json
import pathlib
import random
import sys

spec = importlib.util.spec_from_file_location("ms_tcn", sys.argv[1])
ms_tcn = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ms_tcn)


def recording(rng, labels):
    """True and found labels: stretches, with ends moved and some labels taken for others."""
    truth = [label for _ in range(rng.randint(2, 9)) for label in [rng.choice(labels)] * rng.randint(2, 20)]
    shift = rng.randint(0, 4)
    found = truth[shift:] + [truth[-1]] * shift
    for _ in range(rng.randint(0, 4)):
        start = rng.randrange(len(found))
        found[start:start + rng.randint(1, 12)] = [rng.choice(labels)] * len(found[start:start + 12])
    return truth, (found + truth)[:len(truth)]


def main():
    rng = random.Random(2)
    cases = []
    while len(cases) < 30:
        background = rng.choice((None, 0))
        recordings = [recording(rng, range(rng.randint(2, 5))) for _ in range(rng.randint(1, 4))]
        without = dict(bg_class=[] if background is None else [background])
        stretches = lambda labels: ms_tcn.get_labels_start_end_time(labels, **without)[0]
        if any(not stretches(labels) for both in recordings for labels in both):
            continue  # eval.py cannot
        counts = lambda overlap: map(sum, zip(*(ms_tcn.f_score(f, t, overlap, **without) for t, f in recordings)))
        f1 = lambda tp, fp, fn: 2 * tp / (2 * tp + fp + fn)
        edits = [ms_tcn.edit_score(found, truth, **without) / 100 for truth, found in recordings]
        distances = [ms_tcn.edit_score(found, truth, norm=False, **without) for truth, found in recordings]
        frames = [t == f for truth, found in recordings for t, f in zip(truth, found)]
        expected = dict(
            frame_accuracy=sum(frames) / len(frames),
            edit_score=sum(edits) / len(edits),
            f1_at_10=f1(*counts(0.1)), f1_at_25=f1(*counts(0.25)), f1_at_50=f1(*counts(0.5)),
            # vak: the edit distance over the length of the reference.
            segment_error_rate=sum(distances) / sum(len(stretches(truth)) for truth, _ in recordings),
        )
        cases.append(dict(background=background, recordings=recordings, expected=expected))
    path = pathlib.Path(__file__).with_name("segmentation.json")
    path.write_text(json.dumps(cases, separators=(",", ":")) + "\n")


main()
