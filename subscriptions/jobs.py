"""The jobs that workers run, by the names that stand in Redis (subscriptions.catalogue).

Each takes ids only, reads the resource again, works, and writes once; each may run twice, or be killed
between any two lines, and leaves one result. The modules behind them are imported here only when they are
asked for: the worker that tells clinicians of a change needs no codec.
"""

from subscriptions.clients import Clients


async def transcode_study(study_uid: str, *, clients: Clients) -> None:
    """Turn every pending instance of a study into HTJ2K, and make the study available when all have an
    outcome.
    """
    from subscriptions.transcode import transcode_study as run

    await run(study_uid, clients)


async def propose_inference(imaging_study_id: str, version: str, *, clients: Clients) -> None:
    """Make a Task for each allowed bundle that fits the study, or a rejected one with the reason."""
    from subscriptions.propose import propose_inference as run

    await run(imaging_study_id, clients)


async def run_inference(task_id: str, *, clients: Clients) -> None:
    """Run the bundle of a requested Task and store segmentation and draft report."""
    from subscriptions.infer import run_inference as run

    await run(task_id, clients)


async def sync_openemr(type: str, id: str, version: str, *, clients: Clients) -> None:
    """Bring one resource into OpenEMR's tables. The newest version is read, whichever one was announced."""
    from subscriptions.openemr import sync_openemr as run

    await run(type, id, clients)


async def notify(type: str, id: str, version: str, *, clients: Clients) -> None:
    """Tell the facade's open WebSockets that a resource has changed."""
    from subscriptions.notify import notify as run

    await run(type, id, version, clients)
