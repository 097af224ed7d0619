"""Loads the user's own Python that the command line names: a scorer, a data adapter, a check.

A file becomes a module below this one, whose name holds the file's path. So Python's own import finds it in every
process that has this package: a dataclass finds its module, two files of one name are two modules, and what the file
defines can be pickled.

>>> load("pkg://math").sqrt(4)
2.0
>>> file_of(name_of(Path("/home/me/my scorer.py")))
PosixPath('/home/me/my scorer.py')
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

PACKAGE = "pkg://"

NEXT_STEP = "give an existing file, or pkg://package.module"

__path__: list[str] = []
"""Python imports modules only below a package, and a module with this attribute is one."""


class UserCodeError(ValueError):
    """The user's code cannot be loaded; the message has the exception that it raised."""


def load(path: str) -> ModuleType:
    """Import a file, once in a process, or the module that ``pkg://package.module`` names.

    Raises:
        UserCodeError: there is no such file or module, or its import raises.
    """
    try:
        if path.startswith(PACKAGE):
            return importlib.import_module(path.removeprefix(PACKAGE))
        return load_file(path)
    # The code is the user's, and the user must see whatever it raises. A SystemExit would end our process without a
    # message.
    except (Exception, SystemExit) as error:
        raise UserCodeError(f"cannot be imported: {type(error).__name__}: {error}") from error


def load_file(path: str) -> ModuleType:
    """Import a file, once in a process. What its code raises gets through.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: its name does not end in ``.py``.
    """
    file = Path(path).expanduser().resolve(strict=True)
    if file.suffix != ".py":
        raise ImportError(f"{file.name} is no Python file: its name must end in .py")
    return importlib.import_module(name_of(file))


def name_of(file: Path) -> str:
    """The name of a file's module, the same in every process."""
    return f"{__name__}.{''.join(c if c.isalnum() else '_' for c in file.stem)}_{str(file).encode().hex()}"


def file_of(name: str) -> Path:
    """The file of a module that `name_of` has named."""
    return Path(bytes.fromhex(name.rpartition("_")[2]).decode())


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return spec_from_file_location(name, file_of(name)) if name.startswith(f"{__name__}.") else None


sys.meta_path.append(_Finder())
