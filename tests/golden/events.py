"""Event lists and what sed_eval 0.2.1 says of them: events.json.

    pip install sed_eval && python tests/golden/events.py
"""

import json
import math
import pathlib
import random

import sed_eval


def figures(metrics):
    overall = metrics.results_overall_metrics()
    keys = "f_measure precision recall error_rate substitution_rate deletion_rate insertion_rate".split()

    def flat(results):
        both = {**results["f_measure"], **results["error_rate"]}
        return {key: None if math.isnan(both[key]) else both[key] for key in keys if key in both}

    return {
        "overall": flat(overall),
        "class_wise_average": flat(metrics.results_class_wise_average_metrics()),
        "class_wise": {label: flat(metrics.results_class_wise_metrics()[label]) for label in metrics.event_label_list},
    }


def evaluate(case):
    names = sorted({*case["reference"], *case["estimated"]})
    labels = sorted({event[2] for lists in (case["reference"], case["estimated"])
                     for events in lists.values() for event in events})
    rows = lambda lists, name: [dict(filename=name, event_onset=on, event_offset=off, event_label=label)
                                for on, off, label in lists.get(name, [])]
    collar = case["collar"]
    ways = dict(
        segment_based=sed_eval.sound_event.SegmentBasedMetrics(labels, time_resolution=1.0),
        event_based=sed_eval.sound_event.EventBasedMetrics(
            labels, t_collar=collar, percentage_of_length=0.2, event_matching_type="optimal"),
        onset_based=sed_eval.sound_event.EventBasedMetrics(
            labels, t_collar=collar, evaluate_offset=False, event_matching_type="optimal"),
    )
    for name in names:
        for metrics in ways.values():
            metrics.evaluate(rows(case["reference"], name), rows(case["estimated"], name))
    return {way: figures(metrics) for way, metrics in ways.items()}


def near(events, rng, labels):
    """Found events: true ones moved, lost, taken for another, and false ones."""
    found = []
    for onset, offset, label in events:
        if rng.random() < 0.8:
            move = lambda time: max(0.0, time + rng.uniform(-0.3, 0.3))
            onset, offset = sorted((move(onset), move(offset)))
            found.append((onset, offset, label if rng.random() < 0.8 else rng.choice(labels)))
    found += random_events(rng, labels, rng.randrange(3))
    rng.shuffle(found)
    return found


def random_events(rng, labels, count):
    events = []
    for _ in range(count):
        onset = round(rng.uniform(0, 8), rng.choice((0, 1, 6)))
        length = rng.choice((0.0, 0.1, 0.5, 1.0, 2.5))
        events.append((onset, round(onset + length, 6), rng.choice(labels)))
    return events


def main():
    rng = random.Random(4)
    cases = []
    for _ in range(40):
        labels = ["a", "b", "c", "d"][:rng.randint(1, 4)]
        reference = {f"{i}.wav": random_events(rng, labels, rng.randrange(12)) for i in range(rng.randint(1, 4))}
        estimated = {name: near(events, rng, labels) for name, events in reference.items()}
        if rng.random() < 0.3:
            estimated.popitem()
        cases.append(dict(reference=reference, estimated=estimated, collar=rng.choice((0.2, 0.2, 0.05, 1.0))))
    event = (1.0, 2.0, "a")
    for reference, estimated in [
        ([], []), ([event], []), ([], [event]), ([event], [event]), ([event], [(1.0, 2.0, "b")]),
        ([event, event], [event]), ([(3.0, 3.0, "a")], [(3.0, 3.0, "a")]), ([(0.0, 1.0, "a")], [(0.2, 1.2, "a")]),
        ([(0.0, 10.0, "a")], [(0.1, 8.0, "a")]), ([(0.1, 0.4, "a"), (0.3, 0.6, "a")], [(0.2, 0.5, "a")]),
    ]:
        cases.append(dict(reference={"x": reference}, estimated={"x": estimated}, collar=0.2))
    # sed_eval cannot average over no labels.
    cases = [case for case in cases if any(case["reference"].values()) or any(case["estimated"].values())]
    for case in cases:
        case["expected"] = evaluate(case)
    path = pathlib.Path(__file__).with_name("events.json")
    path.write_text(json.dumps(cases, separators=(",", ":")) + "\n")


main()
