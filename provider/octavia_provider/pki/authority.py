# SPDX-License-Identifier: Apache-2.0
"""The certificate authority: elliptic curve P-256 (FIPS 186-5), certificates after RFC 5280.

An agent's certificate is good for a server and names the amphora's id and address; a control plane's is good for a
client and carries ``octavia://controller/<control plane id>``. Neither can do the other's part, so an amphora that is
broken into cannot speak to the other agents. Both are renewed when two thirds of their life are over (``due``); none
outlives the authority's own, which is renewed by a rotation (``state``) a year before its end.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import ipaddress
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from octavia_provider.ports import Credential

from .state import AuthorityState, decode

SECRET = "certificate-authority"  # noqa: S105 - the name of the secret in the store
CA_LIFETIME = dt.timedelta(days=3650)
RENEWED_BEFORE = dt.timedelta(days=365)
LEAF_LIFETIME = dt.timedelta(days=30)
# Clocks of amphorae and control planes may differ: certificates are good from a little before they are made.
CLOCK_SKEW = dt.timedelta(hours=1)

Clock = Callable[[], dt.datetime]


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class CertificateAuthority:
    """An implementation of ``ports.Authority``; ``load`` makes it of the store's secret."""

    SECRET = SECRET

    def __init__(
        self,
        state: AuthorityState,
        control_plane_id: str,
        *,
        lifetime: dt.timedelta = LEAF_LIFETIME,
        clock: Clock = _now,
    ) -> None:
        self._control_plane_id = control_plane_id
        self._lifetime = lifetime
        self._clock = clock
        self._take(state)

    @classmethod
    def load(
        cls,
        secret: Callable[[str, Callable[[], bytes]], bytes],
        control_plane_id: str,
        *,
        lifetime: dt.timedelta = LEAF_LIFETIME,
        clock: Clock = _now,
    ) -> CertificateAuthority:
        """The authority whose key and certificate are kept by ``secret`` (``ports.Transaction.secret``), made on first use."""
        state = decode(secret(SECRET, lambda: _make(control_plane_id, clock())))
        return cls(state, control_plane_id, lifetime=lifetime, clock=clock)

    def follow(self, kept: bytes) -> bool:
        """Take in what is kept now: another control plane may have rotated it. True where that is something new."""
        state = decode(kept)
        if state == self.state:
            return False
        self._take(state)
        return True

    def _take(self, state: AuthorityState) -> None:
        key = serialization.load_pem_private_key(state.signing, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"the secret {SECRET} holds no elliptic curve key")
        self.state, self._key = state, key
        self._certificate = x509.load_pem_x509_certificate(state.signing)
        self._all = [x509.load_pem_x509_certificate(pair) for pair in state.pairs]

    @property
    def controller_name(self) -> str:
        """The URI name in the controllers' certificates."""
        return f"octavia://controller/{self._control_plane_id}"

    @property
    def certificate(self) -> bytes:
        """The authority's own certificate, PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def bundle(self) -> bytes:
        """The certificates of all authorities that are believed now, PEM."""
        return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in self._all)

    @property
    def issuer(self) -> str:
        """Which authority signs now: the first digits of its fingerprint."""
        return _fingerprint(self._certificate)

    @property
    def trusted(self) -> str:
        """Which are believed now."""
        return ",".join(sorted(map(_fingerprint, self._all)))

    @property
    def phase(self) -> str:
        """How far a rotation has come; empty where there is none."""
        return self.state.phase

    @property
    def phase_age(self) -> float:
        """Seconds since the phase began."""
        since = self.state.since
        return 0.0 if since is None else (self._clock() - since).total_seconds()

    @property
    def ending(self) -> bool:
        """Whether it is time for another one."""
        return not self.phase and self._certificate.not_valid_after_utc - self._clock() < RENEWED_BEFORE

    def begun(self) -> bytes:
        """What is to be kept so that a rotation begins."""
        return self.state.begin(lambda: _make(self._control_plane_id, self._clock()), self._clock()).encode()

    def advanced(self) -> bytes:
        """What is to be kept so that the next phase begins."""
        return self.state.advance(self._clock()).encode()

    @property
    def expires(self) -> str:
        """Until when the authority's own certificate is good (ISO 8601)."""
        return self._certificate.not_valid_after_utc.isoformat()

    def due(self, expires: str | None) -> bool:
        """Whether a certificate that expires then has to be renewed; one of which that is not known is."""
        if expires is None:
            return True
        end, now = dt.datetime.fromisoformat(expires), self._clock()
        # Near the authority's own end a new certificate would not be good for longer than the old one.
        return now >= end - self._lifetime / 3 and self._end(now) > end

    def issue_amphora(self, amphora_id: str, address: str) -> Credential:
        """For an agent. ``address`` is the IP address on which it listens."""
        names: list[x509.GeneralName] = [x509.DNSName(amphora_id), x509.IPAddress(ipaddress.ip_address(address))]
        return self._issue(f"amphora {amphora_id}", names, ExtendedKeyUsageOID.SERVER_AUTH)

    def issue_controller(self) -> Credential:
        """For a control plane."""
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(self.controller_name)]
        return self._issue("octavia controller", names, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _end(self, now: dt.datetime) -> dt.datetime:
        """A leaf must not be good for longer than the certificate that proves it."""
        return min(now + self._lifetime, self._certificate.not_valid_after_utc)

    def _issue(self, common_name: str, names: list[x509.GeneralName], usage: x509.ObjectIdentifier) -> Credential:
        key = ec.generate_private_key(ec.SECP256R1())
        now = self._clock()
        issuer = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            _builder(common_name, key, now, self._end(now))
            .issuer_name(self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        )
        certificate = builder.sign(self._key, hashes.SHA256())
        return Credential(
            certificate=certificate.public_bytes(serialization.Encoding.PEM),
            key=_pem(key),
            authority=self.bundle,
            expires=certificate.not_valid_after_utc.isoformat(),
        )


@functools.lru_cache(maxsize=16)  # each look at a load balancer asks
def _fingerprint(certificate: x509.Certificate) -> str:
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()[:16]


def _make(control_plane_id: str, now: dt.datetime) -> bytes:
    """A new key and its certificate, both PEM, one after the other."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(f"octavia {control_plane_id}", key, now, now + CA_LIFETIME)
    certificate = (
        builder.issuer_name(_name(f"octavia {control_plane_id}"))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pem(key) + certificate.public_bytes(serialization.Encoding.PEM)


def _builder(
    common_name: str, key: ec.EllipticCurvePrivateKey, now: dt.datetime, expires: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(expires)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
