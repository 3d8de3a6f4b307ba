"""`train(config)`: assemble, compile, fit."""

import contextlib
import dataclasses
import itertools
import math
import re
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from pix2pix_tf import callbacks, models
from pix2pix_tf.board import Board
from pix2pix_tf.config import DEFAULT_GENERATOR, TrainConfig, read_config
from pix2pix_tf.data import photo_dataset
from pix2pix_tf.distribution import Workers, check_batch_size, distribute, make_strategy
from pix2pix_tf.fused import with_fused_norm
from pix2pix_tf.generators import GENERATOR_FILE, load_generator, samples_dir
from pix2pix_tf.judging import beside_the_start, in_words, judge, painted_by
from pix2pix_tf.keras_backend import require_tensorflow
from pix2pix_tf.optimizers import FusedAdam, LinearDecay
from pix2pix_tf.own_networks import own_networks
from pix2pix_tf.phases import PHASES, Timeline
from pix2pix_tf.photographs import PhotographError, write_atomically
from pix2pix_tf.pix2pix import Pix2Pix
from pix2pix_tf.run_record import (
    ALL_GREY,
    START,
    RunRecord,
    fingerprint,
    told_changes,
)
from pix2pix_tf.sources import open_source

_FOLDERS = {ALL_GREY: "all-gray", START: "start"}  # for TensorBoard

# What TensorFlow raises when a worker is gone.
LOST_WORKER = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


def train(config, dry_run=False, generator=None, discriminator=None):
    """Trains by a configuration, or goes on with the run found in its `run_dir`.

    A seed other than None turns on TensorFlow's deterministic operations for the whole process.

    Args:
        config: `TrainConfig`, see `config.make_config`.
        dry_run: print configuration, network sizes, counts and a step time, and stop.
        generator, discriminator: networks of your own in place of the configuration's, see
            `Pix2Pix`; each a keras.Model, or a function without arguments that makes it, which
            a run on several devices needs. They are trained as they are, or in copies: the run's
            generator.keras has the result. A resumed run must be given the same ones again.

    Returns:
        True if the run is finished, False if it was interrupted and can be resumed.

    Raises:
        ValueError: if the settings do not fit each other, the networks, or the run that is there.
        ImportError: if Keras does not run on TensorFlow.
        PhotographError: if the photographs cannot be read.
        NonFiniteLossError: if a loss becomes NaN or infinite.
        RuntimeError: if another worker is lost, or no TPU is there.
    """
    require_tensorflow("train")
    with _told_of_changes():
        return _train(config, dry_run, generator, discriminator)


@contextlib.contextmanager
def _told_of_changes():
    """Says it in one line where a photograph cannot be read that could be when the run began."""
    try:
        yield
    except tf.errors.OpError as error:
        if "IteratorGetNext" not in error.message:  # it has nothing to do with reading
            raise
        lines = error.message.split("\n\t [[")[0].splitlines()
        said = [line for line in lines if line.startswith("PhotographError: ")] or lines[-1:]
        before = r"^({{.*?}} )?(.* Iterator::\S+ |PhotographError: )?"
        reason = re.sub(before, "", said[0]).rstrip(".")
        raise PhotographError(
            f"a photograph was removed or changed during the run: {reason}. The same command goes "
            "on from the last state, and names what it leaves out."
        ) from error


