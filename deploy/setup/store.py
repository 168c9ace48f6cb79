"""Builds the FHIR store (deploy/hapi) by Maven when its sources have changed."""

from deploy.errors import DeployError
from deploy.setup.steps import BUILD, ROOT, digest, run, stamped, write_stamp

SOURCE = ROOT / "deploy" / "hapi"
TARGET = SOURCE / "target"


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
