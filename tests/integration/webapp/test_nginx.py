"""Behind Debian's nginx, as people run it: plain, below a path, with TLS."""

import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import urllib3

from local.processes.child import Child
from local.processes.ports import free_port

from .conftest import Web, photo

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (apt install nginx)")

CONFIG = """
daemon off; error_log stderr; pid {folder}/nginx.pid; worker_processes 1;
events {{ worker_connections 256; }}
http {{
  access_log off; client_max_body_size 300m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{plain};
    listen 127.0.0.1:{tls} ssl;
    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_request_buffering off;
    location / {{ proxy_pass http://127.0.0.1:{web}; }}
    location /face/ {{
      # A location with headers of its own inherits none.
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Prefix /face;
      proxy_pass http://127.0.0.1:{web}/;
    }}
  }}
}}
"""
Nginx = Callable[[Web], tuple[int, int]]


@pytest.fixture
def nginx(tmp_path: Path, spawn: Callable[..., Child], eventually: Callable[..., None]) -> Nginx:
    """``nginx(web)``: its plain and its TLS port."""

    def start(web: Web) -> tuple[int, int]:
        plain, tls = free_port(), free_port()
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
             "/CN=localhost", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        config = tmp_path / "nginx.conf"
        config.write_text(CONFIG.format(folder=tmp_path, plain=plain, tls=tls, web=web.port))
        assert NGINX is not None
        spawn([NGINX, "-c", str(config), "-e", "stderr"], log="nginx")
        eventually(lambda: _answers(f"http://127.0.0.1:{plain}/healthz"), within=20)
        return plain, tls

    return start


def _answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, timeout=2, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def test_forwarded_requests_are_refused_in_open_mode(
    start_web: Callable[..., Web], nginx: Nginx
) -> None:
    """The whole internet must not come in because the proxy sits on the same machine."""
    web = start_web()
    plain, _ = nginx(web)
    answer = urllib3.request("GET", f"http://127.0.0.1:{plain}/people", retries=False)
    assert answer.status == 403
    assert b"FACEREC_TRUSTED_PROXIES" in answer.data
    assert web.request("GET", "/people").status == 200


def test_trusted_proxy_needs_keys_and_gives_the_client_address(
    start_web: Callable[..., Web],
    nginx: Nginx,
    tmp_path: Path,
    eventually: Callable[..., None],
) -> None:
    web = start_web(
        FACEREC_TRUSTED_PROXIES="127.0.0.0/8", FACEREC_RATE_LIMIT="0.01", FACEREC_RATE_BURST="45"
    )
    plain, _ = nginx(web)
    base = f"http://127.0.0.1:{plain}"
    assert urllib3.request("GET", f"{base}/people", retries=False).status == 401
    for path in ("/metrics", "/internal/in-flight", "/status/events"):
        assert urllib3.request("GET", base + path, retries=False).status == 401
    # Guessing keys uses up the guesser's bucket, nobody else's, and never that of health checks.
    attacker = {"X-Forwarded-For": "203.0.113.9", "X-API-Key": "fr_0_0"}
    # nginx appends its peer; the attacker's own header is a forgery and is not believed.
    statuses = [
        urllib3.request("GET", f"{base}/people", headers=attacker, retries=False).status
        for _ in range(6)
    ]
    assert statuses[-1] == 429
    assert urllib3.request("GET", f"{base}/healthz", retries=False).status == 200
    log = next(tmp_path.glob("web-*.log")).read_text()
    assert "client=203.0.113.9" in log, "the address is the one before the trusted hops"


def test_prefix_and_tls(
    start_web: Callable[..., Web], start_worker: Callable[..., Child], nginx: Nginx
) -> None:
    web = start_web(FACEREC_TRUSTED_PROXIES="127.0.0.1", FACEREC_ACCESS="open")
    start_worker()
    plain, tls = nginx(web)
    insecure = urllib3.PoolManager(cert_reqs=ssl.CERT_NONE, assert_hostname=False, retries=False)
    urllib3.disable_warnings()
    for base in (f"http://127.0.0.1:{plain}/face", f"https://localhost:{tls}/face"):
        page = insecure.request("GET", f"{base}/").data.decode()
        links = re.findall(r'(?:src|href)="([^"#][^"]*)"', page)
        assert links
        for link in links:
            if "://" not in link:
                assert insecure.request("GET", f"{base}/{link}").status == 200, link
        fields = {"inputFile": ("test_00.jpg", photo(name="Paul"))}
        same = {"Origin": base.removesuffix("/face"), "Sec-Fetch-Site": "same-origin"}
        answer = insecure.request("POST", f"{base}/", fields=fields, headers=same)
        assert answer.data == b"test_00:Paul"
        later = insecure.request("POST", f"{base}/?wait=0", fields=fields)
        assert later.headers["location"].startswith("/face/results/")
        result = f"{base.removesuffix('/face')}{later.headers['location']}"
        for _ in range(100):
            found = insecure.request("GET", result)
            if found.status == 200:
                break
            time.sleep(0.1)
        assert found.data == b"test_00:Paul"
    insecure.clear()


def test_host_and_origin_of_a_trusted_proxy(start_web: Callable[..., Web], nginx: Nginx) -> None:
    web = start_web(
        FACEREC_TRUSTED_PROXIES="127.0.0.1",
        FACEREC_ACCESS="open",
        FACEREC_PUBLIC_HOSTS="faces.example.com",
    )
    plain, _ = nginx(web)

    def status(host: str, origin: str | None = None) -> int:
        headers = {"Host": host} | ({"Origin": origin} if origin else {})
        url = f"http://127.0.0.1:{plain}/people"
        return urllib3.request("GET", url, headers=headers, retries=False).status

    assert status("faces.example.com") == 200
    assert status("rebind.example.org") == 421
    assert status("faces.example.com", "https://faces.example.com") == 200
    assert status("faces.example.com", "https://evil.example.org") == 403
    assert status("faces.example.com", "null") == 403
