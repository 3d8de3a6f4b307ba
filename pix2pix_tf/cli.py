"""The command `pix2pix-tf`: arguments in, calls out; nothing heavy is imported before its use."""

import argparse
import contextlib
import dataclasses
import logging
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from pix2pix_tf import __version__
from pix2pix_tf.config import DEFAULT_GENERATOR, TrainConfig, make_config, setting_names
from pix2pix_tf.keras_backend import require_tensorflow

_FAILED, _INTERRUPTED = 1, 130
_GENERATOR_HELP = "a shipped name, a directory that holds generator.keras, a .keras file"


def main(arguments=None):
    """Runs the command line; returns its exit status.

    0: all was done. 1: something was not, and was named. 2: the command was not understood.
    130: interrupted; the same command goes on.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    beam_options = []
    if arguments[:1] == ["colorize-batch"] and "--" in arguments:
        split = arguments.index("--")
        arguments, beam_options = arguments[:split], arguments[split + 1 :]
    options = _parser().parse_args(arguments)
    options.beam_options = beam_options
    for stream in (sys.stdout, sys.stderr):  # file names need not be text that they can show
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _sigterm_as_ctrl_c():
            return options.run(options)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except (ValueError, ArithmeticError, OSError, RuntimeError, ImportError) as error:
        if os.environ.get("PIX2PIX_TF_TRACEBACK"):
            raise
        print(f"pix2pix-tf: {error}", file=sys.stderr)
        return _FAILED


@contextlib.contextmanager
def _sigterm_as_ctrl_c():
    def interrupt(number, frame):
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: signals are somebody else's
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parser():
    parser = argparse.ArgumentParser(
        prog="pix2pix-tf", description="Colourise photographs with pix2pix, and train generators."
    )
    parser.add_argument("--version", action="version", version=f"pix2pix-tf {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_colorize(commands)
    _add_colorize_batch(commands)
    _add_translate(commands)
    _add_fit(commands)
    _add_evaluate(commands)
    _add_prepare(commands)
    _add_export(commands)
    _add_benchmark(commands)
    return parser


def _add_colorize(commands):
    parser = commands.add_parser(
        "colorize",
        help="colourise photographs",
        description="Colourise photographs. Results keep name, size, sub-folder and full detail.",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="photographs, folders (searched in depth), quoted globs, .txt files of paths; "
        "docs/samples means the shipped samples wherever you are",
    )
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="for the results")
    _add_generator_options(parser)
    _add_folder_options(parser)
    parser.set_defaults(run=_colorize)


def _add_generator_options(parser):
    parser.add_argument(
        "-g",
        "--generator",
        default=DEFAULT_GENERATOR,
        help=f"{_GENERATOR_HELP}, a .tflite file, or a SavedModel of export (default: %(default)s)",
    )
    parser.add_argument(
        "--backend",
        choices=("auto", "tensorflow", "litert"),
        default="auto",
        help="litert starts at once and needs no TensorFlow; auto takes it where the generator has "
        "a LiteRT file (default: %(default)s)",
    )


def _colorize(options):
    def load():
        from pix2pix_tf.colorizer import Colorizer, choose_backend

        backend, path = choose_backend(options.generator, options.backend)
        if backend == "tensorflow":
            _import_tensorflow()
        with _remarks_held_back():
            return Colorizer.load(path, backend)

    return _process(options, load)


def _add_colorize_batch(commands):
    parser = commands.add_parser(
        "colorize-batch",
        help="colourise photographs by the million, with Apache Beam",
        description="Colourise photographs by the million with Apache Beam, on this machine or on "
        "Flink, Spark or Dataflow (docs/batch.md). The same command again does what is missing. "
        "What cannot be done is named in failed.jsonl in the output.",
        epilog="Options of Beam follow after --, such as: -- --direct_num_workers 8 "
        "--direct_running_mode multi_processing",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="photographs, folders, quoted globs, .txt files of paths, TFRecord shards "
        "(*.tfrecord), on any file system of Beam (gs://, s3://, hdfs://)",
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="FOLDER", help="for the results, likewise"
    )
    _add_generator_options(parser)
    parser.add_argument(
        "--shards",
        type=int,
        metavar="COUNT",
        help="write so many TFRecord shards in place of files; an input shard becomes one of the "
        "same name",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist")
    parser.add_argument(
        "--batch-size",
        type=int,
        default=8,
        metavar="COUNT",
        help="photographs per call of the network (default: %(default)s)",
    )
    parser.add_argument(
        "--megapixels-in-flight",
        type=float,
        default=32.0,
        metavar="MEGAPIXELS",
        help="decoded at most at a time in a worker process; a larger photograph goes alone "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        metavar="COUNT",
        help="of the network in a worker process (default: its share of the processors on this "
        "machine, 1 on other runners)",
    )
    parser.set_defaults(run=_colorize_batch)


def _colorize_batch(options):
    # What a runner elsewhere says of the job is of use; what the embedded one says is not.
    elsewhere = any(option.startswith("--runner") for option in options.beam_options)
    logging.basicConfig(level=logging.INFO if elsewhere else logging.CRITICAL, format="%(message)s")
    try:
        import apache_beam  # noqa: F401
    except ImportError:
        raise ImportError(
            "colorize-batch needs Apache Beam: pip install 'pix2pix-tf[beam]'"
        ) from None
    from pix2pix_tf.batch import colorize_batch
    from pix2pix_tf.others import OtherFiles

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # for the workers too
    began = time.monotonic()
    counts = colorize_batch(
        [_input(i) for i in options.inputs],
        options.output,
        options.generator,
        backend=options.backend,
        batch_size=options.batch_size,
        megapixels_in_flight=options.megapixels_in_flight,
        shards=options.shards,
        threads=options.threads,
        overwrite=options.overwrite,
        beam_options=options.beam_options,
    )
    print(
        f"{counts['done']} done, {counts['skipped']} skipped, {counts['failed']} failed "
        f"in {time.monotonic() - began:.1f} s; {counts['pixels'] / 1e6:.1f} megapixels in "
        f"{counts['milliseconds'] / 1000:.1f} s of the workers"
        f"{_told(OtherFiles(counts.get('left_out', {})))}; results in {options.output}"
    )
    if counts["failed"]:
        print(f"failed ones are named in {options.output}/failed.jsonl", file=sys.stderr)
    return _FAILED if counts["failed"] else 0


def _add_translate(commands):
    parser = commands.add_parser(
        "translate",
        help="put pictures through a generator trained on pairs",
        description="Put pictures through a generator trained on pairs (fit --data pairs:FOLDER). "
        "Of a file A|B the half that is the generator's input is taken.",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="pictures, folders, globs; or pairs:FOLDER (pairs:INPUTS,TARGETS) for the inputs of a "
        "data set",
    )
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="for the results")
    parser.add_argument(
        "-g",
        "--generator",
        required=True,
        help="a run directory, or a .keras or .tflite file",
    )
    parser.add_argument(
        "--pairs",
        action=argparse.BooleanOptionalAction,
        help="the files hold A|B side by side, or they do not (default: those of the shape that "
        "the generator was trained on do, or twice as wide as high if that is not known)",
    )
    _add_pair_options(parser, "translate")
    _add_folder_options(parser)
    parser.set_defaults(run=_translate)


def _add_pair_options(parser, verb, splits=("train", "val", "test")):
    parser.add_argument(
        "--direction",
        choices=("AtoB", "BtoA"),
        help="of pairs: AtoB takes A, the left half, for the input (default: as the generator was "
        "trained)",
    )
    parser.add_argument(
        "--split",
        choices=splits,
        help=f"of pairs:FOLDER: the folders to {verb} (default: test, else val, else all pairs)",
    )


def _translate(options):
    loaded = []

    def load():
        _import_tensorflow()
        from pix2pix_tf.translator import Translator

        loaded.append(Translator.load(options.generator))
        loaded[0].direction = options.direction or loaded[0].direction
        loaded[0].side_by_side = options.pairs
        return loaded[0]

    if any(given.startswith("pairs:") for given in options.inputs):
        options.inputs, options.pairs = _inputs_of_pairs(options, load)
        status = _process(options, lambda: loaded[0])
    elif options.split:
        raise ValueError(f"--split {options.split} goes with an INPUT pairs:FOLDER.")
    else:
        status = _process(options, load)
    if loaded and loaded[0].halved:
        side = "right" if loaded[0].direction == "BtoA" else "left"
        print(
            f"{loaded[0].halved} files were taken for pairs A|B by their shape: their {side} half "
            "is the input; --no-pairs translates whole pictures, --direction chooses the half"
        )
    return status


def _inputs_of_pairs(options, load):
    """(folders of the inputs, whether their files hold A|B) of an INPUT pairs:FOLDER."""
    from pix2pix_tf.pair_folders import find_pairs

    if len(options.inputs) > 1 or options.pairs is not None:
        raise ValueError(
            "pairs:FOLDER must be the only INPUT, without --pairs or --no-pairs; received "
            f"{' '.join(options.inputs)}."
        )
    sets = find_pairs(options.inputs[0].removeprefix("pairs:"), options.output)
    sets = sets.judged(options.split)
    translator = load()
    translator.side_by_side = sets[0].targets is None
    side = "inputs" if translator.side_by_side or translator.direction != "BtoA" else "targets"
    return [str(getattr(part, side)) for part in sets], translator.side_by_side


def _add_folder_options(parser):
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist")
    parser.add_argument(
        "--sheet",
        action=argparse.BooleanOptionalAction,
        help="write a before/after sheet (default: for up to 24 inputs)",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=8,
        metavar="COUNT",
        help="photographs per call of the network (default: %(default)s)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no line for each photograph")


def _process(options, load):
    """Does the files of a command with what `load` gives; returns the exit status."""
    from tqdm import tqdm

    from pix2pix_tf import folders
    from pix2pix_tf.others import OtherFiles
    from pix2pix_tf.quiet import one_line

    began = time.monotonic()
    if options.batch_size < 1:
        raise ValueError(f"--batch-size must be 1 or more; received {options.batch_size}.")
    out_dir = Path(options.output)
    others = OtherFiles()
    inputs = [_input(i) for i in options.inputs]
    jobs = folders.plan(inputs, out_dir, options.overwrite, others)
    sheet = options.sheet
    if sheet is None:
        sheet = len(jobs) <= folders.SHEET_INPUTS
    processor = None
    if any(job.status == "planned" for job in jobs):
        processor = load()

    counts = dict.fromkeys(("done", "skipped", "failed"), 0)
    rows = []
    settled = folders.do_jobs(processor, jobs, batch_size=options.batch_size, sheet=sheet)
    with tqdm(settled, total=len(jobs), unit=" photographs", disable=None, leave=False) as bar:
        for job in bar:
            counts[job.status] += 1
            if job.sheet_row:
                rows.append(job.sheet_row)
                job.sheet_row = None
            if job.status == "done" and not options.quiet:
                noted = "".join(f"  ({notice})" for notice in job.notices)
                size = f"{job.size[0]} x {job.size[1]}"
                bar.write(one_line(f"{job.name} -> {job.output}  {size}{noted}"))
            elif job.status == "skipped" and not options.quiet:
                bar.write(one_line(f"{job.name} skipped: {job.reason}"))
            elif job.status == "failed":
                bar.write(one_line(f"{job.name} FAILED: {job.reason}"), file=sys.stderr)
    if rows:
        path = folders.write_sheet(rows, processor.sheet_titles, out_dir, jobs)
        print(f"before and after: {path}")
    hint = "; --overwrite replaces what exists" if counts["skipped"] else ""
    print(
        f"{counts['done']} done, {counts['skipped']} skipped, {counts['failed']} failed "
        f"in {time.monotonic() - began:.1f} s{_told(others)}; results in {out_dir}{hint}"
    )
    return _FAILED if counts["failed"] else 0


def _told(others):
    """What else the folders hold, as a part of the line with the counts."""
    return f"; {others.summary()}" if others.counts else ""


def _input(given):
    """The path given, or the shipped samples where `docs/samples` is not to be found."""
    if Path(given).exists() or Path(given).as_posix() not in ("docs/samples", "samples"):
        return given
    from pix2pix_tf.generators import samples_dir

    return samples_dir()


def _add_fit(commands):
    parser = commands.add_parser(
        "fit",
        help="train a generator",
        description="Train a generator on photographs. Without --data a tiny one is trained on the "
        "shipped photographs, in about two minutes. The same command again resumes. The defaults "
        "below are those of the preset paper; the other presets have values of their own, which "
        "--dry-run prints.",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="JSON file with settings, such as a run's config.json, a folder that holds a "
        "recipe.json or config.json, or the name of a shipped generator; other flags override it",
    )
    fields = {field.name: field for field in dataclasses.fields(TrainConfig)}
    for name in setting_names():
        _add_setting(parser, fields[name])
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print configuration, network sizes, counts and the time of a step, and stop",
    )
    parser.set_defaults(run=_fit)


def _add_setting(parser, field):
    flag = f"--{field.name.replace('_', '-')}"
    description = field.metadata["help"]
    if field.default is not None and "(default" not in description:
        description += f" (default: {field.default})"
    # Absent flags are suppressed: they are left to the preset.
    common = {"dest": field.name, "default": argparse.SUPPRESS, "help": description}
    if field.type is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, **common)
        return
    kinds = {int: int, float: float, int | None: int, float | None: float}
    parser.add_argument(
        flag,
        type=kinds.get(field.type, str),
        choices=field.metadata["choices"],
        metavar=None if field.metadata["choices"] else _metavar(field),
        **common,
    )


def _metavar(field):
    """What stands for a flag's value in the help: its last word, unless that would mislead."""
    return field.metadata["metavar"] or field.name.split("_")[-1].upper()


