"""`train(config)`: assemble, compile, fit."""

import itertools
import math
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from pix2pix_tf import callbacks, models
from pix2pix_tf.config import TrainConfig, read_config
from pix2pix_tf.data import photo_dataset
from pix2pix_tf.distribution import Workers, check_batch_size, distribute, make_strategy
from pix2pix_tf.fused import with_fused_norm
from pix2pix_tf.generators import GENERATOR_FILE, load_generator, samples_dir
from pix2pix_tf.keras_backend import require_tensorflow
from pix2pix_tf.optimizers import FusedAdam, LinearDecay
from pix2pix_tf.own_networks import own_networks
from pix2pix_tf.photographs import write_atomically
from pix2pix_tf.pix2pix import Pix2Pix
from pix2pix_tf.sources import open_source

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
    run_dir = Path(config.run_dir)
    _check_run_dir(run_dir, config)
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

    def batches(step):
        small = step < config.small_epochs * steps_per_epoch

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

    if dry_run:
        _report_dry_run(config, model, batches(0), steps_per_epoch, workers)
        workers.leave()
        return True
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

    along_the_way = _callbacks(config, model, val_source, steps_per_epoch, workers)
    checkpoint = along_the_way[-1]

    # Resume, fit.
    restored = checkpoint.restore()
    done = model.steps_taken
    (mean,) = workers.mean(done)
    if mean != done:
        raise RuntimeError(
            f"this worker found a state of step {done} in {run_dir}, others did not. --run-dir "
            "must be a folder that all workers share."
        )
    if done >= config.epochs * steps_per_epoch:
        workers.say(
            f"finished: {run_dir} has its {config.epochs} epochs; give more --epochs to go on, "
            "or another --run-dir for a new run"
        )
        workers.leave()
        return True
    if workers.is_chief:
        write_atomically(run_dir / "config.json", config.to_json().encode())
    if restored:
        workers.say(f"resuming from {restored}, step {done}")
    if not restored and model.paints_ab:
        _report_grey(model, validation, workers)
    try:
        with checkpoint:
            _fit(
                model,
                batches,
                {
                    "validation_data": validation,
                    "validation_steps": math.ceil(val_count / val_batch),
                    "callbacks": along_the_way,
                    "verbose": 0,
                },
                (min(config.small_epochs, config.epochs), config.epochs),
                steps_per_epoch,
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
    workers.say(f"done: {run_dir / GENERATOR_FILE}; sheets in {run_dir / 'sheets'}")
    workers.leave()
    return True


def build_model(config, steps_per_epoch, channels=(1, 2), generator=None, discriminator=None):
    """The compiled `Pix2Pix` of a configuration, from and to so many channels.

    Networks that are given take the place of the configuration's.
    """
    policy = "float32" if config.precision == "float32" else f"mixed_{config.precision}"
    generator = generator or _generator(config, policy, channels)
    discriminator = discriminator or _discriminator(config, policy, channels)
    if config.strategy != "tpu" and not tf.config.list_physical_devices("GPU"):
        generator, discriminator = with_fused_norm(generator), with_fused_norm(discriminator)
    model = Pix2Pix(generator, discriminator, ema=config.ema)
    model.logs_loss = False  # the run's table has it as g_loss and val_g_l1
    model.looks_at_batches = False  # they come from photo_dataset
    total = config.epochs * steps_per_epoch
    falling = config.decay_epochs * steps_per_epoch
    resting = config.l1_epochs * steps_per_epoch  # steps that the discriminator's optimizer misses
    model.compile(
        generator_optimizer=_adam(
            config.learning_rate,
            config.beta_1,
            total,
            falling,
            slow=[
                variable
                for layer in models.encoder_layers(generator)
                for variable in layer.trainable_variables
            ],
            slow_rate=config.encoder_rate,
            slow_from=config.frozen_epochs * steps_per_epoch,
        ),
        discriminator_optimizer=_adam(
            config.discriminator_learning_rate or config.learning_rate,
            config.beta_1,
            total - resting,
            min(falling, max(1, total - resting)),  # it begins at its full rate, however late
        ),
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


def _adam(rate, beta_1, total, falling, **kwargs):
    schedule = LinearDecay(rate, total, falling) if falling else rate
    return FusedAdam(learning_rate=schedule, beta_1=beta_1, **kwargs)


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
    before = read_config(run_dir)
    if before is None:
        if run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
            raise ValueError(
                f"{run_dir} exists and is not a training run; choose another --run-dir."
            )
        return
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


def _sources(config):
    """(all that --data holds, what to train on, what to validate with)."""
    options = {
        "strict": config.strict,
        "drop_grey": config.drop_grey,
        "direction": config.direction,
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
    """What happens in which epochs, in words: a preset's plan is cut short by fewer --epochs."""
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
        first = config.epochs - config.decay_epochs + 1
        if first > 0:
            phases.append(f"the learning rate falls from {first} on")
        else:  # fewer epochs than it falls over
            share = config.epochs / config.decay_epochs
            phases.append(f"the learning rate falls from {share:.2g} of its value")
    return "; ".join(phases)


def _callbacks(config, model, val_source, steps_per_epoch, workers):
    """What happens along the way; the checkpoint comes last, so that it holds finished epochs."""
    run_dir = Path(config.run_dir)
    best = callbacks.BestGenerator(
        run_dir / GENERATOR_FILE,
        config.best_metric,
        config.image_size,
        first_epoch=config.l1_epochs,
        writes=workers.is_chief,
    )
    checkpoint = callbacks.ResumableCheckpoint(
        run_dir / "checkpoints",
        model,
        steps_per_epoch,
        keep=config.keep_checkpoints,
        minutes=config.checkpoint_minutes,
        workers=workers,
        best=best.best,
    )
    steps = [callbacks.L1WarmUp(config.l1_epochs), callbacks.StopOnNonFiniteLoss()]
    if not workers.is_chief:
        return [*steps, best, checkpoint]
    return [
        *steps,
        keras.callbacks.TensorBoard(
            str(run_dir / "tensorboard"), write_graph=False, profile_batch=0
        ),
        callbacks.SampleSheet(*_samples(val_source, config), run_dir),
        callbacks.MetricsTable(run_dir),
        best,
        callbacks.Progress(config.epochs, steps_per_epoch, config.batch_size),
        checkpoint,
    ]


def _samples(source, config):
    """A few validation pairs, the same in every run."""
    source = source.some(config.sheet_photographs)
    dataset = photo_dataset(
        source, image_size=config.image_size, batch_size=source.count, augment=False
    )
    return tuple(np.asarray(part) for part in next(iter(dataset)))


def _fit(model, batches, options, ends, steps_per_epoch):
    """Trains up to each of the epochs `ends`, at whose ends the batches change."""
    epoch, offset = divmod(model.steps_taken, steps_per_epoch)
    if offset:  # the rest of an epoch that was interrupted
        model.keep_metrics()
        model.fit(
            batches(epoch * steps_per_epoch + offset),
            initial_epoch=epoch,
            epochs=epoch + 1,
            steps_per_epoch=steps_per_epoch - offset,
            **options,
        )
        epoch += 1
    for end in ends:
        if epoch < end:
            model.fit(
                batches(epoch * steps_per_epoch),
                initial_epoch=epoch,
                epochs=end,
                steps_per_epoch=steps_per_epoch,
                **options,
            )
            epoch = end


def _report_grey(model, validation, workers):
    """What leaving the validation photographs grey would score: the line to beat."""

    def score(L, ab):
        model.score(L, ab, tf.zeros_like(ab))

    run = tf.function(
        lambda *pair: model.distribute_strategy.run(score, args=pair), reduce_retracing=True
    )
    for pair in validation:
        run(*pair)
    figures = "  ".join(f"val_{m.name} {float(m.result()):.4g}" for m in model.test_metrics)
    model.reset_metrics()
    workers.say(f"all grey    {figures}")


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
