"""`prepare`: photographs into TFRecord shards, for collections that outgrow a folder."""

import concurrent.futures
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import tensorflow as tf
from tqdm import tqdm

from pix2pix_tf import quiet
from pix2pix_tf.cores import cores
from pix2pix_tf.finding import find_photographs
from pix2pix_tf.identity import refuse_to_replace
from pix2pix_tf.index import examine
from pix2pix_tf.others import OtherFiles
from pix2pix_tf.photographs import PhotographError, write_atomically
from pix2pix_tf.streams import MANIFEST

FORMAT = "pix2pix_tf shards 1"
SOURCE_FILE = "source.json"


def prepare(source, out_dir, shard_megabytes=128):
    """Writes photographs, their bytes as they are, into TFRecord shards with a manifest.

    Each file is read once. A shard is a fixed run of files, written under another name and renamed
    when it is whole: an interrupted call is resumed by the same call.

    Args:
        source: photographs, see `finding.find_photographs`.
        out_dir: folder of the shards.
        shard_megabytes: size of the files in a shard.

    Returns:
        The manifest, a dict.

    Raises:
        PhotographError: if the source does not exist or nothing in it can be read.
        ValueError: if `out_dir` holds shards of another source or of another size, or an input.
    """
    out_dir = Path(out_dir)
    others = OtherFiles()
    found = find_photographs(source, leave_out=out_dir, others=others)
    runs = _runs(found, shard_megabytes * 1_000_000)
    listing = hashlib.sha256(
        json.dumps([[str(item.name), _size(item.path)] for item in found]).encode()
    ).hexdigest()
    made_of = {"listing": listing, "shard_megabytes": shard_megabytes}
    _check_resumable(out_dir, made_of)
    shard_names = [_shard_name(number) for number in range(len(runs))]
    outputs = [SOURCE_FILE, MANIFEST, *shard_names, *(f"{name}.json" for name in shard_names)]
    refuse_to_replace([out_dir / name for name in outputs], [item.path for item in found])
    out_dir.mkdir(parents=True, exist_ok=True)
    write_atomically(out_dir / SOURCE_FILE, json.dumps(made_of).encode())

    shards = []
    total = len(found)
    with (
        tqdm(total=total, desc="Preparing", unit=" photographs", disable=None) as bar,
        concurrent.futures.ThreadPoolExecutor(cores()) as pool,
    ):
        for number, run in enumerate(runs):
            shard = _read_sidecar(out_dir, number) or _write_shard(out_dir, number, run, pool)
            shards.append(shard)
            bar.update(len(run))
    if others.summary():
        print(f"{source}: {others.summary()}", file=sys.stderr)
    for shard in shards:
        for name, reason in shard["errors"]:
            print(quiet.one_line(f"left out {name}: {reason}"), file=sys.stderr)
    unreadable = sum(len(shard["errors"]) for shard in shards)
    shards = [shard for shard in shards if shard["photographs"]]
    manifest = {
        "format": FORMAT,
        "count": sum(len(shard["photographs"]) for shard in shards),
        "unreadable": unreadable,
        "shards": shards,
    }
    if not manifest["count"]:
        raise PhotographError(f"none of the {total} files found can be read")
    write_atomically(out_dir / MANIFEST, json.dumps(manifest, ensure_ascii=False).encode())
    return manifest


def _runs(found, size):
    """The files of each shard: runs of about `size` bytes."""
    runs, run, held = [], [], 0
    for item in found:
        run.append(item)
        held += _size(item.path)
        if held >= size:
            runs.append(run)
            run, held = [], 0
    return runs + ([run] if run else [])


def _size(path):
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _check_resumable(out_dir, made_of):
    try:
        before = json.loads((out_dir / SOURCE_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if out_dir.exists() and any(out_dir.iterdir()):
            raise ValueError(f"{out_dir} is not empty; give another output folder.") from None
        return
    if before["listing"] != made_of["listing"]:
        raise ValueError(
            f"{out_dir} holds shards of other photographs, or files were added, changed or removed "
            "since; give another output folder."
        )
    # A shard is known by its number: of another size, it would hold other photographs.
    megabytes = before.get("shard_megabytes", made_of["shard_megabytes"])
    if megabytes != made_of["shard_megabytes"]:
        raise ValueError(
            f"{out_dir} was begun with shards of {megabytes} megabytes; received "
            f"{made_of['shard_megabytes']}. Give the same size, or another output folder."
        )


def _read_sidecar(out_dir, number):
    """What was written of a finished shard, or None."""
    path = out_dir / f"{_shard_name(number)}.json"
    try:
        shard = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return shard if _size(out_dir / shard["file"]) == shard["bytes"] else None


def _write_shard(out_dir, number, run, pool):
    name = _shard_name(number)
    unfinished = out_dir / f".{name}.unfinished"
    photographs, errors = [], []
    with tf.io.TFRecordWriter(str(unfinished)) as writer:
        for item, (data, answer) in zip(run, pool.map(_read, run), strict=True):
            if "error" in answer:
                errors.append([str(item.path), answer["error"]])
                continue
            entry = {"name": str(item.name), **answer}
            writer.write(example(data, entry))
            photographs.append(entry)
    digest = hashlib.sha256()
    with unfinished.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
        os.fsync(file.fileno())
    shard = {
        "file": name,
        "bytes": unfinished.stat().st_size,
        "sha256": digest.hexdigest(),
        "photographs": photographs,
        "errors": errors,
    }
    shutil.move(unfinished, out_dir / name)
    write_atomically(out_dir / f"{name}.json", json.dumps(shard, ensure_ascii=False).encode())
    return shard


def _shard_name(number):
    return f"photographs-{number:05d}.tfrecord"


def _read(item):
    try:
        data = item.path.read_bytes()
    except OSError as error:
        return b"", {"error": error.strerror or str(error)}
    return data, examine(data)


def example(data, entry):
    """A serialized tf.train.Example of a photograph: its bytes, and features by name."""

    def feature(value):
        if isinstance(value, bytes | str):
            value = value.encode() if isinstance(value, str) else value
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        if isinstance(value, float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    features = {name: feature(value) for name, value in {"image": data, **entry}.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