def _fit(options):
    settings = {name: getattr(options, name) for name in setting_names() if hasattr(options, name)}
    config = make_config(config=options.config, **settings)
    if config.preset == "demo" and config.data is None:
        print("no --data: a tiny generator learns from the shipped photographs, to show the loop")
    _import_tensorflow()
    from pix2pix_tf.training import train

    return 0 if train(config, dry_run=options.dry_run) else _INTERRUPTED


def _add_evaluate(commands):
    parser = commands.add_parser(
        "evaluate",
        help="judge generators by colour photographs, or by pairs",
        description="Judge generators by colour photographs: PSNR, SSIM, ΔE, AuC and colourfulness "
        "beside leaving them grey, with 95 percent intervals; or generators of pairs by pairs: "
        "PSNR and SSIM. Never judge by photographs that the generator was trained on.",
    )
    parser.add_argument(
        "-g",
        "--generator",
        action="append",
        metavar="GENERATOR",
        help=f"{_GENERATOR_HELP}, or a .tflite file; may be repeated (default: "
        f"{DEFAULT_GENERATOR}, for photographs)",
    )
    parser.add_argument(
        "--data",
        required=True,
        metavar="SOURCE",
        help="a folder, a quoted glob or a .txt file of paths; or pairs:FOLDER, or "
        "pairs:INPUTS,TARGETS, as for fit",
    )
    parser.add_argument(
        "-o", "--output", metavar="FOLDER", help="for results.json, photographs.csv and sheet.png"
    )
    _add_pair_options(parser, "judge by", ("train", "val", "test", "all"))
    parser.add_argument(
        "--sheet-photographs",
        type=int,
        default=24,
        metavar="COUNT",
        help="first photographs that the sheet shows (default: %(default)s)",
    )
    parser.add_argument(
        "--colourfulness",
        type=float,
        metavar="SHARE",
        help="multiply each generator's colours until the results have this share of the truth's "
        "colourfulness, such as 0.7 (by up to 1,000 photographs): vivid colours cost AuC, and "
        "generators compare best at one",
    )
    parser.add_argument(
        "--ageing",
        action="store_true",
        help="show the generators the photographs as if they were old (tone curve, contrast, "
        "resolution, grain, borders) and judge their colours all the same",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="NUMBER",
        help="of the intervals' resamples (default: %(default)s)",
    )
    parser.set_defaults(run=_evaluate)


