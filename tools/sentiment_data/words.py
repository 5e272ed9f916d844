"""Sentences with one or two words whose sentiment people rated: the lexicon of vaderSentiment (MIT, Hutto & Gilbert 2014),
in which a rating is the mean of ten people on -4 … 4. Words on which those ten disagree (deviation above 1.3) are left out.
"""

import importlib.util
import re
from pathlib import Path

GOOD = """amazing awesome beautiful brilliant charming cheerful clever cool comfortable creative cute delightful elegant
energetic excellent exciting fabulous fantastic fine fun funny good gorgeous graceful great happy impressive inspiring
interesting joyful lively lovable lovely magnificent marvelous nice outstanding perfect playful pleasant pleasing popular
powerful precious remarkable rewarding smart special splendid superb superior sweet thoughtful thrilling useful warm
warmhearted winning wonderful worthy entertaining engaging fascinating enjoyable heroic honest innovative intelligent nifty
peaceful respectable romantic sincere strong talented fresh calm amusing adorable bold original fair ok okay solid
sophisticated""".split()
BAD = """bad bitter bizarre boring careless childish confusing contradictory cruel depressing dirty disappointing disastrous
disgusting dismal disturbing doubtful dreary dull dumb embarrassing empty evil fake foolish frustrating grim hateful
horrible horrid horrific idiotic incompetent inferior insulting irritating lame lousy mad messy misleading nasty obnoxious
odd painful poor ridiculous rude sad scary shameful sick stupid suspicious terrible tired troubling ugly unacceptable
uncomfortable unfair unhappy unhealthy unimportant unpleasant unsatisfied violent weak weird worthless wrong annoying harsh
lonely cynical crude flawed weary wicked""".split()
THINGS = """film movie story acting script ending plot dialogue soundtrack director concert album song band recipe soup
dessert waiter service hotel room view phone screen battery keyboard update level lecture teacher book chapter match team
referee train journey museum guide haircut coffee breakfast trailer sequel costume""".split()
ONE = [
    "I thought the {x} was {a}.",
    "The {x} was {a}.",
    "To me the {x} felt {a}.",
    "So we found the {x}, and it was {a}.",
    "After all this time the {x} still seemed {a}.",
    "You know, that {x} looked {a}.",
]
TWO = [
    "The {x} was {a}, but the {y} was {b}.",
    "I found the {x} {a} and the {y} {b}.",
    "It had a {x} that was {a} and a {y} that seemed {b}.",
    "The {x}? It was {a}. Then the {y} was {b}.",
]
# Sentences with three rated words, of which the voice picks one: what stands before the first, between and after them differs in
# length, so that neither the number of a word nor its place among the tokens says when it is heard.
OPENERS = ["", "It was ", "To me it felt "]
BETWEEN = [", ", " and ", " but also "]
CLOSERS = [".", ", I think."]
HELD_OUT = 1 / 6


def lexicon():
    folder = Path(importlib.util.find_spec("vaderSentiment").origin).parent
    ratings = {}
    for line in (folder / "vader_lexicon.txt").read_text(encoding="utf-8").splitlines():
        word, mean, deviation, *_ = line.split("\t")
        ratings[word] = (float(mean), float(deviation))
    return ratings


class Sentences:
    """Draws sentences. A sixth of the rated words never stand in a training sentence."""

    def __init__(self, random):
        ratings = lexicon()
        for word in " ".join([*THINGS, *ONE, *TWO, *OPENERS, *BETWEEN, *CLOSERS]).lower().replace(",", " ").replace(".", " ").replace("?", " ").split():
            assert word not in ratings, f"{word} has a rating of its own"
        self.rating = {w: ratings[w][0] for w in GOOD + BAD}
        assert all(ratings[w][1] <= 1.3 for w in self.rating)
        # Both signs in both parts, so that the held-out words are no easier.
        kept = [[], []]
        for words in (GOOD, BAD):
            order = [words[i] for i in random.permutation(len(words))]
            cut = round(len(order) * HELD_OUT)
            kept[0] += order[cut:]
            kept[1] += order
        self.train, self.all = kept

    def draw_turn(self, random, training):
        """A sentence as (before, word, after), and the rating of that word, one of the three rated ones of the sentence."""
        words = random.choice(self.train if training else self.all, 3, replace=False)
        joins = [random.choice(OPENERS), *random.choice(BETWEEN, 2), random.choice(CLOSERS)]
        pieces = [str(piece) for pair in zip(joins, [*words, ""]) for piece in pair]
        at = 2 * int(random.integers(3)) + 1
        return ("".join(pieces[:at]), pieces[at], "".join(pieces[at + 1 :])), self.rating[pieces[at]]

    def draw(self, random, training):
        """A sentence and the mean rating of its one or two rated words."""
        a, b = random.choice(self.train if training else self.all, 2, replace=False)
        x, y = random.choice(THINGS, 2, replace=False)
        if random.random() < 0.5:
            text, rating = str(random.choice(ONE)).format(x=x, a=a), self.rating[a]
        else:
            text = str(random.choice(TWO)).format(x=x, y=y, a=a, b=b)
            rating = (self.rating[a] + self.rating[b]) / 2
        return re.sub(r"\ba (?=[aeio]|up)", "an ", text), rating
