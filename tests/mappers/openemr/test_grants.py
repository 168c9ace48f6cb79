"""The account of the synchronisation may do what the mapping needs, and starts with nothing more."""

import pytest

from mappers.openemr.database import OpenEMRDatabase
from mappers.openemr.errors import WideGrantsError
from mappers.openemr.settings import OpenEMRSettings
from mappers.openemr.tables import ALL, grants
from tests.mappers.openemr.conftest import Hospital
from tests.servers.stack import Stack

pytestmark = pytest.mark.server


def test_the_grants_are_exactly_the_columns_of_the_mapping(hospital: Hospital) -> None:
    rows = hospital.rows(
        "SELECT table_name, privilege_type, column_name FROM information_schema.column_privileges"
        " WHERE grantee = :grantee",
        grantee=f"'{hospital.account}'@'127.0.0.1'",
    )
    granted = {(row["table_name"], row["privilege_type"], row["column_name"]) for row in rows}
    wanted = {
        (mapped.name, privilege, name)
        for mapped in ALL
        for privilege, names in grants(mapped).items()
        for name in names
    }
    assert granted == wanted


@pytest.mark.parametrize(
    "wider",
    [
        "DELETE ON {db}.patient_data",
        "SELECT ON {db}.*",
        "UPDATE (pid) ON {db}.patient_data",
        "SELECT ON {db}.log",
        "DELETE ON {sync}.cross_reference",
        "PROCESS ON *.*",
    ],
)
def test_a_wider_account_is_refused(hospital: Hospital, wider: str) -> None:
    privilege = wider.format(db=hospital.name, sync=hospital.sync_name)
    hospital.root(hospital.name, "CREATE TABLE IF NOT EXISTS log (id int);")
    hospital.root("mysql", f"GRANT {privilege} TO '{hospital.account}'@'127.0.0.1';")
    try:
        with OpenEMRDatabase(hospital.settings) as database, pytest.raises(WideGrantsError):
            database.prepare()
    finally:
        hospital.grant()


def test_the_account_of_the_installation_is_narrow_enough(mariadb: Stack) -> None:
    variables = mariadb.variables("worker-openemr")
    settings = OpenEMRSettings(
        database_url=variables["OPENEMR_DATABASE_URL"],
        sync_database_url=variables["OPENEMR_SYNC_DATABASE_URL"],
        time_zone=variables["OPENEMR_TIME_ZONE"],
    )
    with OpenEMRDatabase(settings) as database:
        database.prepare()
