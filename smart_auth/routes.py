"""The routes that the facade mounts at /auth."""

from __future__ import annotations

from starlette.routing import Route

from smart_auth import routes_admin, routes_login, routes_oauth, routes_registration
from smart_auth.service import SMARTAuth
from smart_auth.web import Endpoint, endpoint

ROUTES: tuple[tuple[str, str, Endpoint], ...] = (
    ("GET", "/authorize", routes_oauth.authorize_),
    ("POST", "/authorize", routes_oauth.authorize_),
    ("GET", "/continue", routes_oauth.continue_),
    ("POST", "/token", routes_oauth.token),
    ("POST", "/revoke", routes_oauth.revoke),
    ("GET", "/jwks", routes_oauth.jwks),
    ("GET", "/report-key", routes_oauth.report_key),
    ("GET", "/.well-known/openid-configuration", routes_oauth.openid_configuration),
    ("GET", "/login", routes_login.login_page),
    ("POST", "/login", routes_login.login),
    ("GET", "/logout", routes_login.logout_page),
    ("POST", "/logout", routes_login.logout),
    ("GET", "/me", routes_login.me),
    ("POST", "/ticket", routes_login.ticket),
    ("GET", "/setup", routes_login.setup_page),
    ("POST", "/setup", routes_login.setup),
    ("GET", "/invite/{code}", routes_login.invite_page),
    ("POST", "/invite/{code}", routes_login.invite),
    ("GET", "/admin/users", routes_admin.list_users),
    ("POST", "/admin/users", routes_admin.create_user),
    ("PATCH", "/admin/users/{user}", routes_admin.change_user),
    ("POST", "/admin/users/{user}/reset", routes_admin.reset_user),
    ("POST", "/register", routes_registration.register),
    ("GET", "/admin/clients", routes_registration.list_clients),
    ("PATCH", "/admin/clients/{client}", routes_registration.change_client),
    ("DELETE", "/admin/clients/{client}", routes_registration.reject_client),
    ("POST", "/admin/clients/{client}/approve", routes_registration.approve_client),
)


def build(auth: SMARTAuth) -> list[Route]:
    """Starlette routes, without the `/auth` in front."""
    return [Route(path, endpoint(auth, handler), methods=[method]) for method, path, handler in ROUTES]
