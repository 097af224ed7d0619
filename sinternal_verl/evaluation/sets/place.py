"""Where the rows of a set come from: a file of the user's, or the place where the set is published, at its commit."""

from pathlib import Path
from typing import Any

from sinternal_verl.data.hub import COMMIT, Hub
from sinternal_verl.data.readers import Source, SourceError, open_source
from sinternal_verl.evaluation.sets.catalog import SetError, SetInfo
from sinternal_verl.evaluation.sets.fetching import check_sha256, fetch_hub_file, fetch_url


def open_set(
    info: SetInfo, source: str | None, revision: str | None, chosen: dict[str, Any]
) -> tuple[Source, dict[str, Any]]:
    """The source of a set's rows, and what identifies it.

    Args:
        source, revision: see `sinternal_verl.evaluation.sets.loading.load`.
        chosen: the set's options.

    Raises:
        SetError, SourceError: it cannot be had; the message says what to do.
    """
    if source is None:
        return _published(info, revision, chosen)
    path = Path(source).expanduser()
    if path.is_dir():
        source = str(_in_folder(info, path))
    opened = open_source(source, Hub(revision=revision))
    origin = opened.origin()
    if "hub" in origin:
        return opened, {name: value for name, value in origin.items() if value} | _pin(origin)
    return opened, {"file": Path(source).name, **origin}


def _published(info: SetInfo, revision: str | None, chosen: dict[str, Any]) -> tuple[Source, dict[str, Any]]:
    place = info.place
    if place is None:
        raise SetError(f"{info.name} is published nowhere, so give a file of it as the source. {info.how}")
    names = {option: value for option, value in chosen.items() if isinstance(value, str)}
    sha256 = place.sha256
    if place.url:
        if revision:
            raise SetError(f"{info.name} is no dataset of the hub, so it has no revision {revision}; leave it out")
        sha256 = sha256 if sha256 is None or isinstance(sha256, str) else sha256[names["goals"]]
        url = place.url.format(**names)
        opened = open_source(str(fetch_url(url, sha256)))
        origin = opened.origin()
        check_sha256(url, origin["sha256"], sha256)
        return opened, {"url": url, **origin}
    dataset = place.hub.format(**names)
    if place.file is None:
        part = Hub(split=place.split, revision=revision or place.revision)
        opened = open_source(f"hub:{part.name_of(dataset)}")
        try:
            origin = opened.origin()
        except SourceError as error:
            raise SetError(f"{error}. {info.how}".rstrip(". ")) from error
        return opened, {name: value for name, value in origin.items() if value} | _pin(origin)
    path, commit = fetch_hub_file(dataset, place.file, revision or place.revision, info.how)
    opened = open_source(str(path))
    origin = opened.origin()
    if revision in (None, place.revision):
        check_sha256(f"{dataset}@{commit}, {place.file}", origin["sha256"], sha256)
    asked = {"hub": dataset, "revision": revision or place.revision, "commit": commit, "file": place.file}
    return opened, asked | origin | _pin(asked)


def _pin(origin: dict[str, Any]) -> dict[str, str]:
    """What to give to read the same rows again, where no commit was asked for."""
    commit, revision = origin.get("commit"), origin.get("revision")
    if not commit or (revision and COMMIT.fullmatch(revision)):
        return {}
    if "file" in origin:
        return {"pin": f"revision={commit} reads the same rows again"}
    # Tasks and commands have a source, and no revision.
    part = Hub(config=origin.get("config"), split=origin.get("split"), revision=commit)
    return {"pin": f"source={part.name_of(origin['hub'])} reads the same rows again"}


def _in_folder(info: SetInfo, folder: Path) -> Path:
    """The one file of a folder that has a name of the set.

    Raises:
        SetError: there is none, or there are several.
    """
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.name.partition(".")[0] in info.files)
    if len(files) != 1:
        names = ", ".join(f"{name}.*" for name in info.files)
        what = (
            f"several files of {info.name}: {', '.join(file.name for file in files)}"
            if files
            else f"no file of {info.name}"
        )
        raise SetError(f"{folder} holds {what}; the names known for {info.name} are {names}; give the file itself")
    return files[0]
