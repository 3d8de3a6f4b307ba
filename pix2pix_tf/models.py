"""The two networks, as Keras functional models of stock layers: they build on every Keras backend.

The generator is a U-Net: an encoder that halves the resolution until one pixel is left (or an
ImageNet encoder down to stride 32), and a decoder that doubles it again, each level joined with the
encoder's features of the same size. The discriminator is a PatchGAN: it sees input and target side
by side and judges overlapping patches; or small heads that judge an ImageNet encoder's features.

Sources: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR
2017, sections 3.2 and 6.1 (with the erratum: no normalisation on the innermost layer); Sauer et
al., "Projected GANs Converge Faster", NeurIPS 2021, for the discriminator on features.
"""

import contextlib
import numbers
import warnings

import keras

# Outputs of MobileNetV2 at strides 2 … 32. These are the narrow ones, linear projections and their
# sums: the expanded ones six times as wide cost three times the training time.
MOBILENET_V2_TAPS = (
    "expanded_conv_project_BN",
    "block_2_add",
    "block_5_add",
    "block_12_add",
    "block_16_project_BN",
)
_MOBILENET_V2_PREFIXES = ("Conv1", "bn_Conv1", "expanded_conv_", "block_")
ENCODERS = ("mobilenet_v2",)
_JUDGED_TAPS = MOBILENET_V2_TAPS[1:]  # at strides 4 … 32
NORMS = ("batch", "sync_batch", "instance", "none")


def unet_generator(
    image_size=256,
    filters=64,
    *,
    input_channels=1,
    output_channels=2,
    depth=None,
    norm="batch",
    bottleneck_norm=False,
    dropout=0.5,
    slope=0.2,
    norm_epsilon=1e-5,
    norm_momentum=0.9,
    encoder=None,
    weights="imagenet",
    encoder_trainable=True,
    dtype=None,
    name="generator",
):
    """U-Net generator.

    Args:
        image_size: side of the square input in pixels, one number; (256, 256) counts as 256.
            Without an encoder a power of two from 32 up, or, with `depth` given, any multiple of
            2**depth. With an encoder a multiple of 32, or None for a generator that takes any
            height and width that are multiples of 32.
        filters: width of the outermost level; level i has `filters * min(2**i, 8)` channels.
        input_channels, output_channels: 1 → 2 for L → ab, 3 → 3 for RGB pairs.
        depth: number of halvings; by default down to one pixel, log2(image_size).
        norm: "batch"; "sync_batch", over the batch of all devices of a `tf.distribute` strategy,
            where "batch" takes each device's by itself; "instance" or "none".
        bottleneck_norm: also normalise the innermost encoder layer, as the TensorFlow tutorial
            does. With batch size 1 that zeroes the bottleneck (the paper's erratum).
        dropout: rate in the three innermost decoder levels; the paper's noise source.
        slope: negative slope of the encoder's LeakyReLU.
        norm_epsilon, norm_momentum: of the batch norm; instance norm uses the epsilon.
        encoder: None for the paper's encoder, or "mobilenet_v2" for an ImageNet one.
        weights: "imagenet" (Keras downloads them once) or None; with an encoder only.
        encoder_trainable: False freezes the encoder. A trainable one with weights keeps their batch
            norm frozen, statistics included, as is usual in fine-tuning.
        dtype: Keras dtype policy, such as "mixed_bfloat16"; None for the global one.
        name: name of the model.

    Returns:
        keras.Model from (batch, height, width, input_channels) in [-1, 1]
        to (batch, height, width, output_channels) in [-1, 1], float32.

    Raises:
        ValueError: for an `image_size` that is no square's or whose levels do not meet, an unknown
            `norm` or `encoder`.
        ConnectionError: if the encoder's weights cannot be downloaded.
    """
    _check_choice("norm", norm, NORMS)
    image_size = whole_side(image_size)
    filters = _positive("filters", filters)
    input_channels = _positive("input_channels", input_channels)
    output_channels = _positive("output_channels", output_channels)
    if depth is not None:
        depth = _whole("depth", depth)
    if encoder is not None:
        _check_choice("encoder", encoder, ENCODERS)
        _check_encoder_size(image_size, encoder)
        depth = 5
    else:
        depth = _plain_depth(image_size, depth)

    normalise = _Norm(norm, norm_epsilon, norm_momentum)
    with _dtype_policy(dtype):
        inputs = keras.Input((image_size, image_size, input_channels), name="input")
        if encoder is None:
            skips = _plain_encoder(inputs, filters, depth, normalise, bottleneck_norm, slope)
        else:
            skips = _mobilenet_v2_encoder(inputs, weights, encoder_trainable)
        x = skips.pop()
        for level in reversed(range(depth - 1)):  # level i has stride 2**(i + 1)
            x = _up(filters * min(2**level, 8), use_bias=not normalise.has_bias)(x)
            x = normalise(x)
            if dropout and level >= max(depth - 4, 3):
                x = keras.layers.Dropout(dropout)(x)
            x = keras.layers.ReLU()(x)
            x = keras.layers.Concatenate()([x, skips.pop()])
        x = _up(output_channels, use_bias=True)(x)
        outputs = keras.layers.Activation("tanh", dtype="float32", name="output")(x)
    return keras.Model(inputs, outputs, name=name)


