"""The command that a message gives to install a package is followed, and installs it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from headstart import extras
from headstart.extras import install_command

SOURCE = Path(extras.__file__).parent


def make_environment(folder: Path) -> Path:
    """Return the python of an environment without pip that holds a headstart with an extra."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    told = site / "headstart-0.1.0.dist-info"
    told.mkdir()
    lines = ["Metadata-Version: 2.1", "Name: headstart", "Version: 0.1.0", "Provides-Extra: toy"]
    (told / "METADATA").write_text("\n".join([*lines, "Requires-Dist: toy-rose; extra == 'toy'\n"]))
    (told / "INSTALLER").write_text("pip\n")
    (told / "RECORD").write_text("")
    return folder / "bin" / "python"


def make_wheel(folder: Path) -> Path:
    info = "toy_rose-1.dist-info"
    with zipfile.ZipFile(folder / "toy_rose-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("toy_rose.py", "COLOUR = 'red'\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: toy-rose\nVersion: 1\n")
        told = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{info}/WHEEL", told)
        wheel.writestr(f"{info}/RECORD", "")
    return folder


@pytest.mark.parametrize("package", ["headstart[toy]", "toy-rose"])
def test_the_command_installs_an_extra_where_no_index_holds_headstart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    has_pip = subprocess.run(["python3", "-m", "pip", "--version"], capture_output=True)
    if has_pip.returncode:
        pytest.skip("this machine's python3 has no pip")
    python = make_environment(tmp_path / "environment")
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(extras, "find_spec", lambda name: None)  # that environment has no pip
    command = install_command(package)
    assert command.startswith("python3 -m pip --python ")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(make_wheel(tmp_path)))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    done = subprocess.run(shlex.split(command), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    subprocess.run([str(python), "-c", "import toy_rose"], check=True)


def test_an_activated_environment_without_pip_takes_that_of_its_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = make_environment(tmp_path / "environment")
    asked = (
        "from headstart import extras; extras.find_spec = lambda name: None; "
        "print(extras.install_command('-U', 'pillow'))"
    )
    activated = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", activated)
    monkeypatch.setenv("PYTHONPATH", str(SOURCE.parent))
    done = subprocess.run([str(python), "-c", asked], capture_output=True, text=True, check=True)
    command = shlex.split(done.stdout)
    assert command[1:] == ["-m", "pip", "--python", str(python), "install", "-U", "pillow"]
    assert Path(command[0]).is_absolute()
    assert Path(command[0]).parent != python.parent


def test_the_pip_of_another_environment_is_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip").write_text("#!/bin/sh\n")
    (tmp_path / "pip").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(extras, "find_spec", lambda name: name)
    assert install_command("-U", "pillow") == f"{sys.executable} -m pip install -U pillow"
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert install_command("headstart[heic]") == "pip install 'headstart[heic]'"


def test_every_message_takes_the_command_from_one_place() -> None:
    written = [
        f"{path.name}: {line.strip()}"
        for path in SOURCE.rglob("*.py")
        for line in path.read_text().splitlines()
        if re.search(r"pip install", line) and path.name != "extras.py"
    ]
    assert not written


def test_every_extra_that_a_message_names_exists() -> None:
    declared = (SOURCE.parents[1] / "pyproject.toml").read_text()
    for path in SOURCE.rglob("*.py"):
        for name in re.findall(r"headstart\[([a-z]+)\]", path.read_text()):
            assert re.search(rf"^{name} = \[", declared, re.MULTILINE), (path.name, name)