def _train(config, dry_run, generator, discriminator):
    run_dir = Path(config.run_dir)
    before = _check_run_dir(run_dir, config)
    config = _as_begun(config, before)
    strategy = make_strategy(config.strategy)  # before anything else of TensorFlow
    workers = Workers(strategy)
    check_batch_size(strategy, config.batch_size)
    if strategy.num_replicas_in_sync > 1 and config.jit_compile == "on":
        raise ValueError(
            "jit_compile=on is for one device (a TPU compiles by itself); received "
            f"strategy={config.strategy!r}. Use jit_compile=auto."
        )
    seed = config.seed or 0
    keras.utils.set_random_seed(seed)
    if config.seed is not None:
        tf.config.experimental.enable_op_determinism()

    # Photographs.
    source, train_source, val_source = _sources(config)
    train_count, val_count = train_source.count, val_source.count
    steps_per_epoch = _steps_per_epoch(config, train_count)
    workers.say(
        f"data: {source.summary()}; {train_count} to train on, {val_count} to validate; "
        f"{steps_per_epoch} steps of {config.batch_size} an epoch"
    )

    # Networks.
    if not train_source.channels == val_source.channels:
        raise ValueError("--data and --val-data must both be photographs or both be pairs.")
    if config.ageing and train_source.channels == (3, 3):
        raise ValueError("--ageing is for photographs; --data holds pairs. Use --no-ageing.")
    if config.discriminator_saturation != 1 and train_source.channels == (3, 3):
        raise ValueError(
            "--discriminator-saturation is for photographs; --data holds pairs. Leave it out."
        )
    with strategy.scope():
        own = own_networks(config, train_source.channels, generator, discriminator)
        model = build_model(config, steps_per_epoch, train_source.channels, *own)
    known = {"epoch", *(f"val_{metric.name}" for metric in model.test_metrics)}
    if config.best_metric not in known:
        raise ValueError(
            f"best_metric must be one of {', '.join(sorted(known))} for pairs; "
            f"received {config.best_metric!r}."
        )
    workers.say(
        f"networks: generator {model.generator.count_params():,} parameters, "
        f"discriminator {model.discriminator.count_params():,}"
    )
    workers.say(f"epochs: {_plan(config, bool(models.encoder_layers(model.generator)))}")
    replicas = strategy.num_replicas_in_sync
    if config.strategy != "one":
        workers.say(f"devices: {replicas}, of {workers.count} workers")
    sides = {"train": train_source, "validation": val_source}
    photographs = {side: fingerprint(source) for side, source in sides.items()}
    record = RunRecord(Timeline(steps_per_epoch), photographs)

    def batches(step):
        small = step < record.timeline.start_of(config.small_epochs)

        def part_of(part):
            return photo_dataset(
                train_source,
                image_size=config.small_size if small else config.image_size,
                batch_size=config.batch_size,
                augment=config.augment,
                crop=config.crop,
                ageing=config.ageing,
                shuffle=True,
                repeat=True,
                start=step * config.batch_size,
                part=part,
                seed=seed,
            )

        return distribute(strategy, part_of, config.batch_size)

    def going_on(notes, step):
        """The record of a run that goes on, and which photographs have changed."""
        if notes is None:  # of a version that kept none
            missed = min(step, before.l1_epochs * steps_per_epoch)
            interrupted = step % steps_per_epoch
            return RunRecord(record.timeline, photographs, missed, step, interrupted), []
        unit = config.steps_per_execution
        return RunRecord.go_on(notes, step, steps_per_epoch, unit, photographs)

    if dry_run:
        states = callbacks.states_in(run_dir / "checkpoints")
        if states:
            step = int(states[-1].name.removeprefix("step-"))
            notes = callbacks.read_notes(states[-1])
            there, changes = going_on(notes, step)
            if changes:
                workers.say(told_changes(changes, notes["photographs"], photographs, step))
            workers.say(f"{run_dir} goes on at {_standing(config, there, step)}")
        _report_dry_run(config, model, batches(0), steps_per_epoch, workers)
        workers.leave()
        return True

    # What is there.
    best = callbacks.BestGenerator(
        run_dir / GENERATOR_FILE,
        config.best_metric,
        config.image_size,
        first_epoch=config.l1_epochs,
        writes=workers.is_chief,
        pairs=getattr(val_source, "pairs", None),
    )
    checkpoint = callbacks.ResumableCheckpoint(
        run_dir / "checkpoints",
        model,
        steps_per_epoch,
        keep=config.keep_checkpoints,
        minutes=config.checkpoint_minutes,
        workers=workers,
        notes=lambda step: record.notes(step, config.l1_epochs),
        best=best.best,
    )
    restored = checkpoint.restore()
    done = model.steps_taken
    (mean,) = workers.mean(done)
    if mean != done:
        raise RuntimeError(
            f"this worker found a state of step {done} in {run_dir}, others did not. --run-dir "
            "must be a folder that all workers share."
        )
    notes, changes = (callbacks.read_notes(restored) if restored else None), []
    if restored:
        record, changes = going_on(notes, done)
    if changes:
        workers.say(told_changes(changes, notes["photographs"], photographs, done))
    total = record.timeline.start_of(config.epochs)
    if done >= total:
        workers.say(
            f"finished: {run_dir} has {_its_epochs(record, done, config)}; give more --epochs to "
            "go on, or another --run-dir for a new run"
        )
        workers.leave()
        return True
    if workers.is_chief:
        write_atomically(run_dir / "config.json", config.to_json().encode())
    if restored:
        workers.say(f"resuming from {restored}, step {done}: {_standing(config, record, done)}")
        _follow(model, config, record.timeline, record.resting_until(total, config.l1_epochs))
        _, offset = record.timeline.place_of(done)
        if done - record.resting > offset:  # an epoch with the discriminator is done
            best.first_epoch = 0
        if not record.interrupted:  # or the epoch has other steps now: its means begin anew
            model.reset_metrics()
    checkpoint.first_step = record.timeline.first_step

    def on_best(epoch, logs):
        record.best = {"epoch": epoch + 1}
        record.best |= {n: float(v) for n, v in logs.items() if n.startswith("val_")}

    best.on_best = on_best

    # What the run is judged beside.
    val_batch = replicas * math.ceil(min(16, val_count) / replicas)
    validation = distribute(
        strategy,
        lambda part: photo_dataset(
            val_source,
            image_size=config.image_size,
            batch_size=val_batch,
            augment=False,
            part=part,
        ),
        val_batch,
        full=False,
    )

    def load(generator):
        with strategy.scope():
            return models.with_dtype(load_generator(generator)[0], _policy(config))

    if "validation" in changes:
        record.figures = {}
        if best.path.exists():
            figures = judge(model, validation, painted_by(model, load(best.path)))
            workers.say(f"judged anew  {in_words(figures)}  {best.path}")
            record.best |= figures
            if config.best_metric != "epoch":
                best.best.assign(figures[config.best_metric])
    if model.paints_ab and ALL_GREY not in record.figures:
        record.figures[ALL_GREY] = judge(model, validation, lambda _, ab: tf.zeros_like(ab))
        workers.say(f"all grey    {in_words(record.figures[ALL_GREY])}")
    if config.init is not None and START not in record.figures:
        start = painted_by(model, load(config.init) if restored else None)
        record.figures[START] = judge(model, validation, start)
        workers.say(
            f"Epoch 0/{config.epochs}  {in_words(record.figures[START])}  the start, {config.init}"
        )
        if workers.is_chief and not changes:  # the table's rows stay what they were judged by
            callbacks.MetricsTable(run_dir).write_start(record.figures[START])

    # Fit.
    try:
        with checkpoint:
            _fit(
                model,
                batches,
                {
                    "validation_data": validation,
                    "validation_steps": math.ceil(val_count / val_batch),
                    "callbacks": [
                        *_callbacks(config, model, val_source, record, best, workers),
                        checkpoint,
                    ],
                    "verbose": 0,
                },
                (min(config.small_epochs, config.epochs), config.epochs),
                record.timeline,
            )
    except callbacks.Interrupted as interruption:
        print(
            f"interrupted ({interruption}) at step {model.steps_taken}; saved in {run_dir}. "
            "The same command resumes.",
            file=sys.stderr,
        )
        workers.leave()
        return False
    except LOST_WORKER as error:
        if workers.count == 1:
            raise
        raise RuntimeError(
            f"the connection to another worker was lost after step {model.steps_taken} "
            f"({type(error).__name__}). Start all {workers.count} workers again: the "
            f"same commands go on from the last state in {run_dir}."
        ) from None
    if START in record.figures and record.best:
        workers.say(
            beside_the_start(record.best, record.figures[START], config.best_metric, config.init)
        )
    if config.data is None and config.init is None:
        workers.say(
            f"{train_count} photographs make no colorizer: this run shows the loop. Color with the "
            f"shipped {DEFAULT_GENERATOR} (pix2pix-tf colorize), or train on thousands of your own "
            "(--data)."
        )
    workers.say(f"done: {run_dir / GENERATOR_FILE}; sheets in {run_dir / 'sheets'}")
    workers.leave()
    return True


