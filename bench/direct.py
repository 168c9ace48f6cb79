"""nginx in front of HAPI and Orthanc without the product: what a hop would cost if it decided nothing.

The same nginx, the same upstream keep-alive and the same secrets as the product's internal locations, on a
loopback port of its own.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench.installation import Installation
from demo.run import require, wait_for

CONFIGURATION = """\
daemon off;
pid {folder}/nginx.pid;
worker_processes auto;
error_log {folder}/error.log crit;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 10000;
  proxy_buffer_size 16k;
  proxy_buffers 32 32k;
  proxy_busy_buffers_size 256k;
  proxy_max_temp_file_size 0;
  proxy_http_version 1.1;
  upstream hapi {{ server 127.0.0.1:{hapi}; keepalive 32; }}
  upstream orthanc {{ server 127.0.0.1:{orthanc}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{port};
    location /fhir/ {{
      proxy_pass http://hapi/fhir/;
      proxy_set_header Connection "";
      proxy_set_header X-NeuroNova-Secret "{secret}";
    }}
    location /dicom-web/ {{
      proxy_pass http://orthanc/dicom-web/;
      proxy_set_header Connection "";
      proxy_set_header Authorization "Basic {basic}";
    }}
    location /instances/ {{
      proxy_pass http://orthanc/instances/;
      proxy_set_header Connection "";
      proxy_set_header Authorization "Basic {basic}";
    }}
  }}
}}
"""


@contextmanager
def direct(product: Installation) -> Iterator[str]:
    """Its address, while it runs."""
    folder = product.settings.var / "direct"
    folder.mkdir(mode=0o700, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    user = f"nginx:{product.secrets['orthanc-nginx']}"
    text = CONFIGURATION.format(
        folder=folder,
        port=port,
        hapi=product.settings.hapi_port,
        orthanc=product.settings.orthanc_port,
        secret=product.secrets["hapi-nginx"],
        basic=base64.b64encode(user.encode()).decode(),
    )
    path = folder / "nginx.conf"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    require(nginx is not None, "nginx is not installed")
    command = [str(nginx), "-p", str(folder), "-c", str(path), "-e", str(folder / "error.log")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        base = f"http://127.0.0.1:{port}"
        wait_for("the bench's nginx", lambda: _answers(f"{base}/fhir/metadata", folder, process), 15)
        yield base
    finally:
        process.terminate()
        process.wait(10)


def _answers(url: str, folder: Path, process: subprocess.Popen[bytes]) -> bool | None:
    require(process.poll() is None, f"nginx ended: see {folder}/error.log")
    try:
        return httpx.get(url, timeout=10).status_code < 500 or None
    except httpx.TransportError:
        return None
