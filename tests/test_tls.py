import asyncio
import ssl
from pathlib import Path

import pytest
import trustme
from pydantic import ValidationError

from certificates import Certificates
from ophion_agent.tls import (
    Reloading,
    TLSClientConfig,
    TLSError,
    TLSServerConfig,
    client_context,
    grpc_channel_credentials,
    peer_certificate,
    server_context,
)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


async def serial_seen(server: ssl.SSLContext, client: ssl.SSLContext) -> str:
    """Shake hands over loopback and return the serial number of the server's certificate."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await writer.drain()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0, ssl=server) as listening:
        port = listening.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("localhost", port, ssl=client)
        try:
            # In TLS 1.3 a refused client certificate shows at the first read.
            assert await reader.readexactly(5) == b"hello"
            certificate = writer.get_extra_info("peercert")
            return str(certificate.get("serialNumber", ""))
        finally:
            writer.close()


async def test_client_trusts_the_given_authority(certificates: Certificates) -> None:
    assert await serial_seen(server_context(certificates.server()), client_context(certificates.client()))


async def test_client_refuses_other_authorities(certificates: Certificates, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    stranger = client_context(TLSClientConfig(ca_file=str(tmp_path / "other.pem")))
    with pytest.raises(ssl.SSLCertVerificationError):
        await serial_seen(server_context(certificates.server()), stranger)


async def test_skipping_verification_takes_any_certificate(certificates: Certificates) -> None:
    careless = client_context(TLSClientConfig(insecure_skip_verify=True))
    await serial_seen(server_context(certificates.server()), careless)


async def test_mutual_tls_asks_for_the_clients_certificate(certificates: Certificates) -> None:
    server = server_context(certificates.server(client_ca_file=certificates.path("ca.pem")))
    known = certificates.client(cert_file=certificates.path("client.pem"), key_file=certificates.path("client.key"))
    assert await serial_seen(server, client_context(known))
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await serial_seen(server, client_context(certificates.client()))


async def test_takes_certificates_inline(certificates: Certificates) -> None:
    folder = certificates.folder
    config = TLSServerConfig(
        cert_pem=(folder / "server.pem").read_text(),
        key_pem=(folder / "server.key").read_text(),  # type: ignore[arg-type]
    )
    client = TLSClientConfig(ca_pem=(folder / "ca.pem").read_text())
    assert await serial_seen(server_context(config), client_context(client))
    assert "PRIVATE" not in repr(config)


async def test_server_takes_up_a_renewed_certificate(certificates: Certificates) -> None:
    now = 0.0
    server = server_context(certificates.server(reload_interval="60s"), lambda: now)
    client = client_context(certificates.client())
    first = await serial_seen(server, client)
    certificates.issue("server")
    now = 59.0
    assert await serial_seen(server, client) == first
    now = 60.0
    assert await serial_seen(server, client) != first


async def test_server_takes_up_a_renewed_client_authority(certificates: Certificates, tmp_path: Path) -> None:
    now = 0.0
    trusted = tmp_path / "clients.pem"
    trusted.write_bytes(trustme.CA().cert_pem.bytes())
    server = server_context(certificates.server(client_ca_file=str(trusted), reload_interval="1s"), lambda: now)
    client = certificates.client(cert_file=certificates.path("client.pem"), key_file=certificates.path("client.key"))
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await serial_seen(server, client_context(client))
    trusted.write_bytes(certificates.authority.cert_pem.bytes())
    now = 1.0
    assert await serial_seen(server, client_context(client))


def test_keeps_the_old_certificate_when_the_new_one_is_damaged(certificates: Certificates) -> None:
    now = 0.0
    reports: list[str] = []
    reloading = Reloading(
        certificates.server(reload_interval="1s"), lambda material: material, lambda: now, reports.append
    )
    old = reloading.current
    Path(certificates.path("server.pem")).unlink()
    now = 1.0
    assert reloading.renewed() is None
    assert reloading.current is old
    assert "tls.cert_file: cannot read" in reports[0]


def test_never_looks_again_when_the_interval_is_zero(certificates: Certificates) -> None:
    now = 0.0
    reloading = Reloading(certificates.server(reload_interval="0s"), lambda material: material, lambda: now)
    certificates.issue("server")
    now = 1e9
    assert reloading.renewed() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cert_file": "a"}, "a certificate needs its key and a key its certificate"),
        ({"key_file": "a"}, "a certificate needs its key and a key its certificate"),
        ({"ca_file": "a", "ca_pem": "b"}, "either `ca_file` or `ca_pem`, not both"),
        ({"min_version": "1.4"}, "Input should be '1.0', '1.1', '1.2' or '1.3'"),
    ],
)
def test_refuses_contradictions(options: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TLSClientConfig.model_validate(options)


def test_a_server_needs_a_certificate() -> None:
    with pytest.raises(ValidationError, match="a TLS server needs a certificate; give `cert_file` and `key_file`"):
        TLSServerConfig.model_validate({})


def test_errors_name_the_file_and_the_remedy(certificates: Certificates, tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    missing = str(tmp_path / "missing.pem")
    with pytest.raises(TLSError, match=r"tls.ca_file: cannot read .*missing.pem: No such file .*; check the path"):
        client_context(TLSClientConfig(ca_file=missing))
    with pytest.raises(TLSError, match=r"tls.ca_file: .*junk.pem holds no PEM certificate .*; check the file"):
        client_context(TLSClientConfig(ca_file=str(junk)))
    with pytest.raises(TLSError, match=r"tls.cert_file: .*junk.pem with .*server.key is not a PEM certificate"):
        server_context(TLSServerConfig(cert_file=str(junk), key_file=certificates.path("server.key")))


def test_takes_cipher_suites_by_their_iana_names(certificates: Certificates) -> None:
    suites = ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"]
    context = server_context(certificates.server(cipher_suites=suites, max_version="1.2"))
    names = {cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"}
    assert names == {"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"}
    assert context.maximum_version is ssl.TLSVersion.TLSv1_2
    with pytest.raises(TLSError, match=r"tls.cipher_suites: none of"):
        server_context(certificates.server(cipher_suites=["TLS_NONE_WITH_NULL"]))


def test_grpc_refuses_versions_it_cannot_hold(certificates: Certificates) -> None:
    config = certificates.client(cipher_suites=["TLS_RSA_WITH_AES_128_CBC_SHA"])
    with pytest.raises(TLSError, match=r"gRPC speaks TLS 1.2 and 1.3 with its own cipher suites; remove min_version"):
        grpc_channel_credentials(config, config.read())


async def test_fetches_the_certificate_that_a_server_presents(certificates: Certificates) -> None:
    async def ignore(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    context = server_context(certificates.server())
    async with await asyncio.start_server(ignore, "127.0.0.1", 0, ssl=context) as listening:
        port = listening.sockets[0].getsockname()[1]
        pem, name = await asyncio.to_thread(peer_certificate, f"127.0.0.1:{port}")
    assert ssl.PEM_cert_to_DER_cert(pem.decode()) == ssl.PEM_cert_to_DER_cert(certificates.text("server.pem"))
    assert name == "localhost"
