"""TLS from otelcol's keys: models for servers and clients, and the contexts that aiohttp and gRPC take.

Certificates, keys and CA files are read again at a handshake `reload_interval` after the last look, so a renewed
certificate comes into use without a restart. If it cannot be read, the old one stays in use and that is reported.
"""

from __future__ import annotations

import os
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, NamedTuple, Self, TypeVar

from pydantic import Field, model_validator

from ophion_agent.component import Config
from ophion_agent.errors import OphionError
from ophion_agent.fields import Duration, Secret, parse_endpoint

if TYPE_CHECKING:
    import grpc

Version = Literal["1.0", "1.1", "1.2", "1.3"]
T = TypeVar("T")


class TLSError(OphionError):
    """The TLS settings cannot be used; the message names the key, the file and what to do."""


_VERSIONS: Final = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
_SYSTEM_BUNDLES: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


class Material(NamedTuple):
    """What the files and inline values hold at one moment, PEM-encoded."""

    ca: bytes | None
    cert: bytes | None
    key: bytes | None


class TLSConfig(Config):
    """The keys that servers and clients share."""

    ca_file: str = Field("", description="PEM file of the authorities that the peer's certificate must come from.")
    ca_pem: str = Field("", description="The same as `ca_file`, inline.")
    include_system_ca_certs_pool: bool = Field(
        False, description="Trust the system's authorities beside the given ones."
    )
    cert_file: str = Field("", description="PEM file of the certificate to present, with its chain.")
    cert_pem: str = Field("", description="The same as `cert_file`, inline.")
    key_file: str = Field("", description="PEM file of the certificate's private key, not encrypted.")
    key_pem: Secret | None = Field(None, description="The same as `key_file`, inline.")
    min_version: Version = Field("1.2", description="Lowest TLS version spoken.")
    max_version: Version | Literal[""] = Field("", description="Highest TLS version spoken; empty for the newest.")
    cipher_suites: list[str] = Field(
        [], description="Suites for TLS up to 1.2, by IANA names; empty for safe defaults."
    )
    curve_preferences: list[str] = Field([], description="Accepted for compatibility; the TLS library's order is used.")
    reload_interval: Duration = Field(60.0, description="How often renewed files are looked for; 0 never.")

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if bool(self.cert_file or self.cert_pem) != bool(self.key_file or self.key_pem):
            raise ValueError(
                "a certificate needs its key and a key its certificate; give both `cert_file` and `key_file`"
            )
        for name, inline in (("ca", self.ca_pem), ("cert", self.cert_pem), ("key", self.key_pem)):
            if inline and getattr(self, f"{name}_file"):
                raise ValueError(f"give either `{name}_file` or `{name}_pem`, not both")
        return self

    def read(self) -> Material:
        """Return the certificates and the key as they are now; raises TLSError naming the file that cannot be read."""
        key = self.key_pem.get_secret_value() if self.key_pem else ""
        return Material(
            ca=_pem(self._ca_path(), self.ca_pem, self._ca_key()),
            cert=_pem(self.cert_file, self.cert_pem, "cert_file"),
            key=_pem(self.key_file, key, "key_file"),
        )

    def _ca_path(self) -> str:
        return self.ca_file

    def _ca_key(self) -> str:
        return "ca_file"


class TLSServerConfig(TLSConfig):
    """otelcol's `tls` block of a server; a `client_ca_file` makes it mutual TLS."""

    client_ca_file: str = Field(
        "", description="PEM file of the authorities that clients' certificates must come from (mTLS)."
    )
    client_ca_file_reload: bool = Field(False, description="Accepted for compatibility: the file is always read again.")

    @model_validator(mode="after")
    def _certificate(self) -> Self:
        if not (self.cert_file or self.cert_pem):
            raise ValueError("a TLS server needs a certificate; give `cert_file` and `key_file`, or remove `tls`")
        return self

    def _ca_path(self) -> str:
        return self.client_ca_file

    def _ca_key(self) -> str:
        return "client_ca_file"


class TLSClientConfig(TLSConfig):
    """otelcol's `tls` block of a client."""

    insecure: bool = Field(False, description="Speak plain text, without TLS.")
    insecure_skip_verify: bool = Field(False, description="Do not verify the server's certificate. For tests only.")
    server_name_override: str = Field(
        "", description="Name that the server's certificate must carry instead of the host."
    )


