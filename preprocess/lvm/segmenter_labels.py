"""The words of the label sets that `segmenter` knows by name, in the order of their train ids.

Each class is its word, and then others that mean it, from the nearest to the widest. Decision: the first word
is the label set's own where it is one that people use, so that results can be compared.
"""

from __future__ import annotations

from typing import Literal

LabelSet = Literal["cityscapes", "ade20k", "coco"]
Labels = tuple[tuple[str, ...], ...]


def _read(text: str) -> Labels:
    """Classes stand between semicolons, the words of one class between commas."""
    classes = (one.split(",") for one in text.replace("\n", " ").split(";"))
    return tuple(tuple(word.strip() for word in words) for words in classes)


CITYSCAPES = _read("""
road, street, asphalt, roadway, carriageway, highway, lane, crosswalk; sidewalk, pavement, footpath,
footway, walkway; building, house, facade, garage, skyscraper, shop, apartment; wall, retaining wall; fence,
railing, guardrail, paling; pole, post, lamp post, street light, streetlight, lamp, mast; traffic light,
traffic signal, stoplight; traffic sign, road sign, street sign, sign, signboard; vegetation, tree, bush,
hedge, shrub, foliage, trunk, leaf, plant; terrain, grass, lawn, meadow, soil, dirt; sky, cloud; person,
pedestrian, man, woman, child, boy, girl, worker, walker; rider, cyclist, bicyclist, motorcyclist, biker;
car, automobile, sedan, suv, hatchback, jeep, taxi, van, vehicle; truck, lorry, pickup, delivery van,
vehicle; bus, coach, minibus, vehicle; train, tram, streetcar, vehicle; motorcycle, motorbike, moped,
scooter; bicycle, bike, cycle
""")

ADE20K = _read("""
wall; building, facade; sky, cloud; floor, flooring; tree; ceiling; road, street, asphalt; bed; window,
windowpane; grass, lawn; cabinet; sidewalk, pavement, footpath; person, pedestrian, man, woman, child, boy,
girl; earth, ground, soil, dirt; door; table; mountain; plant, bush, hedge, shrub, foliage; curtain, drape;
chair; car, automobile, sedan, suv, vehicle; water; painting, artwork; sofa, couch; shelf; house;
sea; mirror; rug, carpet; field, meadow; armchair; seat; fence; desk; rock, stone; wardrobe, closet; lamp;
bathtub, tub; railing; cushion; base, pedestal; box; column, pillar; signboard, traffic sign, street sign,
sign; chest of drawers, dresser; counter; sand; sink; skyscraper; fireplace; refrigerator, fridge;
grandstand; path; stairs; runway; case, display case; pool table, billiard table; pillow; screen door;
stairway, staircase; river; bridge; bookcase; blind, screen; coffee table; toilet; flower; book; hill;
bench; countertop, worktop; stove; palm, palm tree; kitchen island; computer; swivel chair, office chair;
boat; bar; arcade machine; hovel, hut; bus, coach, vehicle; towel; light; truck, lorry, vehicle; tower;
chandelier; awning; streetlight, street light, lamp post; booth; television, tv; airplane, plane; dirt
track; clothes, apparel; pole, post, mast; land; bannister, handrail; escalator; ottoman, pouf; bottle;
buffet, sideboard; poster; stage; van, delivery van, vehicle; ship; fountain; conveyor belt; canopy; washer,
washing machine; toy, plaything; swimming pool; stool; barrel; basket; waterfall; tent; bag; minibike,
motorcycle, motorbike, moped, scooter; cradle; oven; ball; food; step; tank; trade name, brand name;
microwave; pot, flowerpot; animal; bicycle, bike; lake; dishwasher; screen, projection screen; blanket;
sculpture, statue; hood, exhaust hood; sconce; vase; traffic light, traffic signal; tray; trash can, ashcan,
garbage can, dustbin; fan; pier; crt screen; plate; monitor; bulletin board, notice board; shower; radiator;
glass, drinking glass; clock; flag
""")

# Decision: `coco` is COCO-Stuff's 171 classes, 80 things and 91 stuff, in the order of the official ids
# without those that were left out. Semantic segmentation networks of COCO are trained on these; the 133
# classes of its panoptic task belong to networks that give segments instead.
COCO = _read("""
person, pedestrian, man, woman, child, boy, girl; bicycle, bike; car, automobile, sedan, suv, vehicle;
motorcycle, motorbike, moped, scooter; airplane, plane; bus, coach, vehicle; train, tram; truck, lorry,
vehicle; boat; traffic light, traffic signal; fire hydrant; stop sign, traffic sign, street sign, sign;
parking meter; bench; bird; cat; dog; horse; sheep; cow; elephant; bear; zebra; giraffe; backpack; umbrella;
handbag, bag; tie; suitcase; frisbee; skis; snowboard; ball, sports ball; kite; baseball bat; baseball
glove; skateboard; surfboard; tennis racket; bottle; wine glass, glass; cup; fork; knife; spoon; bowl;
banana; apple; sandwich; orange; broccoli; carrot; hot dog; pizza; donut; cake; chair; couch, sofa; potted
plant; bed; dining table, table; toilet; tv, television, monitor; laptop; mouse; remote, remote control;
keyboard; cell phone, phone; microwave; oven; toaster; sink; refrigerator, fridge; book; clock; vase;
scissors; teddy bear; hair dryer, hair drier; toothbrush; banner; blanket; branch; bridge; building, facade;
bush, hedge, shrub; cabinet; cage; cardboard; carpet; ceiling; tiled ceiling, ceiling; cloth; clothes;
cloud; counter; cupboard; curtain, drape; desk; dirt, soil; door; fence; marble floor, floor; floor; stone
floor, floor; tiled floor, floor; wooden floor, floor; flower; fog; food; fruit; furniture; grass, lawn,
meadow; gravel; ground; hill; house; leaf, foliage; light; mat; metal; mirror; moss; mountain; mud; napkin;
net; paper; pavement, sidewalk, footpath; pillow; plant, vegetation; plastic; platform; playing field;
railing; railroad, railway; river; road, street, asphalt; rock; roof; rug; salad; sand; sea; shelf; sky;
skyscraper; snow; solid; stairs; stone; straw; structure; table; tent; textile; towel; tree; vegetable;
brick wall, wall; concrete wall, wall; wall; wall panel, wall; stone wall, wall; tiled wall, wall; wooden
wall, wall; water; water drop; window blind, blind; window; wood
""")

LABEL_SETS: dict[LabelSet, Labels] = {"cityscapes": CITYSCAPES, "ade20k": ADE20K, "coco": COCO}
"""Name -> the words of each class: Cityscapes' 19 train ids, ADE20K's 150 classes, COCO-Stuff's 171."""
