#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds the text of the quality comparison: technical English out of Debian's documentation packages.

usage: corpus.py OUT.txt [--packages DIR]

Downloads the packages listed below with `apt-get download` (or takes the .deb files of DIR), unpacks them without
installing, turns every document into plain text (tags dropped from HTML, roff and POD left out), orders documents by a
hash of their path, so that any part of the file is a mixture of all packages, and writes one text. Beside it,
OUT.txt.json says which package versions went in and the sha256 of the text. Needs python3, dpkg-deb, apt-get.
"""
import gzip
import hashlib
import html.parser
import json
import pathlib
import re
import subprocess
import sys
import tempfile

# package, what to take (a pattern over the path inside the package), how to read it
SOURCES = [
    ("linux-doc-6.1", r"/Documentation/(?!.*translations/)(?!output/).*\.(rst|txt)(\.gz)?$", "text"),
    ("python3.11-doc", r"/_sources/.*\.rst\.txt$", "text"),
    ("cmake-doc", r"/_sources/.*\.rst\.txt$", "text"),
    ("git-doc", r"\.txt(\.gz)?$", "text"),
    ("debian-policy", r"/_sources/.*\.(rst|txt)(\.gz)?$", "text"),
    ("developers-reference", r"/_sources/.*\.(rst|txt)(\.gz)?$", "text"),
    ("vim-doc", r"/html/.*\.html$", "html"),
    ("postgresql-doc-15", r"/html/.*\.html$", "html"),
    ("sqlite3-doc", r"\.html$", "html"),
    ("apache2-doc", r"/en/.*\.html$|\.html\.en$", "html"),
    ("erlang-doc", r"/doc/html/.*\.html$", "html"),
    ("debian-reference-en", r"\.en\.html$", "html"),
    ("r-doc-html", r"\.html$", "html"),
    ("bash-doc", r"\.html$", "html"),
]
LEAST = 400  # characters; shorter documents are menus and stubs


class Text(html.parser.HTMLParser):
    """The visible text of a page; block elements end a line."""

    SKIP = {"script", "style", "head", "nav", "svg"}
    BREAK = {"p", "div", "li", "tr", "br", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "dt", "dd", "table", "section"}

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.parts, self.skipped, self.pre = [], 0, 0

    def handle_starttag(self, tag, attrs):
        self.skipped += tag in self.SKIP
        self.pre += tag == "pre"
        if tag in self.BREAK:
            self.parts.append("\n")

    def handle_endtag(self, tag):
        self.skipped -= tag in self.SKIP and self.skipped > 0
        self.pre -= tag == "pre" and self.pre > 0
        if tag in self.BREAK:
            self.parts.append("\n")

    def handle_data(self, data):
        if not self.skipped:
            self.parts.append(data if self.pre else re.sub(r"\s+", " ", data))


def read(path, how):
    """Plain text of one file, or "" when it is not UTF-8."""
    data = path.read_bytes()
    if path.name.endswith(".gz"):
        data = gzip.decompress(data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    if how == "html":
        parser = Text()
        parser.feed(text)
        text = "".join(parser.parts)
    text = text.replace("\r\n", "\n").replace("\u00a0", " ").replace("\u00b6", "")
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def packages(folder, scratch):
    """The .deb file of each source."""
    if folder is None:
        for name, _, _ in SOURCES:
            subprocess.run(["apt-get", "download", "-q", name], cwd=scratch, check=True, stdout=subprocess.DEVNULL)
        folder = scratch
    for name, pattern, how in SOURCES:
        found = sorted(pathlib.Path(folder).glob(name + "_*.deb"))
        if not found:
            sys.exit(f"corpus.py: no {name}_*.deb in {folder}")
        yield name, found[-1], re.compile(pattern), how


def main():
    if len(sys.argv) not in (2, 4) or len(sys.argv) == 4 and sys.argv[2] != "--packages":
        sys.exit(__doc__.strip())
    out = pathlib.Path(sys.argv[1])
    folder = sys.argv[3] if len(sys.argv) == 4 else None
    documents, used, seen = [], [], set()
    with tempfile.TemporaryDirectory() as scratch:
        for name, deb, pattern, how in packages(folder, scratch):
            root = pathlib.Path(scratch) / ("unpacked-" + name)
            subprocess.run(["dpkg-deb", "-x", str(deb), str(root)], check=True)
            size = 0
            for path in sorted(root.rglob("*")):
                inside = "/" + str(path.relative_to(root))
                if path.is_symlink() or not path.is_file() or not pattern.search(inside):
                    continue
                text = read(path, how)
                digest = hashlib.sha256(text.encode()).digest()
                if len(text) < LEAST or digest in seen:
                    continue
                seen.add(digest)
                size += len(text.encode())
                documents.append((hashlib.sha256((name + inside).encode()).digest(), text))
            used.append({"package": deb.name, "bytes": size})
            subprocess.run(["rm", "-rf", str(root)], check=True)
    documents.sort(key=lambda d: d[0])
    data = "\n".join(text for _, text in documents).encode()
    out.write_bytes(data)
    about = {"bytes": len(data), "documents": len(documents), "sha256": hashlib.sha256(data).hexdigest(), "packages": used}
    pathlib.Path(str(out) + ".json").write_text(json.dumps(about, indent=2) + "\n")
    print(json.dumps(about, indent=2))


main()