def _evaluate(options):
    if options.sheet_photographs < 1:
        raise ValueError(
            f"--sheet-photographs must be 1 or more; received {options.sheet_photographs}."
        )
    if options.colourfulness is not None and not options.colourfulness > 0:
        raise ValueError(f"--colourfulness must be above 0; received {options.colourfulness}.")
    of_pairs = options.data.startswith("pairs:")
    _check_what_is_judged(options, of_pairs)
    _import_tensorflow()
    from pix2pix_tf import evaluation
    from pix2pix_tf.quiet import one_line

    outcome = _judge_pairs(options) if of_pairs else _judge_photographs(options)
    summary = evaluation.summarise(outcome, options.seed)
    for path, reason in outcome["errors"]:
        print(one_line(f"{path} FAILED: {reason}"), file=sys.stderr)
    print(evaluation.table(outcome, summary))
    count, errors = len(outcome["photographs"]), len(outcome["errors"])
    if of_pairs:
        where = ", ".join(outcome["judged"])
        print(
            f"{count} pairs of {where}, {outcome['direction']}; {errors} unreadable or without a "
            "partner"
        )
    else:
        grey = len(outcome["left_out"])
        others = f", {outcome['others']}" if outcome["others"] else ""
        print(f"{count} photographs, {grey} grey ones left out, {errors} unreadable{others}")
    if options.output:
        print(f"written: {evaluation.write_report(outcome, summary, options.output, options.data)}")
    return _FAILED if outcome["errors"] else 0


