"""How good a generator is by a run's validation photographs, and how it stands to another."""

import tensorflow as tf

from pix2pix_tf.callbacks import BETTER


def judge(model, validation, paint):
    """The metrics of validation, as the logs name them; the model's own go on as they were.

    Args:
        model: `Pix2Pix`.
        validation: batches of (inputs, targets), distributed as the model is.
        paint: gives the results of (inputs, targets).

    Returns:
        {"val_g_l1": …, "val_psnr": …, …}.
    """

    def score(inputs, targets):
        model.score(inputs, targets, paint(inputs, targets))

    # One signature for all: a batch that is smaller than the others would be traced anew.
    run = tf.function(
        lambda *pair: model.distribute_strategy.run(score, args=pair),
        input_signature=validation.element_spec,
    )
    # They may hold the means of an epoch that was interrupted.
    variables = [variable for metric in model.metrics for variable in metric.variables]
    before = [variable.numpy() for variable in variables]
    model.reset_metrics()
    for pair in validation:
        run(*pair)
    figures = {f"val_{metric.name}": float(metric.result()) for metric in model.test_metrics}
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    return figures


def painted_by(model, generator=None):
    """For `judge`: what a generator paints, the model's own if None."""
    return lambda inputs, targets: model._paint(inputs, generator)


def in_words(figures):
    """Metrics as the lines of the epochs show them."""
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())


def beside_the_start(best, start, metric, name):
    """Whether fine-tuning was worth it, in words.

    Args:
        best: metrics of the epoch that is the run's generator, and its number as "epoch".
        start: metrics of the generator that the run started from.
        metric: that decides: a key of `callbacks.BETTER`.
        name: of the generator that the run started from.
    """
    if metric == "epoch":
        metric = "val_psnr" if "val_psnr" in best else "val_g_l1"
    outcome = compared(best, start, metric)
    advice = ""
    if outcome.startswith("worse"):
        advice = f". Keep {name}, or try a lower --learning-rate or fewer --epochs"
    epoch = f" of epoch {best['epoch']}" if "epoch" in best else ""
    return f"the generator{epoch} is {outcome} ({name}){advice}"


def compared(best, start, decisive):
    """How one generator stands to another, in words.

    Args:
        best, start: {metric: value}.
        decisive: the metric that decides which comes first, "better" or "worse".

    Returns:
        Such as "worse than the start by 0.42 in val_psnr; better by 0.001 in val_g_l1".
    """
    groups = {"better": [], "worse": []}
    for name in sorted(BETTER, key=lambda name: name != decisive):
        if name in best and name in start and best[name] != start[name]:
            gained = BETTER[name](best[name], start[name]) == best[name]
            by = f"{abs(best[name] - start[name]):.3g} in {name}"
            groups["better" if gained else "worse"].append((name != decisive, by))
    told = sorted((group, word) for word, group in groups.items() if group)
    if not told:
        return "as good as the start"
    parts = [f"{word} by {', '.join(by for _, by in group)}" for group, word in told]
    return "; ".join([parts[0].replace(" by ", " than the start by ", 1), *parts[1:]])