def build_model(config, steps_per_epoch, channels=(1, 2), generator=None, discriminator=None):
    """The compiled `Pix2Pix` of a configuration, from and to so many channels.

    Networks that are given take the place of the configuration's.
    """
    policy = _policy(config)
    generator = generator or _generator(config, policy, channels)
    discriminator = discriminator or _discriminator(config, policy, channels)
    if config.strategy != "tpu" and not tf.config.list_physical_devices("GPU"):
        generator, discriminator = with_fused_norm(generator), with_fused_norm(discriminator)
    model = Pix2Pix(generator, discriminator, ema=config.ema)
    model.logs_loss = False  # the run's table has it as g_loss and val_g_l1
    model.looks_at_batches = False  # they come from photo_dataset
    timeline = Timeline(steps_per_epoch)
    rates = _rates(config, timeline, timeline.start_of(config.l1_epochs))
    model.compile(
        generator_optimizer=FusedAdam(
            learning_rate=rates[0],
            beta_1=config.beta_1,
            slow=[
                variable
                for layer in models.encoder_layers(generator)
                for variable in layer.trainable_variables
            ],
            slow_rate=config.encoder_rate,
            slow_from=timeline.start_of(config.frozen_epochs),
        ),
        discriminator_optimizer=FusedAdam(learning_rate=rates[1], beta_1=config.beta_1),
        gan_loss=config.gan_loss,
        l1_weight=config.l1_weight,
        gradient_weight=config.gradient_weight,
        adversarial_weight=config.adversarial_weight,
        discriminator_weight=config.discriminator_weight,
        discriminator_saturation=config.discriminator_saturation,
        jit_compile={"auto": "auto", "on": True, "off": False}[config.jit_compile],
        steps_per_execution=config.steps_per_execution,
    )
    return model


