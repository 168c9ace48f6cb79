"""Job `transcode_study`: every pending instance to HTJ2K, then the study available.

The work on pixels is imaging.pipeline's; this file knows the order of the steps and what HAPI is told. Who
asks for it: ingest on each arrival and when a study is complete, and reconcile for whatever was lost.
"""

import time

from subscriptions.clients import Clients
from subscriptions.errors import WrongWorkerError
from subscriptions.pacs import Pacs
from subscriptions.register import endpoint_ref, find, write
from subscriptions.trail import follow


async def transcode_study(study_uid: str, clients: Clients) -> None:
    """Do what is pending; publish the study when it is complete and every instance has an outcome."""
    pacs = _pacs(clients)
    study = pacs.index.study(study_uid)
    if study is None:
        return
    existing = await find(clients.hapi, study_uid)
    if existing is not None:
        follow(existing)
    await pacs.restorer.settle(study_uid)
    pending = len(pacs.index.pending(study_uid))
    if pending:
        async with clients.trail.around(
            "transcode",
            "U",
            what=[f"urn:oid:{study_uid}"],
            patient=study.patient_ref,
            detail={"instances": str(pending)},
        ):
            await pacs.pipeline.transcode_study(study_uid)
    clients.check()
    await publish(study_uid, clients, pacs)


async def publish(study_uid: str, clients: Clients, pacs: Pacs) -> bool:
    """Make a complete study available; False if it is not complete yet or still has pending instances."""
    study = pacs.index.study(study_uid)
    if study is None or study.state == "receiving" or pacs.index.pending(study_uid):
        return False
    if pacs.corrections.is_under_way(study_uid):
        return False  # whose it is is being corrected; ingest asks again when that is done
    if not pacs.index.is_quiet(study_uid, time.time() - pacs.complete_after_s):
        return False  # a late series; ingest asks again when it is complete
    endpoint = await endpoint_ref(clients.hapi, clients.settings.base_url)
    await write(clients.hapi, clients.trail, pacs, study, "available", endpoint)
    # Last: until here a killed worker leaves a study that reconcile takes for unfinished.
    pacs.index.set_study(study_uid, state="available", patient_ref=study.patient_ref)
    return True


def _pacs(clients: Clients) -> Pacs:
    if clients.pacs is None:
        raise WrongWorkerError
    return clients.pacs
