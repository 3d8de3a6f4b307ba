"""What a search for photographs passed over, for the reports: nothing is left out in silence."""

import collections
from pathlib import PurePath

from pix2pix_tf.quiet import one_line

HIDDEN, NO_SUFFIX, CLOSED, SPECIAL = "hidden", "without suffix", "closed folders", "no plain files"
OWN = "runs and reports"
_MOST_KINDS = 8  # that are told apart


class OtherFiles:
    """Counts files of a folder that are not taken for photographs, by their kinds.

    A kind is a suffix in lower case, or one of "hidden" (the name begins with a dot), "without
    suffix", "closed folders" (they cannot be searched, and count as one file each), "runs and
    reports" (of `fit` and `evaluate`, likewise) and "no plain files" (such as pipes).

    Attributes:
        counts: `Counter` of the kinds.
    """

    def __init__(self, counts=()):
        self.counts = collections.Counter(dict(counts))

    def add(self, name):
        """Counts a file by its name."""
        name = PurePath(name).name
        kind = HIDDEN if name.startswith(".") else PurePath(name).suffix.lower() or NO_SUFFIX
        self.counts[one_line(kind)] += 1

    def summary(self):
        """Such as "12 other files left out (.heic 10, .dng 2)", or "" if there are none."""
        count = self.counts.total()
        if not count:
            return ""
        kinds = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        told = [f"{kind} {number}" for kind, number in kinds[:_MOST_KINDS]]
        if len(kinds) > _MOST_KINDS:
            told.append(f"of other kinds {sum(number for _, number in kinds[_MOST_KINDS:])}")
        files = "file" if count == 1 else "files"
        return f"{count} other {files} left out ({', '.join(told)})"