def _check_what_is_judged(options, of_pairs):
    """Refuses flags that do not go with the data."""
    for flag, value, wants_pairs in (
        ("--colourfulness", options.colourfulness, False),
        ("--ageing", options.ageing, False),
        ("--direction", options.direction, True),
        ("--split", options.split, True),
    ):
        if value not in (None, False) and wants_pairs != of_pairs:
            raise ValueError(
                f"{flag} is for {'pairs' if wants_pairs else 'photographs'}; received --data "
                f"{options.data}. Leave it out."
            )
    if of_pairs and not options.generator:
        raise ValueError(
            "to judge by pairs, give a generator of pairs: -g with a run directory, or a .keras or "
            ".tflite file."
        )


def _judge_photographs(options):
    from pix2pix_tf import evaluation
    from pix2pix_tf.colorizer import Colorizer

    if options.output:
        evaluation.check_output(options.data, options.output)
    names = options.generator or [DEFAULT_GENERATOR]
    colorizers = {
        name: Colorizer.load(name, "litert" if name.endswith(".tflite") else "tensorflow")
        for name in names
    }
    if options.colourfulness is not None:
        colorizers = evaluation.at_colourfulness(
            colorizers, options.data, options.colourfulness, options.ageing
        )
    return evaluation.evaluate(colorizers, options.data, options.sheet_photographs, options.ageing)


