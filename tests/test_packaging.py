# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The wheel, the source archive and the editable install are complete."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import re
import subprocess
import sys
import sysconfig
import tarfile
import textwrap
import venv
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESOURCES = "lsst/ra/pipe/resources"


def _environment() -> dict[str, str]:
    """Environment of a user who has set nothing up."""
    unwanted = {"RA_PIPE_DIR", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    return {name: value for name, value in os.environ.items() if name not in unwanted}


def _run(*command: str | pathlib.Path, cwd: pathlib.Path) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=_environment(),
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _files(directory: pathlib.Path) -> set[str]:
    """List the files below a directory, but not through symbolic links."""
    found = set()
    for path, directories, names in os.walk(directory):
        directories[:] = [name for name in directories if name != "__pycache__"]
        found |= {(pathlib.Path(path) / name).relative_to(directory).as_posix() for name in names}
    return {name for name in found if "/." not in f"/{name}"}


def _expected_wheel_files() -> set[str]:
    """List what the wheel must hold, from what is in the checkout."""
    python = {f"lsst/{name}" for name in _files(ROOT / "python" / "lsst")}
    for name in ("config", "pipelines"):
        python |= {f"{RESOURCES}/{name}/{file}" for file in _files(ROOT / name)}
        python.discard(f"{RESOURCES}/{name}")
    return python


@dataclasses.dataclass(frozen=True)
class Distributions:
    """What a build wrote."""

    sdist: pathlib.Path
    """Source archive."""

    wheel: pathlib.Path
    """Wheel that was built from the source archive."""


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """Build the source archive, and from it the wheel."""
    directory = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", directory, ROOT, cwd=directory)
    (sdist,) = directory.glob("*.tar.gz")
    (wheel,) = directory.glob("*.whl")
    return Distributions(sdist, wheel)


def _make_environment(directory: pathlib.Path) -> pathlib.Path:
    """Make an environment that sees the packages installed here.

    The path file adds the directory alone, not what path files in it add, so
    the editable install of this package stays unseen.
    """
    environment = directory / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    purelib = pathlib.Path(
        sysconfig.get_path("purelib", "venv", vars={"base": str(environment), "platbase": str(environment)})
    )
    (purelib / "installed_here.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin" / "python"


def _install(python: pathlib.Path, *arguments: str | pathlib.Path, cwd: pathlib.Path) -> None:
    offline = ("--no-deps", "--no-index", "--no-build-isolation", "--quiet")
    _run(sys.executable, "-m", "pip", "--python", python, "install", *offline, *arguments, cwd=cwd)


@pytest.fixture(scope="module", params=["wheel", "editable"])
def python(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    distributions: Distributions,
) -> pathlib.Path:
    """Python of an environment with this package, installed either way."""
    directory = tmp_path_factory.mktemp(request.param)
    interpreter = _make_environment(directory)
    if request.param == "wheel":
        _install(interpreter, distributions.wheel, cwd=directory)
    else:
        _install(interpreter, "--editable", ROOT, cwd=directory)
    where = _run(interpreter, "-c", "import lsst.ra.pipe as p; print(p.__file__)", cwd=directory).strip()
    expected = directory if request.param == "wheel" else ROOT
    assert pathlib.Path(where).is_relative_to(expected), f"the test would look at another copy: {where}"
    return interpreter


def test_wheel_holds_every_file_once(distributions: Distributions) -> None:
    """Code, data, pipelines and configs are in the wheel, each in one place."""
    with zipfile.ZipFile(distributions.wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    assert len(names) == len(set(names))
    assert set(names) == _expected_wheel_files()


def test_wheel_from_the_checkout_is_that_from_the_source_archive(
    tmp_path: pathlib.Path, distributions: Distributions
) -> None:
    """The symbolic links of the checkout do not end up in the wheel."""
    _run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as direct, zipfile.ZipFile(distributions.wheel) as by_way:
        assert sorted(direct.namelist()) == sorted(by_way.namelist())


def test_source_archive_holds_what_developers_need(distributions: Distributions) -> None:
    """Tests, documentation and the Makefile travel with the source."""
    with tarfile.open(distributions.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "Makefile", "README.md", "constraints.txt", "pyproject.toml"} <= names
    assert {"doc/conf.py", "tests/test_packaging.py", "ups/ra_pipe.table"} <= names
    assert not any(name.startswith(f"python/{RESOURCES}/pipelines/") for name in names)


@pytest.mark.parametrize("root", ["$RA_PIPE_DIR", "eups://ra_pipe", "resource://lsst.ra.pipe/resources"])
def test_pipelines_and_configs_resolve_without_the_variable(
    python: pathlib.Path, tmp_path: pathlib.Path, root: str
) -> None:
    """Each file of ``pipelines`` and ``config`` is read from the package."""
    names = sorted(f"{name}/{file}" for name in ("config", "pipelines") for file in _files(ROOT / name))
    script = f"""
        import json, sys
        from lsst.resources import ResourcePath
        print(json.dumps({{name: ResourcePath("{root}/" + name).read().decode() for name in {names!r}}}))
    """
    texts = json.loads(_run(python, "-c", textwrap.dedent(script), cwd=tmp_path))
    assert "pipelines/LSSTCam/FirstLook.yaml" in texts
    assert texts == {name: (ROOT / name).read_text() for name in names}


def test_pipeline_loads_with_its_imports(python: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The imports of a pipeline resolve as the pipeline itself does."""
    script = """
        from lsst.pipe.base import Pipeline
        pipeline = Pipeline.from_uri("$RA_PIPE_DIR/pipelines/LSSTCam/FirstLook.yaml")
        print(*pipeline.task_labels)
    """
    labels = _run(python, "-c", textwrap.dedent(script), cwd=tmp_path).split()
    assert {"isr", "calibrateImage", "detectorMetrics", "exposureSummary"} <= set(labels)


def test_camera_data_are_installed(python: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The tables of detectors are read from the package."""
    script = "from lsst.ra.pipe.camera import load_camera; print(len(load_camera('LSSTCam').detectors))"
    assert _run(python, "-c", script, cwd=tmp_path).strip() == "205"


def test_butler_configuration_is_installed(python: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The storage classes of this package can be read by URI."""
    script = """
        from lsst.daf.butler import Config
        print("RapidRaw" in Config("resource://lsst.ra.pipe/resources/butler/storage_classes.yaml")
              ["storageClasses"])
    """
    assert _run(python, "-c", textwrap.dedent(script), cwd=tmp_path).strip() == "True"


def test_command_is_installed(python: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """``rapid`` is on the path of the environment and knows its version."""
    version = importlib.metadata.version("lsst-ra-pipe")
    assert version in _run(python.parent / "rapid", "--version", cwd=tmp_path)


def test_constraints_name_a_release_for_each_dependency() -> None:
    """Each line is ``name==version``, and no dependency is without one."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    names = set()
    for line in lines:
        name, separator, version = line.partition("==")
        assert separator, line
        assert version, line
        assert version.replace(".", "").replace("post", "").isalnum(), line
        names.add(name.lower().replace("_", "-").replace(".", "-"))
    required = importlib.metadata.requires("lsst-ra-pipe") or []
    needed = {re.split(r"[][;<>=!~ ]", text)[0].strip().lower().replace("_", "-") for text in required}
    assert needed
    assert needed <= names


def test_every_package_has_an_api_page() -> None:
    """A new public package is in the documentation."""
    package = ROOT / "python" / "lsst" / "ra" / "pipe"
    pages = "\n".join(path.read_text() for path in (ROOT / "doc").glob("lsst.ra.pipe/*.rst"))
    documented = {
        line.split("::")[1].strip() for line in pages.splitlines() if line.startswith(".. automodapi::")
    }
    packages = {
        ".".join(path.parent.relative_to(ROOT / "python").parts) for path in package.glob("*/**/__init__.py")
    }
    public = {name for name in packages if "._" not in name}
    assert public - {"lsst.ra.pipe.cli"} == documented
