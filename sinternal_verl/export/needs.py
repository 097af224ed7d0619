"""What an export needs of memory and disk, reckoned before a weight is read, and what there is."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from sinternal_verl.export.base import BaseWeights
from sinternal_verl.export.errors import ExportError
from sinternal_verl.export.folder import largest_file_bytes, names_differ_on_disk
from sinternal_verl.export.fuse import Fused
from sinternal_verl.export.shards import TURNS, Shards, bytes_of
from sinternal_verl.export.skeleton import Skeleton

CGROUP = Path("/sys/fs/cgroup")
OTHER_BYTES = 50 * 10**6
"""Room for tokenizer, configuration and card."""

MERGE = 3
"""float32 copies of one layer while peft adds an adapter to it: base, product and, of DoRA, the direction."""


@dataclass(frozen=True)
class Needs:
    """
    Attributes:
        memory: bytes beside what the process has already.
        disk: bytes.
    """

    memory: int
    disk: int

    @classmethod
    def of(cls, shards: Shards, skeleton: Skeleton, fused: Fused, base: BaseWeights | None) -> "Needs":
        """Those of writing the whole model: its largest file, what of the shards is mapped at once, and one layer."""
        whole = sum(map(bytes_of, fused.specs.values()))
        # Where the names differ on disk all is in memory, and once more while it is regrouped.
        file = 2 * whole if names_differ_on_disk(skeleton, fused.specs) else largest_file_bytes(fused.specs)
        # Two tied parameters are mapped while they are compared.
        largest = max(map(bytes_of, shards.specs.values())) * (2 if skeleton.tied else 1)
        mapped = shards.total_bytes // TURNS + largest
        held = base.whole_bytes if base else 0
        return cls(file + mapped + MERGE * fused.largest_layer_bytes + held, whole + OTHER_BYTES)

    @classmethod
    def of_adapter(cls, shards: Shards, skeleton: Skeleton) -> "Needs":
        """Those of writing the adapter alone."""
        own = sum(bytes_of(spec) for name, spec in shards.specs.items() if name in skeleton.adapter)
        return cls(2 * own, own + OTHER_BYTES)

    def check(self, target: Path) -> str:
        """What is needed against what there is, as a line for the user.

        Raises:
            ExportError: there is too little.
        """
        memory, disk = available_memory(), shutil.disk_usage(_existing(target)).free
        line = f"memory: {in_words(self.memory)} needed, {in_words(memory)} available; "
        line += f"disk at {target}: {in_words(self.disk)} needed, {in_words(disk)} free"
        if self.disk > disk:
            raise ExportError(f"{line}: give another --out, or make room")
        if self.memory > memory:
            raise ExportError(f"{line}: run it where there is more memory, or write the adapter alone (--adapter)")
        return line


def in_words(count: int) -> str:
    """
    >>> in_words(2_345_000_000), in_words(1_000_000)
    ('2.3 GB', '1.0 MB')
    """
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def available_memory() -> int:
    """Bytes that a process can still take: of the machine, or of its container where that has less. Files that the
    kernel keeps in memory and can drop count as available."""
    found = [psutil.virtual_memory().available]
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if limit.is_file() and used.is_file() and (most := limit.read_text().strip()).isdigit():
        cached = _field(CGROUP / "memory.stat", "inactive_file")
        found.append(int(most) - int(used.read_text()) + cached)
    return max(min(found), 0)


def _field(file: Path, name: str) -> int:
    lines = (line.split() for line in file.read_text().splitlines()) if file.is_file() else ()
    return next((int(words[1]) for words in lines if words[0] == name), 0)


def _existing(path: Path) -> Path:
    return next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
