"""Label files as other programs write them, and what those programs read in ours: tests/golden/labels/.

    pip install crowsetta praatio webvtt-py && python tests/golden/labels.py

Writes `tool.*` with praatio and crowsetta. Reads `ours.*`, which tests/labels_golden.rs compares with what Percept writes, with
praatio, crowsetta and webvtt-py, and fails where they find anything but EVENTS.
"""

import pathlib

import crowsetta
import numpy as np
import webvtt
from praatio import textgrid

FOLDER = pathlib.Path(__file__).with_name("labels")
EVENTS = [(0.25, 0.5, "wren"), (0.75, 1.5, "say \"ah\""), (606.7, 607.05, "wren")]
DURATION = 610.0


def praat():
    grid = textgrid.Textgrid()
    grid.addTier(textgrid.IntervalTier("birds", [list(event) for event in EVENTS], 0, DURATION))
    grid.save(str(FOLDER / "tool.long.TextGrid"), format="long_textgrid", includeBlankSpaces=True)
    grid.save(str(FOLDER / "tool.short.TextGrid"), format="short_textgrid", includeBlankSpaces=True)
    ours = textgrid.openTextgrid(str(FOLDER / "ours.TextGrid"), includeEmptyIntervals=False)
    found = sorted((entry.start, entry.end, entry.label) for name in ours.tierNames for entry in ours.getTier(name).entries)
    assert found == EVENTS, found
    assert ours.maxTimestamp == DURATION


def audacity():
    ons, offs, names = (np.array(column) for column in zip(*EVENTS))
    crowsetta.formats.seq.AudSeq(start_times=ons, end_times=offs, labels=names, annot_path=FOLDER).to_file(FOLDER / "tool.audacity.txt")
    ours = crowsetta.formats.seq.AudSeq.from_file(FOLDER / "ours.audacity.txt")
    assert list(zip(ours.start_times, ours.end_times, ours.labels)) == EVENTS


def raven():
    import pandas as pd
    table = pd.DataFrame([dict(Selection=i + 1, View="Spectrogram 1", Channel=1, begin_time_s=on, end_time_s=off, low_freq_hz=0.0,
                               high_freq_hz=8000.0, annotation=label) for i, (on, off, label) in enumerate(EVENTS)])
    crowsetta.formats.bbox.Raven(df=table, annot_path=FOLDER, annot_col="annotation").to_file(FOLDER / "tool.raven.txt")
    ours = crowsetta.formats.bbox.Raven.from_file(FOLDER / "ours.raven.txt", annot_col="Annotation").df
    assert list(zip(ours.begin_time_s, ours.end_time_s, ours.annotation)) == EVENTS, ours


def captions():
    ours = [(c.start_in_seconds, c.end_in_seconds, c.text) for c in webvtt.read(FOLDER / "ours.vtt")]
    assert len(ours) == len(EVENTS) and ours[2][2] == "wren (0.75)", ours


praat(), audacity(), raven(), captions()
print("all read as they were meant")
