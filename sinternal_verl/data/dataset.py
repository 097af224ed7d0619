"""Renders the rows of a verification build when verl loads them, so that an ablation needs no new file.

For verl's SFT main:

    data.custom_cls.path=pkg://sinternal_verl.data.dataset data.custom_cls.name=VerificationDataset
    data.verification.specification=brief data.verification.target=judgment

For verl's GRPO main, where the scorer ``verdict`` scores the rows. Files of safety and math prompts may be given
beside a build's and are left as they are:

    data.custom_cls.path=pkg://sinternal_verl.data.dataset data.custom_cls.name=VerificationRLDataset
"""

from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet as pq
from omegaconf import DictConfig
from verl.utils.dataset.rl_dataset import RLHFDataset

from sinternal_verl.data.schema import rl_row, write_rl_rows
from sinternal_verl.data.sft import PromptCompletionDataset
from sinternal_verl.data.specification import load_specification
from sinternal_verl.data.template import TARGETS, VerificationPrompt, completion
from sinternal_verl.hashing import key_of
from sinternal_verl.scoring.critique import Critique

RAW_COLUMNS = ("request", "answer", "critique", "verdict")
SOURCE = "verification/{}"
"""The ``data_source`` of a row; it names the request's label, harmful or benign."""


class Renderer:
    """Renders a row as the prompt that a verifier reads, with the settings in ``data.verification``.

    Raises:
        SpecificationError: the specification cannot be read.
        PromptError: the prompt file cannot be used.
    """

    def __init__(self, config: DictConfig) -> None:
        settings = config.get("verification") or {}
        self._specification = load_specification(str(settings.get("specification") or "eight_categories"))
        self._prompt = VerificationPrompt.load(settings.get("prompt"))

    @property
    def identity(self) -> str:
        """A digest of all that decides how a row is rendered."""
        return key_of(self._specification.text, self._prompt.template).hex()

    def __call__(self, row: dict[str, Any]) -> str:
        return self._prompt.fill(self._specification.text, row["request"], row["answer"])


class VerificationDataset(PromptCompletionDataset):
    """A build's rows for SFT; ``data.verification.target`` and ``.thinks`` decide the completion.

    Raises:
        ValueError: there is no such target; also as `PromptCompletionDataset`.
    """

    columns: ClassVar[tuple[str, ...]] = RAW_COLUMNS

    def __init__(self, parquet_files: str | list[str], tokenizer: Any, config: DictConfig, *rest, **options) -> None:
        settings = config.get("verification") or {}
        self._render, self._thinks = Renderer(config), settings.get("thinks", True)
        self._target = settings.get("target", TARGETS[0])
        if self._target not in TARGETS:
            raise ValueError(f"data.verification.target={self._target}: choose {', '.join(TARGETS)}")
        super().__init__(parquet_files, tokenizer, config, *rest, **options)

    def render(self, row: dict[str, Any]) -> tuple[list[dict[str, str]], str]:
        said = completion(Critique(row["critique"], row["verdict"]), self._target, self._thinks)
        return [{"role": "user", "content": self._render(row)}], said


class VerificationRLDataset(RLHFDataset):
    """A build's rows for GRPO, beside other files. Their ``data_source`` is ``verification/<harm>`` and their ground
    truth the verdict."""

    def _download(self, use_origin_parquet: bool = False) -> None:
        super()._download(use_origin_parquet)
        render = Renderer(self.config)
        # verl reads only files, so rendered rows go to a file in its cache, named by all that decides its content.
        self.data_files = [self._rendered(Path(file), render) if is_raw(file) else file for file in self.data_files]

    def _rendered(self, file: Path, render: Renderer) -> str:
        made_of = key_of(render.identity, str(file.resolve()), file.stat().st_mtime_ns, file.stat().st_size)
        target = Path(self.cache_dir) / f"verification_{made_of.hex()}.parquet"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            table = pq.read_table(file, columns=["harm", "index", "sample", *RAW_COLUMNS])
            write_rl_rows(target, (_rl_row(row, render) for row in table.to_pylist()))
        return str(target)


def is_raw(file: str) -> bool:
    """Whether `sinternal-verl verify build` wrote this file."""
    return str(file).endswith(".parquet") and {*RAW_COLUMNS, "harm", "sample"} <= set(pq.read_schema(file).names)


def _rl_row(row: dict[str, Any], render: Renderer) -> dict[str, Any]:
    return rl_row(
        data_source=SOURCE.format(row["harm"]),
        content=render(row),
        ground_truth=row["verdict"],
        index=f"{row['index']}/{row['sample']}",
        split="train",
        ability="verification",
    )