def _policy(config):
    return "float32" if config.precision == "float32" else f"mixed_{config.precision}"


def _rates(config, timeline, resting):
    """The learning rates of both optimizers, which count their own steps, over the whole run.

    Args:
        config: `TrainConfig`.
        timeline: `Timeline` of the run.
        resting: steps of the whole run that the discriminator's optimizer misses.

    Returns:
        For each a number, or a schedule that begins at it.
    """
    total = timeline.start_of(config.epochs)
    falling = round(config.decay_epochs * timeline.steps_per_epoch)

    def rate_of(first, steps):
        if not config.decay_epochs:
            return first
        # It begins at its full rate, however short the run, or late the discriminator.
        return LinearDecay(first, steps, min(max(1, falling), max(1, steps)))

    discriminator_rate = config.discriminator_learning_rate or config.learning_rate
    return rate_of(config.learning_rate, total), rate_of(discriminator_rate, total - resting)


def _follow(model, config, timeline, resting):
    """Puts the optimizers' phases where a run that goes on now has them."""
    optimizers = (model.generator_optimizer, model.discriminator_optimizer)
    for optimizer, rate in zip(optimizers, _rates(config, timeline, resting), strict=True):
        if isinstance(rate, LinearDecay):
            optimizer.learning_rate = rate
    inner = getattr(optimizers[0], "inner_optimizer", optimizers[0])
    inner.slow_from = timeline.start_of(config.frozen_epochs)


def _generator(config, policy, channels):
    if config.init is not None:
        generator, _ = load_generator(config.init)
        received = (generator.input_shape[-1], generator.output_shape[-1])
        if received != channels:
            raise ValueError(
                f"--init {config.init} goes from {received[0]} to {received[1]} channels; the data "
                f"need {channels[0]} to {channels[1]}."
            )
        side = generator.input_shape[1]
        if side not in (None, config.image_size):
            raise ValueError(
                f"--init {config.init} takes {side} pixels; received --image-size "
                f"{config.image_size}. Use --image-size {side}."
            )
        if config.encoder is not None or models.encoder_layers(generator):
            models.set_encoder_trainable(generator, not config.freeze_encoder)
        return models.with_dtype(generator, policy)
    return models.unet_generator(
        # An encoder's generator takes any size, so that it can be trained on at another.
        None if config.encoder else config.image_size,
        config.filters,
        input_channels=channels[0],
        output_channels=channels[1],
        depth=config.depth,
        norm=config.norm,
        bottleneck_norm=config.bottleneck_norm,
        dropout=config.dropout,
        slope=config.slope,
        norm_epsilon=config.norm_epsilon,
        norm_momentum=config.norm_momentum,
        encoder=config.encoder,
        weights=config.encoder_weights,
        encoder_trainable=not config.freeze_encoder,
        dtype=policy,
    )


def _discriminator(config, policy, channels):
    image_size = None if config.small_epochs else config.image_size
    if config.discriminator_encoder is not None:
        return models.feature_discriminator(
            config.discriminator_filters,
            input_channels=channels[0],
            image_size=image_size,
            encoder=config.discriminator_encoder,
            weights=config.encoder_weights,
            slope=config.slope,
            dtype=policy,
        )
    return models.patchgan_discriminator(
        config.discriminator_layers,
        config.discriminator_filters,
        input_channels=channels[0],
        target_channels=channels[1],
        image_size=image_size,
        norm=config.norm,
        slope=config.slope,
        norm_epsilon=config.norm_epsilon,
        norm_momentum=config.norm_momentum,
        dtype=policy,
    )


