r"""Converts rows of math sets to rows for verl: finds the problem, its ground truth and its index.

>>> row = {"problem": "What is $1+1$?", "answer": 2, "unique_id": "test/1"}
>>> made = MathReader(row).read(row, number=1)
>>> made["prompt"][0]["content"], made["reward_model"]["ground_truth"], made["extra_info"]["index"]
('What is $1+1$?\nPlease reason step by step, and put your final answer within \\boxed{}.', '2', 'test/1')

The columns of the first row tell which set a file is: MATH-500, AIME 2024, DAPO-Math-17k in verl's own
schema, or any set with a problem (or question) and an answer.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sinternal_verl.data.adapter import Adapter, Labels, Reader, Row, RowError, column, has, lookup, text_of
from sinternal_verl.data.schema import rl_row

INSTRUCTION = r"Please reason step by step, and put your final answer within \boxed{}."
"""The wording of DeepSeek-R1's usage recommendations."""

DAPO_PREFIX = (
    "Solve the following math problem step by step. The last line of your response should be of the form "
    "Answer: $Answer (without quotes) where $Answer is the answer to the problem.\n\n"
)
DAPO_SUFFIX = '\n\nRemember to put your answer on its own line after "Answer:".'


@dataclass(frozen=True, kw_only=True)
class MathAdapter(Adapter):
    """One kind of math file.

    Attributes:
        problem: returns the text of a row's problem.
        answer: column of the ground truth.
    """

    problem: Callable[[Row], str]
    answer: str = "answer"


def ask(problem: str) -> str:
    """The prompt of a problem: one user message and no system prompt, as DeepSeek-R1 wants it."""
    return f"{problem}\n{INSTRUCTION}"


def bare(prompt: str) -> str:
    """A prompt's problem without our instruction or DAPO's; two prompts with the same problem become equal.

    >>> bare(ask("1+1?")), bare("1+1?")
    ('1+1?', '1+1?')
    """
    return prompt.removesuffix(INSTRUCTION).removeprefix(DAPO_PREFIX).removesuffix(DAPO_SUFFIX).strip()


def _is_aime_2024(row: Row) -> bool:
    """Whether it is AIME 2024; the files of other years have the same columns."""
    return has("id", "problem", "answer", "url")(row) and "2024_AIME" in str(row["url"])


def _dapo_problem(row: Row) -> str:
    """The text between DAPO's two instructions, which ask for another form of answer."""
    messages = row.get("prompt")
    if not isinstance(messages, list) or len(messages) != 1 or lookup(messages[0], "role") != "user":
        raise RowError("prompt is not one user message")
    content = text_of("prompt", messages[0].get("content"))
    if not (content.startswith(DAPO_PREFIX) and content.endswith(DAPO_SUFFIX)):
        raise RowError("prompt does not stand between DAPO's two instructions, so they cannot be replaced")
    return text_of("the problem", content[len(DAPO_PREFIX) : -len(DAPO_SUFFIX)])


ADAPTERS = (
    MathAdapter(
        name="dapo_math", fits=has("prompt", "reward_model"), problem=_dapo_problem, answer="reward_model.ground_truth"
    ),
    MathAdapter(
        name="math500",
        fits=has("problem", "answer", "subject", "level", "unique_id"),
        problem=column("problem"),
        split="test",
        size=500,
    ),
    MathAdapter(name="aime2024", fits=_is_aime_2024, problem=column("problem"), split="test", size=30),
    MathAdapter(name="math", fits=has("problem", "answer"), problem=column("problem")),
    MathAdapter(name="math", fits=has("question", "answer"), problem=column("question")),
)
WANTED = "problem (or question) and answer, or DAPO's prompt and reward_model"


class MathReader(Reader):
    """Reads the rows of one math set; arguments and errors are those of `Reader`."""

    name_option = "--data-source"

    def __init__(self, first: Row, labels: Labels | None = None, own: MathAdapter | None = None) -> None:
        super().__init__(first, ADAPTERS, WANTED, labels or Labels(), own)

    def read(self, row: Row, number: int) -> Row:
        problem, answer = self.adapter.problem(row), self.adapter.answer
        truth = text_of(answer, lookup(row, answer), integer=True)
        for mark in (r"\boxed", "####"):
            if mark in truth:
                raise RowError(f"{answer} holds {mark}, so it is a solution; give the final answer alone")
        return rl_row(
            data_source=self.name,
            content=ask(problem),
            ground_truth=truth,
            index=self.index_of(row, number),
            split=self.split,
        )
