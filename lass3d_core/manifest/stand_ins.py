"""The stand-ins for language-vision models, and the warning where they meet data that they do not know."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lass3d_core.manifest.schema import DatasetSpec, LvmStage

STAND_INS = {"palette": "the colours of the simulated worlds", "hashing": "a short table of words"}
"""Name -> all that the model knows."""


def stand_ins(
    spec: DatasetSpec | None, models: Mapping[LvmStage, Collection[str]]
) -> dict[str, list[LvmStage]]:
    """The stand-ins among the models of each stage, by name, with their stages; none if `spec` is simulated.

    spec: the data set's block of the manifest. None: it is not known, so it is not known to be simulated.
    """
    if spec is not None and spec.simulate is not None:
        return {}
    serves = {name: [stage for stage in models if name in models[stage]] for name in STAND_INS}
    return {name: stages for name, stages in serves.items() if stages}


def stand_in_warning(
    dataset: str, spec: DatasetSpec | None, models: Mapping[LvmStage, Collection[str]]
) -> str | None:
    """One sentence about the stand-ins that read the data set `dataset`; None if there is nothing to say."""
    found = stand_ins(spec, models)
    if not found:
        return None
    names = " and ".join(f"{name} ({', '.join(stages)})" for name, stages in found.items())
    kind = "is a stand-in" if len(found) == 1 else "are stand-ins"
    knows = ", ".join(f"{name} knows only {STAND_INS[name]}" for name in found)
    return (
        f"{names} {kind} for language-vision models, and the data set {dataset} is not simulated: {knows}; "
        "good for a trial, not for results: name real models in the manifest (docs/models.md)"
    )
