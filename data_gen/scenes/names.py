"""Names of goods: real ones and invented ones, in two halves that share no word.

Run: `draw_names(random.Random(0), 5, "train")` gives five distinct names in lower case.
"""

import hashlib
import random
from typing import Literal

Split = Literal["train", "test"]

_TEST_SHARE = 64 / 256
_INVENTED_SHARE = 0.6

_REAL = """
almond cake|anchovies|apple pie|apricots|artichoke|asparagus|avocado toast|bacon roll|bagel|baguette|banana bread|basil
batteries|bean soup|beef stew|beetroot|biscuits|black tea|blueberries|borscht|bread|broccoli|brownie|burger|burrito
butter|cabbage|candles|cappuccino|caramel tart|carrots|cashews|celery|cereal|cheese|cheesecake|cherries|chestnuts
chicken wrap|chili|chips|chocolate|chutney|cider|cinnamon bun|clams|cocoa|coconut|coffee|coleslaw|cookies|coriander
corn|couscous|crab|crackers|cranberries|cream|croissant|cucumber|cupcake|curry|custard|dates|doughnut|dumplings|eggs
eggplant|envelope|espresso|falafel|fennel|feta|figs|fish pie|flour|focaccia|french fries|fruit salad|fudge|garlic
ginger|gnocchi|goulash|granola|grapes|green tea|guava|halloumi|ham|hazelnuts|honey|hummus|jam|jasmine tea|kale|ketchup
kiwi|lamb chops|lasagne|latte|leeks|lemonade|lentil soup|lettuce|lobster|macaroon|mackerel|mango|maple syrup|margarine
marmalade|matches|meatballs|melon|milk|mint tea|mocha|muesli|muffin|mushrooms|mustard|nachos|napkins|noodles|notebook
nutmeg|oatmeal|olives|omelette|onions|orange juice|oregano|oysters|paella|pancakes|papaya|paprika|parsley|pasta|peaches
peanuts|pears|peas|pencil|pepper|pesto|pickles|pineapple|pistachios|pizza|plums|pomelo|popcorn|porridge|postcard|potatoes
prawns|pretzel|pudding|pumpkin|quiche|quinoa|radish|raisins|ramen|raspberries|ravioli|rhubarb|rice|risotto|rosemary|rye
saffron|salad|salami|salmon|sandwich|sardines|sausage|scones|sesame|shampoo|shrimp|soap|soda|spinach|sponge|squash|stamps
strawberries|sugar|sushi|sweetcorn|tacos|tangerine|tofu|tomatoes|tortilla|trout|tuna|turkey|turnip|umbrella|vanilla
vinegar|waffle|walnuts|watermelon|wheat|yoghurt|zucchini
"""
REAL_NAMES = tuple(name.strip() for name in _REAL.replace("\n", "|").split("|") if name.strip())

_ONSETS = tuple("b,br,c,ch,d,dr,f,fl,g,gl,h,j,k,kr,l,m,n,p,pl,qu,r,s,sh,sk,st,t,tr,v,w,y,z".split(","))  # noqa: SIM905
_VOWELS = tuple("a,a,e,e,i,o,o,u,ai,ea,oo".split(","))  # noqa: SIM905
_CODAS = tuple(",,,,n,r,l,s,t,m,k,nd,rt,x".split(","))  # noqa: SIM905


def split_of(name: str) -> Split | None:
    """Which half a name belongs to, whatever its case; None where its words disagree: then neither uses it."""
    halves = {_split_of_word(word) for word in name.lower().split()}
    return halves.pop() if len(halves) == 1 else None


def draw_names(rng: random.Random, count: int, split: Split) -> list[str]:
    """`count` names of the given half, in lower case; none is part of another."""
    names: list[str] = []
    while len(names) < count:
        name = _invented(rng, split) if rng.random() < _INVENTED_SHARE else rng.choice(REAL_NAMES)
        if split_of(name) == split and not any(name in other or other in name for other in names):
            names.append(name)
    return names


def _invented(rng: random.Random, split: Split) -> str:
    return " ".join(_invented_word(rng, split) for _ in range(rng.choice((1, 1, 2))))


def _invented_word(rng: random.Random, split: Split) -> str:
    while True:
        syllables = rng.choice((2, 2, 2, 3))
        word = "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(syllables)) + rng.choice(_CODAS)
        if 4 <= len(word) <= 9 and _split_of_word(word) == split:
            return word


def _split_of_word(word: str) -> Split:
    return "test" if hashlib.sha1(word.encode()).digest()[0] < 256 * _TEST_SHARE else "train"
