"""`TrainConfig`: everything a training run depends on, as plain values.

The flags of `pix2pix-tf fit` are made from these fields, and `config.json` of a run holds them.
"""

import dataclasses
import json
import math
import typing
from pathlib import Path

from pix2pix_tf.phases import PHASES, in_epochs, without_fraction

STRATEGIES = ("one", "mirrored", "multiworker", "tpu")
DEFAULT_GENERATOR = "photos-v2"  # the shipped one that commands use

_THE_PRESETS = "(default: the preset's share of --epochs)"


def _setting(default, help, choices=None, metavar=None):
    metadata = {"help": help, "choices": choices, "metavar": metavar}
    return dataclasses.field(default=default, metadata=metadata)


def _record(help):
    """Of a field that others are computed by: it has no flag, and is not compared."""
    return {"help": help, "choices": None, "metavar": None, "is_record": True}


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run; the defaults are those of the pix2pix paper.

    The phases (`frozen_epochs`, `small_epochs`, `l1_epochs`, `decay_epochs`) that are named in
    `shares` follow `epochs`: `dataclasses.replace(config, epochs=…)` computes them anew. One that
    is set to another number is given from then on, and keeps it.
    """

    data: str | None = _setting(
        None,
        "photographs: a folder, a quoted glob, a .txt file of paths, a folder of shards (prepare) "
        "or of the Kaggle arrays, tfds:NAME, pairs:FOLDER, pairs:INPUTS,TARGETS (default: the "
        "shipped photographs)",
        metavar="SOURCE",
    )
    val_data: str | None = _setting(
        None,
        "validation photographs (default: a part of --data, chosen by content)",
        metavar="SOURCE",
    )
    run_dir: str = _setting(
        "runs/first", "folder of the run's results; a run found there goes on", metavar="FOLDER"
    )
    direction: str = _setting(
        "AtoB",
        "of pairs: AtoB paints B, the right half, from A; BtoA paints A from B",
        ("AtoB", "BtoA"),
    )
    preset: str = _setting(
        "paper",
        "recipe that the other flags refine (default: paper, or demo without --data)",
        ("demo", "paper", "tutorial", "photos"),
    )
    init: str | None = _setting(
        None,
        "generator to start from: a shipped name, a folder or a .keras file",
        metavar="GENERATOR",
    )

    image_size: int = _setting(256, "side of the square the networks see, in pixels")
    filters: int = _setting(64, "channels of the generator's outermost level", metavar="COUNT")
    encoder: str | None = _setting(
        None, "ImageNet encoder in place of the paper's (default: none)", ("mobilenet_v2", "none")
    )
    encoder_weights: str | None = _setting(
        "imagenet", "weights of the encoders; imagenet is downloaded once", ("imagenet", "none")
    )
    freeze_encoder: bool = _setting(False, "keep the encoder's weights as they are")
    encoder_rate: float = _setting(
        1.0, "learning rate of the encoder, as a share of the others'", metavar="SHARE"
    )
    frozen_epochs: int = _setting(
        0, f"first epochs in which the encoder keeps its weights {_THE_PRESETS}"
    )
    depth: int | None = _setting(
        None, "halvings of the plain U-Net (default: down to one pixel)", metavar="COUNT"
    )
    norm: str = _setting(
        "batch",
        "normalisation in both networks; sync_batch takes the batch of all devices together",
        ("batch", "sync_batch", "instance", "none"),
    )
    bottleneck_norm: bool = _setting(False, "normalise the innermost layer, as the tutorial does")
    dropout: float = _setting(0.5, "rate in the decoder's three innermost levels", metavar="RATE")
    slope: float = _setting(0.2, "negative slope of LeakyReLU")
    norm_epsilon: float = _setting(1e-5, "epsilon of the normalisation")
    norm_momentum: float = _setting(0.9, "momentum of batch norm's moving averages")
    discriminator_encoder: str | None = _setting(
        None,
        "ImageNet encoder whose features the discriminator judges (default: none, a PatchGAN)",
        ("mobilenet_v2", "none"),
    )
    discriminator_layers: int = _setting(
        3, "of a PatchGAN: 1…5 for receptive fields of 16, 34, 70, 142, 286 px", metavar="COUNT"
    )
    discriminator_filters: int = _setting(
        64, "channels of the discriminator's first layers", metavar="COUNT"
    )

    gan_loss: str = _setting("vanilla", "adversarial loss", ("vanilla", "least_squares", "hinge"))
    l1_weight: float = _setting(100.0, "weight of L1 in the generator's loss")
    gradient_weight: float = _setting(
        0.0, "weight of L1 between the results' and the targets' gradients, against stains"
    )
    adversarial_weight: float = _setting(1.0, "weight of the adversarial term")
    discriminator_weight: float = _setting(0.5, "weight of real + fake in the discriminator's loss")
    discriminator_saturation: float = _setting(
        1.0,
        "the discriminator sees results with their colours multiplied by this, as the export's "
        "--saturation will",
        metavar="FACTOR",
    )
    l1_epochs: int = _setting(
        0, f"first epochs without the adversarial term, the discriminator resting {_THE_PRESETS}"
    )

    learning_rate: float = _setting(2e-4, "of Adam, at the start")
    discriminator_learning_rate: float | None = _setting(
        None, "of the discriminator's Adam (default: --learning-rate)"
    )
    beta_1: float = _setting(0.5, "of Adam", metavar="BETA")
    decay_epochs: float = _setting(
        0,
        "last epochs, over which the learning rate falls to zero; may be a part of one, as 0.5 "
        f"{_THE_PRESETS}",
    )
    ema: float | None = _setting(
        None,
        "decay of a moving average of the generator's weights, such as 0.999; it begins anew when "
        "the discriminator joins",
        metavar="DECAY",
    )
    precision: str = _setting(
        "float32", "bfloat16 and float16 compute mixed", ("float32", "bfloat16", "float16")
    )
    jit_compile: str = _setting("auto", "compile the step with XLA", ("auto", "on", "off"))
    steps_per_execution: int = _setting(
        1, "training steps run per call into TensorFlow", metavar="STEPS"
    )

    strategy: str = _setting(
        "one",
        "devices: one; mirrored, all GPUs of this machine; multiworker, the machines of TF_CONFIG; "
        "tpu",
        STRATEGIES,
    )

    batch_size: int = _setting(1, "photographs per step, of all devices together")
    epochs: int = _setting(200, "epochs in all; a finished run goes on when this is raised")
    steps_per_epoch: int | None = _setting(
        None, "of training (default: one pass over the photographs)", metavar="STEPS"
    )
    seed: int | None = _setting(
        None,
        "of weights, order and augmentation (0 if not given); given, TensorFlow's deterministic "
        "operations are used too",
        metavar="NUMBER",
    )
    augment: bool = _setting(True, "random crops and mirroring")
    crop: float | None = _setting(
        None,
        "smallest share of a photograph's sides that a random crop keeps, such as 0.5 "
        "(default: the paper's 256/286, always)",
        metavar="SHARE",
    )
    ageing: bool = _setting(
        False, "random tone curves, contrast, resolution, grain and borders, as of old photographs"
    )
    small_size: int | None = _setting(None, "image size of the first --small-epochs")
    small_epochs: int = _setting(
        0, f"first epochs at --small-size, which are faster {_THE_PRESETS}"
    )
    validation_fraction: float = _setting(
        0.05, "share of --data kept for validation", metavar="SHARE"
    )
    drop_grey: bool = _setting(False, "leave near-grey photographs out")
    strict: bool = _setting(False, "stop at an unreadable file instead of naming it and going on")

    best_metric: str = _setting(
        "val_g_l1",
        "which epoch becomes generator.keras; 'epoch' takes the newest",
        ("val_g_l1", "val_psnr", "val_ssim", "val_delta_e", "val_auc", "epoch"),
    )
    keep_checkpoints: int = _setting(2, "newest checkpoints kept", metavar="COUNT")
    checkpoint_minutes: float = _setting(10.0, "longest time between checkpoints")
    sheet_photographs: int = _setting(8, "validation photographs on the sheet", metavar="COUNT")

    shares: dict | None = dataclasses.field(
        default=None,
        hash=False,
        metadata=_record(
            'the phases that were not given, and their share of the epochs, as {"decay_epochs": '
            "[100, 200]}; null in the runs of older versions, which did not know shares"
        ),
    )
    shares_of: int | None = dataclasses.field(
        default=None,
        metadata=_record("the epochs for which the phases of `shares` were computed"),
    )

    def __post_init__(self):
        if self.shares is None:
            return
        shares = _untouched(self.shares, self.shares_of, vars(self))
        for name, (part, whole) in shares.items():
            object.__setattr__(self, name, in_epochs(name, part, whole, self.epochs))
        object.__setattr__(self, "shares", shares)
        object.__setattr__(self, "shares_of", self.epochs)

    def to_json(self):
        """The configuration as JSON text, a line for each field."""
        lines = (
            f"  {json.dumps(name)}: {json.dumps(value)}"
            for name, value in dataclasses.asdict(self).items()
        )
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_json(cls, text):
        """The configuration of `to_json`."""
        return cls(**json.loads(text))

    def differences(self, other):
        """Names of the settings in which another configuration differs.

        Phases that are the same share of the epochs are the same, whatever the epochs.
        """
        return [
            name
            for name in setting_names()
            if getattr(self, name) != getattr(other, name)
            and not (name in PHASES and _same_share(name, self, other))
        ]


def setting_names():
    """Names of the fields of `TrainConfig` that are settings, and so have a flag."""
    return [
        field.name
        for field in dataclasses.fields(TrainConfig)
        if not field.metadata.get("is_record")
    ]


def _untouched(shares, shares_of, values):
    """Those of the shares whose phase has the value that the share gave it, and no other since."""
    known = isinstance(shares, dict) and all(
        name in PHASES
        and isinstance(share, list | tuple)
        and len(share) == 2
        and all(isinstance(number, int | float) for number in share)
        and 0 < share[0] <= share[1]
        for name, share in shares.items()
    )
    if not known or not isinstance(shares_of, int):
        raise ValueError(
            'shares must be such as {"decay_epochs": [100, 200]}, and shares_of a number of '
            f"epochs; received {shares!r} and {shares_of!r}."
        )
    return {
        name: list(share)
        for name, share in shares.items()
        if values.get(name) == in_epochs(name, *share, shares_of)
    }


def _same_share(name, one, other):
    shares = [(config.shares or {}).get(name) for config in (one, other)]
    if None not in shares:
        return shares[0][0] * shares[1][1] == shares[1][0] * shares[0][1]
    # Older versions took the preset's number of epochs as it was, however long the run.
    return any(
        old.shares is None and share is not None and getattr(old, name) == share[0]
        for old, share in zip((one, other), reversed(shares), strict=True)
    )


RECIPE_FILE = "recipe.json"

PRESETS = {
    # Two minutes on two cores with the shipped photographs: to see the whole loop.
    "demo": {
        "run_dir": "runs/demo",
        "image_size": 64,
        "filters": 16,
        "discriminator_layers": 2,
        "discriminator_filters": 16,
        "batch_size": 8,
        "epochs": 12,
        "steps_per_epoch": 40,
        "l1_epochs": 4,
        "learning_rate": 1e-3,
        "discriminator_learning_rate": 2e-4,
        "decay_epochs": 6,
        "validation_fraction": 0.2,
        "drop_grey": True,
    },
    # Isola et al., CVPR 2017, section 6.2.
    "paper": {"epochs": 200, "decay_epochs": 100},
    # tensorflow.org/tutorials/generative/pix2pix: 40,000 steps of one picture.
    "tutorial": {
        "bottleneck_norm": True,
        "slope": 0.3,
        "norm_epsilon": 1e-3,
        "norm_momentum": 0.99,
        "discriminator_weight": 1.0,
        "steps_per_epoch": 1000,
        "epochs": 40,
    },
    # An hour and a half on two cores with 14,000 photographs; docs/results.md holds its numbers and
    # the trials. A longer adversarial part paints stronger colours, and purple skies.
    "photos": {
        "image_size": 192,
        "small_size": 128,
        "small_epochs": 9,
        "encoder": "mobilenet_v2",
        "encoder_rate": 0.2,
        "frozen_epochs": 7,
        "filters": 48,
        "dropout": 0.0,
        "discriminator_filters": 32,
        "batch_size": 16,
        "crop": 0.6,
        "ageing": True,
        "adversarial_weight": 0.5,
        "epochs": 11,
        "l1_epochs": 11,
        "learning_rate": 1e-3,
        "discriminator_learning_rate": 2e-4,
        "decay_epochs": 4,
        "ema": 0.999,
        "precision": "bfloat16",
        "drop_grey": True,
        "best_metric": "epoch",
    },
}


_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    dict: "an object",
    type(None): "null",
}
_AT_LEAST_ONE = (
    "batch_size",
    "epochs",
    "steps_per_epoch",
    "steps_per_execution",
    "sheet_photographs",
    "keep_checkpoints",
    "image_size",
    "filters",
    "discriminator_filters",
)

# NaN lies in none of them.
_RANGES = {
    "above 0": (
        lambda value: 0 < value < math.inf,
        ("learning_rate", "discriminator_learning_rate", "norm_epsilon"),
    ),
    "above 0, such as 1.2": (lambda value: 0 < value < math.inf, ("discriminator_saturation",)),
    "0 or more": (
        lambda value: 0 <= value < math.inf,
        (
            "l1_weight",
            "gradient_weight",
            "adversarial_weight",
            "discriminator_weight",
            "encoder_rate",
            "slope",
            "seed",
            "checkpoint_minutes",
        ),
    ),
    "0 or more and below 1": (
        lambda value: 0 <= value < 1,
        ("dropout", "beta_1", "norm_momentum", "validation_fraction"),
    ),
    "above 0 and below 1, such as 0.999": (lambda value: 0 < value < 1, ("ema",)),
}


def make_config(preset=None, config=None, **settings):
    """`TrainConfig` of a preset with some settings changed.

    Without data and preset, the preset is "demo"; with data alone, "paper".

    The phases of a preset, and those that a recipe tells beside its own epochs, keep their share
    of `epochs`; those among the settings, and in a recipe without epochs, are numbers of epochs.

    Args:
        preset: name of the recipe that the others refine.
        config: JSON file with settings, such as a run's config.json, a folder that holds a
            recipe.json or config.json, or the name of a shipped generator; it may name the preset.
        **settings: fields of `TrainConfig`, which override both.

    Raises:
        ValueError: for an unknown preset or setting, a value of another kind or outside the
            setting's choices, a phase of more than all epochs, or a file that cannot be read.
    """
    given, recipe = set(settings), {}
    if config is not None:
        recipe = _read_recipe(config)
        settings = {**recipe, **settings}
        preset = preset or settings.pop("preset", None)
        settings.pop("preset", None)
    if "shares" in given:  # all fields of a configuration, as dataclasses.asdict gives them
        given, recipe = set(), settings
    if preset is None:
        preset = "paper" if settings.get("data") else "demo"
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}; received {preset!r}.")
    values = {"preset": preset, **PRESETS[preset], **settings}
    known = {field.name: field for field in dataclasses.fields(TrainConfig)}
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"unknown setting {name!r}; known are {', '.join(setting_names())}.")
        choices = known[name].metadata["choices"]
        if value == "none" and name in ("encoder", "encoder_weights", "discriminator_encoder"):
            values[name] = value = None
        if choices and value is not None and value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}; received {value!r}.")
    for name in ("data", "val_data", "init", "run_dir"):
        if values.get(name) is not None:
            values[name] = str(values[name])
    _check_kinds({name: recipe[name] for name in ("epochs", *PHASES) if name in recipe})
    _check_kinds(values)
    for name in _AT_LEAST_ONE:
        if values.get(name) is not None and values[name] < 1:
            raise ValueError(f"{name} must be 1 or more; received {values[name]}.")
    for expected, (is_right, names) in _RANGES.items():
        for name in names:
            if values.get(name) is not None and not is_right(values[name]):
                raise ValueError(f"{name} must be {expected}; received {values[name]}.")
    values |= _phases(values, given, recipe)
    made = TrainConfig(**values)
    if made.crop is not None and not 0 < made.crop <= 1:
        raise ValueError(f"crop must lie above 0 and up to 1, such as 0.5; received {made.crop}.")
    if made.small_epochs and (
        made.encoder is None or made.small_size is None or made.small_size % 32
    ):
        raise ValueError(
            "small_epochs need an encoder (the plain U-Net takes one size) and a small_size that "
            f"is a multiple of 32; received encoder={made.encoder!r} and "
            f"small_size={made.small_size}. Give both, or small_epochs=0."
        )
    if made.discriminator_encoder is not None and (made.image_size % 32 or made.image_size < 32):
        raise ValueError(
            "image_size must be a multiple of 32 for discriminator_encoder="
            f"{made.discriminator_encoder!r}; received {made.image_size}."
        )
    return made


def _phases(values, given, recipe):
    """The phases of a run, and which of them are shares of its epochs."""
    default = TrainConfig()
    epochs = values.get("epochs", default.epochs)
    preset = {"epochs": default.epochs, **PRESETS[values["preset"]]}
    if recipe.get("shares") is not None:  # it is the config.json of a run
        told = _untouched(recipe["shares"], recipe.get("shares_of"), recipe)
    else:
        of = recipe.get("epochs", 0)
        told = {name: [recipe[name], of] for name in PHASES if 0 < recipe.get(name, 0) <= of}
    phases, shares = {}, {}
    for name in PHASES:
        share = [preset.get(name, 0), preset["epochs"]]
        if name in given:
            share = None
        elif name in told:
            share = told[name]
        # Older versions wrote the preset's 100 epochs beside the 6 that a run had.
        elif name in recipe and not (recipe[name] == share[0] > recipe.get("epochs", math.inf)):
            share = None
        if share is None:
            if not 0 <= values[name] <= epochs:
                raise ValueError(
                    f"{name} must lie between 0 and epochs; received {name}={values[name]} and "
                    f"epochs={epochs}. Give at most {epochs}, or more epochs, or leave it out for "
                    "the preset's share of them."
                )
            phases[name] = without_fraction(values[name])
        else:
            phases[name] = in_epochs(name, *share, epochs)
            if share[0] > 0:
                shares[name] = share
    return {**phases, "shares": shares, "shares_of": epochs}


def _check_kinds(values):
    """Recipes are written by hand: a number between quotes, or null for one, is no number."""
    for name, kind in typing.get_type_hints(TrainConfig).items():
        if name in values:
            value = values[name]
            kinds = typing.get_args(kind) or (kind,)
            # A whole number will do for any number, but true and false are none.
            taken = (*kinds, int) if float in kinds else kinds
            if not isinstance(value, taken) or (isinstance(value, bool) and bool not in kinds):
                expected = " or ".join(_KINDS[kind] for kind in kinds)
                raise ValueError(f"{name} must be {expected}; received {value!r}.")


def _read_recipe(config):
    from pix2pix_tf.generators import checkpoints_dir, shipped_generators

    path = Path(config).expanduser()
    if not path.exists() and str(config) in shipped_generators():
        path = checkpoints_dir() / path
    if path.is_dir():
        files = [path / name for name in (RECIPE_FILE, "config.json")]
        path = next((file for file in files if file.is_file()), files[0])
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"config {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ValueError(f"config {path} is not JSON: {error}.") from None
    if not isinstance(settings, dict):
        raise ValueError(
            f'config {path} must hold settings, such as {{"image_size": 192}}; received '
            f"{type(settings).__name__}."
        )
    return settings


def read_config(run_dir):
    """`TrainConfig` of a run directory, or None if no run has begun there.

    Raises:
        ValueError: if config.json is there but cannot be read.
    """
    path = Path(run_dir) / "config.json"
    try:
        return TrainConfig.from_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path} is not a configuration of this version ({error}). Use another --run-dir."
        ) from None