def patchgan_discriminator(
    layers=3,
    filters=64,
    *,
    input_channels=1,
    target_channels=2,
    image_size=None,
    norm="batch",
    slope=0.2,
    norm_epsilon=1e-5,
    norm_momentum=0.9,
    dtype=None,
    name="discriminator",
):
    """PatchGAN discriminator: one logit for each of many overlapping patches.

    The receptive field is 16, 34, 70, 142 or 286 pixels for 1, 2, 3, 4 or 5 `layers`; the paper's
    is 70. A 256-pixel image gives 30 × 30 logits with 3 layers.

    Args:
        layers: number of stride-2 convolutions, at least 1; two stride-1 convolutions follow.
        filters: channels of the first layer; layer i has `filters * min(2**i, 8)`.
        input_channels, target_channels: 1 and 2 for L and ab, 3 and 3 for RGB pairs.
        image_size: side of the square images in pixels, or None for any size.
        norm: "batch", "sync_batch", "instance" or "none".
        slope: negative slope of LeakyReLU.
        norm_epsilon, norm_momentum: of the batch norm; instance norm uses the epsilon.
        dtype: Keras dtype policy; None for the global one.
        name: name of the model.

    Returns:
        keras.Model from [input (batch, height, width, input_channels),
        target (batch, height, width, target_channels)], both in [-1, 1],
        to logits (batch, rows, columns, 1), float32.

    Raises:
        ValueError: for fewer than one layer, an unknown `norm`, or an `image_size` smaller than
            what leaves one logit.
    """
    _check_choice("norm", norm, NORMS)
    image_size = whole_side(image_size)
    layers, filters = _positive("layers", layers), _positive("filters", filters)
    input_channels = _positive("input_channels", input_channels)
    target_channels = _positive("target_channels", target_channels)
    smallest = 3 * 2**layers  # leaves 3 × 3 before two 4 × 4 convolutions with padding 1
    if image_size is not None and image_size < smallest:
        raise ValueError(
            f"image_size must be at least {smallest} for layers={layers}; received {image_size}. "
            f"Use a larger image_size or fewer layers."
        )
    normalise = _Norm(norm, norm_epsilon, norm_momentum)
    with _dtype_policy(dtype):
        inputs = keras.Input((image_size, image_size, input_channels), name="input")
        target = keras.Input((image_size, image_size, target_channels), name="target")
        x = keras.layers.Concatenate()([inputs, target])
        for i in range(layers + 1):
            strides = 2 if i < layers else 1
            x = keras.layers.ZeroPadding2D(1)(x)
            x = keras.layers.Conv2D(
                filters * min(2**i, 8),
                4,
                strides=strides,
                use_bias=not normalise.has_bias,
                kernel_initializer=_kernel_initializer(),
            )(x)
            if i > 0:
                x = normalise(x)
            x = keras.layers.LeakyReLU(negative_slope=slope)(x)
        x = keras.layers.ZeroPadding2D(1)(x)
        x = keras.layers.Conv2D(1, 4, kernel_initializer=_kernel_initializer())(x)
        logits = keras.layers.Activation("linear", dtype="float32", name="logits")(x)
    return keras.Model([inputs, target], logits, name=name)


