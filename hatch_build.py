"""Build the compiled kernels into the wheel, or beside the sources for an editable install.

The C compiler that is there does it (`CC`, cc, gcc, clang), otherwise that of `ziglang` from PyPI, which is asked for only
then, and which also compiles for other systems: `SEQCLF_TARGET` is one of `TARGETS`. Without any compiler the package is
installed all the same, and runs by torch's kernels.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = Path(__file__).parent / "src" / "seqclf" / "engine" / "native"

# No sum and product may be joined but where the source says so, and nothing else may change a rounding: then the bits are
# those of every other compiler.
FLAGS = ["-std=gnu11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden", "-Wall", "-Wextra"]
INSTRUCTION_SETS = {
    "x86_64": {
        "plain": [],
        "avx2": ["-mavx2", "-mfma"],
        "avx512": ["-mavx2", "-mfma", "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl"],
    },
}
TARGETS = {  # what zig calls them, and the tags of their wheels
    "linux-x86_64": ("x86_64-linux-gnu.2.17", "manylinux2014_x86_64"),
    "linux-arm64": ("aarch64-linux-gnu.2.17", "manylinux2014_aarch64"),
    "macos-arm64": ("aarch64-macos.11.0", "macosx_11_0_arm64"),
    "windows-x86_64": ("x86_64-windows-gnu", "win_amd64"),
}
SUFFIXES = {"linux": ".so", "macos": ".dylib", "windows": ".dll"}


def find_compiler(target: str | None) -> list[str] | None:
    """Return the command of a C compiler for a target, or for this machine; None where there is none."""
    if target is None:
        for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
            if name and shutil.which(shlex.split(name)[0]):
                return shlex.split(name)
    if find_spec("ziglang") is None:
        return None
    own = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}.get(platform.system())
    name = target or f"{own}-{'arm64' if _machine() == 'aarch64' else _machine()}"
    return [sys.executable, "-m", "ziglang", "cc", *(["-target", TARGETS[name][0]] if name in TARGETS else [])]


def _machine() -> str:
    machine = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)


def compile_kernels(
    compiler: Sequence[str], folder: Path, *, system: str, machine: str, extra: Sequence[str] = ()
) -> Path:
    """Compile and link the kernels into a folder, and return the library."""
    library = folder / f"seqclf_kernels{SUFFIXES.get(system, '.so')}"
    flags = [*FLAGS, *extra, *([] if system == "windows" else ["-fPIC", "-pthread"])]
    with tempfile.TemporaryDirectory() as name:
        objects: list[str] = []
        running = []
        units = [(source, []) for source in ("seqclf", "team", "memory")]
        for instruction_set, own in INSTRUCTION_SETS.get(machine, {"plain": []}).items():
            units.append(("kernels", [*own, f"-DSET={instruction_set}"]))
        for source, own in units:
            objects.append(f"{name}/{len(objects)}.o")
            command = [*compiler, *flags, *own, "-c", str(SOURCES / f"{source}.c"), "-o", objects[-1]]
            running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        for process in running:
            output, _ = process.communicate()
            if process.returncode:
                raise RuntimeError(f"{shlex.join(process.args)}\n{output}")
        link = [*compiler, *extra, "-shared", *([] if system == "windows" else ["-pthread"]), *objects]
        subprocess.run([*link, "-o", f"{name}/{library.name}"], check=True)
        os.replace(shutil.copy(f"{name}/{library.name}", f"{library}.new"), library)  # a process may have the old one
    return library


class KernelBuildHook(BuildHookInterface[Any]):
    """Compiles before a wheel or an editable install is made."""

    def dependencies(self) -> list[str]:
        """Ask for a compiler where there is none."""
        wanted = self.target_name == "wheel" and not os.environ.get("SEQCLF_NO_KERNELS")
        return ["ziglang>=0.13"] if wanted and find_compiler(os.environ.get("SEQCLF_TARGET")) is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and name the platform in the tag of the wheel."""
        del version
        target = os.environ.get("SEQCLF_TARGET")
        compiler = find_compiler(target)
        if self.target_name != "wheel" or os.environ.get("SEQCLF_NO_KERNELS"):
            return
        if compiler is None:
            self.app.display_warning("seqclf: no C compiler and no ziglang, so it is installed without its kernels")
            return
        own = {"Darwin": "macos", "Windows": "windows"}.get(platform.system(), "linux")
        system, machine = target.split("-") if target else (own, _machine())
        machine = "aarch64" if machine == "arm64" else machine
        for old in SOURCES.glob("seqclf_kernels.*"):
            if target:  # of another system than the wheel's
                old.unlink()
        library = compile_kernels(compiler, SOURCES, system=system, machine=machine)
        build_data["artifacts"].append(str(library.relative_to(self.root)))
        build_data["pure_python"] = False
        tag = TARGETS[target][1] if target else sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{tag}"
