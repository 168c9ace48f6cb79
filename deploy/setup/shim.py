"""Builds what Orthanc 1.10 lacks (deploy/orthanc): listeners on loopback alone (bindlocal.c), and a plugin
that loses no file under known UIDs (keepagain.c).
"""

from pathlib import Path

from deploy.setup.steps import BUILD, ROOT, digest, run, stamped, write_stamp

SOURCES = ROOT / "deploy" / "orthanc"
LIBRARY = BUILD / "bindlocal.so"
PLUGIN = BUILD / "keepagain.so"
STAMPS = (BUILD / "bindlocal.stamp", BUILD / "keepagain.stamp")


def build() -> str:
    """Compile each library when its source has changed."""
    done = [_compile(library, stamp) for library, stamp in zip((LIBRARY, PLUGIN), STAMPS, strict=True)]
    return "compiled" if any(done) else "already there"


def _compile(library: Path, stamp: Path) -> bool:
    source = SOURCES / f"{library.stem}.c"
    value = digest([source])
    if stamped(stamp, value) and library.exists():
        return False
    BUILD.mkdir(parents=True, exist_ok=True)
    part = library.with_suffix(".part")
    flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
    run(
        ["gcc", *flags, "-o", str(part), str(source), "-ldl"],
        step="orthanc libraries",
        do="install gcc, libc6-dev and orthanc-dev",
    )
    part.replace(library)
    write_stamp(stamp, value)
    return True