def feature_discriminator(
    filters=64,
    *,
    input_channels=1,
    image_size=None,
    encoder="mobilenet_v2",
    weights="imagenet",
    slope=0.2,
    dtype=None,
    name="discriminator",
):
    """Discriminator that judges the features of a frozen ImageNet encoder.

    A PatchGAN begins with random weights and has to learn what things are before it can tell which
    colours suit them. An ImageNet encoder knows things: heads of three convolutions at each of the
    strides 4, 8, 16 and 32 tell real from painted after some dozens of steps. Their weights are
    divided by their spectral norm (Miyato et al., ICLR 2018), which bounds how steep the heads are.

    Args:
        filters: channels of the heads at strides 4 and 8; those at 16 and 32 have twice as many.
        input_channels: 1 for L, which the picture shows anyway; an input of more is judged along
            with the target, averaged to the size of the features.
        image_size: side of the square images in pixels, a multiple of 32, or None for any such.
        encoder: "mobilenet_v2".
        weights: "imagenet" (Keras downloads them once) or None.
        slope: negative slope of LeakyReLU.
        dtype: Keras dtype policy; None for the global one.
        name: name of the model.

    Returns:
        keras.Model from [input (batch, height, width, input_channels), sRGB picture (batch, height,
        width, 3)], both in [-1, 1], to logits (batch, height / 4, width / 4, 4), float32: a channel
        for each stride, the coarser ones repeated, so that all weigh the same.

    Raises:
        ValueError: for an unknown `encoder`, an `image_size` that is no multiple of 32, or no
            filters or channels.
        ConnectionError: if the encoder's weights cannot be downloaded.
    """
    _check_choice("encoder", encoder, ENCODERS)
    image_size = whole_side(image_size)
    filters = _positive("filters", filters)
    input_channels = _positive("input_channels", input_channels)
    _check_encoder_size(image_size, encoder)
    with _dtype_policy(dtype):
        inputs = keras.Input((image_size, image_size, input_channels), name="input")
        target = keras.Input((image_size, image_size, 3), name="target")
        features = _mobilenet_v2(target, weights)
        features.trainable = False
        logits = []
        for level, tap in enumerate(_JUDGED_TAPS):
            x = features.get_layer(tap).output
            if input_channels > 1:
                shrunk = keras.layers.AveragePooling2D(4 * 2**level)(inputs)
                x = keras.layers.Concatenate()([x, shrunk])
            for _ in range(2):
                x = _normed_convolution(filters * (1 + level // 2), 3)(x)
                x = keras.layers.LeakyReLU(negative_slope=slope)(x)
            x = _normed_convolution(1, 1)(x)
            logits.append(keras.layers.UpSampling2D(2**level)(x) if level else x)
        logits = keras.layers.Concatenate()(logits)
        logits = keras.layers.Activation("linear", dtype="float32", name="logits")(logits)
    return keras.Model([inputs, target], logits, name=name)


def with_dtype(model, dtype):
    """A copy of a model under another Keras dtype policy, with the same weights.

    Nested models, wrapped layers and the layers that a layer makes for itself get the policy too.
    Outputs stay float32. A model that has the policy already is returned as it is.

    Args:
        model: keras.Model, functional, Sequential or subclassed with a `get_config`.
        dtype: name of a Keras dtype policy, such as "float32" or "mixed_bfloat16".
    """
    outputs = {id(layer) for layer in _output_layers(model)}

    def fits(layer):
        return id(layer) in outputs or layer.dtype_policy.name == dtype

    if all(map(fits, plain_layers(model))):
        return model

    def clone(layer):
        wanted = "float32" if id(layer) in outputs else dtype
        config = _with_policy(layer.get_config(), wanted)
        with _dtype_policy(wanted):  # for the layers that it makes for itself
            return layer.__class__.from_config(config)

    with _dtype_policy(dtype):
        return copy_of(model, clone, input_dtype="float32" if dtype == "float32" else None)


def copy_of(model, clone=None, input_dtype=None):
    """A copy of a model with weights of its own, which have the same values.

    Args:
        model: keras.Model, built: functional, Sequential or subclassed with a `get_config`.
        clone: from a layer to its counterpart, for each layer of the model and of functional and
            Sequential models in it; by default one of the same configuration.
        input_dtype: of what floats the model and models in it take; None leaves them as they are.

    Raises:
        ValueError: if a class of its own does not tell how it is made.
    """
    clone = clone or (lambda layer: layer.__class__.from_config(layer.get_config()))
    copies = {}  # a layer that is used twice stays one

    def made(layer):
        if id(layer) not in copies:
            copies[id(layer)] = graph(layer) if is_graph(layer) else one(layer)
        return copies[id(layer)]

    def graph(part):
        if input_dtype is None or not part.built:
            return keras.models.clone_model(part, clone_function=made)
        taken = part.inputs[0] if isinstance(part, keras.Sequential) else part.input
        inputs = keras.tree.map_structure(entry, taken)
        return keras.models.clone_model(part, input_tensors=inputs, clone_function=made)

    def entry(tensor):
        dtype = input_dtype if "float" in tensor.dtype else tensor.dtype
        return keras.Input(batch_shape=tensor.shape, dtype=dtype, name=tensor.name)

    def one(layer):
        try:
            with _dtype_policy(getattr(layer, "dtype_policy", None)):  # for layers that it makes
                return clone(layer)
        except (NotImplementedError, TypeError) as error:
            raise ValueError(
                f"{model.name} cannot be copied: get_config() of {type(layer).__name__} must hold "
                f"the arguments that it is made with ({' '.join(str(error).split())[:200]})"
            ) from None

    known = {type(layer).__name__: type(layer) for layer in model._flatten_layers()}
    with keras.saving.custom_object_scope(known):
        copy = made(model)
    if not copy.built:
        copy.build_from_config(model.get_build_config())
    copy.set_weights(model.get_weights())
    return copy


def input_shape(model):
    """Shape that a built model takes, with None for what may vary, or a list of several.

    Raises:
        ValueError: if the model is not built.
    """
    if is_graph(model) and model.built:
        return model.input_shape
    shape = (model.get_build_config() or {}).get("input_shape")
    if shape is None:
        raise ValueError(
            f"{model.name} is not built, so that its shapes are not known. Call it once on a "
            "batch, such as zeros of (1, 256, 256, 1), or begin a Sequential with keras.Input."
        )
    if isinstance(shape[0], list | tuple):
        return [(None, *part[1:]) for part in shape]
    return (None, *shape[1:])


def output_shape(model):
    """Shape that a built model with one output gives."""
    if is_graph(model):
        return model.output_shape
    shape = input_shape(model)
    shapes = shape if isinstance(shape, list) else [shape]
    tensors = [keras.KerasTensor(part) for part in shapes]
    return tuple(model(tensors if isinstance(shape, list) else tensors[0]).shape)


def plain_layers(model):
    """Layers of a model and of the models and layers in it, but no models and no inputs."""
    return [
        layer
        for layer in model._flatten_layers()
        if not isinstance(layer, keras.Model | keras.layers.InputLayer)
    ]


def is_graph(model):
    """Whether a layer is a functional or Sequential model, whose layers can be replaced."""
    return isinstance(model, keras.Sequential) or (
        isinstance(model, keras.Model) and hasattr(model, "operations")
    )


def _output_layers(model):
    """Layers that give a model's outputs, inside the last model where models are nested."""
    if isinstance(model, keras.Sequential):
        last = model.layers[-1:]
    elif is_graph(model):
        last = [layer for layer in model.layers if layer.name in model.output_names]
    else:
        return []
    layers = []
    for layer in last:
        layers += _output_layers(layer) if isinstance(layer, keras.Model) else [layer]
    return layers


def _with_policy(config, dtype):
    """A layer's configuration with another dtype policy, also for layers that it wraps."""
    if isinstance(config, list | tuple):
        return [_with_policy(item, dtype) for item in config]
    if not isinstance(config, dict):
        return config
    if str(config.get("class_name", "")).endswith("DTypePolicy"):
        return dtype
    return {key: _with_policy(value, dtype) for key, value in config.items()}


def encoder_layers(generator):
    """Layers of a generator's ImageNet encoder; empty if it has none."""
    if not {layer.name for layer in generator.layers}.issuperset(MOBILENET_V2_TAPS):
        return []
    return [layer for layer in generator.layers if layer.name.startswith(_MOBILENET_V2_PREFIXES)]


def set_encoder_trainable(generator, trainable):
    """Freezes or thaws the ImageNet encoder of a generator; its batch norm stays frozen.

    Raises:
        ValueError: if the generator has none.
    """
    layers = encoder_layers(generator)
    if not layers:
        raise ValueError("the generator has no ImageNet encoder to freeze; build it with encoder=…")
    _fine_tune(layers, trainable)


def _fine_tune(layers, trainable):
    # Statistics of a few photographs are worse than those of the ImageNet photographs.
    for layer in layers:
        frozen = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = trainable and not frozen


def _plain_encoder(inputs, filters, depth, normalise, bottleneck_norm, slope):
    """The paper's encoder: [features at stride 2, 4, …, 2**depth]."""
    features = []
    x = inputs
    for level in range(depth):
        # No norm on the first layer, nor on the innermost: there one pixel is left, and batch norm
        # over a batch of one subtracts it from itself.
        normed = 0 < level < depth - 1 or (level == depth - 1 and bottleneck_norm)
        x = keras.layers.Conv2D(
            filters * min(2**level, 8),
            4,
            strides=2,
            padding="same",
            use_bias=not normalise.has_bias,
            kernel_initializer=_kernel_initializer(),
        )(x)
        if normed:
            x = normalise(x)
        x = keras.layers.LeakyReLU(negative_slope=slope)(x)
        features.append(x)
    return features


def _mobilenet_v2_encoder(inputs, weights, trainable):
    """MobileNetV2 (Sandler et al., CVPR 2018): [features at stride 2, 4, 8, 16, 32]."""
    if inputs.shape[-1] not in (1, 3):
        raise ValueError(
            f"input_channels must be 1 or 3 with an ImageNet encoder; received {inputs.shape[-1]}."
        )
    rgb = inputs if inputs.shape[-1] == 3 else keras.layers.Concatenate(name="grey")([inputs] * 3)
    encoder = _mobilenet_v2(rgb, weights)
    if weights is not None or not trainable:
        _fine_tune(encoder.layers, trainable)
    return [encoder.get_layer(tap).output for tap in MOBILENET_V2_TAPS]


def _mobilenet_v2(rgb, weights):
    with warnings.catch_warnings():
        # Keras remarks that weights of 224 pixels are taken for other sizes: they are meant to be.
        warnings.filterwarnings("ignore", message=".*input_shape.*")
        try:
            return keras.applications.MobileNetV2(
                include_top=False, weights=weights, input_tensor=rgb
            )
        except Exception as error:  # Keras raises nothing narrower
            if "URL fetch failure" not in str(error):
                raise
            raise ConnectionError(
                f"the ImageNet weights of the encoder cannot be downloaded: {error}. Put that file "
                "into ~/.keras/models (KERAS_HOME/models where that is set), or do without them: "
                "--encoder-weights none, weights=None in Python."
            ) from None


def _normed_convolution(filters, size):
    # In float32: the layer writes normalised weights back, and mixed precision would round them to
    # 16 bits at every step, which swallows small updates.
    convolution = keras.layers.Conv2D(filters, size, padding="same", dtype="float32")
    return keras.layers.SpectralNormalization(convolution, dtype="float32")


def _up(channels, use_bias):
    return keras.layers.Conv2DTranspose(
        channels,
        4,
        strides=2,
        padding="same",
        use_bias=use_bias,
        kernel_initializer=_kernel_initializer(),
    )


def _kernel_initializer():
    return keras.initializers.RandomNormal(0.0, 0.02)


class _Norm:
    """Adds the chosen normalisation; a convolution before it needs a bias only if it has none."""

    def __init__(self, kind, epsilon, momentum):
        self.kind, self.epsilon, self.momentum = kind, epsilon, momentum
        self.has_bias = kind != "none"

    def __call__(self, x):
        if self.kind in ("batch", "sync_batch"):
            return keras.layers.BatchNormalization(
                epsilon=self.epsilon,
                momentum=self.momentum,
                synchronized=self.kind == "sync_batch",
            )(x)
        if self.kind == "instance":  # one group per channel
            return keras.layers.GroupNormalization(groups=-1, epsilon=self.epsilon)(x)
        return x


@contextlib.contextmanager
def _dtype_policy(dtype):
    # keras.applications takes no dtype argument: the policy is set while the model is built.
    before = keras.config.dtype_policy()
    if dtype is not None:
        keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _plain_depth(image_size, depth):
    if image_size is None:
        raise ValueError("image_size must be given without an encoder; received None. Use 256.")
    if depth is None:
        depth = image_size.bit_length() - 1
        if image_size < 32 or image_size != 2**depth:
            nearest = max(32, 2 ** (image_size.bit_length() - 1))
            raise ValueError(
                f"image_size must be a power of two from 32 up; received {image_size}. "
                f"Use {nearest} or {2 * nearest}, or pass depth=…"
            )
    if depth < 2 or image_size % 2**depth:
        raise ValueError(
            f"image_size must be a multiple of {2**depth} for depth={depth} (at least 2); "
            f"received {image_size}. Use {max(1, round(image_size / 2**depth)) * 2**depth}, "
            "or pass another depth."
        )
    return depth


def _check_encoder_size(image_size, encoder):
    if image_size is not None and (image_size % 32 or image_size < 32):
        raise ValueError(
            f"image_size must be a multiple of 32 for encoder={encoder!r}; received "
            f"{image_size}. Use {max(32, round(image_size / 32) * 32)}."
        )


def _check_choice(argument, value, choices):
    if value not in choices:
        raise ValueError(f"{argument} must be one of {', '.join(choices)}; received {value!r}.")


def whole_side(image_size):
    """The side of a square in pixels as an int; None stays None.

    Args:
        image_size: a whole number, such as 256 or numpy.int64(256), or (height, width) of a square.

    Raises:
        ValueError: for anything else.
    """
    side = image_size
    if isinstance(side, tuple | list) and len(side) == 2 and side[0] == side[1]:
        side = side[0]
    if side is None:
        return None
    if isinstance(side, tuple | list):
        raise ValueError(
            f"image_size must be one number, the side of a square; received {image_size}. The "
            "networks see squares, to which pictures of any shape are resized: use "
            f"{max((n for n in side if isinstance(n, numbers.Integral)), default=256)}."
        )
    return _whole("image_size", side)


def _positive(argument, value):
    value = _whole(argument, value)
    if value < 1:
        raise ValueError(f"{argument} must be a whole number from 1 up; received {value!r}.")
    return value


def _whole(argument, value):
    """An int from a whole number of any integer type."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise ValueError(f"{argument} must be a whole number from 1 up; received {value!r}.")
    return int(value)
