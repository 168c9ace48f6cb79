"""The flows once more with the tables on MariaDB: what was true on SQLite is true there."""

import pytest

from tests.smart_auth.test_consent_page import (  # noqa: F401
    test_a_code_dies_with_the_consent,
    test_a_refresh_never_brings_back_what_the_person_or_the_registration_took,
    test_the_answer_is_remembered_until_more_is_asked_or_consent_is_wanted_again,
)
from tests.smart_auth.test_refresh import (  # noqa: F401
    test_a_disabled_user_or_client_soon_has_no_rights,
    test_a_refresh_token_is_replaced_and_a_used_one_ends_the_family,
    test_online_access_ends_with_the_login,
    test_revoking_ends_an_access_token_or_the_whole_family,
)
from tests.smart_auth.test_routes_flow import (  # noqa: F401
    test_ending_an_apps_access_ends_tokens_and_the_remembered_answer,
)
from tests.smart_auth.test_routes_oauth import (  # noqa: F401
    test_a_code_is_good_once_and_its_second_use_ends_the_tokens,
    test_of_two_uses_at_the_same_time_none_keeps_a_token,
    test_the_code_flow_ends_with_a_token_for_the_person,
)
from tests.smart_auth.test_second_factor import (  # noqa: F401
    test_a_code_is_good_for_one_login,
    test_a_recovery_code_takes_the_place_of_the_phone_once,
    test_staff_without_a_second_factor_enrol_before_anything_else,
)

pytestmark = pytest.mark.server


@pytest.fixture
def database_url(mariadb_url: str) -> str:
    """MariaDB for every test of this module."""
    return mariadb_url
