"""What a training state keeps beside its variables: where its epochs begin, and by what it was
judged."""

import dataclasses
import hashlib

from pix2pix_tf.phases import Timeline

SIDES = {"train": "to train on", "validation": "to validate"}
ALL_GREY, START = "all grey", "start"  # what every run is judged beside


def fingerprint(source):
    """Tells whether a source holds the photographs that it held, whatever their names and order.

    Args:
        source: of `sources`, one side of the split.

    Returns:
        {"count": photographs, "digest": of their contents}.
    """
    digest = hashlib.sha1(usedforsecurity=False)
    for content in sorted(source.contents()):
        digest.update(content.encode() + b"\n")
    return {"count": source.count, "digest": digest.hexdigest()[:16]}


@dataclasses.dataclass
class RunRecord:
    """The record of a run, which a state keeps as notes.json.

    Attributes:
        timeline: at which steps the epochs begin.
        photographs: {"train": fingerprint, "validation": fingerprint}.
        resting: steps that the discriminator has missed when this process took the run up.
        begun: step at which it did.
        interrupted: steps of an epoch that were done before it did, and whose mean losses go on.
        figures: {`ALL_GREY` or `START`: {metric: value}} by the validation photographs.
        best: the metrics of the epoch that is generator.keras, and its number; {} without one.
    """

    timeline: Timeline
    photographs: dict
    resting: int = 0
    begun: int = 0
    interrupted: int = 0
    figures: dict = dataclasses.field(default_factory=dict)
    best: dict = dataclasses.field(default_factory=dict)

    @classmethod
    def go_on(cls, notes, step, steps_per_epoch, unit, photographs):
        """The record of a run that goes on.

        Args:
            notes: of its state, see `notes`.
            step: of its state.
            steps_per_epoch: with the photographs that are there now, a multiple of `unit`.
            unit: steps run per call into TensorFlow.
            photographs: their fingerprints.

        Returns:
            (`RunRecord`, changes): the sides whose photographs are others than those of the state.
        """
        timeline = Timeline(notes["steps_per_epoch"], notes["first_step"])
        _, interrupted = timeline.place_of(step)
        if timeline.steps_per_epoch != steps_per_epoch:
            timeline, interrupted = timeline.resized(step, steps_per_epoch, unit), 0
        record = cls(
            timeline,
            photographs,
            resting=notes["resting"],
            begun=step,
            interrupted=interrupted,
            figures=notes["figures"],
            best=notes["best"],
        )
        before = notes["photographs"]
        changes = [side for side in SIDES if photographs[side] != before[side]]
        return record, changes

    def notes(self, step, l1_epochs):
        """The record as plain values, after so many steps."""
        return {
            "steps_per_epoch": self.timeline.steps_per_epoch,
            "first_step": self.timeline.first_step,
            "resting": self.resting_until(step, l1_epochs),
            "photographs": self.photographs,
            "figures": self.figures,
            "best": self.best,
        }

    def resting_until(self, step, l1_epochs):
        """Steps of the run, up to this one, that the discriminator misses."""
        end = self.timeline.start_of(l1_epochs)
        return self.resting + max(0, min(step, end) - self.begun)


def told_changes(changes, before, now, step):
    """In words, which photographs are others than those of the state of this step."""
    words = []
    for side, purpose in SIDES.items():
        counts = before[side]["count"], now[side]["count"]
        was = f"which were {counts[0]}" if counts[0] != counts[1] else "others than before"
        words.append(f"{counts[1]} {purpose}, {was if side in changes else 'as before'}")
    return f"the photographs have changed since step {step}: {'; '.join(words)}"
