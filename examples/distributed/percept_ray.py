#!/usr/bin/env python3
"""Classifies or tags the files of a manifest on one machine or a Ray cluster, into a directory of Parquet files.

    python percept_ray.py --manifest files.csv -m birds.safetensors -o results/

The list of files is cut into parts of fixed size. A Ray Data actor owns one `percept worker` process; it takes a
part, asks the process for its rows, and writes them to `part-000123.parquet` by writing another file and renaming it.
So a part is there whole or not at all, and doing one twice changes nothing: whatever dies, Ray has another actor do
its parts, and the same command again does the parts that are missing. README.md says the rest.
"""

import argparse
import array
import contextlib
import csv
import ctypes
import fnmatch
import hashlib
import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path

import numpy
import pyarrow as pa
import pyarrow.parquet as pq
import ray

# One row a label or event, and one for an input that has none or failed: the columns of `percept batch -o x.parquet`.
SCHEMA = pa.schema(
    {
        "path": pa.string(),
        "status": pa.string(),  # ok, error
        "rank": pa.int64(),  # of a recording's labels, from 1; null for an event
        "label": pa.string(),
        "score": pa.float64(),
        "peak": pa.float64(),  # of an event
        "onset": pa.float64(),  # seconds; a label holds from the start to the end
        "offset": pa.float64(),
        "event_at": pa.string(),  # `recorded_at` and `onset`
        "recorded_at": pa.string(),  # 2024-05-31T04:30:00, with Z or +02:00 where the zone is known
        "duration": pa.float64(),  # seconds
        "sample_rate": pa.int64(),  # Hz
        "channels": pa.int64(),
        "warnings": pa.string(),  # joined by "; "
        "error_kind": pa.string(),
        "error_message": pa.string(),
        "task": pa.string(),
        "model": pa.string(),
        "model_sha256": pa.string(),
        "settings": pa.string(),
        "tool": pa.string(),
    }
)
# Only with --raw: the whole record, in the first row of its input.
RAW = pa.field("record", pa.string())
# Key of a Parquet file's own metadata that holds what `Counts` says of the part.
COUNTS = b"percept"

MEDIA = "wav flac mp3 ogg oga opus m4a aac aif aiff caf wma mp4 m4v mov mkv webm avi ts mts mpg mpeg flv wmv 3gp gif"


class JobError(Exception):
    """What the whole job fails of: one line, with what to do."""


# The list of files


def listed_files(manifests: list[str], directories: list[str], include: list[str]) -> Iterator[str]:
    """Absolute paths, in the order of the manifests, then of the directories."""
    yield from manifest_files(manifests)
    yield from directory_files(directories, include)


def manifest_files(manifests: list[str]) -> Iterator[str]:
    """CSV where the first line has a column `path`, otherwise a path a line; relative ones start at its folder."""
    for manifest in manifests:
        folder = os.path.dirname(os.path.abspath(manifest))
        with open(manifest, encoding="utf-8-sig", errors="surrogateescape") as lines:
            head = lines.readline().rstrip("\n")
            delimiter = next((mark for mark in ",\t;" if mark in head), ",")
            columns = [name.strip('"') for name in head.split(delimiter)]
            column = next((i for i, name in enumerate(columns) if name in ("path", "file", "filename")), None)
            if column is None:
                paths = (line.rstrip("\n") for line in itertools.chain([head], lines))
            else:
                paths = (row[column] for row in csv.reader(lines, delimiter=delimiter) if len(row) > column)
            yield from (os.path.join(folder, path) for path in paths if path)


def directory_files(directories: list[str], include: list[str]) -> Iterator[str]:
    """Files whose names match, by name within each folder. Hidden ones and links to folders are passed over."""
    for directory in directories:
        if not os.path.isdir(directory):
            raise JobError(f"{directory}: is no directory; a list of files is given with --manifest")
        for folder, folders, names in os.walk(os.path.abspath(directory), onerror=fail):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if not name.startswith(".") and any(
                    fnmatch.fnmatchcase(name.lower(), glob.lower()) for glob in include
                ):
                    yield os.path.join(folder, name)


def fail(error: OSError):
    raise error


# What is in the output directory beside the parts. The names begin with `_` so that Parquet readers pass them over.


