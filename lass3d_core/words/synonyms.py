"""Common words for the classes of the official layouts, by the class's name as a phrase.

Decision: they are kept few and count for every class of that name, also for one of the manifest. Words that a
data set needs beyond these belong in its manifest, `classes: {synonyms: ...}`. A word for several classes
("vehicle") names each of them. A plural needs no entry.
"""

from __future__ import annotations

_PEOPLE = "pedestrian, person, walker, man, woman, child, boy, girl, worker"
_ROAD = "street, asphalt, roadway, lane, carriageway, highway"
_TEXT = {
    # streets
    "car": "automobile, sedan, suv, hatchback, jeep, van, taxi, vehicle",
    "truck": "lorry, pickup, delivery van, van, vehicle",
    "bus": "coach, minibus, vehicle",
    "trailer": "caravan, vehicle",
    "construction vehicle": "excavator, digger, bulldozer, crane, vehicle",
    "other vehicle": "bus, trailer, caravan, tram, train, tractor, vehicle",
    "bicycle": "bike, cycle",
    "motorcycle": "motorbike, moped, scooter",
    "person": _PEOPLE,
    "pedestrian": _PEOPLE,
    "bicyclist": "cyclist, biker, rider, bicycle rider, bike rider",
    "motorcyclist": "biker, rider, motorcycle rider",
    "road": _ROAD,
    "driveable surface": f"road, {_ROAD}",
    "parking": "parking lot, parking bay, parking space, car park",
    "sidewalk": "pavement, footpath, footway, walkway",
    "building": "house, facade, garage, apartment, skyscraper",
    "manmade": "building, house, facade, garage, wall, fence, pole, post, bridge, sign, traffic light",
    "fence": "railing, guardrail, paling",
    "barrier": "railing, guardrail, road block",
    "vegetation": "tree, bush, hedge, shrub, foliage, leaf, plant",
    "trunk": "stem, bark",
    "terrain": "grass, lawn, meadow, soil, dirt",
    "pole": "post, lamp post, lamp, street light, mast",
    "traffic sign": "sign, signboard",
    "traffic cone": "cone, pylon",
    # rooms
    "wall": "partition, plaster",
    "floor": "flooring, ground",
    "cabinet": "cupboard, wardrobe, drawer",
    "bed": "mattress, bedspread",
    "chair": "armchair, seat",
    "sofa": "couch, settee",
    "table": "tabletop",
    "door": "doorway, entrance",
    "window": "window pane, glazing",
    "bookshelf": "bookcase, shelf",
    "picture": "painting, poster, artwork",
    "counter": "countertop, worktop",
    "desk": "workstation, bureau",
    "curtain": "drape, blind",
    "refrigerator": "fridge, freezer",
    "shower curtain": "shower screen",
    "toilet": "lavatory",
    "sink": "washbasin",
    "bathtub": "tub, bath",
}

BUILT_IN: dict[str, tuple[str, ...]] = {name: tuple(words.split(", ")) for name, words in _TEXT.items()}
"""Class name as a phrase -> further words for it."""
