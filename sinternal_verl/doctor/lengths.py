"""Do the rows of our SFT datasets fit the model's chat template, and ``data.max_length``? The dataset itself makes
their tokens, as it does when the run starts."""

import inspect
import warnings
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig

from sinternal_verl.config import get, is_ppo
from sinternal_verl.doctor.data import check_data
from sinternal_verl.doctor.pretrained import local_file
from sinternal_verl.doctor.problem import Finding, Note, Problem

MAX_COUNT_S = 10.0
"""How long the rows of one list of files are counted; the longest rows come first."""


def check_row_lengths(config: DictConfig) -> Iterator[Finding]:
    """Find rows that cannot be trained on, are too long, or are cut. Other checks report a tokenizer without a template
    and files that are not sound."""
    opened = open_dataset(config)
    if opened is None:
        return
    from sinternal_verl.data.sft import RowsRefused, RowsTooLong

    dataset, tokenizer = opened
    for part in ("train", "val"):
        files = local_files(config, part)
        if not files:
            continue
        samples = get(config, f"data.{part}_max_samples", -1)
        try:
            rows = dataset(files, tokenizer, config.data, max_samples=samples, within_s=MAX_COUNT_S)
        except RowsTooLong as error:
            lines = "; ".join([f"{error.overlong.count:,} rows are too long", *error.overlong.lines()])
            yield Problem("data.max_length", config.data.max_length, lines, error.next_step)
        except RowsRefused as error:
            lines = "\n     ".join([f"{error.refused.count:,} rows cannot be trained on", *error.refused.lines()])
            yield Problem(f"data.{part}_files", None, lines, "mend these rows or drop them, or do as their reason says")
        except ValueError as error:
            yield Problem(f"data.{part}_files", files, str(error), "correct the value it names")
        else:
            yield from _seen(config, part, rows)


def open_dataset(config: DictConfig) -> tuple[type, Any] | None:
    """The SFT dataset of the run, if it is one of ours, and the tokenizer as verl loads it. None unless the tokenizer
    is on this machine and has a template, and the files are sound."""
    name = get(config, "data.custom_cls.name")
    model = get(config, "model.tokenizer_path") or get(config, "model.path")
    if is_ppo(config) or not (name and model) or "://" in model or list(check_data(config)):
        return None
    settings = local_file(model, "tokenizer_config.json")
    if settings is None:
        return None
    from verl.utils import hf_tokenizer
    from verl.utils.import_utils import load_extern_object

    from sinternal_verl.data.sft import PromptCompletionDataset

    dataset = load_extern_object(get(config, "data.custom_cls.path"), name)
    if not (isinstance(dataset, type) and issubclass(dataset, PromptCompletionDataset)):
        return None
    if "within_s" not in inspect.signature(dataset).parameters:
        return None  # a class of the user's own, with verl's arguments only
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no padding token; the run says it once more
        trusted = bool(get(config, "model.trust_remote_code", False))
        tokenizer = hf_tokenizer(str(settings.parent), trust_remote_code=trusted)
    tokenizer.chat_template = get(config, "model.custom_chat_template") or tokenizer.chat_template
    return (dataset, tokenizer) if tokenizer.chat_template else None


def local_files(config: DictConfig, part: str) -> list[str]:
    """The files of ``data.<part>_files``; none where one is a URL."""
    value = get(config, f"data.{part}_files") or []
    files = [str(path) for path in (value if isinstance(value, list | ListConfig) else [value])]
    return [] if any("://" in file for file in files) else files


def _seen(config: DictConfig, part: str, rows) -> Iterator[Note]:
    if rows.cut:
        reason = f"{rows.cut:,} rows of data.{part}_files are longer and lose their end under data.truncation=right"
        step = "raise it, or drop the rows: what is cut off is the answer or the verdict"
        yield Note("data.max_length", config.data.max_length, reason, step)
    if len(rows) < rows.rows:
        reason = f"the tokens of its {len(rows):,} longest rows of {rows.rows:,} were counted in {MAX_COUNT_S:g} s"
        yield Note(f"data.{part}_files", None, reason, "nothing to do: the run counts all of them when it starts")
