"""Which variables each program gets: what it needs, and no secret of another kind of process."""

import os
from collections.abc import Mapping

from deploy.credentials import key_path
from deploy.settings import ROOT, Settings
from deploy.setup.shim import LIBRARY

Variables = dict[str, str]


def variables(settings: Settings, secrets: Mapping[str, str]) -> dict[str, Variables]:
    """Program -> its variables."""
    workers = _subscriptions(settings, secrets, "hapi-workers")
    imaging = _imaging(settings, secrets)
    inference = _inference(settings)
    openemr = _openemr(settings, secrets)
    return {
        "redis": {},
        "mariadb": {},
        "orthanc": _orthanc(settings),
        "hapi": _hapi(settings, secrets),
        "nginx": {},
        "facade": _facade(settings, secrets) | _smart_auth(settings),
        "pixels": imaging,
        "receiver": _subscriptions(settings, secrets, "hapi-receiver"),
        "ingest": workers | imaging,
        "worker-imaging": workers | imaging,
        "worker-inference": workers | imaging | inference,
        "worker-openemr": workers | openemr,
        "worker-notify": workers,
        "scheduler": workers | imaging | inference | openemr,
        "audit-shipper": _audit(settings, secrets),
    }


def redis_url(settings: Settings) -> str:
    """Redis listens on a unix socket only."""
    return f"unix://{settings.var}/run/redis.sock"


def hapi_url(settings: Settings) -> str:
    """HAPI's own address, not the public one."""
    return f"http://127.0.0.1:{settings.hapi_port}/fhir"


def _orthanc(settings: Settings) -> Variables:
    own = {"LD_PRELOAD": str(LIBRARY), "KEEPAGAIN_DIR": f"{settings.var}/replace/again"}
    return own | ({"BINDLOCAL_OPEN_PORT": str(settings.dicom_port)} if settings.dicom_open else {})


def _hapi(settings: Settings, secrets: Mapping[str, str]) -> Variables:
    own = not settings.hapi_database_url
    return {
        "HAPI_PORT": str(settings.hapi_port),
        "HAPI_BASE_URL": f"{settings.base_url}/fhir",
        "HAPI_DATABASE_URL": settings.hapi_database_url
        or f"jdbc:h2:file:{settings.var}/hapi/fhir;WRITE_DELAY=0",
        "HAPI_DATABASE_USER": settings.hapi_database_user or "sa",
        "HAPI_DATABASE_PASSWORD": secrets["hapi-database"] if own else _password(settings),
        "HAPI_PRODUCTION": "false" if own else "true",
        "HAPI_SECRET_FACADE": secrets["hapi-facade"],
        "HAPI_SECRET_NGINX": secrets["hapi-nginx"],
        "HAPI_SECRET_RECEIVER": secrets["hapi-receiver"],
        "HAPI_SECRET_WORKERS": secrets["hapi-workers"],
        "HAPI_SECRET_SHIPPER": secrets["hapi-shipper"],
        "HAPI_SECRET_RETENTION": secrets["hapi-retention"],
    }


def _password(settings: Settings) -> str:
    with open(settings.hapi_database_password_file, encoding="utf-8") as file:
        return file.read().strip()


def _facade(settings: Settings, secrets: Mapping[str, str]) -> Variables:
    var = settings.var
    return {
        "FACADE_BASE_URL": settings.base_url,
        "FACADE_HAPI_URL": hapi_url(settings),
        "FACADE_HAPI_SECRET": secrets["hapi-facade"],
        "FACADE_REDIS_URL": redis_url(settings),
        "FACADE_PIXELS_SOCKET": f"{var}/run/pixels.sock",
        "FACADE_STOW_DIR": f"{var}/stow",
        "FACADE_STOW_MAX_BYTES": str(settings.stow_max_mb * 1024 * 1024),
        "FACADE_SPOOL_DIR": f"{var}/spool",
        "FACADE_DATA_DIR": f"{var}/dicom",
        "FACADE_RECEIVER_URL": f"http://127.0.0.1:{settings.receiver_port}",
        "FACADE_RECEIVER_SECRET": secrets["receiver"],
        "FACADE_IN_FLIGHT_MAX": str(settings.in_flight_max),
        "FACADE_RATE_FHIR": str(settings.rate_general),
        "FACADE_RATE_DICOMWEB": str(settings.rate_dicomweb),
        "FACADE_RATE_ANONYMOUS": str(settings.rate_auth),
        "FACADE_SIGNING_KEY": str(key_path(var / "secrets", "report-signing")),
    }


