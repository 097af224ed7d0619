r"""Converts rows of math sets to rows for verl: finds the problem, its ground truth and its index.

>>> row = {"problem": "What is $1+1$?", "answer": 2, "unique_id": "test/1"}
>>> made = MathReader(row).read(row, number=1)
>>> made["prompt"][0]["content"], made["reward_model"]["ground_truth"], made["extra_info"]["index"]
('What is $1+1$?\nPlease reason step by step, and put your final answer within \\boxed{}.', '2', 'test/1')

The columns of the first row tell which set a file is. A set has its ground truth in a column of its own (MATH-500,
AIME 2024, NuminaMath-1.5, DeepMath-103K, Big-Math), behind ``####`` (GSM8K), in the last box of its solution (MATH) or
in verl's own schema (DAPO-Math-17k). Any other set needs a problem (or question) and an answer (or solution).
"""

from collections.abc import Callable
from dataclasses import dataclass

from sinternal_verl.data.adapter import Adapter, Labels, NoTruth, Reader, Row, RowError, column, has, lookup, text_of
from sinternal_verl.data.schema import rl_row
from sinternal_verl.data.truth import absent, after_hashes, boxed, boxed_or_all, damage

INSTRUCTION = r"Please reason step by step, and put your final answer within \boxed{}."
"""The wording of DeepSeek-R1's usage recommendations."""

DAPO_PREFIX = (
    "Solve the following math problem step by step. The last line of your response should be of the form "
    "Answer: $Answer (without quotes) where $Answer is the answer to the problem.\n\n"
)
DAPO_SUFFIX = '\n\nRemember to put your answer on its own line after "Answer:".'
VERL_SUFFIXES = (
    'Let\'s think step by step and output the final answer after "####".',
    r"Let's think step by step and output the final answer within \boxed{}.",
)
"""What verl's own preprocessing adds to the questions of GSM8K and of MATH."""


def ask(problem: str) -> str:
    """The prompt of a problem: one user message and no system prompt, as DeepSeek-R1 wants it."""
    return f"{problem}\n{INSTRUCTION}"


def bare(prompt: str) -> str:
    """A prompt's problem without our instruction, DAPO's or verl's; two prompts with the same problem become equal.

    >>> bare(ask("1+1?")), bare("1+1?"), bare(f"1+1? {VERL_SUFFIXES[0]}")
    ('1+1?', '1+1?', '1+1?')
    """
    problem = prompt.removesuffix(INSTRUCTION).removeprefix(DAPO_PREFIX).removesuffix(DAPO_SUFFIX).rstrip()
    for suffix in VERL_SUFFIXES:
        problem = problem.removesuffix(suffix)
    return problem.strip()


@dataclass(frozen=True, kw_only=True)
class MathAdapter(Adapter):
    """One kind of math file.

    Attributes:
        problem: returns the text of a row's problem.
        answer: column of the ground truth.
        extract: returns the ground truth of that column's text; None where the column holds nothing else.
        ask: returns the prompt of a problem.
    """

    problem: Callable[[Row], str]
    answer: str = "answer"
    extract: Callable[[str], str] | None = None
    ask: Callable[[str], str] = ask


def _is_aime_2024(row: Row) -> bool:
    """Whether it is AIME 2024; the files of other years have the same columns."""
    return has("id", "problem", "answer", "url")(row) and "2024_AIME" in str(row["url"])


def _is_gsm8k(row: Row) -> bool:
    return has("question", "answer")(row) and "####" in str(row["answer"])


def _is_verl(row: Row) -> bool:
    return isinstance(row.get("prompt"), list) and "reward_model" in row


def _is_dapo(row: Row) -> bool:
    return _is_verl(row) and (row.get("data_source") == "math_dapo" or _said(row).startswith(DAPO_PREFIX))


def _is_verl_gsm8k(row: Row) -> bool:
    return _is_verl(row) and _said(row).rstrip().endswith(VERL_SUFFIXES[0])


def _said(row: Row) -> str:
    """The content of a prompt of one user message; empty for other prompts."""
    messages = row.get("prompt")
    if not isinstance(messages, list) or len(messages) != 1 or lookup(messages[0], "role") != "user":
        return ""
    content = messages[0].get("content")
    return content if isinstance(content, str) else ""


def _dapo_problem(row: Row) -> str:
    """The text between DAPO's two instructions, which ask for another form of answer."""
    content = _verl_prompt(row)
    if not (content.startswith(DAPO_PREFIX) and content.endswith(DAPO_SUFFIX)):
        raise RowError("prompt does not stand between DAPO's two instructions, so they cannot be replaced")
    return text_of("the problem", content[len(DAPO_PREFIX) : -len(DAPO_SUFFIX)])


def _verl_prompt(row: Row) -> str:
    messages = row.get("prompt")
    if not isinstance(messages, list) or len(messages) != 1 or lookup(messages[0], "role") != "user":
        raise RowError("prompt is not one user message")
    return text_of("prompt", messages[0].get("content"))


