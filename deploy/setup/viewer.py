"""Fetches the OHIF viewer, checks it against its pinned hash and rewrites it for /pacs-viewer/.

The published build is made for the root of a host; what must change was found by running it (OHIF 3.13.2):
the script loader's base in eight bundles, the links in index.html, the fonts in the style sheet and the icons
of the manifest. The service worker is left out: it fetches its library from another host.
"""

import gzip
import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.errors import DeployError
from deploy.setup import npm
from deploy.setup.steps import BUILD, ROOT, digest, stamped, write_stamp

SOURCE = ROOT / "deploy" / "ohif"
VIEWER = BUILD / "ohif"
BASE = "/pacs-viewer/"
LOADER = '__webpack_require__.p = "/";'
LOADERS = 8
LEFT_OUT = ("sw.js", "init-service-worker.js", "google.js", "polyfill.min.js", "es6-shim.min.js")
GZIP_FROM_BYTES = 20_000


def build() -> str:
    """Make the viewer's folder, whole or not at all."""
    pinned = json.loads((SOURCE / "pinned.json").read_text())
    stamp = BUILD / "ohif.stamp"
    panel = sorted((SOURCE / "panel").iterdir())
    value = digest([SOURCE / "pinned.json", SOURCE / "app-config.js", *panel, Path(__file__)])
    if stamped(stamp, value) and (VIEWER / "index.html").exists():
        return "already there"
    part = BUILD / "ohif.part"
    shutil.rmtree(part, ignore_errors=True)
    npm.unpack(pinned, part, "package/dist", step="viewer")
    dist = part / "package" / "dist"
    _rewrite(dist)
    shutil.copyfile(SOURCE / "app-config.js", dist / "app-config.js")
    shutil.copytree(SOURCE / "panel", dist / "neuronova")
    _compress(dist)
    shutil.rmtree(VIEWER, ignore_errors=True)
    dist.replace(VIEWER)
    shutil.rmtree(part)
    write_stamp(stamp, value)
    return f"OHIF {pinned['version']}"


def _rewrite(dist: Path) -> None:
    loaders = 0
    for script in dist.glob("*.js"):
        text = script.read_text(encoding="utf-8", errors="surrogateescape")
        if LOADER in text:
            loaders += text.count(LOADER)
            text = text.replace(LOADER, f'__webpack_require__.p = "{BASE}";')
            script.write_text(text, encoding="utf-8", errors="surrogateescape")
    if loaders != LOADERS:
        raise DeployError(
            f"viewer: {loaders} script loaders found where {LOADERS} were expected",
            do="the pinned version's layout is not the known one; see deploy/ohif/README.md",
        )
    for style in dist.glob("*.css"):
        style.write_text(re.sub(r"url\(/(?!/)", f"url({BASE}", style.read_text()))
    index = dist / "index.html"
    page = index.read_text().replace('window.PUBLIC_URL="/"', f'window.PUBLIC_URL="{BASE}"')
    page = re.sub(r'(href|src|content)="/(?!/)', rf'\1="{BASE}', page)
    page = re.sub(r"<script[^>]*init-service-worker\.js[^>]*></script>", "", page)
    index.write_text(_without_inline_scripts(page, dist))
    manifest = dist / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"/assets/', f'"{BASE}assets/'))
    for name in LEFT_OUT:
        (dist / name).unlink(missing_ok=True)
    for source_map in dist.rglob("*.map"):
        source_map.unlink()


def _without_inline_scripts(page: str, dist: Path) -> str:
    """Scripts of the page become files, so that its policy need not allow any that stands in a page."""
    for number, script in enumerate(re.findall(r"<script>(.+?)</script>", page, re.DOTALL), 1):
        (dist / f"start-{number}.js").write_text(script)
        page = page.replace(f"<script>{script}</script>", f'<script src="{BASE}start-{number}.js"></script>')
    return page


def _compress(dist: Path) -> None:
    """Compress once what nginx sends with gzip_static: the largest script shrinks from 17 MB to 3.4 MB."""
    large = [
        path
        for pattern in ("*.js", "*.css", "*.wasm")
        for path in dist.rglob(pattern)
        if path.stat().st_size > GZIP_FROM_BYTES
    ]
    with ThreadPoolExecutor() as pool:
        list(pool.map(_compress_one, large))


def _compress_one(path: Path) -> None:
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), 6, mtime=0))
