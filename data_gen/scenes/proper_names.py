"""Names of places, people, teams, subjects and firms, in the two halves of `names.split_of`.

Run: `draw(random.Random(0), "city", 5, "train")` gives five distinct names, none of which a scene of the split "test" has.
"""

import random

from taco.data_gen.scenes.names import Split, draw_names, split_of

_POOLS = {
    "city": """
Aarhus|Antwerp|Ankara|Avignon|Bergen|Berlin|Bilbao|Bologna|Boston|Bremen|Bristol|Brussels|Budapest|Cairo|Calgary|Cardiff|Chicago
Cologne|Cordoba|Dakar|Dallas|Delhi|Denver|Dover|Dresden|Dublin|Durban|Exeter|Florence|Geneva|Genoa|Ghent|Glasgow|Granada|Halifax
Hamburg|Hanoi|Havana|Helsinki|Houston|Istanbul|Jakarta|Kyoto|Lagos|Leeds|Leipzig|Lima|Lisbon|London|Lucerne|Lyon|Madrid|Malaga
Manila|Memphis|Milan|Munich|Nairobi|Nantes|Naples|Odense|Osaka|Oslo|Ottawa|Oxford|Palermo|Paris|Perth|Porto|Prague|Quito|Reims
Riga|Rotterdam|Salzburg|Seattle|Seoul|Seville|Stockholm|Sydney|Tallinn|Tampa|Tokyo|Toronto|Turin|Utrecht|Valencia|Verona|Vienna
Vilnius|Warsaw|York|Zagreb|Zurich
""",
    "person": """
Adam|Agnes|Albert|Alice|Amina|Andrea|Anton|Arthur|Astrid|Aurora|Beatrice|Bernard|Boris|Bruno|Camila|Carmen|Cecilia|Claudia|Clara
Cyril|Daniel|Deborah|Dennis|Diana|Edgar|Edith|Elena|Emma|Erika|Esther|Eugene|Felix|Fiona|Florian|Gabriel|George|Gloria|Gregor
Hannah|Harold|Hassan|Helena|Henry|Hugo|Ingrid|Irene|Isabel|Jacob|Jasmin|Joanna|Julian|Karin|Kenneth|Laura|Leonard|Lucas|Magnus
Marco|Martha|Melissa|Miriam|Monica|Nadia|Natalie|Nelson|Norman|Olivia|Oscar|Pamela|Patrick|Paula|Philip|Rachel|Raymond|Robert
Rosalind|Samuel|Sandra|Simon|Sophie|Stefan|Susanne|Teresa|Thomas|Ursula|Vanessa|Victor|Walter|Yvonne
""",
    "team": """
Admirals|Albion|Archers|Athletic|Badgers|Bears|Bisons|Bulldogs|Chargers|Cobras|Comets|Condors|Cougars|Cyclones|Dolphins|Dragons
Dynamo|Eagles|Falcons|Flames|Foxes|Giants|Gladiators|Griffins|Harriers|Hawks|Hornets|Hurricanes|Jaguars|Kestrels|Knights|Lancers
Leopards|Lions|Lynx|Mariners|Meteors|Monarchs|Mustangs|Orcas|Otters|Panthers|Pioneers|Pirates|Rangers|Ravens|Rebels|Rockets|Rovers
Royals|Sailors|Scorpions|Sharks|Spartans|Stallions|Storks|Swans|Thunder|Tigers|Titans|Trojans|United|Vikings|Wanderers|Warriors
Wolves|Zebras
""",
    "subject": """
Algebra|Anatomy|Archery|Astronomy|Baking|Ballet|Biology|Botany|Carpentry|Ceramics|Chemistry|Chess|Choir|Civics|Coding|Cooking|Dance
Drama|Drawing|Ecology|Economics|Embroidery|English|Ethics|Fencing|French|Gardening|Geography|Geology|Geometry|German|Grammar
Gymnastics|Harmony|History|Italian|Japanese|Jewellery|Judo|Knitting|Latin|Law|Logic|Medicine|Music|Optics|Painting|Pharmacy
Philosophy|Photography|Physics|Pilates|Poetry|Pottery|Psychology|Rhetoric|Robotics|Rowing|Russian|Sculpture|Sewing|Sociology
Spanish|Statistics|Surveying|Swimming|Tailoring|Tennis|Theatre|Theology|Typing|Weaving|Yoga|Zoology
""",
}
KINDS = (*_POOLS, "item")
"""What there are names of; an item is of `names.draw_names`."""


def draw(rng: random.Random, kind: str, count: int, split: Split) -> list[str]:
    """`count` distinct names of a kind in the given half, each with a capital."""
    if kind == "item":
        return [name.title() for name in draw_names(rng, count, split)]
    return rng.sample(pool(kind, split), count)


def pool(kind: str, split: Split) -> list[str]:
    """All names of a kind, other than items, in the given half."""
    return [name for name in _POOLS[kind].replace("\n", "|").split("|") if name and split_of(name) == split]