def _verl_problem(row: Row) -> str:
    """The problem without verl's instruction; with another one that asks for a box, which then stays."""
    content = _verl_prompt(row)
    problem = bare(content)
    if problem == content and r"\boxed" not in content:
        step = r"it may ask for an answer in another form than \boxed{}: give an --adapter that returns the problem"
        raise RowError(f"prompt ends with no instruction that is known, so none can be replaced; {step}")
    return problem


def _numina_problem(row: Row) -> str:
    # Some proofs have an answer, which is no more than a part of what is to be shown.
    if row.get("question_type") == "proof":
        raise NoTruth("proof")
    for what in ("problem", "solution"):
        if row.get(f"{what}_is_valid", "Yes") != "Yes":
            raise NoTruth(f"invalid {what}")
    return column("problem")(row)


_NUMINA = ("problem", "answer", "problem_type", "question_type", "problem_is_valid")
_VERL_TRUTH = "reward_model.ground_truth"

ADAPTERS = (
    MathAdapter(name="dapo_math", fits=_is_dapo, problem=_dapo_problem, answer=_VERL_TRUTH),
    MathAdapter(
        name="dapo_math", fits=has("prompt", "solution", "source_prompt"), problem=column("prompt"), answer="solution"
    ),
    MathAdapter(name="gsm8k", fits=_is_verl_gsm8k, problem=_verl_problem, answer=_VERL_TRUTH),
    MathAdapter(
        name="math",
        fits=_is_verl,
        problem=_verl_problem,
        answer=_VERL_TRUTH,
        ask=lambda problem: problem if r"\boxed" in problem else ask(problem),
    ),
    MathAdapter(
        name="math500",
        fits=has("problem", "answer", "subject", "level", "unique_id"),
        problem=column("problem"),
        split="test",
        size=500,
    ),
    MathAdapter(name="aime2024", fits=_is_aime_2024, problem=column("problem"), split="test", size=30),
    MathAdapter(name="gsm8k", fits=_is_gsm8k, problem=column("question"), extract=after_hashes),
    MathAdapter(name="mgsm", fits=has("question", "answer_number"), problem=column("question"), answer="answer_number"),
    MathAdapter(name="numinamath", fits=has(*_NUMINA), problem=_numina_problem),
    MathAdapter(
        name="deepmath",
        fits=has("question", "final_answer", "difficulty"),
        problem=column("question"),
        answer="final_answer",
    ),
    MathAdapter(
        name="big_math", fits=has("problem", "answer", "source", "llama8b_solve_rate"), problem=column("problem")
    ),
    *(
        MathAdapter(name="math", fits=has(name, answer), problem=column(name), answer=answer)
        for name in ("problem", "question")
        for answer in ("answer", "final_answer")
    ),
    MathAdapter(
        name="hendrycks_math",
        fits=has("problem", "solution", "level", "type"),
        problem=column("problem"),
        answer="solution",
        extract=boxed,
    ),
    *(
        MathAdapter(name="math", fits=has(name, "solution"), problem=column(name), answer="solution", extract=boxed)
        for name in ("problem", "question")
    ),
    MathAdapter(
        name="math",
        fits=has("prompt", "solution"),
        problem=column("prompt"),
        answer="solution",
        extract=boxed_or_all,
    ),
)
WANTED = "problem (or question) and answer (or solution), or verl's prompt and reward_model"


class MathReader(Reader):
    """Reads the rows of one math set; arguments and errors are those of `Reader`."""

    name_option = "--data-source"

    def __init__(self, first: Row, labels: Labels | None = None, own: MathAdapter | None = None) -> None:
        super().__init__(first, ADAPTERS, WANTED, labels or Labels(), own)

    def read(self, row: Row, number: int) -> Row:
        problem = self.adapter.problem(row)
        if reason := damage(problem, prose=True):
            raise RowError(f"the problem holds {reason}")
        return rl_row(
            data_source=self.name,
            content=self.adapter.ask(problem),
            ground_truth=self._truth(row),
            index=self.index_of(row, number),
            split=self.split,
        )

    def _truth(self, row: Row) -> str:
        answer, extract = self.adapter.answer, self.adapter.extract
        holder, _, name = answer.rpartition(".")
        if name not in (row if not holder else lookup(row, holder) or {}):
            raise RowError(f"{answer} is missing")
        value = lookup(row, answer)
        if kind := absent(value):
            raise NoTruth(kind)
        truth = text_of(answer, value, integer=True)
        if extract:
            value = truth = extract(truth)
            if kind := absent(truth):
                raise NoTruth(kind)
        # Before the space at its beginning is removed: a tab there may be what is left of \theta.
        if isinstance(value, str) and (reason := damage(value.rstrip())):
            raise RowError(f"{answer} holds {reason}")
        for mark in (r"\boxed", "####"):
            if mark in truth:
                raise RowError(f"{answer} holds {mark}, so it is a solution; give the final answer alone")
        return truth
