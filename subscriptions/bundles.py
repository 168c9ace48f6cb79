"""The AI bundles of an inference worker: loaded and probed once, before the first job is forked.

Fork and OpenMP do not go together: a child hangs in its first parallel loop if its parent has ever run one
(seen with torch 2.15 on the CPU, also when only a network was built). So the worker itself computes on one
thread, from before torch is imported, and each child then takes the threads that the setting says.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from inference.bundle import Bundle

_log = logging.getLogger(__name__)

Dtype = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class Bundles:
    """What may run. `broken` has the reason of each allowed bundle that breaks its contract."""

    loaded: "dict[str, Bundle]"
    dtypes: dict[str, Dtype]
    broken: dict[str, str]
    threads: int

    def take_threads(self) -> None:
        """In the child of a job: compute with all the threads of the setting, in the arithmetic found at
        start.
        """
        from inference.predict import warm

        for bundle_id, bundle in self.loaded.items():
            warm(bundle, self.dtypes[bundle_id], self.threads)


def load(bundles_dir: Path, allowed: tuple[str, ...], dtype: Dtype, threads: int) -> Bundles:
    """Load every allowed bundle; one that breaks its contract is kept with its reason, the others go on."""
    os.environ["OMP_NUM_THREADS"] = "1"  # read once, when torch is imported
    from inference.bundle import load_by_id
    from inference.errors import BundleContractError, BundleNotAllowedError
    from inference.predict import warm

    loaded: dict[str, Bundle] = {}
    dtypes: dict[str, Dtype] = {}
    broken: dict[str, str] = {}
    for bundle_id in allowed:
        try:
            bundle = load_by_id(bundles_dir, bundle_id, allowed)
        except (BundleContractError, BundleNotAllowedError) as error:
            _log.error("a bundle was refused", extra={"bundle": bundle_id, "error_code": error.code})
            broken[bundle_id] = str(error)
            continue
        chosen = warm(bundle, dtype, threads=1)
        dtypes[bundle_id] = "bfloat16" if chosen == "bfloat16" else "float32"
        loaded[bundle_id] = bundle
        _log.info("bundle is ready", extra={"bundle": bundle_id, "version": bundle.version, "dtype": chosen})
    return Bundles(loaded, dtypes, broken, threads or os.cpu_count() or 1)
