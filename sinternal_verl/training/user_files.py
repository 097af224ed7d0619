"""Loads the files that verl's own keys name as `sinternal_verl.user_code` loads a scorer's.

Such files hold a reward function, a dataset or a reward manager. verl 0.9.1 runs them as modules that
``sys.modules`` does not have. A dataclass under ``from __future__ import annotations`` then raises AttributeError,
and nothing of the file can be pickled by its name. verl has no hook for this, so its loader is wrapped. The module can
go once verl registers a module before it runs it.
"""

from collections.abc import Callable
from types import ModuleType

import wrapt
from verl.utils import import_utils
from verl.utils.import_utils import FILE_PATH_PREFIX, PKG_PATH_PREFIX

from sinternal_verl.user_code import load_file


@wrapt.patch_function_wrapper(import_utils, "load_module")
def load_registered(wrapped: Callable, instance: None, args: tuple, kwargs: dict) -> ModuleType | None:
    """Import a file by its path alone; leave packages, and files that are given a name, to verl."""
    path = kwargs.get("module_path", args[0] if args else None)
    named = kwargs.get("module_name", args[1] if len(args) > 1 else None)
    if not path or named or path.startswith(PKG_PATH_PREFIX):
        return wrapped(*args, **kwargs)
    return load_file(path.removeprefix(FILE_PATH_PREFIX))
