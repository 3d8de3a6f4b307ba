"""What Keras users hand to `compile` and `fit`: taken where it means something, told otherwise.

What cannot work is said before the first step, and not after the first epoch.
"""

import keras

from pix2pix_tf import metrics as our_metrics

_MONITORS = (
    keras.callbacks.EarlyStopping,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.ReduceLROnPlateau,
)
_OF_CLASSES = ("accuracy", "acc", "crossentropy", "ce")


def own_metrics(chosen, measured):
    """Keras metrics of what `compile(metrics=…)` was given.

    Args:
        chosen: None, or metrics, functions of (target, result) and names of Keras', in a list.
        measured: metrics that are measured anyway.

    Raises:
        ValueError: for what is no metric of pictures.
    """
    if chosen is None:
        return []
    if not isinstance(chosen, list | tuple):
        chosen = [chosen]
    measured = {metric.name for metric in measured}
    own = [_own_metric(metric, measured) for metric in _flat(chosen)]
    names = [metric.name for metric in own]
    for name in names:
        if name in measured or name == "loss" or names.count(name) > 1:
            raise ValueError(f"a metric is named {name!r} already; give yours another name.")
    return own


def _flat(chosen):
    for metric in chosen:
        if isinstance(metric, list | tuple):  # Keras' list of an output's metrics
            yield from _flat(metric)
        else:
            yield metric


def _own_metric(metric, measured):
    anyway = f"{', '.join(sorted(measured))} are measured anyway"
    name = metric if isinstance(metric, str) else None
    if name in measured or isinstance(metric, our_metrics.PhotographMean):
        raise ValueError(
            f"metrics are of (target, result) in [-1, 1]; received {metric!r}. {anyway}, of the "
            "pictures that people see."
        )
    if name in _OF_CLASSES:
        raise ValueError(
            f"metrics must be of pictures, such as 'mae'; received {metric!r}. {anyway}."
        )
    try:
        known = keras.metrics.get(metric)
    except (ValueError, TypeError):
        known = None
    if not isinstance(known, keras.metrics.Metric):
        if not callable(known):
            raise ValueError(
                "metrics must be a list of Keras metrics of (target, result), or their names; "
                f"received {metric!r}. {anyway}."
            )
        known = keras.metrics.MeanMetricWrapper(known, name=name or known.__name__)
    if name is not None:
        known.name = name  # as Keras names it
    return known


def refuse_class_weight(class_weight):
    """Raises ValueError if there is one: pictures have no classes."""
    if class_weight is not None:
        raise ValueError(
            "class_weight is for class labels, and the targets are pictures. Use sample_weight, a "
            "number for each photograph."
        )


def check_callbacks(callbacks, model):
    """Readies Keras' callbacks for a model, and refuses those that would fail on the way.

    `mode="auto"` becomes the direction of the metric that is monitored: Keras knows that of
    compiled metrics alone.

    Raises:
        ValueError: if one cannot do its work with this model.
    """
    directions = {"loss": "down", **{m.name: getattr(m, "_direction", None) for m in model.metrics}}
    for callback in _each(callbacks):
        saves_best = getattr(callback, "save_best_only", True)
        if isinstance(callback, _MONITORS) and callback.mode == "auto" and saves_best:
            _choose_mode(callback, directions)
        if isinstance(callback, keras.callbacks.ModelCheckpoint) and not callback.save_weights_only:
            _check_savable(model)
        if isinstance(callback, keras.callbacks.SwapEMAWeights):
            raise ValueError(
                "SwapEMAWeights is for one optimizer. Use Pix2Pix(…, ema=0.999), whose average "
                "evaluate, predict and inference_generator use."
            )
        sets_rates = keras.callbacks.ReduceLROnPlateau | keras.callbacks.LearningRateScheduler
        if isinstance(callback, sets_rates) and model.compiled:
            model.optimizer.check_settable()


def _each(callbacks):
    if callbacks is None:
        return []
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks.callbacks
    return callbacks if isinstance(callbacks, list | tuple) else [callbacks]


def _choose_mode(callback, directions):
    name = callback.monitor.removeprefix("val_")
    if name not in directions:
        raise ValueError(
            f"{type(callback).__name__} monitors {callback.monitor!r}, which is not measured: "
            f"expected one of {', '.join(directions)}, or val_ and one of them; give mode='min' or "
            "'max' if a callback of yours logs it."
        )
    if directions[name] is None:
        raise ValueError(
            f"neither more nor less of {callback.monitor!r} is better by itself: give "
            f"{type(callback).__name__} mode='min' or mode='max'."
        )
    callback.mode = "min" if directions[name] == "down" else "max"


def _check_savable(model):
    try:
        keras.saving.serialize_keras_object(model)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            "ModelCheckpoint cannot save this model: give the classes of its networks a "
            f"get_config(), or use save_weights_only=True ({' '.join(str(error).split())[:200]})"
        ) from None
