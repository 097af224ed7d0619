"""Do the rows of our SFT datasets fit ``data.max_length``? Their tokens are counted by the dataset itself."""

import inspect
from collections.abc import Iterator

from omegaconf import DictConfig, ListConfig

from sinternal_verl.config import get, is_ppo
from sinternal_verl.doctor.data import check_data
from sinternal_verl.doctor.pretrained import local_file
from sinternal_verl.doctor.problem import Finding, Note, Problem

MAX_COUNT_S = 10.0
"""How long the rows of one list of files are counted; the longest rows come first."""


def check_row_lengths(config: DictConfig) -> Iterator[Finding]:
    """Find rows that are too long, or are cut. Nothing is checked unless the tokenizer is on this machine, has a
    template, and the files are sound; other checks report what is not."""
    name = get(config, "data.custom_cls.name")
    model = get(config, "model.tokenizer_path") or get(config, "model.path")
    if is_ppo(config) or not (name and model) or "://" in model or list(check_data(config)):
        return
    settings = local_file(model, "tokenizer_config.json")
    if settings is None:
        return
    from transformers import AutoTokenizer
    from verl.utils.import_utils import load_extern_object

    from sinternal_verl.data.sft import PromptCompletionDataset, RowsTooLong

    dataset = load_extern_object(get(config, "data.custom_cls.path"), name)
    if not (isinstance(dataset, type) and issubclass(dataset, PromptCompletionDataset)):
        return
    if "within_s" not in inspect.signature(dataset).parameters:
        return  # a class of the user's own, with verl's arguments only
    tokenizer = AutoTokenizer.from_pretrained(
        settings.parent, trust_remote_code=bool(get(config, "model.trust_remote_code", False))
    )
    tokenizer.chat_template = get(config, "model.custom_chat_template") or tokenizer.chat_template
    if not tokenizer.chat_template:
        return
    for part in ("train", "val"):
        value = get(config, f"data.{part}_files") or []
        files = [str(path) for path in (value if isinstance(value, list | ListConfig) else [value])]
        if not files or any("://" in file for file in files):
            continue
        samples = get(config, f"data.{part}_max_samples", -1)
        try:
            rows = dataset(files, tokenizer, config.data, max_samples=samples, within_s=MAX_COUNT_S)
        except RowsTooLong as error:
            lines = "; ".join([f"{error.overlong.count:,} rows are too long", *error.overlong.lines()])
            yield Problem("data.max_length", config.data.max_length, lines, error.next_step)
        except ValueError as error:
            yield Problem(f"data.{part}_files", files, str(error), "correct the value it names")
        else:
            yield from _seen(config, part, rows)


def _seen(config: DictConfig, part: str, rows) -> Iterator[Note]:
    if rows.cut:
        reason = f"{rows.cut:,} rows of data.{part}_files are longer and lose their end under data.truncation=right"
        step = "raise it, or drop the rows: what is cut off is the answer or the verdict"
        yield Note("data.max_length", config.data.max_length, reason, step)
    if len(rows) < rows.rows:
        reason = f"the tokens of its {len(rows):,} longest rows of {rows.rows:,} were counted in {MAX_COUNT_S:g} s"
        yield Note(f"data.{part}_files", None, reason, "nothing to do: the run counts all of them when it starts")
