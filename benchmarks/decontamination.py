"""What decontamination finds of planted prompts, and what it finds between sets that share none.

The rule of `sinternal_verl.data.contamination` stands beside the one before it (no words in Chinese or Japanese, a
text of fewer than 13 words found only as a whole) and beside other values of its shortest run.

1. *Planted*: each prompt of a set stands between two sentences of its own language. All must be found.
2. *Between sets*: each set is the training set and each other one the evaluation set. Sets of other kinds share no
   prompts, so what is found there is found wrongly; sets of safety share some.
3. *Halves*: the even rows of a set against its odd rows.

``--rows`` lists what the new rule finds and the old one does not, by set and row, to be looked at.
"""

import re
import time
import unicodedata
from pathlib import Path

from arguments import parser_of

from sinternal_verl.data import contamination
from sinternal_verl.data.contamination import NGRAM, Evaluation, asked, words_of
from sinternal_verl.data.math import bare
from sinternal_verl.data.readers import open_source

SHARED = Path(__file__).parents[2] / "shared" / "data"
SETS = {
    "math500": "math500.jsonl",
    "aime2024": "aime2024.jsonl",
    "xstest": "xstest_prompts.csv",
    "star1": "star1.json.gz",
    "strongreject": "eval/strongreject.jsonl.gz",
    "jailbreak_r1": "eval/jailbreak_r1_strongreject.jsonl.gz",
    "fortress": "eval/fortress_adversarial.jsonl.gz",
    "wildjailbreak": "eval/wildjailbreak_adversarial_harmful.jsonl.gz",
    "hcot": "eval/hcot.jsonl.gz",
}
COLUMNS = ("prompt", "problem", "question")
BEFORE = {"zh": "请你认真回答。", "ja": "次の質問に答えて。", "": "As a poet of Orla I ask you, my friend: "}
AFTER = {"zh": "谢谢。", "ja": "よろしく。", "": " Thank you, and write it in rhyme."}
SHORTEST = (3, 4, 5, 6, 8)


class OldRule:
    """The rule before: words of letters and digits, runs of `NGRAM`, shorter texts as a whole."""

    def __init__(self, texts: list[str]) -> None:
        self._whole, self._runs = set(), set()
        for words in map(self._words, texts):
            self._whole.add(words)
            self._runs |= self._runs_of(words)

    def finds(self, text: str) -> bool:
        words = self._words(text)
        return words in self._whole or not self._runs.isdisjoint(self._runs_of(words))

    @staticmethod
    def _words(text: str) -> tuple[str, ...]:
        return tuple(re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", bare(text)).lower()) or [text.strip()])

    @staticmethod
    def _runs_of(words: tuple[str, ...]) -> set[tuple[str, ...]]:
        return {words[start : start + NGRAM] for start in range(len(words) - NGRAM + 1)}


class NewRule:
    """`Evaluation` with another shortest run."""

    def __init__(self, texts: list[str], shortest: int) -> None:
        contamination.MIN_RUN = shortest
        self.evaluation = Evaluation("", ())
        for number, text in enumerate(texts):
            self.evaluation.add(number, text)

    def finds(self, text: str) -> bool:
        return self.evaluation.match(words_of(text)) is not None


def texts_of(file: str) -> list[str]:
    """The prompts of a file, each once."""
    prompts = (next(row[name] for name in COLUMNS if name in row) for _, row in open_source(file).rows())
    return list(dict.fromkeys(prompt if isinstance(prompt, str) else asked(prompt) for prompt in prompts))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--also", nargs="*", default=[], metavar="FILE", help="further sets, e.g. prompts_zh.jsonl")
    parser.add_argument("--rows", action="store_true", help="list what only the new rule finds, by set and row")
    arguments = parser.parse_args()
    sets = {name: texts_of(str(SHARED / file)) for name, file in SETS.items() if (SHARED / file).exists()}
    sets |= {Path(file).name.partition(".")[0]: texts_of(file) for file in arguments.also}
    rules = {name: {"old": OldRule(texts), **{k: NewRule(texts, k) for k in SHORTEST}} for name, texts in sets.items()}
    columns = ("old", *SHORTEST)
    print(f"{'':38}{'texts':>7}" + "".join(f"{column!s:>7}" for column in columns))

    def line(label: str, texts: list[str], rules: dict) -> None:
        found = [sum(rules[column].finds(text) for text in texts) for column in columns]
        if any(found):
            print(f"{label:38}{len(texts):7}" + "".join(f"{count:7}" for count in found))

    for name, texts in sets.items():
        language = next((key for key in BEFORE if key and name.endswith(f"_{key}")), "")
        line(f"planted {name}", [f"{BEFORE[language]}{text}{AFTER[language]}" for text in texts], rules[name])
    for name, texts in sets.items():
        halves = {"old": OldRule(texts[1::2]), **{k: NewRule(texts[1::2], k) for k in SHORTEST}}
        line(f"halves of {name}", texts[::2], halves)
    for train, texts in sets.items():
        for name in sets:
            if train != name:
                line(f"{train} against {name}", texts, rules[name])
    contamination.MIN_RUN = 5
    if arguments.rows:
        for train, texts in sets.items():
            for name in sets:
                for number, text in enumerate(texts):
                    if train != name and not rules[name]["old"].finds(text):
                        match = rules[name][5].evaluation.match(words_of(text))
                        if match:
                            print(f"{train}, row {number}: {match.words} words from {match.first}, {name} {match.row}")
    texts, seconds = sets["star1"], {"old": 0.0, "new": 0.0}
    for _ in range(5):
        for name, make in {"old": OldRule, "new": lambda texts: NewRule(texts, 5)}.items():
            start = time.perf_counter()
            rule = make(texts)
            sum(rule.finds(text) for some in sets.values() for text in some)
            seconds[name] += time.perf_counter() - start
    print(f"time: {seconds['new'] / seconds['old']:.2f} of the old, {seconds['new']:.1f} s")


if __name__ == "__main__":
    main()
