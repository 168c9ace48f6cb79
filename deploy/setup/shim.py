"""Builds the library that keeps Orthanc's listeners on loopback (deploy/orthanc/bindlocal.c)."""

from deploy.setup.steps import BUILD, ROOT, digest, run, stamped, write_stamp

SOURCE = ROOT / "deploy" / "orthanc" / "bindlocal.c"
LIBRARY = BUILD / "bindlocal.so"


def build() -> str:
    """Compile the library when its source has changed."""
    stamp, value = BUILD / "bindlocal.stamp", digest([SOURCE])
    if stamped(stamp, value) and LIBRARY.exists():
        return "already there"
    BUILD.mkdir(parents=True, exist_ok=True)
    part = LIBRARY.with_suffix(".part")
    flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
    run(
        ["gcc", *flags, "-o", str(part), str(SOURCE), "-ldl"],
        step="bind-shim",
        do="install gcc and libc6-dev",
    )
    part.replace(LIBRARY)
    write_stamp(stamp, value)
    return "compiled"
