"""The imaging side of a process of the pipeline: Orthanc, the stored rows, the children that parse and
decode.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from imaging.child import Children
from imaging.corrections import Corrections
from imaging.index import Index
from imaging.orthanc import OrthancClient
from imaging.pipeline import Pipeline
from imaging.replace import Replacer
from imaging.restore import Restorer
from imaging.settings import ImagingSettings


@dataclass(frozen=True)
class Pacs:
    """What is needed to follow, convert and read studies."""

    orthanc: OrthancClient
    index: Index
    corrections: Corrections
    children: Children
    replacer: Replacer
    pipeline: Pipeline
    restorer: Restorer
    data_dir: Path
    complete_after_s: float


@contextlib.asynccontextmanager
async def open_pacs(settings: ImagingSettings, *, children: int = 2) -> AsyncIterator[Pacs]:
    """Open the connections; children start when they are first needed."""
    async with (
        OrthancClient(
            settings.orthanc_url, settings.orthanc_user, settings.orthanc_password.get_secret_value()
        ) as orthanc,
        Children(children) as pool,
    ):
        index = Index(settings.data_dir)
        replacer = Replacer(orthanc, settings.replace_dir, originals_days=settings.originals_days)
        try:
            yield Pacs(
                orthanc=orthanc,
                index=index,
                corrections=Corrections(index, settings.data_dir),
                children=pool,
                replacer=replacer,
                pipeline=Pipeline(index, orthanc, pool, replacer),
                restorer=Restorer(index, orthanc, pool, replacer),
                data_dir=settings.data_dir,
                complete_after_s=settings.complete_after_s,
            )
        finally:
            index.close()
