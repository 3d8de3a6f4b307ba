"""One pass over a collection of photographs, cached: what each file is, before training decodes it.

The pass decodes every file once, JPEGs at an eighth of their size, and so finds the damaged ones
(see `jpeg_damage` and `tiff_damage`);
the pipeline then decodes in the graph what the graph decodes rightly, and leaves the rest to Pillow
and OpenCV.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from pix2pix_tf import bmp, color, jpeg_damage, kinds, png_damage, profiles, quiet
from pix2pix_tf.cores import cores
from pix2pix_tf.finding import find_photographs
from pix2pix_tf.memory import NO_MEMORY, is_want_of_memory
from pix2pix_tf.others import OtherFiles
from pix2pix_tf.photographs import (
    PhotographError,
    bits_of,
    cannot_decode,
    decode_photograph,
    open_image,
    orientation_of,
    write_atomically,
)

GREY_CHROMA = 2.0  # mean C* below which a photograph counts as grey
_CACHE_VERSION = 3  # 1 and 2 missed damage, and let the graph decode kinds that it decodes wrongly
_UNREAD = "unread"  # marks errors that may pass, such as missing permission: never cached
_named = set()


@dataclasses.dataclass(frozen=True)
class IndexEntry:
    """A readable photograph.

    Attributes:
        path: where it lies, as a string.
        name: path below its folder.
        format: "JPEG", "PNG", …
        width, height: of the pixels as stored, before orientation.
        orientation: EXIF orientation 1…8.
        decoder: "jpeg" or "graph" if TensorFlow decodes it rightly, "python" otherwise.
        chroma: mean C* of a thumbnail; under 2 is grey.
        digest: SHA-1 of the file's bytes, by which the validation split is drawn.
    """

    path: str
    name: str
    format: str
    width: int
    height: int
    orientation: int
    decoder: str
    chroma: float
    digest: str


@dataclasses.dataclass(frozen=True)
class PhotographIndex:
    """Entries of the readable photographs, (name, reason) of the unreadable ones, and what else the
    folders hold, in words."""

    entries: list
    errors: list
    others: str = ""

    def summary(self):
        """Counts, such as '120 photographs (118 JPEG, 2 PNG), 1 unreadable, 3 grey'."""
        formats = {}
        for entry in self.entries:
            formats[entry.format] = formats.get(entry.format, 0) + 1
        kinds = ", ".join(f"{count} {name}" for name, count in sorted(formats.items()))
        grey = sum(entry.chroma < GREY_CHROMA for entry in self.entries)
        others = f", {self.others}" if self.others else ""
        return (
            f"{len(self.entries)} photographs ({kinds}), {len(self.errors)} unreadable, {grey} grey"
            f"{others}"
        )


def index_photographs(sources, cache=True, strict=False, others=None, leave_out=None):
    """Indexes a folder, a glob, a text file of paths, or several of them.

    Args:
        sources: see `finding.find_photographs`.
        cache: keep the answers in `$PIX2PIX_TF_CACHE` (by default ~/.cache/pix2pix_tf), so that
            only new and changed files are read next time.
        strict: raise at the first unreadable file.
        others: `OtherFiles` to count in, where several indexes make up one source.
        leave_out: a folder that is not searched when it lies inside a source.

    Returns:
        `PhotographIndex`. Unreadable files are named once on standard error.

    Raises:
        PhotographError: if nothing can be read at all, or, with `strict`, any file cannot.
    """
    others = OtherFiles() if others is None else others
    found = find_photographs(sources, leave_out, others)
    kept = cache_file(*sorted({os.path.abspath(item.path.parent) for item in found}))
    known = load_cache(kept) if cache else {}
    keys = {item: _key(item.path) for item in found}
    fresh = [item for item in found if keys[item] not in known]
    if fresh:
        try:
            for item, answer in zip(fresh, _examine_all(fresh), strict=True):
                known[keys[item]] = answer
        finally:  # also when interrupted: the next pass goes on from there
            if cache:
                answered = {key: known[key] for key in keys.values() if key in known}
                save_cache(kept, {k: a for k, a in answered.items() if _UNREAD not in a})

    entries, errors = [], []
    for item in found:
        answer = known[keys[item]]
        if "error" in answer:
            errors.append((str(item.path), answer["error"]))
        else:
            entries.append(IndexEntry(path=str(item.path), name=str(item.name), **answer))
    if errors and strict:
        raise PhotographError(f"{errors[0][0]}: {errors[0][1]} (strict: nothing is left out)")
    report_left_out(errors)
    if not entries:
        besides = f"; {others.summary()}" if others.counts else ""
        raise PhotographError(f"none of the {len(found)} files found can be read{besides}")
    return PhotographIndex(entries, errors, others.summary())


def report_left_out(errors):
    """Names files on standard error, (name, reason) each."""
    for error in errors:
        if error not in _named:  # once, however many datasets are made of the same folder
            _named.add(error)
            print(quiet.one_line(f"left out {error[0]}: {error[1]}"), file=sys.stderr)


def _examine_all(found):
    """`_examine` of each file, in order, several at a time, under a progress bar."""
    with concurrent.futures.ThreadPoolExecutor(cores()) as pool:
        answers = pool.map(lambda item: _examine(item.path), found)
        try:
            yield from tqdm(
                answers,
                "Indexing",
                len(found),
                unit=" photographs",
                delay=2,
                mininterval=0.1 if sys.stderr.isatty() else 30,  # a log wants few lines
            )
        finally:
            pool.shutdown(cancel_futures=True)


def _examine(path):
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        return {"error": error.strerror or str(error), _UNREAD: True}
    return examine(data)


def examine(data):
    """The fields of an `IndexEntry` but path and name, or {"error": reason}, of encoded bytes."""
    digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    try:
        readable = jpeg_damage.with_height(data)
        image, name = open_image(readable)
        width, height = image.size
        decoder = _decoder_for(image, name, data) if readable is data else "python"
        orientation = orientation_of(image)
        if decoder == "jpeg":
            image, decoder = _small_jpeg(data, image)
        if decoder == "graph" and name == "PNG" and not _is_plain_png(data):
            decoder = "python"
        if decoder == "python":
            image = Image.fromarray(decode_photograph(data).rgb8())
            orientation = 1
            width, height = image.size
        image.load()
        thumbnail = image.convert("RGB").resize((32, 32), Image.Resampling.BOX)
        chroma = color.chroma(color.rgb_to_lab(np.asarray(thumbnail))).mean()
    except PhotographError as error:
        return {"error": str(error)}
    except OSError as error:
        return {"error": str(cannot_decode(name, error))}
    except MemoryError:
        return {"error": "not enough memory for a picture this large", _UNREAD: True}
    except Exception as error:  # whatever a parser stumbles over belongs to this one file
        if is_want_of_memory(error):
            return {"error": NO_MEMORY, _UNREAD: True}
        return {"error": f"damaged: {type(error).__name__} {error}"}
    return {
        "format": name,
        "width": width,
        "height": height,
        "orientation": orientation,
        "decoder": decoder,
        "chroma": round(float(chroma), 3),
        "digest": digest,
    }


def _small_jpeg(data, image):
    """(the picture, at an eighth of its size if that is enough; its decoder) of a whole JPEG."""
    try:
        pixels, sound = jpeg_damage.decode(data, image.mode, eighth_of=image.size)
    except jpeg_damage.DamagedError as error:
        raise PhotographError(str(error)) from None
    if sound is not data:  # TensorFlow would remark on it, or stumble, each time that it reads it
        return image, "python"
    if pixels is not None:
        return Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels), "jpeg"
    image.draft("RGB", (64, 64))
    return image, "jpeg"


def _is_plain_png(data):
    """Whether TensorFlow decodes a PNG without an error."""
    try:
        return png_damage.check(data)
    except (png_damage.DamagedError, kinds.UnsupportedError) as error:
        raise PhotographError(str(error)) from None


def _decoder_for(image, name, data):
    """Which decoder gives this image its right colours; each exclusion was seen to be needed."""
    if profiles.conversion(profiles.embedded(image), profiles.space_of(image)) is not None:
        return "python"  # TensorFlow takes the pixels of any profile for sRGB
    if name == "JPEG":
        # Of lossless and arithmetically coded ones TensorFlow knows nothing.
        process, _ = kinds.jpeg_frame(data)
        common = (kinds.BASELINE, kinds.EXTENDED, kinds.PROGRESSIVE)
        return "jpeg" if process in common else "python"
    transparent = "transparency" in image.info
    right = {
        # TensorFlow cuts 16 bits to 8, ignores the one transparent colour of an RGB PNG, and
        # refuses a PNG without its end mark.
        "PNG": bits_of(image) == 8
        and (not transparent or image.mode == "P")
        and data.endswith(b"IEND\xaeB`\x82"),
        # It drops a WebP's alpha, and an animated WebP corrupts its memory.
        "WEBP": image.mode == "RGB" and getattr(image, "n_frames", 1) == 1,
        # It takes palette indices of a BMP for grey and a padding byte for alpha, and refuses bytes
        # behind the pixels.
        "BMP": bmp.is_plain(data),
        # It passes over the canvas around a first frame that does not fill it.
        "GIF": not transparent and bool(image.tile) and image.tile[0][1] == (0, 0, *image.size),
    }
    return "graph" if right.get(name) else "python"


def _key(path):
    try:
        stat = os.stat(path)
    except OSError:
        return f"{os.path.abspath(path)}|missing"
    return f"{os.path.abspath(path)}|{stat.st_size}|{stat.st_mtime_ns}"


def cache_file(*of):
    """Where what was learnt of some folders, or of another source, is kept between runs."""
    name = hashlib.sha1(os.fsencode("\n".join(of)), usedforsecurity=False).hexdigest()[:16]
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pix2pix_tf"
    return Path(os.environ.get("PIX2PIX_TF_CACHE") or default) / f"index-{name}.json"


def load_cache(path):
    """The dict of `save_cache`, or an empty one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content["files"] if content["version"] == _CACHE_VERSION else {}
    except (AttributeError, OSError, ValueError, KeyError, TypeError):
        return {}  # no cache, an unreadable one or another version's: everything is read anew


def save_cache(path, files):
    """Keeps a dict for `load_cache`; that it cannot be kept is said, and no error."""
    content = json.dumps({"version": _CACHE_VERSION, "files": files})
    try:
        write_atomically(path, content.encode())
    except OSError as error:
        print(f"index not cached: {error}", file=sys.stderr)
