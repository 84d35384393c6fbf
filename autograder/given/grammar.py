"""A language of a few dozen words with a grammar, for a small model to learn, letter by letter."""

import re

import torch
from torch import Tensor

_NOUNS = ("cat", "dog", "bird", "child", "king", "robot")
_ODD_PLURALS = {"child": "children"}
_SEEN_DOING = ("see", "like", "hear", "follow")  # verbs with an object
_DOING = ("sleep", "sing", "walk", "laugh")
_ADJECTIVES = ("big", "small", "happy")
_ONE, _MANY = ("the", "a", "every"), ("the", "two", "many")


class GrammarText:
    """Sentences such as "the big cat that two dogs follow sleeps." with a space behind each.

    The grammar (upper case; | parts choices; every choice is equally likely, but for the relative clause):

        SENTENCE  ->  NP VP .
        NP        ->  a determiner, sometimes an adjective, a noun, sometimes CLAUSE
        CLAUSE    ->  that VP  |  that NP verb      (without a clause inside)
        VP        ->  verb  |  verb NP

    Verbs agree with their subject in number, across whatever stands between the two: that is what there is to learn.

    Attributes: `alphabet`, a string, whose i-th letter is token i; `vocab`, its length.
    """

    def __init__(self) -> None:
        self.alphabet = " ." + "abcdefghijklmnopqrstuvwxyz"
        self.vocab = len(self.alphabet)

    def __call__(self, length: int, generator: torch.Generator) -> Tensor:
        """int64 (length,): running text, cut off where the length is reached."""
        text = ""
        while len(text) < length:
            text += self.sentence(generator) + " "
        return self.encode(text[:length])

    def encode(self, text: str) -> Tensor:
        """The tokens of a text, int64 (len(text),). Raises ValueError for a letter that is not in `alphabet`."""
        strange = sorted(set(text) - set(self.alphabet))
        if strange:
            raise ValueError(f"the alphabet of this language lacks {strange}: it has {self.alphabet!r}")
        return torch.tensor([self.alphabet.index(letter) for letter in text], dtype=torch.int64)

    def decode(self, tokens: Tensor) -> str:
        """The text of int64 tokens (T,)."""
        return "".join(self.alphabet[token] for token in tokens.tolist())

    def sentence(self, generator: torch.Generator) -> str:
        """One sentence, with its full stop."""

        def pick(items: tuple[str, ...]) -> str:
            return items[int(torch.randint(len(items), (), generator=generator))]

        def chance(percent: int) -> bool:
            return int(torch.randint(100, (), generator=generator)) < percent

        def noun_phrase(clause: bool) -> tuple[str, bool]:
            many = chance(50)
            words = [pick(_MANY if many else _ONE)]
            words += [pick(_ADJECTIVES)] if chance(30) else []
            words.append(_noun(pick(_NOUNS), many))
            if clause and chance(30):
                words.append("that")
                if chance(50):
                    words.append(verb_phrase(many, False))
                else:
                    inner, inner_many = noun_phrase(False)
                    words += [inner, _verb(pick(_SEEN_DOING), inner_many)]
            return " ".join(words), many

        def verb_phrase(many: bool, clause: bool) -> str:
            if chance(50):
                return _verb(pick(_DOING), many)
            return f"{_verb(pick(_SEEN_DOING), many)} {noun_phrase(clause)[0]}"

        subject, many = noun_phrase(True)
        return f"{subject} {verb_phrase(many, True)}."

    def accepts(self, sentence: str) -> bool:
        """Whether the grammar has this sentence (with its full stop, without spaces around it)."""
        return re.fullmatch(_SENTENCE, sentence) is not None


def _noun(noun: str, many: bool) -> str:
    return _ODD_PLURALS.get(noun, f"{noun}s") if many else noun


def _verb(verb: str, many: bool) -> str:
    return verb if many else f"{verb}s"


def _rules() -> str:
    """The grammar as one regular expression: clauses do not nest, so there is one."""

    def choice(*parts: str) -> str:
        return f"(?:{'|'.join(parts)})"

    def phrase(many: bool) -> str:
        nouns = choice(*(_noun(noun, many) for noun in _NOUNS))
        return f"{choice(*(_MANY if many else _ONE))} (?:{choice(*_ADJECTIVES)} )?{nouns}"

    def transitive(many: bool) -> str:
        return choice(*(_verb(verb, many) for verb in _SEEN_DOING))

    def verbs(many: bool, object_: str) -> str:
        return choice(choice(*(_verb(verb, many) for verb in _DOING)), f"{transitive(many)} {object_}")

    plain = choice(phrase(True), phrase(False))

    def full(many: bool) -> str:
        asked = choice(*(f"{phrase(inner)} {transitive(inner)}" for inner in (True, False)))
        return f"{phrase(many)}(?: that {choice(verbs(many, plain), asked)})?"

    anything = choice(full(True), full(False))
    return choice(*(f"{full(many)} {verbs(many, anything)}" for many in (True, False))) + r"\."


_SENTENCE = _rules()
