from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from ophion_agent.providers import ProviderError, fetch_url


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = {"/a.yaml": b"a: 1\n", "/big": b"#" * (4 * 1024 * 1024 + 1)}.get(self.path)
        if self.path == "/to-file":
            self.send_response(302)
            self.send_header("Location", "file:///etc/hostname")
            self.end_headers()
            return
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        """Keep test output clean."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_fetches_text(site: str) -> None:
    assert fetch_url(f"{site}/a.yaml") == "a: 1\n"


@pytest.mark.parametrize(
    ("path", "message"),
    [("/none", "answered 404 Not Found"), ("/big", "is larger than 4 MiB"), ("/to-file", "answered 302 Found")],
)
def test_says_why_nothing_was_fetched(site: str, path: str, message: str) -> None:
    with pytest.raises(ProviderError, match=message):
        fetch_url(site + path)


@pytest.mark.parametrize("url", ["http:", "http:///x", "http://127.0.0.1:1/"])
def test_an_unreachable_url_is_one_phrase(url: str) -> None:
    with pytest.raises(ProviderError, match=r"cannot be fetched: ."):
        fetch_url(url)