def _judge_pairs(options):
    from pix2pix_tf.pair_evaluation import evaluate_pairs
    from pix2pix_tf.translator import Translator, common_direction

    translators = {name: Translator.load(name) for name in options.generator}
    return evaluate_pairs(
        translators,
        options.data,
        options.sheet_photographs,
        options.direction or common_direction(translators),
        options.split,
        options.output,
    )


def _add_prepare(commands):
    parser = commands.add_parser(
        "prepare",
        help="write photographs into TFRecord shards",
        description="Write photographs into TFRecord shards, which `fit --data` reads, for "
        "collections that outgrow a folder. The same command again resumes.",
    )
    parser.add_argument(
        "source", metavar="SOURCE", help="a folder, a quoted glob or a .txt file of paths"
    )
    parser.add_argument("output", metavar="FOLDER", help="for the shards and manifest.json")
    parser.add_argument(
        "--shard-megabytes",
        type=int,
        default=128,
        metavar="MEGABYTES",
        help="size of a shard (default: %(default)s)",
    )
    parser.set_defaults(run=_prepare)


def _prepare(options):
    if options.shard_megabytes < 1:
        raise ValueError(
            f"--shard-megabytes must be 1 or more; received {options.shard_megabytes}."
        )
    _import_tensorflow()
    from pix2pix_tf.prepare import prepare

    manifest = prepare(options.source, options.output, options.shard_megabytes)
    failed = manifest["unreadable"]
    print(
        f"{manifest['count']} photographs in {len(manifest['shards'])} shards, {failed} "
        f"unreadable; train with --data {options.output}"
    )
    return _FAILED if failed else 0