def _check_run_dir(run_dir, config):
    """The configuration of the run that is there, None if there is none."""
    before = read_config(run_dir)
    if before is None:
        if run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
            raise ValueError(
                f"{run_dir} exists and is not a training run; choose another --run-dir."
            )
        return None
    changed = set(config.differences(before)) - {"epochs", "strategy"}
    if changed:
        details = ", ".join(
            f"--{name.replace('_', '-')} was {getattr(before, name)}, now {getattr(config, name)}"
            for name in sorted(changed)
        )
        raise ValueError(
            f"{run_dir} holds a run with other settings ({details}). Give the same settings to "
            "resume it (--epochs and --strategy may change), or another --run-dir."
        )
    return before


def _as_begun(config, before):
    """The configuration with the phases of a run that an older version began, and that goes on to
    the same number of epochs: it would otherwise turn back to a phase that is over."""
    if before is None or before.shares is not None or before.epochs != config.epochs:
        return config
    kept = {n: getattr(before, n) for n in PHASES if getattr(before, n) <= config.epochs}
    changed = any(getattr(config, name) != value for name, value in kept.items())
    return dataclasses.replace(config, shares=None, **kept) if changed else config


def _sources(config):
    """(all that --data holds, what to train on, what to validate with)."""
    options = {
        "strict": config.strict,
        "drop_grey": config.drop_grey,
        "direction": config.direction,
        "leave_out": config.run_dir,  # its sheets are no photographs
    }
    source = open_source(config.data if config.data is not None else samples_dir(), **options)
    for warning in getattr(source, "warnings", ()):
        print(f"warning: {warning}", file=sys.stderr)
    if config.val_data is not None:
        return source, source.side(None, 0), open_source(config.val_data, **options)
    if source.count < 2:
        raise ValueError(
            f"{source.count} photographs cannot be split into training and validation; "
            "give more, or --val-data."
        )
    sides = (source.side(side, config.validation_fraction) for side in ("train", "validation"))
    return source, *sides


