"""The records of a shard's zip file and their checksums: whether the file still holds what torch wrote, and whether two
files hold the same. The files are read once for it, at some GB a second, and take no memory.
"""

import re
import zipfile
from pathlib import Path

from sinternal_verl.export.errors import ExportError

_DATA = re.compile(r"/data/(\d+)$")


def checked_sums(file: Path) -> tuple[int, ...] | None:
    """The checksums of a shard's tensors, in their order; None where torch was told to write none.

    Raises:
        ExportError: the file is no zip file, or a record is not what its checksum says.
    """
    try:
        with zipfile.ZipFile(file) as opened:
            records = opened.infolist()
            if not any(record.CRC for record in records):
                return None
            broken = opened.testzip()
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ExportError(f"{file} cannot be read ({error}): it was not saved whole, or not by torch") from error
    if broken:
        step = "it was changed after it was saved; copy it again, or export another step"
        raise ExportError(f"{file} is not what was saved: the checksum of {broken} in it is another: {step}")
    found = ((int(match[1]), record.CRC) for record in records if (match := _DATA.search(record.filename)))
    return tuple(total for _, total in sorted(found))
