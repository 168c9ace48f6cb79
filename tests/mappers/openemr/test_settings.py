"""Settings that would make wrong times or torn transactions are refused."""

import datetime

import pytest
from pydantic import ValidationError

from mappers.openemr.database import OpenEMRDatabase
from mappers.openemr.errors import SchemaError
from mappers.openemr.settings import OpenEMRSettings

URL = "mysql+pymysql://oesync:x@127.0.0.1:3307"


def test_the_time_zone_is_an_offset() -> None:
    settings = OpenEMRSettings(
        database_url=f"{URL}/openemr", sync_database_url=f"{URL}/neuronova", time_zone="-03:30"
    )
    assert settings.zone().utcoffset(None) == -datetime.timedelta(hours=3, minutes=30)
    with pytest.raises(ValidationError):
        OpenEMRSettings(database_url="x", sync_database_url="x", time_zone="Asia/Seoul")


def test_the_two_schemas_are_on_one_server() -> None:
    settings = OpenEMRSettings(
        database_url=f"{URL}/openemr", sync_database_url="mysql+pymysql://oesync:x@127.0.0.2:3307/neuronova"
    )
    with pytest.raises(SchemaError):
        OpenEMRDatabase(settings)
