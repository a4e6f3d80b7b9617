"""What the measured fit of a calibration means, in words for the user.

Decision: the thresholds are chosen on right calibrations, which must not warn, and on wrong ones: seven
drives of SemanticKITTI and two of PandaSet (four frames each), nuScenes, and groups of four images of
simulated streets. `docs/measurements.md` has the counts.
- A right calibration of real frames reaches 1.13 to 1.46, so 1.2 to 1.4 is called usual and below 1.15 low.
  A low score alone is no fault: one of the drives has 1.13. It is a warning if something tried fits better.
- The best of 42 nudges must lead by 5 standard errors. With 4, some right pairs of images and groups of four
  simulated ones were warned of, with 5 none. Neighbours on an outline are not independent, so the errors are
  too small.
- If chance (1) and a usual fit are both within the error, as on four images of the simulated street, there is
  no verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from preprocess.audit.calibration import NUDGES, Alignment, Nudge
from preprocess.status import plural

# With fewer points on outlines, nothing is said: chance may lead by as much.
LEAST_POINTS = 500
# Standard errors: of a score over chance, of the best nudge over the given calibration, of a low score.
SURE, SURE_OF_BEST, SURELY_LOW = 4.0, 5.0, 2.0
LOW = 1.15
USUAL = "usual is 1.2 to 1.4"
CAUSES = (
    "a camera that was turned or moved, the projection of another camera, a transform the wrong way round, "
    "images of another time or drive; the pictures show it"
)

_NAMED = 3

Reading = Literal["cannot tell", "fits", "low", "better elsewhere", "chance"]


@dataclass(frozen=True)
class Verdict:
    """What a fit means. warns: something is probably wrong. words: why, for the user."""

    reading: Reading
    warns: bool
    words: str

    def __str__(self) -> str:
        return f"WARNING: {self.words}" if self.warns else self.words


def verdict_of(found: Alignment) -> Verdict:
    """Judge a calibration by its fit and by the fit of the nudged ones."""
    if not found.points:
        return _cannot_tell("nothing that ends in the scan lies in the images; is their calibration right?")
    if found.points < LEAST_POINTS:
        return _cannot_tell(f"too few outline points ({LEAST_POINTS} are needed)")
    score, error = found.given.score, found.error
    if score == 0:
        return _cannot_tell("the images have no edges there")
    lead = max((fit.sure for fit in found.nudged.values()), default=0.0)
    if lead > SURE_OF_BEST:
        return Verdict("better elsewhere", True, _elsewhere(found))
    if found.given.sure < SURE:
        if score + SURE * error >= LOW:
            return _cannot_tell(f"{score:.2f} +- {SURE * error:.2f} may be chance or a fit")
        return Verdict("chance", True, "the scan fits the images no better than chance")
    if score + SURELY_LOW * error < LOW and lead > 0:
        return Verdict("low", True, f"low, and {_named(found)} fits as well")
    if score < LOW:
        return Verdict("low", False, "low, but nothing tried is surely better")
    return Verdict("fits", False, "nothing tried is surely better")


def described(found: Alignment) -> str:
    """The fit and its verdict, in one line."""
    where = f"{found.points} outline points in {plural(found.images, 'image')}"
    verdict = verdict_of(found)
    if found.points < LEAST_POINTS:
        return f"{where}; {verdict}"
    return f"{found.given.score:.2f} x chance on {where}; {verdict}"


def _cannot_tell(why: str) -> Verdict:
    return Verdict("cannot tell", False, f"cannot tell: {why}")


def _elsewhere(found: Alignment) -> str:
    # Decision: several changes that fit alike are all named: swapped cameras look like a turn in one drive
    # and like a shift in another. A change after which the fit is still low is said to be so.
    assert found.best is not None
    reached = found.nudged[found.best].score
    if reached < LOW:
        return f"{_named(found)} would fit better, but is low too ({reached:.2f})"
    return f"{_named(found)} would fit better ({reached:.2f})"


def _named(found: Alignment) -> str:
    """The best nudge and those that fit alike, at most three."""
    assert found.best is not None
    alike: tuple[Nudge, ...] = (found.best, *found.rivals)
    more = " or others" if len(alike) > _NAMED else ""
    return " or ".join(map(_words_of, alike[:_NAMED])) + more


def _words_of(nudge: Nudge) -> str:
    """The nudge in words; the largest one that is tried may not be enough."""
    largest = max(abs(one.amount) for one in NUDGES if one.kind == nudge.kind)
    return f"{nudge} or more" if abs(nudge.amount) == largest else str(nudge)
