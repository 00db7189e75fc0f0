# SPDX-License-Identifier: Apache-2.0
"""Sign in with Keystone: tokens, and the address of the load balancing service in its catalogue.

What to sign in with is read as every client of OpenStack reads it, by openstacksdk's configuration: the provider's own options,
then ``clouds.yaml`` and ``secure.yaml``, then ``OS_*``. It is imported when a login is needed (a second), not before.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from octavia_provider.model.errors import (
    Forbidden,
    Invalid,
    NotFound,
    OctaviaError,
    PermanentError,
    Unauthenticated,
    Unreachable,
    Violation,
)

if TYPE_CHECKING:
    import ssl

SERVICE = "load-balancer"
SUBJECT = "Keystone"
TIMEOUT = 30
"""Seconds for an answer of Keystone."""
CREDENTIALS: Mapping[str, str] = {
    "authUrl": "auth_url", "userName": "username", "userId": "user_id", "password": "password", "token": "token",
    "tenantName": "project_name", "tenantId": "project_id", "userDomainName": "user_domain_name",
    "userDomainId": "user_domain_id", "projectDomainName": "project_domain_name", "projectDomainId": "project_domain_id",
    "applicationCredentialId": "application_credential_id", "applicationCredentialName": "application_credential_name",
    "applicationCredentialSecret": "application_credential_secret",
}  # fmt: skip
"""Options of the provider (their names are those of pulumi-openstack) by what openstacksdk calls them in ``auth``."""
PLACES: Mapping[str, str] = {
    "cloud": "cloud", "region": "region_name", "endpointType": "interface", "cacertFile": "cacert", "cert": "cert", "key": "key",
}  # fmt: skip
"""The same of what stands beside ``auth``."""
INSECURE = "insecure"
OPTIONS = (*CREDENTIALS, *PLACES, INSECURE)


def named(options: Mapping[str, Any]) -> bool:
    """Whether the options, or the environment, say with what to sign in."""
    return bool(
        options.get("cloud") or options.get("authUrl") or os.environ.get("OS_CLOUD") or os.environ.get("OS_AUTH_URL")
    )


def prepare() -> None:
    """Import in a thread what a login needs: an engine waits for its program meanwhile."""

    def load() -> None:
        with contextlib.suppress(Exception), _library():  # what is wrong is said where it is needed
            pass

    threading.Thread(target=load, daemon=True).start()


def login(options: Mapping[str, Any]) -> Login:
    """A login by the provider's options; what they leave open is in clouds.yaml and the environment. No call is made yet."""
    return Login({name: value for name, value in options.items() if name in OPTIONS and value not in (None, "")})


