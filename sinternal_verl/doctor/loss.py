"""Shows a user what the loss of an SFT run covers: the first row, as the model reads it."""

import sys

from omegaconf import DictConfig

from sinternal_verl.doctor.lengths import local_files, open_dataset

BEGINS, ENDS = "\u27e6", "\u27e7"
"""White square brackets, which hardly any text holds."""

GREEN, PLAIN = "\033[32m", "\033[0m"
MAX_SHOWN = 600
"""How many characters of the prompt, and of what is learned, are shown: a prompt may hold a whole specification."""


def loss_of_first_row(config: DictConfig) -> str | None:
    """A few lines with the first training row, and brackets around what is learned of it. None where the run does not
    use our SFT dataset, or the tokenizer is not on this machine."""
    opened, files = open_dataset(config), local_files(config, "train")
    if opened is None or not files:
        return None
    dataset, tokenizer = opened
    try:
        item = dataset(files[:1], tokenizer, config.data, max_samples=1)[0]
    except ValueError:
        return None  # the row has no loss; the checks say why
    ids, learned = item["input_ids"], item["loss_mask"].bool()
    colour, plain = (GREEN, PLAIN) if sys.stdout.isatty() else ("", "")
    prompt, words = (_shortened(tokenizer.decode(ids[each])) for each in (~learned, learned))
    return (
        f"sinternal_verl: of the first row of {files[0]} the loss covers {learned.sum()} of {len(ids)} tokens, "
        f"between {BEGINS} and {ENDS}:\n{prompt}{colour}{BEGINS}{words}{ENDS}{plain}"
    )


def _shortened(text: str) -> str:
    """Beginning and end of a long text."""
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN // 2]} [\u2026] {text[-MAX_SHOWN // 2 :]}"
