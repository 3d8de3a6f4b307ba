"""The phases of a run: how many of its epochs each one takes, and at which step an epoch begins.

A preset's phases are shares of its epochs, so that a shorter or longer run goes through the same
phases. A phase that somebody gave is a number of epochs and stays that number.
"""

import dataclasses
import math

# Each is a number of first epochs, but `decay_epochs`, which are the last ones.
PHASES = ("frozen_epochs", "small_epochs", "l1_epochs", "decay_epochs")


def in_epochs(name, part, whole, epochs):
    """The epochs of a phase that takes a share of a run.

    Whole epochs, because photographs change their size, and the discriminator joins, between two
    of them. A phase takes at least one, or it would silently be left out; and it leaves at least
    one to what follows it, or an encoder would never thaw and a discriminator never train: a run
    of a single epoch has room for what follows alone. The learning rate may fall over half epochs,
    as it does it step by step, so that a run of one epoch ends with a low rate too.

    Args:
        name: of `PHASES`.
        part, whole: the phase takes `part` of every `whole` epochs.
        epochs: of the run.

    Returns:
        A number of epochs from 0 to `epochs`, whole but for `decay_epochs`.
    """
    if part <= 0 or part >= whole:
        return 0 if part <= 0 else epochs
    share = part * epochs / whole
    if name == "decay_epochs":
        return without_fraction(max(0.5, math.floor(2 * share + 0.5) / 2))
    return min(max(1, math.floor(share + 0.5)), epochs - 1)


def without_fraction(number):
    """The number, as an int if it is whole: 2.0 epochs are 2."""
    return int(number) if number == int(number) else number


@dataclasses.dataclass(frozen=True)
class Timeline:
    """At which steps the epochs of a run begin.

    Attributes:
        steps_per_epoch: of the photographs that are there now.
        first_step: at which the first epoch would have begun had all epochs had that many steps: 0,
            or another number, even one below 0, once the photographs have become more or fewer.
    """

    steps_per_epoch: int
    first_step: int = 0

    def start_of(self, epoch):
        """The step at which an epoch begins, counted from 0; of half an epoch, such as 1.5, too."""
        return self.first_step + round(epoch * self.steps_per_epoch)

    def place_of(self, step):
        """(epoch from 0, steps of it that are done) after so many steps of the run."""
        return divmod(step - self.first_step, self.steps_per_epoch)

    def resized(self, step, steps_per_epoch, unit=1):
        """The timeline of a run that has as many steps an epoch from this step on.

        The number of the epoch stays, and so does the share of it that is done.

        Args:
            step: steps that are done.
            steps_per_epoch: from now on.
            unit: the epoch's steps come in multiples of it.
        """
        epoch, done = self.place_of(step)
        done = done * steps_per_epoch // self.steps_per_epoch // unit * unit
        return Timeline(steps_per_epoch, step - done - epoch * steps_per_epoch)
