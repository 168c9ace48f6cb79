"""The routes that the facade mounts at /auth."""

from __future__ import annotations

from starlette.routing import Route

from smart_auth import (
    brands,
    introspection,
    launch,
    routes_account,
    routes_admin,
    routes_apps,
    routes_flow,
    routes_launch,
    routes_login,
    routes_oauth,
    routes_openid,
    routes_registration,
    routes_second,
)
from smart_auth.service import SMARTAuth
from smart_auth.web import Endpoint, endpoint

ROUTES: tuple[tuple[str, str, Endpoint], ...] = (
    ("GET", "/authorize", routes_oauth.authorize_),
    ("POST", "/authorize", routes_oauth.authorize_),
    ("GET", "/continue", routes_flow.continue_),
    ("GET", "/patient", routes_flow.patient_page),
    ("POST", "/patient", routes_flow.patient),
    ("GET", "/encounter", routes_flow.encounter_page),
    ("POST", "/encounter", routes_flow.encounter),
    ("GET", "/consent", routes_flow.consent_page),
    ("POST", "/consent", routes_flow.consent_),
    ("GET", "/launch", routes_launch.launch_page),
    ("POST", "/launch", routes_launch.launch_),
    ("GET", launch.STYLE_PATH.removeprefix("/auth"), routes_launch.style),
    ("GET", "/apps", routes_apps.apps_page),
    ("POST", "/apps", routes_apps.end_app),
    ("POST", "/token", routes_oauth.token),
    ("POST", "/revoke", routes_oauth.revoke),
    ("POST", "/introspect", introspection.introspect),
    ("GET", "/userinfo", routes_openid.userinfo),
    ("POST", "/userinfo", routes_openid.userinfo),
    ("GET", "/jwks", routes_oauth.jwks),
    ("GET", "/user-access-brands", brands.user_access_brands),
    ("GET", "/report-key", routes_oauth.report_key),
    ("GET", "/.well-known/openid-configuration", routes_oauth.openid_configuration),
    ("GET", "/login", routes_login.login_page),
    ("POST", "/login", routes_login.login),
    ("GET", "/login/code", routes_second.code_page),
    ("POST", "/login/code", routes_second.code),
    ("GET", "/login/enrol", routes_second.enrol_page),
    ("POST", "/login/enrol", routes_second.enrol),
    ("GET", "/logout", routes_login.logout_page),
    ("POST", "/logout", routes_login.logout),
    ("GET", "/me", routes_account.me),
    ("GET", "/account", routes_account.account_page),
    ("POST", "/account/sessions", routes_account.end_sessions),
    ("GET", "/account/password", routes_account.password_page),
    ("POST", "/account/password", routes_account.change_password),
    ("GET", "/account/second-factor", routes_account.second_factor_page),
    ("POST", "/account/second-factor", routes_account.change_second_factor),
    ("POST", "/ticket", routes_login.ticket),
    ("GET", "/setup", routes_login.setup_page),
    ("POST", "/setup", routes_login.setup),
    ("GET", "/invite/{code}", routes_login.invite_page),
    ("POST", "/invite/{code}", routes_login.invite),
    ("GET", "/admin/users", routes_admin.list_users),
    ("POST", "/admin/users", routes_admin.create_user),
    ("GET", "/admin/users/{user}", routes_admin.show_user),
    ("PATCH", "/admin/users/{user}", routes_admin.change_user),
    ("POST", "/admin/users/{user}/reset", routes_admin.reset_user),
    ("POST", "/admin/users/{user}/unlock", routes_admin.unlock_user),
    ("GET", "/admin/users/{user}/sessions", routes_admin.list_sessions),
    ("DELETE", "/admin/users/{user}/sessions", routes_admin.end_sessions),
    ("DELETE", "/admin/users/{user}/second-factor", routes_admin.reset_second_factor),
    ("POST", "/register", routes_registration.register),
    ("GET", "/admin/clients", routes_registration.list_clients),
    ("PATCH", "/admin/clients/{client}", routes_registration.change_client),
    ("DELETE", "/admin/clients/{client}", routes_registration.reject_client),
    ("POST", "/admin/clients/{client}/approve", routes_registration.approve_client),
)


def build(auth: SMARTAuth) -> list[Route]:
    """Starlette routes, without the `/auth` in front."""
    return [Route(path, endpoint(auth, handler), methods=[method]) for method, path, handler in ROUTES]