def _add_export(commands):
    parser = commands.add_parser(
        "export",
        help="write a generator for use elsewhere",
        description="Write a generator for use elsewhere. saved_model: the next version of a "
        "SavedModel for TF Serving, image bytes in and out. tflite: LiteRT files for phones, "
        "browsers and machines without TensorFlow. keras: a .keras file with float16 "
        "weights, half as large, that keras.models.load_model opens without this package.",
    )
    parser.add_argument(
        "generator",
        metavar="GENERATOR",
        help="a shipped name, a directory that holds generator.keras, or a .keras file",
    )
    parser.add_argument(
        "--format",
        choices=("saved_model", "tflite", "keras"),
        default="saved_model",
        help="of the export (default: %(default)s)",
    )
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="to write into")
    parser.add_argument(
        "--max-megapixels",
        type=float,
        default=25.0,
        metavar="MEGAPIXELS",
        help="saved_model: larger pictures are refused (default: %(default)s)",
    )
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        help="tflite: photographs to calibrate network_int8 with and to judge all files by "
        "(default: the shipped samples)",
    )
    parser.add_argument(
        "--saturation",
        type=float,
        metavar="FACTOR",
        help="keras: multiply the last layer, for stronger (1.2) or paler (0.8) colors "
        "(default: 1)",
    )
    parser.set_defaults(run=_export)


def _export(options):
    from pix2pix_tf.generators import find_generator

    find_generator(options.generator)  # before TensorFlow takes its seconds
    if options.saturation is not None and options.format != "keras":
        raise ValueError(
            f"--saturation goes with --format keras; received --format {options.format}. Export "
            "to keras with it first, and then from there."
        )
    _import_tensorflow()
    export = {
        "saved_model": _export_saved_model,
        "tflite": _export_tflite,
        "keras": _export_keras,
    }[options.format]
    return export(options)


def _export_saved_model(options):
    from pix2pix_tf.export import export_saved_model

    print("exporting, and comparing with the Keras model …", flush=True)
    folder, report = export_saved_model(options.generator, options.output, options.max_megapixels)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    check = report["check"]
    print(f"{folder}: {size / 1e6:.1f} MB, signatures {', '.join(report['signatures'])}")
    print(
        f"checked in a session on {check['photographs']} photographs: "
        f"{check['pixels_equal']:.4%} of values equal Keras', none off by more than "
        f"{check['levels_off']} level"
    )
    if not report["warmup_requests"]:
        print("no warm-up requests were written: pip install 'pix2pix-tf[serving]' for them")
    return 0