def _steps_per_epoch(config, train_count):
    """Steps of an epoch, a multiple of `steps_per_execution`: Keras would run beyond its end."""
    unit = config.steps_per_execution
    steps = config.steps_per_epoch
    if steps is None:
        return max(1, train_count // config.batch_size // unit) * unit
    if steps % unit:
        raise ValueError(
            f"steps_per_epoch must be a multiple of steps_per_execution={unit}; received {steps}. "
            f"Use {steps // unit * unit or unit}."
        )
    return steps


def _plan(config, has_encoder):
    """What happens in which epochs, in words, and what never does."""
    resting = config.epochs if config.freeze_encoder else config.frozen_epochs
    turns = {config.small_epochs, config.l1_epochs, resting if has_encoder else 0}
    starts = [0, *sorted(turn for turn in turns if 0 < turn < config.epochs)]
    phases = []
    for start, end in itertools.pairwise([*starts, config.epochs]):
        size = config.small_size if start < config.small_epochs else config.image_size
        epochs = f"{start + 1}-{end}" if start + 1 < end else f"{end}"
        words = [f"{epochs} at {size} pixels"]
        if has_encoder and start < resting:
            words.append("encoder frozen")
        words.append("L1 alone" if start < config.l1_epochs else "adversarial")
        phases.append(", ".join(words))
    if config.decay_epochs:
        first = 1 + config.epochs - min(config.decay_epochs, config.epochs)
        middle = "" if first == int(first) else "the middle of "
        phases.append(f"the learning rate falls from {middle}{int(first)} on")
    return "; ".join([*phases, *_left_out(config, has_encoder)])


def _left_out(config, has_encoder):
    """What a run of so few epochs, or of such phases, leaves out that its preset has."""
    named = {"l1_epochs": "L1 alone", "small_epochs": f"{config.small_size} pixels"}
    later = {
        "l1_epochs": "the discriminator never trains",
        "small_epochs": f"{config.image_size} pixels are never trained at",
    }
    if has_encoder and not config.freeze_encoder:
        named["frozen_epochs"] = "a frozen encoder"
        later["frozen_epochs"] = "the encoder never thaws"
    shares = config.shares or {}
    missed = [
        words for name, words in named.items() if name in shares and not getattr(config, name)
    ]
    told = [f"too few epochs to begin with {' and '.join(missed)}"] if missed else []
    for name, words in later.items():
        if name not in shares and 0 < getattr(config, name) >= config.epochs:
            told.append(
                f"{words} (--{name.replace('_', '-')} {getattr(config, name)} of {config.epochs})"
            )
    return told


def _standing(config, record, step):
    """Where a run is, and at which learning rates it goes on, in words."""
    epoch, _ = record.timeline.place_of(step)
    total = record.timeline.start_of(config.epochs)
    if step >= total:
        return f"its end, after {config.epochs} epochs"
    missed = record.resting_until(step, config.l1_epochs)
    rates = _rates(config, record.timeline, record.resting_until(total, config.l1_epochs))
    now = [
        float(rate(steps)) if isinstance(rate, LinearDecay) else rate
        for rate, steps in zip(rates, (step, step - missed), strict=True)
    ]
    rests = record.timeline.start_of(config.l1_epochs) >= total
    discriminator = (
        "the discriminator resting" if rests else f"that of the discriminator {now[1]:.3g}"
    )
    return f"epoch {epoch + 1} of {config.epochs}, learning rate {now[0]:.3g}, {discriminator}"


def _its_epochs(record, step, config):
    done, _ = record.timeline.place_of(step)
    asked = f"its {config.epochs} epochs"
    return asked if done == config.epochs else f"{done} epochs, more than {config.epochs}"


def _callbacks(config, model, val_source, record, best, workers):
    """What happens along the way, before the checkpoint: so it holds finished epochs."""
    run_dir = Path(config.run_dir)
    steps = [callbacks.L1WarmUp(config.l1_epochs), callbacks.StopOnNonFiniteLoss()]
    if not workers.is_chief:
        return [*steps, best]

    def cost_of(epoch):
        return (config.small_size / config.image_size) ** 2 if epoch < config.small_epochs else 1.0

    timeline = record.timeline
    return [
        *steps,
        Board(
            str(run_dir / "tensorboard"),
            config.to_json(),
            {_FOLDERS[name]: figures for name, figures in record.figures.items()},
            interrupted=record.interrupted,
        ),
        callbacks.SampleSheet(*_samples(val_source, config), run_dir),
        callbacks.MetricsTable(run_dir),
        best,
        callbacks.Progress(
            config.epochs,
            timeline.steps_per_epoch,
            config.batch_size,
            first_step=timeline.first_step,
            cost_of=cost_of,
        ),
    ]


def _samples(source, config):
    """A few validation pairs, the same in every run."""
    source = source.some(config.sheet_photographs)
    dataset = photo_dataset(
        source, image_size=config.image_size, batch_size=source.count, augment=False
    )
    return tuple(np.asarray(part) for part in next(iter(dataset)))


def _fit(model, batches, options, ends, timeline):
    """Trains up to each of the epochs `ends`, at whose ends the batches change."""
    step = model.steps_taken
    epoch, offset = timeline.place_of(step)
    if offset:  # the rest of an epoch that was interrupted
        model.keep_metrics()
        model.fit(
            batches(step),
            initial_epoch=epoch,
            epochs=epoch + 1,
            steps_per_epoch=timeline.steps_per_epoch - offset,
            **options,
        )
        epoch += 1
    for end in ends:
        if epoch < end:
            model.fit(
                batches(timeline.start_of(epoch)),
                initial_epoch=epoch,
                epochs=end,
                steps_per_epoch=timeline.steps_per_epoch,
                **options,
            )
            epoch = end


def _report_dry_run(config, model, batches, steps_per_epoch, workers):
    model.make_train_function()
    iterator = iter(batches)
    times = []
    for _ in range(4):
        began = time.monotonic()
        model.train_function(iterator)
        times.append(time.monotonic() - began)
    step = sorted(times[1:])[1] / config.steps_per_execution  # the first one traces
    workers.say(
        f"{config.to_json()}a step takes about {step:.2f} s ({config.batch_size / step:.1f} "
        f"images/s), an epoch {step * steps_per_epoch / 60:.1f} minutes; nothing was written"
    )


__all__ = ["TrainConfig", "build_model", "train"]
