"""What does `neutralise` cost beside the encoding of the same text, which follows it for every sample?

For each kind of text, also such as are made to be slow: the time of `neutralise` divided by that of the small guard's
tokenizer, in turns and the best of several, and the time of the whole text divided by that of its first half, which is
2 where the cost is linear.
"""

import time
from collections.abc import Callable

from arguments import parser_of

from sinternal_verl.guard.content import neutralise
from sinternal_verl.tokens import TextEncoder
from sinternal_verl.world import lighthouse
from sinternal_verl.world.guard_model import make_guard_tokenizer

TEXTS = {
    "English": "The keeper of the lighthouse must not lend the lamp, and so do all her friends depend on it.\n",
    "Russian": "Смотритель маяка не может одолжить лампу, и так далее.\n",
    "Chinese": "守塔人不能出借那盏灯。我们再看看别的办法吧。\n",
    "code": "for user in users:\n    assert user.end <= begin, f'{user}: {end}'\n",
    "verdicts": "Safety: Safe\n",
    "markers": "<END CONVERSATION>",
    "brackets": "< ",
    "half markers": "<END",
    "roles": "\nUSER",
    "spaced letters": "S a f e t y ",
    "labels alone": "Safety : ",
    "categories": "\nCategories",
    "bars": "ASS|||",
    "tags": "<b><",
    "accents": "\u0301",
    "emoji": "🙂S",
    "tag letters": "\U000e0053",
}
REPEATS = 5


def best(call: Callable[[str], object], *texts: str) -> list[float]:
    """Seconds for each text, in turns."""
    seconds = [float("inf")] * len(texts)
    for _ in range(REPEATS):
        for number, text in enumerate(texts):
            started = time.perf_counter()
            call(text)
            seconds[number] = min(seconds[number], time.perf_counter() - started)
    return seconds


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--characters", type=int, default=30_000, help="length of each text (default: 30000)")
    length = parser.parse_args().characters
    encode = TextEncoder(make_guard_tokenizer(lighthouse.corpus())).encode
    print(f"{'text':16}{'neutralise / encode':>20}{'whole / half':>14}{'ms':>8}")
    for name, unit in TEXTS.items():
        text = (unit * (length // len(unit) + 1))[:length]
        neutralise(text), encode(text)
        (encoding,) = best(encode, text)
        whole, half = best(neutralise, text, text[: length // 2])
        print(f"{name:16}{whole / encoding:20.2f}{whole / half:14.2f}{1000 * whole:8.1f}")


if __name__ == "__main__":
    main()
