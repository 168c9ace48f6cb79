"""Builds the FHIR store (deploy/hapi) by Maven, with an archive of its classes, when its sources changed."""

import secrets
import subprocess
import tempfile
from pathlib import Path

from deploy.errors import DeployError
from deploy.setup.steps import BUILD, ROOT, digest, run, stamped, write_stamp

SOURCE = ROOT / "deploy" / "hapi"
TARGET = SOURCE / "target"
JAR = TARGET / "neuronova-store.jar"
ARCHIVE = TARGET / "neuronova-store.jsa"
"""Classes as the JVM wants them in memory (class data sharing): a start takes a third less processor time
(17.2 s became 12.2 s, and 10 s of wall time instead of 14.6 s). The JVM starts without one that does not fit.
"""


def build() -> str:
    """Package the application: one jar beside its libraries."""
    pom = SOURCE / "pom.xml"
    if not pom.exists():
        raise DeployError("hapi: deploy/hapi/pom.xml is missing", do="check out the whole repository")
    sources = [pom, *(path for path in (SOURCE / "src" / "main").rglob("*") if path.is_file())]
    stamp, value = BUILD / "hapi.stamp", digest(sources)
    if stamped(stamp, value) and any(TARGET.glob("*.jar")) and any(TARGET.glob("lib/*.jar")):
        return "already there"
    stamp.unlink(missing_ok=True)
    advice = "read the log's last lines; most often this machine does not reach its Maven repository"
    run(["mvn", "-q", "-B", "-ntp", "-DskipTests", "package"], step="hapi", do=advice, cwd=SOURCE)
    write_stamp(stamp, value)
    return "built"


def archive() -> str:
    """Make the archive of the classes that a start loads: one start on an empty database, which then ends."""
    stamp = BUILD / "hapi-archive.stamp"
    value = digest([BUILD / "hapi.stamp"], str(JAR.stat().st_mtime_ns), _java_version())
    if stamped(stamp, value) and ARCHIVE.exists():
        return "already there"
    stamp.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        folder = Path(name)
        _record(folder, folder / "loaded")
        # This JVM (17.0.15) crashes on the proxies of lambda expressions in such a list.
        classes = [line for line in (folder / "loaded").read_text().splitlines() if "@lambda" not in line]
        (folder / "classes").write_text("\n".join(classes) + "\n")
        part = folder / ARCHIVE.name
        _java(
            folder,
            "-Xshare:dump",
            "-Xlog:cds=error",
            f"-XX:SharedClassListFile={folder / 'classes'}",
            f"-XX:SharedArchiveFile={part}",
        )
        part.replace(ARCHIVE)
    write_stamp(stamp, value)
    return "built"


def _record(folder: Path, loaded: Path) -> None:
    kinds = ("FACADE", "NGINX", "RECEIVER", "WORKERS", "SHIPPER", "RETENTION")
    environment = {f"HAPI_SECRET_{kind}": secrets.token_hex(16) for kind in kinds} | {
        "HAPI_PORT": "0",
        "HAPI_DATABASE_URL": f"jdbc:h2:file:{folder}/fhir;WRITE_DELAY=0",
    }
    # Spring's own way to end once everything is loaded.
    options = (
        "-XX:TieredStopAtLevel=1",
        "-Dspring.context.exit=onRefresh",
        f"-XX:DumpLoadedClassList={loaded}",
    )
    _java(folder, *options, environment=environment)


def _java(folder: Path, *options: str, environment: dict[str, str] | None = None) -> None:
    run(
        ["java", "-XX:+UseSerialGC", *options, "-jar", str(JAR)],
        step="hapi",
        do="read the log's last lines; the store starts in the same way, so it would not start either",
        cwd=folder,
        environment=environment,
    )


def _java_version() -> str:
    done = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    return done.stderr