def _export_tflite(options):
    from pix2pix_tf.mobile import export_tflite, table

    if options.data is None:
        print("no --data: network_int8 is calibrated, and all are judged, on the shipped samples")
    print("converting, and comparing with the Keras model …", flush=True)
    report = export_tflite(options.generator, options.output, options.data)
    print(table(report))
    print(
        f"{report['photographs']} photographs; errors in "
        f"{'ab, Lab units' if report['task'] == 'colorize' else 'levels'}; "
        f"written to {options.output}"
    )
    return 0


def _export_keras(options):
    from pix2pix_tf.generators import (
        GENERATOR_FILE,
        find_generator,
        load_generator,
        saturate,
        save_generator,
    )
    from pix2pix_tf.identity import refuse_to_replace

    path = Path(options.output) / GENERATOR_FILE
    refuse_to_replace([path], [find_generator(options.generator)])
    model, info = load_generator(options.generator)
    if options.saturation is not None:
        saturate(model, options.saturation)
    save_generator(model, path, info.image_size, float16=True, pairs=info.pairs)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, image size {info.image_size}")
    return 0


def _add_benchmark(commands):
    parser = commands.add_parser(
        "benchmark",
        help="measure speed and memory",
        description="Measure speed and memory on this machine, beside their limits and the usual "
        "ways (docs/performance.md). Interrupted, it leaves what was measured so far.",
    )
    parser.add_argument(
        "subjects",
        nargs="*",
        metavar="SUBJECT",
        help="train, input, colorize, infer, start, scale (default: all)",
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="FOLDER", help="for benchmark.json and .md"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=5,
        metavar="COUNT",
        help="of every comparison (default: %(default)s)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="the smallest sizes, to see that all works; the numbers mean nothing",
    )
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        help="photographs: a folder, a quoted glob or a .txt file of paths (default: some made of "
        "the shipped samples)",
    )
    parser.add_argument(
        "-g",
        "--generator",
        default=DEFAULT_GENERATOR,
        help=f"{_GENERATOR_HELP}, or a .tflite file (default: %(default)s)",
    )
    parser.set_defaults(run=_benchmark)


def _benchmark(options):
    if options.rounds < 1:
        raise ValueError(f"--rounds must be 1 or more; received {options.rounds}.")
    require_tensorflow("this command")
    from pix2pix_tf.benchmark import report, suite

    subjects = list(dict.fromkeys(options.subjects)) or list(suite.SUBJECTS)
    command = ["pix2pix-tf benchmark", *subjects]
    command += ["--quick"] if options.quick else []
    command += ["--rounds", str(options.rounds)]
    # Paths are not for the report.
    command += ["--data PHOTOGRAPHS"] if options.data else []
    command += ["-g GENERATOR"] if options.generator != DEFAULT_GENERATOR else []
    try:
        results = suite.run(
            subjects,
            options.output,
            " ".join(command),
            rounds=options.rounds,
            quick=options.quick,
            data=options.data,
            generator=options.generator,
            seconds=0.1 if options.quick else 3.0,
        )
    except KeyboardInterrupt:
        print(f"interrupted; what was measured lies in {options.output}", file=sys.stderr)
        return _INTERRUPTED
    print(report.markdown(results), end="")
    print(f"\nwritten: {Path(options.output) / report.MARKDOWN_FILE}")
    return _FAILED if results["failed"] else 0


def _import_tensorflow():
    """Imports TensorFlow with its start-up remarks held back; if the import fails they are shown.

    The remarks (no CUDA found, oneDNN is on) come from C++ before any log level is read.
    """
    require_tensorflow("this command")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors arrive as exceptions too
    with _remarks_held_back():
        import tensorflow as tf

        tf.config.list_physical_devices()  # more remarks, on looking for a GPU


@contextlib.contextmanager
def _remarks_held_back():
    """Holds back what libraries write to standard error; it is shown if they fail."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as remarks:
        os.dup2(remarks.fileno(), 2)
        try:
            yield
        except BaseException:
            remarks.seek(0)
            os.write(stderr, remarks.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
