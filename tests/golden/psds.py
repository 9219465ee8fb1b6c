"""Events found at several thresholds, and what psds_eval 0.5.3 says of them: psds.json.

    pip install psds_eval "pandas<2.2" "numpy<2" && python tests/golden/psds.py
"""

import json
import pathlib
import random
import warnings

import pandas as pd
import psds_eval

warnings.filterwarnings("ignore")
COLUMNS = ["filename", "onset", "offset", "event_label"]
SCENARIOS = [dict(dtc=0.7, gtc=0.7, cttc=0.3, alpha_ct=0.0, alpha_st=0.5, max_efpr=3000.0),
             dict(dtc=0.1, gtc=0.1, cttc=0.3, alpha_ct=0.5, alpha_st=1.0, max_efpr=1000.0),
             dict(dtc=0.5, gtc=0.5, cttc=0.2, alpha_ct=1.0, alpha_st=0.0, max_efpr=2000.0)]


def table(lists):
    rows = [(name, on, off, label) for name, events in lists.items() for on, off, label in events]
    return pd.DataFrame(rows, columns=COLUMNS)


def truth(rng, labels, duration):
    events = []
    for label in labels:
        time = rng.uniform(0, 4)
        while time < duration - 1:
            # A few events without a length.
            length = 0.0 if rng.random() < 0.05 else rng.uniform(0.1, 2.5)
            events.append((round(time, 3), round(min(time + length, duration), 3), label))
            time += length + rng.uniform(0.2, 5)
    return sorted(events)


def found(rng, events, labels, duration, sure):
    """The surer, the fewer: some missed, some moved, some mistaken for others, some made up."""
    by_label = {label: [] for label in labels}
    for on, off, label in events:
        if rng.random() < sure:
            continue
        label = rng.choice(labels) if rng.random() < 0.15 else label
        by_label[label].append((on + rng.gauss(0, 0.15), off + rng.gauss(0, 0.2)))
    for label in labels:
        for _ in range(rng.randint(0, round(6 * (1 - sure)))):
            on = rng.uniform(0, duration - 1)
            by_label[label].append((on, on + rng.uniform(0.05, 1.5)))
    result = []
    for label, spans in by_label.items():
        end = 0.0
        for on, off in sorted((max(0.0, on), off) for on, off in spans):
            on, off = round(max(on, end), 3), round(off, 3)
            if off >= on:
                result.append((on, off, label))
                end = off
    return sorted(result)


cases = []
for seed in range(12):
    rng = random.Random(seed)
    labels = ["alarm", "cat", "dog", "speech"][: rng.randint(2, 4)]
    durations = {f"{i}.wav": round(rng.uniform(5, 30), 2) for i in range(rng.randint(2, 5))}
    reference = {name: truth(rng, labels, duration) for name, duration in durations.items()}
    if seed % 3 == 0:
        reference["0.wav"] = []
    points = [{name: found(rng, events, labels, durations[name], sure) for name, events in reference.items()}
              for sure in (0.02, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95)]
    values = []
    for p in SCENARIOS:
        metadata = pd.DataFrame(durations.items(), columns=["filename", "duration"])
        psds = psds_eval.PSDSEval(p["dtc"], p["gtc"], p["cttc"], ground_truth=table(reference), metadata=metadata)
        for point in points:
            psds.add_operating_point(table(point))
        values.append(float(psds.psds(p["alpha_ct"], p["alpha_st"], p["max_efpr"]).value))
    cases.append(dict(durations=durations, reference=reference, points=points, psds=values))

path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(dict(scenarios=SCENARIOS, cases=cases)) + "\n")
print(path, [case["psds"] for case in cases])
