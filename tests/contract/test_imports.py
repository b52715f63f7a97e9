"""Which package may import which, and which file alone may import a foreign tool."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from sources import OURS, REPOSITORY, files_of

MAY_IMPORT = {
    "shards": set(),
    "pipelines": set(),
    "ipdata": {"shards", "pipelines"},
    "ipmodel": {"shards", "pipelines"},
}
# Only inside functions, and needs the extra build.
EXCEPTION = ("ipmodel/predict.py", ("ipdata.extraction", "ipdata.errors"))
ONE_PLACE_EACH = {  # one file, or two whose names begin alike
    "av": ("ipdata/video/decode", {"av"}),
    "dask": ("ipdata/executors/dask", {"dask", "distributed"}),
    "ffmpeg": ("ipdata/video/transcode.py", {"ffmpeg"}),
    "imageio": ("ipdata/video/transcode.py", {"imageio_ffmpeg"}),
    "fsspec": ("shards/store/objects.py", {"fsspec", "aiohttp", "s3fs"}),
    "huggingface_hub": ("shards/store/hub.py", {"huggingface_hub", "hf_xet"}),
    "requests": ("shards/store/http.py", {"requests", "urllib3"}),
}
# Inside a package: which of its folders may import which. A file beside the folders counts as one, without its ".py".
# Every folder and file must stand here. test_the_order_has_no_circles proves that nothing runs back.
# What each folder or file at the top of a package may import of its own package. Arrows run one way.
FOLDERS = {
    "shards": {
        "errors": set(),
        "version": set(),
        "arrays": set(),
        "layout": set(),
        "text": set(),
        "atomic": {"errors"},
        "regular": set(),
        "canonical": {"errors", "regular"},
        "records": {"canonical", "errors"},
        "failures": {"errors", "records"},
        "keys": {"errors"},
        "tar": {"atomic", "errors"},
        "motion": {"arrays"},
        "signals": set(),
        "terminal": {"errors", "signals", "text", "version"},
        "schema": {"errors", "keys", "records"},
        "index": {"errors", "records", "schema"},
        "keyindex": {"errors", "keys", "layout", "records", "schema"},
        "columns": {"arrays", "errors", "index", "motion"},
        "manifest": {"canonical", "columns", "errors", "failures", "layout", "records", "regular", "schema"},
        "store": {"atomic", "canonical", "errors", "layout", "manifest", "regular", "text"},
        "facts": {"layout", "manifest", "schema", "text"},
        "constraints": {"manifest", "text"},
        "writer": {"atomic", "canonical", "columns", "errors", "index", "layout", "manifest", "schema", "tar"},
        "contents": {"errors", "index", "keyindex", "layout", "records", "schema", "store"},
        "reader": {"columns", "contents", "errors", "facts", "keyindex", "layout", "manifest", "schema", "store"},
        "checks": {
            *("canonical", "columns", "errors", "index", "keyindex", "keys"),
            *("layout", "manifest", "records", "regular", "schema", "tar", "writer"),
        },
        "verify": {"checks", "errors", "keyindex", "layout", "manifest", "schema", "store"},
        "sharing": {
            *("atomic", "canonical", "checks", "columns", "errors", "facts", "failures", "index", "keyindex", "keys"),
            *("layout", "manifest", "reader", "records", "regular", "schema", "store"),
            *("terminal", "text", "verify", "writer"),
        },
        "streaming": {"atomic", "columns", "errors", "layout", "manifest", "reader"},
        "webdataset": {"canonical", "columns", "errors", "layout", "reader", "streaming", "tar"},
        "sheet": {"arrays", "atomic", "columns", "errors", "motion", "reader", "schema", "text"},
        "cli": {"constraints", "errors", "facts", "reader", "sharing", "sheet", "terminal", "text"},
        "__init__": {"columns", "errors", "manifest", "reader", "schema", "sheet", "verify", "version"},
    },
    "ipdata": {
        "errors": set(),
        "bounds": set(),
        "faults": set(),
        "kernels": {"errors"},
        "video": {"errors", "faults", "kernels"},
        "columns": {"errors", "kernels", "video"},
        "datasets": {"errors", "video"},
        "archives": {"datasets", "errors"},
        "recipe": {"columns", "datasets", "video"},
        "steps": {"bounds", "columns", "datasets", "errors", "faults", "recipe", "video"},
        "executors": {"errors", "faults", "steps"},
        "log": {"bounds", "executors"},
        "status": {"errors", "log", "steps"},
        "reporting": {"bounds", "errors", "log", "status", "steps"},
        "progress": {"executors"},
        "report": {"steps"},
        "run": {"errors", "executors", "log", "progress", "report", "steps"},
        "publish": {"errors", "report", "steps"},
        "estimate": {"datasets", "executors", "steps", "video"},
        "build": {
            *("columns", "datasets", "errors", "executors", "log", "progress"),
            *("publish", "recipe", "report", "reporting", "run", "steps", "video"),
        },
        "upload": {"build", "progress", "steps"},
        "received": {"datasets", "errors", "steps", "video"},
        "prove": {"columns", "errors", "executors", "progress", "received", "recipe", "report", "steps", "video"},
        "extraction": {"columns", "datasets", "errors", "executors", "recipe", "steps", "video"},
        "begun": {"errors"},
        "place": {"begun", "errors", "received", "steps"},
        "extension": {"begun", "errors", "received", "recipe", "report", "steps"},
        "derive": {
            *("begun", "columns", "errors", "executors", "extension", "place", "progress"),
            *("prove", "received", "recipe", "run", "steps"),
        },
        "commands": {"columns", "derive", "executors", "progress", "prove"},
        "status_commands": {"commands", "errors", "reporting", "status", "upload"},
        "cli": {
            *("archives", "build", "columns", "commands", "datasets", "errors", "estimate", "executors"),
            *("kernels", "progress", "recipe", "report", "status_commands", "steps", "upload", "video"),
        },
        "__init__": set(),
    },
    "ipmodel": {
        "errors": set(),
        "writable": {"errors"},
        "process": {"errors"},
        "paper": set(),
        "networks": {"errors", "paper"},
        "recipe": {"errors", "networks"},
        "data": {"errors", "networks", "process", "recipe"},
        "runs": {"data", "errors", "networks", "process", "recipe"},
        "training": {"data", "errors", "networks", "process", "recipe", "runs"},
        "evaluation": {"data", "errors", "networks", "process", "recipe", "runs", "writable"},
        "prediction": {"data", "errors", "evaluation", "networks", "process", "recipe", "runs", "writable"},
        "predict": {"errors", "prediction"},
        "bench": {"data", "errors", "networks", "paper", "predict", "prediction", "recipe", "runs"},
        "reporting": {"bench", "data", "errors", "evaluation", "networks", "paper", "recipe", "runs"},
        "export": {"data", "errors", "networks", "prediction", "writable"},
        "commands": {"bench", "errors", "export", "predict", "prediction", "recipe", "writable"},
        "cli": {
            *("commands", "errors", "evaluation", "networks", "process", "recipe", "reporting", "runs", "training"),
        },
        "__main__": {"cli"},
        "__init__": {"data", "predict"},
    },
}


def imports_of(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """For every import statement: (module, whether it is imported inside a function)."""
    inside = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full here"
            yield from ((f"{node.module}.{alias.name}", node in inside) for alias in node.names)


@pytest.mark.parametrize("package", [name for name in OURS if (REPOSITORY / name).is_dir()])
def test_packages_import_only_what_they_may(package: str) -> None:
    assert files_of(package)
    for path in files_of(package):
        name = path.relative_to(REPOSITORY).as_posix()
        for module, in_function in imports_of(ast.parse(path.read_text("utf-8"))):
            top = module.split(".")[0]
            if top not in OURS or top == package or top in MAY_IMPORT[package]:
                continue
            allowed = name == EXCEPTION[0] and module.startswith(EXCEPTION[1]) and in_function
            assert allowed, f"{name} imports {module}; {package} may import {sorted(MAY_IMPORT[package]) or 'none'}"


def folder_of(path: Path, package: str) -> str:
    return path.relative_to(REPOSITORY / package).with_suffix("").parts[0]


@pytest.mark.parametrize("package", FOLDERS)
def test_folders_import_only_what_they_may(package: str) -> None:
    allowed, seen = FOLDERS[package], set()
    for path in files_of(package):
        own = folder_of(path, package)
        seen.add(own)
        for module, _ in imports_of(ast.parse(path.read_text("utf-8"))):
            top, *below = module.split(".")
            imported = below[0] if below and below[0] in allowed else "__init__"
            if top == package and imported != own:
                name = path.relative_to(REPOSITORY).as_posix()
                assert imported in allowed[own], f"{name} imports {module}; {own} may import {sorted(allowed[own])}"
    assert seen == allowed.keys()


@pytest.mark.parametrize("package", FOLDERS)
def test_the_order_has_no_circles(package: str) -> None:
    assert set(TopologicalSorter(FOLDERS[package]).static_order()) == FOLDERS[package].keys()


@pytest.mark.parametrize("tool", ONE_PLACE_EACH)
def test_a_foreign_tool_is_imported_in_one_place(tool: str) -> None:
    place, modules = ONE_PLACE_EACH[tool]
    users = {
        path.relative_to(REPOSITORY).as_posix()
        for package in OURS
        for path in files_of(package)
        for module, _ in imports_of(ast.parse(path.read_text("utf-8")))
        if module.split(".")[0] in modules
    }
    assert users and all(user.startswith(place) for user in users), users


def test_only_command_lines_print() -> None:
    """All other code logs and raises, so that programs that use it decide what is shown."""
    allowed = {"shards/terminal.py", *(f"{package}/cli.py" for package in OURS)}
    allowed |= {"shards/sharing/commands.py", "ipdata/commands.py"}
    for path in (path for package in OURS for path in files_of(package)):
        if path.relative_to(REPOSITORY).as_posix() in allowed or path.name.endswith("commands.py"):
            continue
        tree = ast.parse(path.read_text("utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert "print" not in names, f"{path} prints; log instead"
        assert not any(module.startswith("click") for module, _ in imports_of(tree)), f"{path} imports click"