@dataclass(frozen=True)
class Job:
    """What the output depends on, as `_job.json` keeps it: a run that differs in any of it is another job."""

    inputs_sha256: str
    num_inputs: int
    part_size: int
    raw: bool
    tool: str
    model: str
    model_sha256: str
    task: str
    settings: str

    @property
    def num_parts(self) -> int:
        return -(-self.num_inputs // self.part_size)

    def inputs_of(self, number: int) -> int:
        """How many a part has; fewer in the last."""
        return min(self.part_size, self.num_inputs - number * self.part_size)


@dataclass
class Counts:
    """Of a part, or of several."""

    inputs: int = 0
    failed: int = 0
    seconds: float = 0.0

    def add(self, other: "Counts"):
        self.inputs += other.inputs
        self.failed += other.failed
        self.seconds += other.seconds


class Output:
    """The directory that all nodes write to."""

    def __init__(self, directory: str):
        self.directory = Path(directory).absolute()
        self.temporary = self.directory / "_tmp"
        self.success = self.directory / "_SUCCESS"

    def part(self, number: int) -> Path:
        return self.directory / f"part-{number:06}.parquet"

    def inputs(self, sha256: str) -> Path:
        return self.directory / f"_inputs-{sha256[:16]}.jsonl"

    def new_name(self) -> Path:
        """Where a file is written before it gets its name; no other process has it."""
        self.temporary.mkdir(parents=True, exist_ok=True)
        return self.temporary / uuid.uuid4().hex

    def keep_inputs(self, paths: Iterator[str]) -> tuple[str, int]:
        """Writes the list, a JSON string a line, each path once; returns its hash and length."""
        named, unique = self.new_name(), self.new_name()
        # 8 bytes a path, so that a list of millions fits: only paths that share a hash are looked at again.
        hashes = array.array("Q")
        with open(named, "wb") as lines:
            for path in paths:
                line = json.dumps(path).encode() + b"\n"
                hashes.append(hash_of(line))
                lines.write(line)
        ordered = numpy.sort(numpy.frombuffer(hashes, dtype=numpy.uint64))
        shared = set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
        sha256, count, seen = hashlib.sha256(), 0, set()
        with open(named, "rb") as lines, open(unique, "wb") as kept:
            for line, line_hash in zip(lines, hashes, strict=True):
                if line_hash in shared:
                    if line in seen:
                        continue
                    seen.add(line)
                sha256.update(line)
                kept.write(line)
                count += 1
            sync(kept)
        named.unlink()
        os.replace(unique, self.inputs(sha256.hexdigest()))
        return sha256.hexdigest(), count

    def begin(self, job: Job):
        """Begins a job or goes on with it; refuses another than the one that was begun here."""
        path, file = self.directory / "_job.json", self.new_name()
        with open(file, "w") as text:
            json.dump(asdict(job), text, indent=2)
            sync(text)
        with contextlib.suppress(FileExistsError):
            os.link(file, path)  # Not where it is there already, unlike a rename.
        file.unlink()
        begun = json.loads(path.read_text())
        differs = [
            f"{field.name}: {begun.get(field.name)} before, {getattr(job, field.name)} now"
            for field in fields(Job)
            if begun.get(field.name) != getattr(job, field.name)
        ]
        if begun.get("inputs_sha256") != job.inputs_sha256:
            self.inputs(job.inputs_sha256).unlink(missing_ok=True)
        if differs:
            what = "; ".join(differs)
            raise JobError(f"{self.directory}: holds another job ({what}); choose another directory (-o)")

    def missing_parts(self, job: Job) -> list[int]:
        names = {entry.name for entry in os.scandir(self.directory)}
        return [number for number in range(job.num_parts) if self.part(number).name not in names]

    def forget_failed(self, job: Job):
        """Takes away the parts in which an input failed."""
        for number in set(range(job.num_parts)) - set(self.missing_parts(job)):
            if self.counts(number).failed:
                self.part(number).unlink()

    def part_offsets(self, job: Job) -> list[int]:
        """Where each part's paths begin in the list of inputs, in bytes."""
        offsets, offset = [], 0
        with open(self.inputs(job.inputs_sha256), "rb") as lines:
            for i, line in enumerate(lines):
                if i % job.part_size == 0:
                    offsets.append(offset)
                offset += len(line)
        return offsets

    def write_part(self, number: int, table: pa.Table):
        """Whole or not at all, even if the machine loses power or two actors write the same part at once."""
        file = self.new_name()
        try:
            with open(file, "wb") as stream:
                pq.write_table(table, stream, compression="zstd")
                sync(stream)
            os.replace(file, self.part(number))
        except FileNotFoundError:
            # The job is complete, and another has tidied up: the part was written twice.
            if not self.part(number).exists():
                raise
        finally:
            file.unlink(missing_ok=True)

    def counts(self, number: int) -> Counts:
        """Of a part that is there."""
        return Counts(**json.loads(pq.read_schema(self.part(number)).metadata[COUNTS]))

    def finish(self, total: Counts):
        """Marks the job as complete, by the name that Spark and Hadoop use."""
        file = self.new_name()
        with open(file, "w") as text:
            text.write(json.dumps(asdict(total)) + "\n")
            sync(text)
        os.replace(file, self.success)
        shutil.rmtree(self.temporary, ignore_errors=True)


def hash_of(line: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(line, digest_size=8).digest(), "big")


def sync(file):
    file.flush()
    os.fsync(file.fileno())


# The worker process


@dataclass(frozen=True)
class Identity:
    """What every row of a job has in common: who answers, and with what settings."""

    schema_version: int
    tool: str
    model: dict
    settings: str

    @classmethod
    def of(cls, row: dict) -> "Identity":
        return cls(*(row[field.name] for field in fields(cls)))


@dataclass(frozen=True)
class Death:
    """Why a worker process is gone, in the words of `percept batch`."""

    said: str
    returncode: int
    time_limit: float | None

    @property
    def cause(self) -> str:
        if self.returncode < 0:
            return f"signal: {-self.returncode} ({signal.Signals(-self.returncode).name})"
        return f"exit status: {self.returncode}"

    @property
    def kind(self) -> str:
        return "limit" if self.time_limit or self.out_of_memory else "internal"

    @property
    def out_of_memory(self) -> bool:
        return "memory allocation of" in self.said

    @property
    def message(self) -> str:
        if self.time_limit:
            limit = f"{self.time_limit:g} s, the limit for a file (--time-limit)"
            return f"took longer than {limit}; raise it, or leave the file out"
        if self.out_of_memory:
            return "needs more memory than a file may take (--memory-limit); raise it, or cut the file into parts"
        return (
            f"ended the process that worked on it ({self.cause}), which is a defect (or somebody stopped that process, "
            "or memory ran out); please report it with the file"
        )


class Worker:
    """A `percept worker` process, started when it is first needed and again after it has died."""

    def __init__(
        self,
        command: list[str],
        threads: int = 1,
        max_group_size: int = 32,
        time_limit: float = 3600.0,
        identity: Identity | None = None,
    ):
        """`time_limit` in seconds: for a file, and for a group of files before they are tried one by one. Without an
        `identity`, that of the first process that is started."""
        self.command = command
        self.threads = threads
        self.max_group_size = max_group_size
        self.time_limit = time_limit
        self.identity = identity
        # How many files are asked for at once; follows how long they take.
        self.group_size = 1
        self.process: subprocess.Popen | None = None
        # For messages; emptied before every group.
        self.stderr = tempfile.TemporaryFile()

    def rows(self, paths: list[str]) -> Iterator[dict]:
        """A row for each path, in their order, whatever becomes of the process.

        Raises JobError where no file is to blame: no such model, or another percept than the job began with."""
        start = 0
        while start < len(paths):
            group = paths[start : start + self.group_size]
            start += len(group)
            began = time.monotonic()
            answers, _ = self.ask(group)
            seconds = time.monotonic() - began
            yield from (answers.get(i) or self.row_alone(path) for i, path in enumerate(group))
            # Clips are faster together; long recordings do not gain, and one that hangs holds up those beside it.
            if seconds < self.time_limit / 100:
                self.group_size = min(2 * self.group_size, self.max_group_size)
            elif seconds > self.time_limit / 10:
                self.group_size = max(1, self.group_size // 2)

    def row_alone(self, path: str) -> dict:
        """A file is to blame when it kills the process twice, alone; once may have been someone else."""
        for _ in range(2):
            answers, death = self.ask([path])
            if answers:
                return answers[0]
            if death.kind == "limit":
                break
        return self.error_row(path, death.kind, death.message)

    def error_row(self, path: str, kind: str, message: str) -> dict:
        row = dict(asdict(self.identity), input={"path": path}, status="error")
        return row | {"error": {"kind": kind, "message": message}}

    def ask(self, paths: list[str]) -> tuple[dict[int, dict], "Death | None"]:
        """Rows by their index in `paths`. Where the process died some are missing; the second value says of what."""
        self.start()
        answers = {i: self.bad_name(path) for i, path in enumerate(paths) if not is_unicode(path)}
        requests = [{"id": i, "path": path} for i, path in enumerate(paths) if i not in answers]
        received, death = self.exchange(requests) if requests else ({}, None)
        if death:
            say(f"a worker that had {len(paths)} files, the first {paths[0]}: {death.message}; it said: {death.said}")
        return answers | received, death

    def bad_name(self, path: str) -> dict:
        shown = os.fsencode(path).decode(errors="replace")
        return self.error_row(shown, "path", "the name is not UTF-8; rename the file")

    def start(self):
        if self.process:
            return
        try:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.stderr,
                env=os.environ | {"RAYON_NUM_THREADS": str(self.threads)},
                start_new_session=True,  # Its helpers (ffmpeg) are killed with it.
                preexec_fn=dying_with_parent(),
            )
        except OSError as error:
            what = f"`{self.command[0]}` cannot be run: {error.strerror}"
            raise JobError(f"{what}; is it there on every node? (--percept)") from None
        # A file that cannot be there: the answer says who answers, and that the model could be loaded.
        answers, death = self.exchange([{"id": 0, "path": os.path.join(os.devnull, "percept")}])
        if death:
            command = " ".join(self.command)
            raise JobError(f"`{command}` does not work ({death.cause}): {death.said}")
        identity = Identity.of(answers[0])
        if self.identity and self.identity != identity:
            raise JobError(f"another percept or model answers than the job began with: {identity}, not {self.identity}")
        self.identity = identity

    def exchange(self, requests: list[dict]) -> tuple[dict[int, dict], "Death | None"]:
        """Sends one group and reads its answers."""
        process, rows = self.process, {}
        self.stderr.seek(0)
        self.stderr.truncate()
        hung = threading.Event()

        def give_up():
            hung.set()
            os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(self.time_limit, give_up)
        timer.start()
        try:
            process.stdin.write(json.dumps(requests).encode() + b"\n")
            process.stdin.flush()
            while len(rows) < len(requests) and (line := process.stdout.readline()).endswith(b"\n"):
                number, row = row_of(line)
                rows[number] = row
        except BrokenPipeError:
            pass  # It died before it had read them.
        except Exception:
            # What else it may say would be taken for an answer to the next group.
            self.close()
            raise
        finally:
            timer.cancel()
            timer.join()
        if len(rows) == len(requests) and not hung.is_set():
            return rows, None
        returncode = self.close()
        self.stderr.seek(0)
        said = self.stderr.read()[-2000:].decode(errors="replace").strip()
        return rows, Death(said, returncode, self.time_limit if hung.is_set() else None)

    def close(self) -> int:
        """Ends the process; returns what it ended with."""
        process, self.process = self.process, None
        if not process:
            return 0
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        # What dies by itself has this long to do so, so that its own cause is told.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        return process.wait()


def row_of(line: bytes) -> tuple[int, dict]:
    """What an answer is to, and its row."""
    try:
        answer = json.loads(line)
        return answer["id"], answer["row"]
    except (ValueError, KeyError, TypeError):
        raise JobError(f"percept worker gave no answer but {line[:500].decode(errors='replace')}") from None


def dying_with_parent():
    """What a child calls so that the system kills it when the actor is killed, even while it hangs."""
    if sys.platform != "linux":
        return None
    libc, pr_set_pdeathsig = ctypes.CDLL(None), 1
    return lambda: libc.prctl(pr_set_pdeathsig, signal.SIGKILL)


def is_unicode(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


# Rows


def table_rows(row: dict, raw: bool) -> list[dict]:
    """A record of JSON as rows of the table."""
    source, error, start = row["input"], row.get("error", {}), row.get("recorded_at")
    shared = {
        "path": source["path"],
        "status": row["status"],
        "recorded_at": start,
        "duration": source.get("duration"),
        "sample_rate": source.get("sample_rate"),
        "channels": source.get("channels"),
        "warnings": "; ".join(row.get("warnings", [])) or None,
        "error_kind": error.get("kind"),
        "error_message": error.get("message"),
        "task": row["model"]["task"],
        "model": row["model"]["name"],
        "model_sha256": row["model"]["sha256"],
        "settings": row["settings"],
        "tool": row["tool"],
    }
    labels = [
        {"rank": rank, "onset": 0.0, "offset": source.get("duration"), "event_at": later(start, 0.0)} | label
        for rank, label in enumerate(row.get("predictions", []), 1)
    ]
    events = [{"event_at": later(start, event["onset"])} | event for event in row.get("events", [])]
    rows = [shared | found for found in labels or events or [{}]]
    if raw:
        rows[0][RAW.name] = json.dumps(row, ensure_ascii=False)
    return rows


def later(start: str | None, seconds: float) -> str | None:
    """What the clock shows `seconds` after `start`, to the millisecond, written as `start` is."""
    try:
        moment = datetime.fromisoformat(start.replace("Z", "+00:00"))
        milliseconds = math.floor(moment.microsecond / 1000 + 1000 * seconds + 0.5)
        moment = moment.replace(microsecond=0) + timedelta(milliseconds=milliseconds)
    except (AttributeError, ValueError, OverflowError):
        return None
    fraction = f".{moment.microsecond:06}".rstrip("0").rstrip(".")
    zone = moment.strftime("%z")
    zone = "Z" if start.endswith("Z") else f"{zone[:3]}:{zone[3:]}" if zone else ""
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + fraction + zone


def part_table(records: list[dict], raw: bool) -> pa.Table:
    """All rows of a part, and how many inputs, failures and seconds of sound it has."""
    rows = [row for record in records for row in table_rows(record, raw)]
    failed = sum(record["status"] == "error" for record in records)
    seconds = sum(record["input"].get("duration") or 0.0 for record in records)
    counts = Counts(len(records), failed, seconds)
    schema = SCHEMA.append(RAW) if raw else SCHEMA
    return pa.Table.from_pylist(rows, schema.with_metadata({COUNTS: json.dumps(asdict(counts))}))


# On the cluster


class PartWriter:
    """A Ray actor: one worker process, and the parts that Ray gives it."""

    def __init__(self, output: Output, job: Job, worker: dict, allow_missing: bool):
        self.output, self.job, self.allow_missing = output, job, allow_missing
        self.worker = Worker(**worker)

    def __call__(self, batch: dict) -> dict:
        """Does one part; says how many inputs it has, or what the job must stop for. (An exception would say it too,
        below a page of Ray's own stack.)"""
        try:
            counts, error = self.do(int(batch["part"][0]), int(batch["offset"][0])), ""
        except (JobError, OSError) as reason:
            counts, error = Counts(), f"{os.uname().nodename}: {reason}"
        return {name: [value] for name, value in (asdict(counts) | {"error": error}).items()}

    def do(self, number: int, offset: int) -> Counts:
        # It is there where this actor, or one before it, died between the writing and the telling.
        if not self.output.part(number).exists():
            records = list(self.worker.rows(self.paths(offset)))
            if not self.allow_missing:
                self.check_disks(number, records)
            self.output.write_part(number, part_table(records, self.job.raw))
        return self.output.counts(number)

    def paths(self, offset: int) -> list[str]:
        with open(self.output.inputs(self.job.inputs_sha256), "rb") as lines:
            lines.seek(offset)
            return [json.loads(line) for line in itertools.islice(lines, self.job.part_size)]

    def check_disks(self, number: int, records: list[dict]):
        """A node that has not mounted the recordings, or has lost them, must not report thousands as missing."""
        missing = [record["input"]["path"] for record in records if kind_of(record) == "not_found"]
        if not missing:
            return
        folders = {os.path.dirname(record["input"]["path"]) for record in records}
        # The files that were read lie in folders, unless those are gone since.
        lost = [os.path.dirname(record["input"]["path"]) for record in records if record["status"] == "ok"]
        lost = [folder for folder in set(lost) if not has_entries(folder)]
        if lost or not any(map(has_entries, folders)):
            raise JobError(
                f"{len(missing)} of the {len(records)} files of part {number} are missing with all in their folders "
                f"(first: {missing[0]}); mount the recordings on every node, or use --allow-missing"
            )

    def __del__(self):
        self.worker.close()


def kind_of(record: dict) -> str | None:
    return record.get("error", {}).get("kind")


def has_entries(folder: str) -> bool:
    """Whether a directory is there and holds something; an empty one may be a mount point without its disk."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False


def run_round(output: Output, job: Job, parts: list[int], args: argparse.Namespace, worker: dict, progress: "Progress"):
    """One Ray Data run over the parts that are missing. Only numbers travel: rows go straight to the directory."""
    offsets = output.part_offsets(job)
    items = [{"part": number, "offset": offsets[number]} for number in parts]
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = -1  # Long recordings take their time; --time-limit sees to the rest.
    results = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        PartWriter,
        batch_size=1,
        fn_constructor_args=(output, job, worker, args.allow_missing),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=args.workers, initial_size=args.workers),
        num_cpus=args.cpus_per_worker,
    )
    # Ray Data starts a dead actor again, on another node if need be, and has it do its parts again.
    for told in results.iter_rows():
        if error := told.pop("error"):
            raise JobError(error)
        progress.add(Counts(**told))


def run(output: Output, job: Job, args: argparse.Namespace, worker: dict) -> Counts:
    """All parts that are missing; then the counts of all."""
    missing = output.missing_parts(job)
    if missing and len(missing) < job.num_parts:
        say(f"going on: {job.num_parts - len(missing)} of {job.num_parts} parts are there")
    progress = Progress(sum(map(job.inputs_of, missing)))
    without_gain = 0
    while missing:
        try:
            run_round(output, job, missing, args, worker, progress)
        except ray.exceptions.RayError as error:
            # More was lost than Ray Data could make good.
            before, missing = missing, output.missing_parts(job)
            without_gain = without_gain + 1 if len(missing) == len(before) else 0
            if isinstance(error, ray.exceptions.RayTaskError) or without_gain == 3:
                raise
            say(f"{type(error).__name__}; starting again with the {len(missing)} parts that are missing")
        else:
            missing = output.missing_parts(job)
    total = Counts()
    for number in range(job.num_parts):
        total.add(output.counts(number))
    if total.inputs != job.num_inputs:
        raise JobError(f"{output.directory}: holds {total.inputs} inputs of {job.num_inputs}; were parts replaced?")
    return total


# The program


class Progress:
    def __init__(self, due: int):
        self.due = due
        self.done = Counts()
        self.start = self.said = time.monotonic()

    def add(self, counts: Counts):
        self.done.add(counts)
        now = time.monotonic()
        if now - self.said < 5 and self.done.inputs < self.due:
            return
        self.said = now
        rate = self.done.inputs / (now - self.start)
        left = max(0.0, self.due - self.done.inputs) / rate
        done = f"{self.done.inputs} of {self.due} files, {self.done.failed} failed"
        say(f"{done}, {self.done.seconds / 3600:.1f} h of sound, {rate:.0f} files/s, {left:.0f} s left")


def say(message: str):
    print(message, file=sys.stderr, flush=True)


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="What stands after `--` is given to `percept worker`: -- --top-k 3 --channel 2. The same command again "
        "goes on where it was. Exit code: 0, 1 if inputs failed, 2 if the job did.",
    )
    add = parser.add_argument
    add("directories", nargs="*", metavar="DIR", help="take the media files in it and in folders within it")
    add("--manifest", action="append", default=[], help="a path a line, or .csv with a column `path`; may be repeated")
    add("--include", action="append", help="which names to take from directories: '*.wav' (default: media)")
    add("-o", "--output", required=True, metavar="DIR", help="Parquet files go here; all nodes must see it")
    add("-m", "--model", required=True, help="a model file at the same path on all nodes, or a built-in name")
    add("--task", choices=["classify", "tag"], help="default: the model's")
    add("--raw", action="store_true", help="keep each input's whole JSON record too, in the column `record`")
    add("--part-size", type=positive(int), default=500, help="inputs a Parquet file (default: 500)")
    add("--group-size", type=positive(int), default=32, help="files given to a worker at once, at most (default: 32)")
    add("--time-limit", type=positive(float), default=3600.0, help="seconds for a file (default: 3600)")
    add("--memory-limit", default="4GiB", help="for a file, on Linux (default: 4GiB)")
    add("--retry-failed", action="store_true", help="do those parts again in which inputs failed")
    add("--allow-missing", action="store_true", help="go on where whole folders of the list are missing")
    add("--address", default=os.environ.get("RAY_ADDRESS"), help="of a Ray cluster, or `auto` (default: this machine)")
    add("--workers", type=positive(int), help="processes at most (default: what the cluster's CPUs hold now)")
    add("--cpus-per-worker", type=positive(int), default=1, help="default: 1")
    add("--percept", default=os.environ.get("PERCEPT", "percept"), help="the program, on all nodes (default: percept)")
    cut = argv.index("--") if "--" in argv else len(argv)
    args = parser.parse_args(argv[:cut])
    args.for_worker = argv[cut + 1 :]
    args.include = args.include or [f"*.{ending}" for ending in MEDIA.split()]
    if not args.manifest and not args.directories:
        parser.error("name a list of files (--manifest) or a directory")
    return args


def positive(number: type):
    def parse(text: str):
        value = number(text)
        if value <= 0:
            raise argparse.ArgumentTypeError("must be above 0")
        return value

    return parse


def worker_settings(args: argparse.Namespace) -> dict:
    """Arguments of `Worker`. A name with a folder in it is the same file whatever the node's working directory."""
    percept, model = (os.path.abspath(x) if os.sep in x else x for x in (args.percept, args.model))
    if os.sep not in model and os.path.exists(model) and "." in model:
        model = os.path.abspath(model)
    command = [percept, "worker", "-m", model, "--memory-limit", args.memory_limit]
    command += ["--task", args.task] if args.task else []
    command += args.for_worker
    return {
        "command": command,
        "threads": args.cpus_per_worker,
        "max_group_size": args.group_size,
        "time_limit": args.time_limit,
    }


def main(argv: list[str]) -> int:
    args = arguments(argv)
    output, worker = Output(args.output), worker_settings(args)
    try:
        probe = Worker(**worker)
        probe.start()
        probe.close()
        worker["identity"] = identity = probe.identity
        inputs_sha256, num_inputs = output.keep_inputs(listed_files(args.manifest, args.directories, args.include))
        if not num_inputs:
            raise JobError("there are no files to work on; check --manifest, the directories and --include")
        model = identity.model
        job = Job(
            inputs_sha256=inputs_sha256,
            num_inputs=num_inputs,
            part_size=args.part_size,
            raw=args.raw,
            tool=identity.tool,
            model=model["name"],
            model_sha256=model["sha256"],
            task=model["task"],
            settings=identity.settings,
        )
        output.begin(job)
        if args.retry_failed:
            output.forget_failed(job)
        if output.missing_parts(job):
            output.success.unlink(missing_ok=True)
            start_ray(args)
        total = run(output, job, args, worker)
        output.finish(total)
    except (JobError, OSError, ray.exceptions.RayError) as error:
        say(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        say("stopped; the same command again goes on")
        return 130
    say(f"{total.inputs} files, {total.failed} failed, {total.seconds / 3600:.2f} h of sound: {output.directory}")
    return 1 if total.failed else 0


def start_ray(args: argparse.Namespace):
    if args.address:
        ray.init(address=args.address)
    else:
        # Only numbers travel, so that Ray's memory for objects may be small.
        ray.init(address="local", object_store_memory=128 << 20, include_dashboard=False)
    cpus = int(ray.cluster_resources().get("CPU", 1))
    args.workers = args.workers or max(1, cpus // args.cpus_per_worker)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
