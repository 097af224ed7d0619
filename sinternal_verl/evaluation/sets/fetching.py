"""Fetches the one file of a set at its pinned place, once, and checks it against its checksum."""

import hashlib
import os
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from sinternal_verl.data.schema import write_whole
from sinternal_verl.evaluation.sets.catalog import SetError

TIMEOUT_S = 60
MAX_BYTES = 64 << 20
"""The largest file that is fetched from a web address. The largest of ours has less than 1 MiB."""


def cache_folder() -> Path:
    """Where files of web addresses are kept; ``XDG_CACHE_HOME`` moves it."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "sinternal_verl" / "sets"


def fetch_hub_file(dataset: str, file: str, revision: str | None, how: str) -> tuple[Path, str]:
    """A file of a dataset of the hub, from its cache or from the hub, and the commit that it is of.

    Args:
        how: how to get a gated set.

    Raises:
        SetError: it cannot be had; the message says what to do.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    part = f"{dataset}@{revision or 'main'}, {file}"
    try:
        path = Path(hf_hub_download(dataset, file, repo_type="dataset", revision=revision))
    except (GatedRepoError, RepositoryNotFoundError) as error:
        # The hub says of a gated set that it does not exist to whoever has not signed in.
        raise SetError(f"{part}: the hub does not give it ({type(error).__name__}). {how}".strip()) from error
    # The hub's client raises errors of its own and of its network library. The user must see each.
    except Exception as error:
        step = "check the network, or give a file of the set as the source"
        raise SetError(f"{part} cannot be fetched: {type(error).__name__}: {_short(error)}; {step}") from error
    # The cache has it as snapshots/<commit>/<file>.
    return path, path.parents[file.count("/")].name


def fetch_url(url: str, sha256: str | None) -> Path:
    """The file of a web address, from our cache or from the web.

    Raises:
        SetError: it cannot be fetched.
    """
    # By the address too: two sets may have files of one name.
    path = cache_folder() / hashlib.sha256(url.encode()).hexdigest()[:16] / url.rpartition("/")[2]
    if path.is_file() and sha256 in (None, hashlib.sha256(path.read_bytes()).hexdigest()):
        return path
    step = f"fetch it elsewhere (curl -LO {url}), and give the file as the source"
    try:
        with urlopen(Request(url, headers={"User-Agent": "sinternal_verl"}), timeout=TIMEOUT_S) as answer:
            content = answer.read(MAX_BYTES + 1)
    except (URLError, OSError) as error:
        raise SetError(f"{url} cannot be fetched: {_short(error)}; {step}") from error
    if len(content) > MAX_BYTES:
        raise SetError(f"{url} holds more than {MAX_BYTES >> 20} MiB, so it is not the set; {step}")
    check_sha256(url, hashlib.sha256(content).hexdigest(), sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
    return path


def check_sha256(what: str, found: str, wanted: str | None) -> None:
    """Check a file's digest, where one is known.

    Raises:
        SetError: it is another one.
    """
    if wanted and found != wanted:
        step = "fetch the file anew; if it is the one that you want, give it as the source"
        raise SetError(f"{what} has the SHA-256 {found}, pinned is {wanted}; {step}")


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
