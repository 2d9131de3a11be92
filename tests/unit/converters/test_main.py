"""The command of a workshop that is not installed."""

import subprocess
import sys


def edge_convert(*arguments: str, without: str = "") -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.argv[:] = {['edge-convert', *arguments]!r}\n"
    code += f"sys.modules[{without!r}] = None\n" if without else ""
    code += "from converters.main import run; run()"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_a_missing_library_is_named_with_what_to_install():
    done = edge_convert("--help", without="onnx")
    assert done.returncode == 1
    assert "onnx is not installed" in done.stderr
    assert "make install LOCK=requirements-convert.lock" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_installed_workshop_opens():
    done = edge_convert("--help")
    assert done.returncode == 0
    assert "convert" in done.stdout
