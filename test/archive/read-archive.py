"""Tells what Python's tarfile finds in each archive named on standard input; one line of JSON each."""
import hashlib
import json
import sys
import tarfile

KINDS = {
    tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.CONTTYPE: "file",
    tarfile.LNKTYPE: "hardlink", tarfile.SYMTYPE: "symlink", tarfile.DIRTYPE: "directory",
    tarfile.CHRTYPE: "special", tarfile.BLKTYPE: "special", tarfile.FIFOTYPE: "special",
}


def text(name):
    return name.encode("utf-8", "surrogateescape").decode("latin-1")


def read(path):
    members = []
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            kind = KINDS.get(member.type, "unknown")
            content = archive.extractfile(member).read() if kind == "file" else b""
            members.append({
                "type": kind, "name": text(member.name).rstrip("/"), "link": text(member.linkname) if kind.endswith("link") else "",
                "size": len(content), "sha256": hashlib.sha256(content).hexdigest() if kind == "file" else "",
            })
    return members


for line in sys.stdin:
    try:
        print(json.dumps({"members": read(line.rstrip("\n"))}), flush=True)
    except Exception as error:
        print(json.dumps({"error": str(error)}), flush=True)