class Reloading(Generic[T]):
    """What `build` makes of the configured files, made anew when their content changed."""

    def __init__(
        self,
        config: TLSConfig,
        build: Callable[[Material], T],
        monotonic: Callable[[], float] = time.monotonic,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._config = config
        self._build = build
        self._monotonic = monotonic
        self._report = report
        self._material = config.read()
        self._looked_at = monotonic()
        self.current = build(self._material)

    def renewed(self) -> T | None:
        """Return the new value when the files changed since the last look, else None; never raises."""
        interval = self._config.reload_interval
        now = self._monotonic()
        if not interval or now - self._looked_at < interval:
            return None
        self._looked_at = now
        try:
            material = self._config.read()
            if material == self._material:
                return None
            self.current = self._build(material)
        except TLSError as exc:
            self._report(f"the renewed certificate is not usable, the old one stays: {exc}")
            return None
        self._material = material
        return self.current


def server_context(
    config: TLSServerConfig,
    monotonic: Callable[[], float] = time.monotonic,
    report: Callable[[str], None] = lambda _: None,
    protocols: Sequence[str] = (),
) -> ssl.SSLContext:
    """Return the context for an asyncio server, which takes up renewed files by itself. Raises TLSError.

    `protocols` are offered by ALPN, such as ["h2"].
    """

    def build(material: Material) -> ssl.SSLContext:
        context = _server_context(config, material)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context

    reloading = Reloading(config, build, monotonic, report)

    def take_current(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        # OpenSSL calls this at every ClientHello, with or without a server name.
        reloading.renewed()
        connection.context = reloading.current

    front = build(config.read())
    front.sni_callback = take_current
    return front


def client_context(config: TLSClientConfig) -> ssl.SSLContext:
    """Return the context for an aiohttp client. Raises TLSError."""
    return client_context_of(config, config.read())


def client_context_of(config: TLSClientConfig, material: Material) -> ssl.SSLContext:
    """Return the client context made of `material`; for use with `Reloading`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _limit(context, config)
    if material.ca is None or config.include_system_ca_certs_pool:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if material.ca is not None:
        _trust(context, material.ca, config.ca_file or "ca_pem")
    if config.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if material.cert is not None:
        _present(context, config, material)
    return context


def grpc_channel_credentials(config: TLSClientConfig, material: Material) -> grpc.ChannelCredentials:
    """Return credentials for a gRPC channel made of `material`. Raises TLSError."""
    import grpc

    _refuse_for_grpc(config)
    client_context_of(config, material)
    roots = material.ca
    if roots is None or config.include_system_ca_certs_pool:
        roots = b"\n".join(part for part in (roots, _system_roots()) if part) or None
    return grpc.ssl_channel_credentials(roots, material.key, material.cert)


def peer_certificate(address: str, timeout_seconds: float = 5.0) -> tuple[bytes, str]:
    """Return the certificate (PEM) that a server presents, unverified, and a name it is valid for ("" without one).

    `address` is host:port. Blocks; raises OSError when there is no TLS server.
    """
    endpoint = parse_endpoint(address)
    place = (endpoint.host, endpoint.port or 443)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(place, timeout_seconds) as raw, context.wrap_socket(raw) as connection:
        pem = ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"")
    # Only a verifying connection gives the names; this one trusts the certificate just seen.
    context.load_verify_locations(cadata=pem)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_connection(place, timeout_seconds) as raw, context.wrap_socket(raw) as connection:
        names: Any = (connection.getpeercert() or {}).get("subjectAltName", ())
    return pem.encode(), next((str(name) for _, name in names), "")


def _refuse_for_grpc(config: TLSConfig) -> None:
    if config.min_version == "1.3" or config.max_version not in ("", "1.3") or config.cipher_suites:
        raise _problem(
            "min_version",
            "gRPC speaks TLS 1.2 and 1.3 with its own cipher suites; remove min_version, max_version and cipher_suites",
        )


def _server_context(config: TLSServerConfig, material: Material) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _limit(context, config)
    _present(context, config, material)
    if material.ca is not None:
        _trust(context, material.ca, config.client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _limit(context: ssl.SSLContext, config: TLSConfig) -> None:
    context.minimum_version = _VERSIONS[config.min_version]
    if config.max_version:
        context.maximum_version = _VERSIONS[config.max_version]
    if config.cipher_suites:
        names = [_openssl_name(suite) for suite in config.cipher_suites]
        try:
            context.set_ciphers(":".join(names))
        except ssl.SSLError as exc:
            raise _problem(
                "cipher_suites", f"none of {config.cipher_suites} is known; use IANA names or leave it empty"
            ) from exc


def _openssl_name(suite: str) -> str:
    """Return OpenSSL's name: TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 -> ECDHE-RSA-AES128-GCM-SHA256."""
    exchange, _, cipher = suite.removeprefix("TLS_").partition("_WITH_")
    cipher = (
        cipher.replace("AES_", "AES").replace("CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305").replace("_CBC_", "_")
    )
    return (cipher if exchange == "RSA" else f"{exchange}-{cipher}").replace("_", "-")


def _present(context: ssl.SSLContext, config: TLSConfig, material: Material) -> None:
    """Load certificate and key; OpenSSL takes them from files only, so inline ones pass through a private file."""
    with tempfile.NamedTemporaryFile(prefix="ophion-tls-") as both:
        both.write((material.cert or b"") + b"\n" + (material.key or b""))
        both.flush()
        try:
            # The callback answers the passphrase prompt, which would otherwise wait at the terminal.
            context.load_cert_chain(both.name, password=lambda: "")
        except (ssl.SSLError, ValueError) as exc:
            where = f"{config.cert_file or 'cert_pem'} with {config.key_file or 'key_pem'}"
            raise _problem(
                "cert_file",
                f"{where} is not a PEM certificate with its unencrypted key ({_reason(exc)}); check both files",
            ) from exc


def _trust(context: ssl.SSLContext, ca: bytes, source: str) -> None:
    try:
        context.load_verify_locations(cadata=ca.decode("ascii", "replace"))
    except ssl.SSLError as exc:
        raise _problem("ca_file", f"{source} holds no PEM certificate ({_reason(exc)}); check the file") from exc


def _pem(path: str, inline: str, key: str) -> bytes | None:
    if not path:
        return inline.encode() or None
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise _problem(
            key, f"cannot read {path}: {os.strerror(exc.errno or 0)}; check the path and its permissions"
        ) from exc


def _system_roots() -> bytes | None:
    """Return the system's authorities; None makes gRPC use the list it ships."""
    for path in (ssl.get_default_verify_paths().cafile, *_SYSTEM_BUNDLES):
        if path and os.path.isfile(path):
            return Path(path).read_bytes()
    return None


def _reason(exc: Exception) -> str:
    return getattr(exc, "reason", None) or str(exc)


def _problem(key: str, message: str) -> TLSError:
    return TLSError(f"tls.{key}: {message}")
