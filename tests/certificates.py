"""Certificates for tests: an authority, a server and a client, as files that can be issued anew."""

from pathlib import Path
from typing import Any

import trustme

from ophion_agent.tls import TLSClientConfig, TLSServerConfig


class Certificates:
    """A certificate authority with a server's and a client's certificate in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.folder = folder
        self.authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.issue("server")
        self.issue("client")

    def issue(self, name: str) -> None:
        """Write a new certificate for localhost, in place of the one of that name."""
        issued = self.authority.issue_cert("localhost", "127.0.0.1")
        issued.private_key_pem.write_to_path(str(self.folder / f"{name}.key"))
        (self.folder / f"{name}.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))

    def path(self, name: str) -> str:
        """Return the path of a file such as ca.pem, server.pem or client.key."""
        return str(self.folder / name)

    def text(self, name: str) -> str:
        """Return the content of a file."""
        return (self.folder / name).read_text()

    def pair(self, name: str) -> dict[str, str]:
        """Return cert_file and key_file of one certificate."""
        return {"cert_file": self.path(f"{name}.pem"), "key_file": self.path(f"{name}.key")}

    def server(self, **more: Any) -> TLSServerConfig:
        """Return the TLS settings of a server."""
        return TLSServerConfig.model_validate({**self.pair("server"), **more})

    def client(self, **more: Any) -> TLSClientConfig:
        """Return the TLS settings of a client that trusts the authority."""
        return TLSClientConfig.model_validate({"ca_file": self.path("ca.pem"), **more})
