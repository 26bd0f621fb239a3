"""Build the compiled kernels into the wheel, or beside the sources for an editable install.

The C compiler that is there does it (`CC`, cc, gcc, clang), otherwise that of `ziglang` from PyPI, which is asked for
only then, and which also compiles for other systems: `SEQCLF_TARGET` is one of `TARGETS`. Without any compiler the
package is installed all the same, and runs by torch's kernels.
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

# No sum and product may be joined but where the source says so, and nothing else may change a rounding: then the bits
# are those of every other compiler.
FLAGS = ["-std=gnu11", "-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden", "-Wall", "-Wextra"]
OLDEST_MACOS = "11.0"
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
    "macos-arm64": (f"aarch64-macos.{OLDEST_MACOS}", "macosx_11_0_arm64"),
    "windows-x86_64": ("x86_64-windows-gnu", "win_amd64"),
}
SUFFIXES = {"linux": ".so", "macos": ".dylib", "windows": ".dll"}
OF_SYSTEM = {
    "linux": ["-fPIC", "-pthread"],
    "macos": ["-fPIC", "-pthread", f"-mmacosx-version-min={OLDEST_MACOS}"],
    "windows": [],
}


def own_target() -> tuple[str, str]:
    """Return the system and the processor of this machine, by the names that `TARGETS` has for them."""
    system = {"Darwin": "macos", "Windows": "windows"}.get(platform.system(), "linux")
    machine = platform.machine().lower()
    return system, {"amd64": "x86_64", "aarch64": "arm64"}.get(machine, machine)


def find_compiler(target: str | None) -> list[str] | None:
    """Return the command of a C compiler for a target, or for this machine; None where there is none."""
    if target is None:
        for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
            if name and shutil.which(shlex.split(name)[0]):
                return shlex.split(name)
    if find_spec("ziglang") is None:
        return None
    zig = [sys.executable, "-m", "ziglang", "cc"]
    name = target or "-".join(own_target())
    return [*zig, *(["-target", TARGETS[name][0]] if name in TARGETS else ["-mcpu=baseline"])]


def compile_kernels(
    compiler: Sequence[str], folder: Path, *, system: str, machine: str, extra: Sequence[str] = ()
) -> Path:
    """Compile and link the kernels into a folder, and return the library."""
    library = folder / f"seqclf_kernels{SUFFIXES[system]}"
    flags = [*FLAGS, *OF_SYSTEM[system], *extra]
    with tempfile.TemporaryDirectory() as name:
        objects: list[str] = []
        running: list[tuple[list[str], subprocess.Popen[str]]] = []
        units: list[tuple[str, list[str]]] = [(source, []) for source in ("seqclf", "team", "memory")]
        for instruction_set, own in INSTRUCTION_SETS.get(machine, {"plain": []}).items():
            units.append(("kernels", [*own, f"-DSET={instruction_set}"]))
        for source, own in units:
            objects.append(f"{name}/{len(objects)}.o")
            command = [*compiler, *flags, *own, "-c", str(SOURCES / f"{source}.c"), "-o", objects[-1]]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            running.append((command, process))
        for command, process in running:
            output, _ = process.communicate()
            if process.returncode:
                raise RuntimeError(f"{shlex.join(command)}\n{output}")
        subprocess.run([*compiler, *flags, "-s", "-shared", *objects, "-o", f"{name}/{library.name}"], check=True)
        new = Path(shutil.copy(f"{name}/{library.name}", f"{library}.new"))
        new.replace(library)  # a process may have the old one
    return library


class KernelBuildHook(BuildHookInterface[Any]):
    """Compiles before a wheel or an editable install is made."""

    def dependencies(self) -> list[str]:
        """Ask for a compiler where there is none."""
        wanted = self.target_name == "wheel" and not os.environ.get("SEQCLF_NO_KERNELS")
        return ["ziglang>=0.13"] if wanted and find_compiler(os.environ.get("SEQCLF_TARGET")) is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and name the platform in the tag of the wheel."""
        target = os.environ.get("SEQCLF_TARGET")
        if self.target_name != "wheel" or os.environ.get("SEQCLF_NO_KERNELS"):
            return
        if target and target not in TARGETS:
            raise ValueError(f"SEQCLF_TARGET must be one of {', '.join(TARGETS)}; got {target!r}.")
        compiler = find_compiler(target)
        if compiler is None:
            self.app.display_warning("seqclf: no C compiler and no ziglang, so it is installed without its kernels")
            return
        system, machine = target.split("-") if target else own_target()
        if version == "editable":
            compile_kernels(compiler, SOURCES, system=system, machine=machine)
        else:  # beside the sources may lie one for another system
            self._folder = tempfile.TemporaryDirectory()
            library = compile_kernels(compiler, Path(self._folder.name), system=system, machine=machine)
            build_data["force_include"][str(library)] = f"seqclf/engine/native/{library.name}"
        tag = TARGETS[target][1] if target else sysconfig.get_platform().replace("-", "_").replace(".", "_")
        if not target and system == "macos":  # Python's own may be for two processors, and for an older system
            tag = f"macosx_{OLDEST_MACOS.replace('.', '_')}_{machine}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{tag}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Throw away what was compiled for the wheel."""
        del version, build_data, artifact_path
        if hasattr(self, "_folder"):
            self._folder.cleanup()
