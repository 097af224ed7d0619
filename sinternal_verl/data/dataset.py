"""Reads the rows of a verification build as they are, or with other settings, so that an ablation needs no new file.

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
from omegaconf import DictConfig, ListConfig
from verl.utils.dataset.rl_dataset import RLHFDataset

from sinternal_verl.data.rendering import BUILT_COLUMNS, KEYS, PROMPT_KEYS, Rendering, is_built
from sinternal_verl.data.schema import rl_row, write_rl_rows
from sinternal_verl.data.sft import PromptCompletionDataset
from sinternal_verl.hashing import key_of

SOURCE = "verification/{}"
"""The ``data_source`` of a row; it names the request's label, harmful or benign."""


class VerificationDataset(PromptCompletionDataset):
    """A build's rows for SFT.

    Attributes:
        verification_keys: what it reads of ``data.verification``. A dataset of a user's that reads some of them says
            so in the same way, or doctor refuses them.

    Raises:
        RenderingError: a setting in ``data.verification`` cannot be used.
        ValueError: as `PromptCompletionDataset`.
    """

    columns: ClassVar[tuple[str, ...]] = BUILT_COLUMNS
    verification_keys: ClassVar[tuple[str, ...]] = KEYS

    def __init__(self, parquet_files: str | list[str], tokenizer: Any, config: DictConfig, *rest, **options) -> None:
        files = parquet_files if isinstance(parquet_files, list | ListConfig) else [parquet_files]
        self._rendering = Rendering(list(map(str, files)), config.get("verification"))
        super().__init__(parquet_files, tokenizer, config, *rest, **options)

    def render(self, row: dict[str, Any]) -> tuple[list[dict[str, str]], str]:
        return [{"role": "user", "content": self._rendering.prompt(row)}], self._rendering.completion(row)


class VerificationRLDataset(RLHFDataset):
    """A build's rows for GRPO, beside other files. Their ``data_source`` is ``verification/<harm>`` and their ground
    truth the verdict.

    Attributes:
        verification_keys: as of `VerificationDataset`. A completion is the policy's own here.
    """

    verification_keys: ClassVar[tuple[str, ...]] = PROMPT_KEYS

    def _download(self, use_origin_parquet: bool = False) -> None:
        super()._download(use_origin_parquet)
        built = [file for file in self.data_files if is_built_file(file)]
        if built:
            rendering = Rendering(built, self.config.get("verification"))
            # verl reads only files, so rendered rows go to a file in its cache, named by all that decides its content.
            rendered = {file: self._rendered(Path(file), rendering) for file in built}
            self.data_files = [rendered.get(file, file) for file in self.data_files]

    def _rendered(self, file: Path, rendering: Rendering) -> str:
        made_of = key_of(rendering.identity, str(file.resolve()), file.stat().st_mtime_ns, file.stat().st_size)
        target = Path(self.cache_dir) / f"verification_{made_of.hex()}.parquet"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            columns = ["harm", "index", "sample", "prompt", "request", "answer", "verdict"]
            table = pq.read_table(file, columns=columns)
            write_rl_rows(target, (_rl_row(row, rendering) for row in table.to_pylist()))
        return str(target)


def is_built_file(file: str) -> bool:
    """Whether `sinternal-verl verify build` wrote this file."""
    return str(file).endswith(".parquet") and is_built(pq.read_schema(file).names)


def _rl_row(row: dict[str, Any], rendering: Rendering) -> dict[str, Any]:
    return rl_row(
        data_source=SOURCE.format(row["harm"]),
        content=rendering.prompt(row),
        ground_truth=row["verdict"],
        index=f"{row['index']}/{row['sample']}",
        split="train",
        ability="verification",
    )