def _smart_auth(settings: Settings) -> Variables:
    url = f"sqlite:///{settings.var}/smart_auth.db"
    if settings.auth_database_url_file:
        with open(settings.auth_database_url_file, encoding="utf-8") as file:
            url = file.read().strip()
    return {
        "SMART_AUTH_DATABASE_URL": url,
        "SMART_AUTH_ISSUER": f"{settings.base_url}/auth",
        "SMART_AUTH_AUDIENCE": f"{settings.base_url}/fhir",
        "SMART_AUTH_KEYS_DIR": f"{settings.var}/keys",
        "SMART_AUTH_REDIS_URL": redis_url(settings),
        "SMART_AUTH_TOTP_REQUIRED": str(settings.totp_required).lower(),
        "SMART_AUTH_TIME_ZONE": settings.time_zone,
        "SMART_AUTH_ORGANIZATION_NAME": settings.organization_name,
        "SMART_AUTH_ORGANIZATION_URL": settings.organization_url,
    }


def _audit(settings: Settings, secrets: Mapping[str, str]) -> Variables:
    var = settings.var
    return {
        "FACADE_AUDIT_HAPI_URL": hapi_url(settings),
        "FACADE_AUDIT_HAPI_SECRET": secrets["hapi-shipper"],
        "FACADE_AUDIT_SPOOL_DIR": f"{var}/spool",
        "FACADE_AUDIT_STATE_DIR": f"{var}/audit",
        "FACADE_AUDIT_KEY": str(key_path(var / "secrets", "audit")),
        "FACADE_AUDIT_SYSLOG_SOCKET": f"{var}/run/access.sock",
        "FACADE_AUDIT_KEEP_DAYS": str(settings.audit_keep_days),
    }


def _imaging(settings: Settings, secrets: Mapping[str, str]) -> Variables:
    var = settings.var
    return {
        "IMAGING_ORTHANC_URL": f"http://127.0.0.1:{settings.orthanc_port}",
        "IMAGING_ORTHANC_USER": "imaging",
        "IMAGING_ORTHANC_PASSWORD": secrets["orthanc-imaging"],
        "IMAGING_DATA_DIR": f"{var}/dicom",
        "IMAGING_REPLACE_DIR": f"{var}/replace",
        "IMAGING_STOW_DIR": f"{var}/stow",
        "IMAGING_COMPLETE_AFTER_S": str(settings.complete_after_s),
        "IMAGING_ORIGINALS_DAYS": str(settings.originals_days),
    }


def _inference(settings: Settings) -> Variables:
    return {
        "INFERENCE_BUNDLES_DIR": str(ROOT / "inference" / "bundles"),
        "INFERENCE_ALLOWED_BUNDLES": settings.inference_bundles,
        "INFERENCE_DTYPE": settings.inference_dtype,
        "INFERENCE_THREADS": str(settings.inference_threads or os.cpu_count() or 1),
    }


def _subscriptions(settings: Settings, secrets: Mapping[str, str], caller: str) -> Variables:
    return {
        "SUBSCRIPTIONS_HAPI_URL": hapi_url(settings),
        "SUBSCRIPTIONS_HAPI_SECRET": secrets[caller],
        "SUBSCRIPTIONS_REDIS_URL": redis_url(settings),
        "SUBSCRIPTIONS_RECEIVER_URL": f"http://127.0.0.1:{settings.receiver_port}",
        "SUBSCRIPTIONS_RECEIVER_SECRET": secrets["receiver"],
        "SUBSCRIPTIONS_SPOOL_DIR": f"{settings.var}/spool",
        "SUBSCRIPTIONS_STATE_DIR": f"{settings.var}/subscriptions",
        "SUBSCRIPTIONS_BASE_URL": settings.base_url,
        "SUBSCRIPTIONS_LEASE_S": str(settings.lease_s),
        "SUBSCRIPTIONS_RECONCILE_S": str(settings.reconcile_s),
        "SUBSCRIPTIONS_COMPARE_S": str(settings.compare_s),
    }


def _openemr(settings: Settings, secrets: Mapping[str, str]) -> Variables:
    server = f"mysql+pymysql://oesync:{secrets['mariadb-oesync']}@127.0.0.1:{settings.mariadb_port}"
    return {
        "OPENEMR_DATABASE_URL": f"{server}/openemr?charset=utf8mb4",
        "OPENEMR_SYNC_DATABASE_URL": f"{server}/neuronova?charset=utf8mb4",
        "OPENEMR_TIME_ZONE": settings.time_zone,
    }