class Login:
    """One user in one project and region. Safe to use from many threads; a token is kept until shortly before it expires."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._made: tuple[Any, Any] | None = None

    @property
    def source(self) -> str:
        """Where the credentials come from, for people."""
        options = ", ".join(self._options)
        cloud = self._options.get("cloud") or os.environ.get("OS_CLOUD")
        if cloud:
            said = f"cloud {cloud!r} of clouds.yaml"
            return f"{said}, and the provider's {options}" if options not in ("", "cloud") else said
        return f"the provider's {options}" if "authUrl" in self._options else "the environment (OS_*)"

    def headers(self) -> dict[str, str]:
        """For a request: the token."""
        token = self.token()
        return {"X-Auth-Token": token} if token else {}

    def token(self) -> str:
        """A token that is valid for some time; "" where the cloud asks for none (``auth_type: none``)."""
        access = self._access()
        return str(access.auth_token) if access is not None else ""

    def renew(self) -> None:
        """The token was refused: the next one is a new one."""
        with self._lock:
            if self._made is not None:
                session = self._made[1]
                session.invalidate()

    @property
    def endpoint(self) -> str:
        """The URL of the service, without a version: its override in clouds.yaml, else the catalogue's."""
        region, _ = self._session()
        with _library(), _told(self.source):
            url = region.get_endpoint(SERVICE)
            if not url:
                access = self._access()
                catalogue = access.service_catalog if access is not None else None
                url = catalogue and catalogue.url_for(
                    service_type=SERVICE, interface=region.get_interface(SERVICE) or "public",
                    region_name=region.get_region_name(SERVICE),
                )  # fmt: skip
        if not url:
            raise NotFound(
                f"the catalogue has no service of type {SERVICE}.", subject=SUBJECT, hint="give the provider's endpoint"
            )
        return without_version(str(url))

    @property
    def project_id(self) -> str:
        """The project that the token is for."""
        access = self._access()
        return str(access.project_id or "") if access is not None else ""

    @property
    def service_id(self) -> str:
        """What says which cloud and region it is, whatever its URL: the id of the service in the catalogue, and the region."""
        access = self._access()
        region, _ = self._session()
        entries = access.service_catalog.catalog if access is not None else ()
        found: Mapping[str, Any] = next((one for one in entries if one.get("type") == SERVICE), {})
        place = region.get_region_name(SERVICE) or ""
        return f"{found.get('id') or self.endpoint}{f' {place}' if place else ''}"

    @property
    def tls(self) -> bool | ssl.SSLContext:
        """How the service's certificate is verified: ``verify`` of an HTTP client."""
        region, _ = self._session()
        verify, cert = region.get_requests_verify_args()
        if not cert and not isinstance(verify, str):
            return bool(verify)
        import ssl

        context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
        if verify is False:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if cert:
            context.load_cert_chain(*cert) if isinstance(cert, (tuple, list)) else context.load_cert_chain(cert)
        return context

    def _access(self) -> Any:
        """keystoneauth's AccessInfo: fetched anew shortly before it expires."""
        _, session = self._session()
        with self._lock, _told(self.source):
            get = getattr(session.auth, "get_access", None)
            return get(session) if get is not None else None

    def _session(self) -> tuple[Any, Any]:
        with self._lock:
            if self._made is None:
                with _library(), _told(self.source):
                    region = self._region()
                    self._made = region, region.get_session()
            return self._made

    def _region(self) -> Any:
        from openstack.config import OpenStackConfig

        auth = {theirs: self._options[ours] for ours, theirs in CREDENTIALS.items() if ours in self._options}
        more = {theirs: self._options[ours] for ours, theirs in PLACES.items() if ours in self._options}
        if any(name.startswith("application_credential") for name in auth):
            more["auth_type"] = "v3applicationcredential"
        elif "token" in auth:
            more["auth_type"] = "v3token"
        if INSECURE in self._options:
            more["verify"] = not is_true(self._options[INSECURE])
        own = "authUrl" in self._options and "cloud" not in self._options and not os.environ.get("OS_CLOUD")
        return OpenStackConfig(load_yaml_config=not own).get_one(auth=auth, api_timeout=TIMEOUT, **more)


def is_true(value: Any) -> bool:
    """A boolean, or the word for one: the engine gives the configuration of a stack as text."""
    return value is True or str(value).lower() in ("true", "1", "yes")


def without_version(url: str) -> str:
    """``http://host:9876/v2.0/`` → ``http://host:9876``: paths have the version."""
    head, _, last = url.rstrip("/").rpartition("/")
    return head if last in ("v2", "v2.0") else url.rstrip("/")


@contextmanager
def _library() -> Iterator[None]:
    try:
        importlib.import_module("openstack.config")
    except ImportError:
        raise PermanentError(
            "signing in needs openstacksdk, which is not installed beside the plugin.", subject=SUBJECT,
            hint="PREFIX/lib/octavia/bin/pip install --require-hashes -r requirements/openstack.txt",
        ) from None  # fmt: skip
    yield


@contextmanager
def _told(source: str) -> Iterator[None]:
    """Errors of the library in ours; ``source``: where the credentials are from."""
    from keystoneauth1 import exceptions as theirs
    from openstack.exceptions import ConfigException

    words: OctaviaError
    try:
        yield
    except (theirs.Unauthorized, theirs.AuthorizationFailure) as error:
        words = Unauthenticated(f"refuses to sign in ({error}).", subject=SUBJECT, hint=f"look at {source}")
    except theirs.Forbidden as error:
        words = Forbidden(str(error), subject=SUBJECT, hint=f"look at {source}")
    except (theirs.ConnectionError, theirs.RetriableConnectionFailure) as error:
        words = Unreachable(f"does not answer ({error}).", subject=SUBJECT, hint=f"look at the auth_url of {source}")
    except theirs.EndpointNotFound as error:
        words = NotFound(str(error), subject=SUBJECT, hint="openstack catalog list; or give the provider's endpoint")
    except (ConfigException, theirs.ClientException) as error:
        words = Invalid([Violation((), f"{error} (from {source})")], subject="login")
    else:
        return
    raise words from None
