"""The wheel works where the checkout is not: cases, baselines and the plugin come with it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has the wheel, and this one's libraries without what they lead to by .pth files."""
    here = tmp_path_factory.mktemp("wheel")
    source = here / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, source)
    for name in ("conformance", "cases", "reports/baselines"):
        shutil.copytree(CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = subprocess.run(
        [*pip, "wheel", "--no-deps", "-w", here, source], capture_output=True, text=True, timeout=120, check=False
    )
    if "hatchling" in built.stderr and built.returncode:
        pytest.skip("pip can't get hatchling, which builds the wheel")
    assert built.returncode == 0, built.stderr
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", here / "venv"], check=True, timeout=60)
    found = here / "venv" / "bin" / "python"
    site = subprocess.check_output([found, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True)
    (wheel,) = here.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", site.strip(), wheel], check=True, timeout=60)
    Path(site.strip(), "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return found


def test_the_wheel_runs_its_own_suite_anywhere(python, tmp_path):
    def go(*words: str) -> subprocess.CompletedProcess[str]:
        command = [python, "-P", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    where = Path(go("-c", "import conformance; print(conformance.__file__)").stdout.strip())
    assert where.is_relative_to(python.parents[1])
    assert "open/three-way-handshake" in go("-m", "conformance", "list").stdout
    done = go("-m", "conformance", "run", "-k", "open/three-way-handshake and not active", "--report", "r")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 PASS" in done.stdout
    assert "baselines/linux.yaml" in done.stdout or "unreviewed" not in done.stdout
    suite = where.parent / "_data" / "cases"
    done = go("-m", "pytest", "-q", str(suite / "open" / "three-way-handshake.yaml"), "--report", "r2")
    assert "2 passed" in done.stdout, done.stdout + done.stderr
