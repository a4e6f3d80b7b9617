"""The knowledge of `palette`: words for things, and the colours that they usually have."""

from __future__ import annotations

from dataclasses import dataclass

from preprocess.lvm.params import WorldName
from preprocess.stages.phrases import normalise

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Concept:
    """A kind of thing. words: synonyms; no word stands in two concepts. colours: RGB in [0,1]."""

    words: tuple[str, ...]
    colours: tuple[Rgb, ...]


@dataclass(frozen=True)
class Knowledge:
    """The concepts of one world. setting: the beginning of a caption. uncounted: words without an article."""

    setting: str
    concepts: tuple[Concept, ...]
    uncounted: frozenset[str]

    def concept_of(self, phrase: str) -> int | None:
        """The index of the concept of `phrase`, by the whole phrase or else by its head word, or None."""
        words = (normalise(phrase) or "").split()
        for name in (" ".join(words), words[-1] if words else ""):
            for index, concept in enumerate(self.concepts):
                if name in concept.words or name in {word.split()[-1] for word in concept.words}:
                    return index
        return None


OUTDOOR = Knowledge(
    setting="An outdoor scene",
    concepts=(
        Concept(("road", "street", "asphalt"), ((0.33, 0.33, 0.34),)),
        Concept(("parking lot", "parking bay", "paved yard"), ((0.46, 0.38, 0.48),)),
        Concept(("sidewalk", "pavement", "footpath"), ((0.62, 0.60, 0.60),)),
        Concept(("grass", "lawn", "meadow"), ((0.46, 0.52, 0.22), (0.54, 0.50, 0.26))),
        Concept(
            ("house", "building", "facade"),
            ((0.80, 0.66, 0.46), (0.64, 0.34, 0.25), (0.86, 0.80, 0.66), (0.66, 0.55, 0.50)),
        ),
        Concept(("fence", "railing", "palings"), ((0.51, 0.34, 0.19), (0.30, 0.43, 0.38))),
        Concept(("trees", "bushes", "foliage"), ((0.20, 0.42, 0.15), (0.31, 0.50, 0.17))),
        Concept(("trunk", "bare stem", "bark"), ((0.32, 0.26, 0.22),)),
        Concept(("pole", "lamp post", "mast"), ((0.42, 0.54, 0.63), (0.28, 0.37, 0.46))),
        Concept(("traffic sign", "signboard", "warning plate"), ((0.10, 0.25, 0.72), (0.90, 0.76, 0.10))),
        Concept(
            ("car", "sedan", "parked vehicle"),
            ((0.70, 0.10, 0.10), (0.10, 0.17, 0.42), (0.88, 0.89, 0.92), (0.11, 0.11, 0.12)),
        ),
        Concept(("truck", "lorry", "delivery van"), ((0.91, 0.46, 0.10), (0.18, 0.55, 0.56))),
        Concept(("person", "pedestrian", "walker"), ((0.55, 0.15, 0.50), (0.88, 0.36, 0.55))),
        Concept(("cyclist", "bike rider", "biker"), ((0.56, 0.94, 0.36),)),
        Concept(("sky", "clouds", "heaven"), ((0.62, 0.78, 0.93), (0.72, 0.90, 1.00))),
    ),
    uncounted=frozenset({"trees", "bushes", "foliage", "grass", "asphalt", "bark", "palings", "clouds"}),
)

INDOOR = Knowledge(
    setting="A room",
    concepts=(
        Concept(("wall", "plaster", "partition"), ((0.90, 0.82, 0.62), (0.70, 0.86, 0.74))),
        Concept(
            ("floor", "flooring", "ground"),
            ((0.62, 0.46, 0.30), (0.47, 0.33, 0.21), (0.70, 0.62, 0.62), (0.48, 0.53, 0.60)),
        ),
        Concept(("cabinet", "cupboard", "wardrobe"), ((0.42, 0.24, 0.15), (0.40, 0.52, 0.46))),
        Concept(("bed", "mattress", "bedspread"), ((0.30, 0.38, 0.68), (0.70, 0.52, 0.78))),
        Concept(("chair", "armchair", "seat"), ((0.18, 0.18, 0.21), (0.80, 0.24, 0.12))),
        Concept(("sofa", "couch", "settee"), ((0.50, 0.16, 0.30), (0.36, 0.42, 0.24))),
        Concept(("table", "dining board", "tabletop"), ((0.76, 0.53, 0.24), (0.28, 0.17, 0.11))),
        Concept(("door", "doorway", "entrance"), ((0.64, 0.33, 0.14), (0.24, 0.44, 0.50))),
        Concept(("window", "window pane", "glazing"), ((0.48, 0.72, 0.98),)),
        Concept(
            ("bookshelf", "bookcase", "row of books"),
            ((0.56, 0.42, 0.14), (0.28, 0.23, 0.20), (0.46, 0.30, 0.32)),
        ),
        Concept(("painting", "poster", "artwork"), ((0.12, 0.50, 0.32), (0.94, 0.60, 0.08))),
        Concept(("counter", "worktop", "countertop"), ((0.36, 0.34, 0.46), (0.56, 0.44, 0.42))),
        Concept(("desk", "writing bureau", "workstation"), ((0.86, 0.68, 0.46), (0.58, 0.40, 0.52))),
        Concept(("curtain", "drapes", "blind"), ((0.90, 0.74, 0.36), (0.54, 0.68, 0.48))),
        Concept(("pillow", "cushion"), ((0.98, 0.90, 0.50), (0.92, 0.50, 0.62))),
        Concept(("rug", "carpet", "mat"), ((0.60, 0.12, 0.14), (0.20, 0.28, 0.40))),
        Concept(("ceiling",), ((0.92, 0.89, 0.80),)),
        Concept(("refrigerator", "fridge", "freezer"), ((0.56, 0.58, 0.62), (0.84, 0.90, 0.98))),
        Concept(("television", "monitor", "flatscreen"), ((0.06, 0.07, 0.09),)),
        Concept(("shower screen", "splash guard"), ((0.50, 0.88, 0.88), (0.90, 0.56, 0.82))),
        Concept(("toilet", "lavatory"), ((0.97, 0.97, 0.96),)),
        Concept(("sink", "washbasin"), ((0.70, 0.80, 0.94),)),
        Concept(("bathtub", "tub"), ((0.96, 0.78, 0.74),)),
        Concept(("stool", "ottoman", "rack"), ((0.90, 0.44, 0.40), (0.40, 0.26, 0.56))),
    ),
    uncounted=frozenset({"plaster", "flooring", "drapes", "glazing"}),
)

WORLDS: dict[WorldName, Knowledge] = {"outdoor": OUTDOOR, "indoor": INDOOR}
