#!/usr/bin/env python3
"""Checks an export of Redrive's audit against signed checkpoints, with nothing but the standard library. The format: docs/audit-format.md.

    verify_audit.py --key KEY [--witness KEY] [--part] EXPORT CHECKPOINT...

Every CHECKPOINT must be signed by a KEY (and by every WITNESS), and the log of the export must be the one of its size. Give the checkpoint that
came with the export and at least one that was kept elsewhere. --part allows entries in the middle that are told by their hashes only.
verify_audit.py --key KEY --proof FILE checks what "redrive audit prove" wrote. Exit code 0: all fits, 1: something does not."""
import argparse, base64, binascii, hashlib, json, re, sys

FIELDS = ("seq", "at", "actor", "action", "subject_type", "subject", "reason", "details")

class Wrong(Exception): pass

def sha(data): return hashlib.sha256(data).digest()

# ---- Ed25519 (RFC 8032, 5.1.7) on extended coordinates
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)

def plus(a, b):
    x = (a[1] - a[0]) * (b[1] - b[0]) % P
    y = (a[1] + a[0]) * (b[1] + b[0]) % P
    t, z = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = y - x, z - t, z + t, y + x
    return e * f % P, g * h % P, f * g % P, e * h % P

def times(n, a):
    out = (0, 1, 1, 0)
    while n:
        if n & 1:
            out = plus(out, a)
        a, n = plus(a, a), n >> 1
    return out

def point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    xx = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    x = x * ROOT % P if (x * x - xx) % P else x
    if (x * x - xx) % P or not x and sign:
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P

BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))

def signed(public, message, signature):
    a, r = point(public), point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or a is None or r is None or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    left, right = times(s, BASE), plus(r, times(k, a))
    return not ((left[0] * right[2] - right[0] * left[2]) % P or (left[1] * right[2] - right[1] * left[2]) % P)

# ---- signed notes and checkpoints
def read_key(text):
    name, number, data = text.strip().split("+", 2)
    raw = base64.b64decode(data, validate=True)
    if len(raw) != 33 or raw[0] not in (1, 4) or sha(name.encode() + b"\n" + raw)[:4].hex() != number:
        raise Wrong("%s is no key" % text)
    return name, bytes.fromhex(number), raw[0], raw[1:]

def open_note(note, keys, witnesses):
    """Returns origin, size and root of a checkpoint that a key and all witnesses have signed."""
    body, cut, lines = note.partition("\n\n")
    body, good = body + "\n", set()
    for line in lines.splitlines():
        m = re.fullmatch("\u2014 (\\S+) (\\S+)", line)
        if not cut or not m:
            raise Wrong("a checkpoint is no signed note")
        raw = base64.b64decode(m[2], validate=True)
        for key in keys + witnesses:
            name, number, kind, public = key
            if name != m[1] or raw[:4] != number:
                continue
            message, signature = body.encode(), raw[4:]
            if kind == 4:  # a cosignature: a time and a signature of both
                message = b"cosignature/v1\ntime %d\n" % int.from_bytes(signature[:8], "big") + message
                signature = signature[8:]
            if not signed(public, message, signature):
                raise Wrong("a signature of %s is wrong" % name)
            good.add(key)
    if not good & set(keys) or not good >= set(witnesses):
        raise Wrong("a checkpoint is not signed by whom it should be")
    parts = body.split("\n")
    if len(parts) < 4 or not re.fullmatch("0|[1-9][0-9]*", parts[1]):
        raise Wrong("a checkpoint has no origin, size and root")
    return parts[0], int(parts[1]), base64.b64decode(parts[2], validate=True)

# ---- entries and tree
def content(e):
    out = b""
    for name in FIELDS:
        field = str(e[name]).encode()
        out += b"%d:%s" % (len(field), field)
    return out

def node(left, right): return sha(b"\x01" + left + right)

def roots(leaves, sizes):
    """Returns the root of the tree of the first n leaves for each n of sizes (RFC 6962, 2.1)."""
    found, stack = {0: sha(b"")}, []  # of complete subtrees: height, hash
    for n, leaf in enumerate(leaves, 1):
        height = 0
        while stack and stack[-1][0] == height:
            leaf, height = node(stack.pop()[1], leaf), height + 1
        stack.append((height, leaf))
        if n in sizes:
            root = stack[-1][1]
            for _, left in reversed(stack[:-1]):
                root = node(left, root)
            found[n] = root
    return found

def read_export(lines, part=False):
    """Checks each entry and the chain, and returns the leaves and how many of them are entries."""
    leaves, before, last, entries = [], b"", "", 0
    for text in lines:
        e = json.loads(text)
        if "leaves" in e:
            if e["from"] != len(leaves) + 1 or entries and not part:
                raise Wrong("entry %d is told by its hash only" % (len(leaves) + 1))
            raw = base64.b64decode(e["leaves"], validate=True)
            leaves += [raw[i:i + 32] for i in range(0, len(raw), 32)]
            before = None
            continue
        seq, prev, own = len(leaves) + 1, bytes.fromhex(e["prev_hash"]), bytes.fromhex(e["hash"])
        if e["seq"] != seq or set(e) != set(FIELDS) | {"prev_hash", "hash"} or type(e["seq"]) is not int:
            raise Wrong("entry %d is missing, or another one is in its place" % seq)
        if before is None and leaves[-1] != sha(b"\x00" + prev) or before is not None and before != prev:
            raise Wrong("entry %d does not continue the one before" % seq)
        if sha(prev + content(e)) != own or not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", e["at"]):
            raise Wrong("entry %d was changed" % seq)
        if last > e["at"]:
            raise Wrong("entry %d is earlier than the one before" % seq)
        leaves.append(sha(b"\x00" + own))
        before, entries = own, entries + 1
        last = e["at"] if last or e["action"] == "audit.key" else ""  # versions before the log had keys did not hold times in order
    return leaves, entries

def check_export(lines, notes, keys, witnesses=(), part=False):
    """Returns a sentence when everything fits, and raises Wrong when something does not."""
    leaves, entries = read_export(lines, part)
    heads = [open_note(n, list(keys), list(witnesses)) for n in notes]
    if not heads or len({h[0] for h in heads}) > 1 or max(h[1] for h in heads) != len(leaves):
        raise Wrong("the export has %d entries, and no checkpoint of that size, of one log" % len(leaves))
    found = roots(leaves, {h[1] for h in heads})
    for origin, size, root in heads:
        if found[size] != root:
            raise Wrong("the export is not the log of the checkpoint with %d entries" % size)
    return "%d entries fit, %d by their hashes only; %d checkpoints" % (entries, len(leaves) - entries, len(heads))

def check_proof(text, keys, witnesses=()):
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    e = json.loads(base64.b64decode(lines[1].removeprefix("extra ")))
    prev, own, index = bytes.fromhex(e["prev_hash"]), bytes.fromhex(e["hash"]), int(lines[2].removeprefix("index "))
    origin, size, root = open_note(note, list(keys), list(witnesses))
    if lines[0] != "c2sp.org/tlog-proof@v1" or sha(prev + content(e)) != own or e["seq"] != index + 1 or index >= size:
        raise Wrong("the entry is not the one of the proof")
    at, last, h, proof = index, size - 1, sha(b"\x00" + own), [base64.b64decode(x) for x in lines[3:]]
    for p in proof:  # RFC 9162, 2.1.3.2
        if at & 1 or at == last:
            h = node(p, h)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            h = node(h, p)
        at, last = at >> 1, last >> 1
    if last or h != root:
        raise Wrong("the entry is not in the log")
    return "entry %d is in the log of %s with %d entries" % (e["seq"], origin, size)

def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--key", action="append", required=True)
    a.add_argument("--witness", action="append", default=[])
    a.add_argument("--part", action="store_true")
    a.add_argument("--proof", action="store_true")
    a.add_argument("files", nargs="+")
    o = a.parse_args()
    try:
        keys, witnesses = [read_key(k) for k in o.key], [read_key(k) for k in o.witness]
        first, *rest = [open(f, encoding="utf-8", newline="") for f in o.files]
        if o.proof:
            print(check_proof(first.read(), keys, witnesses))
        else:
            print(check_export(first, [f.read() for f in rest], keys, witnesses, o.part))
    except (Wrong, ValueError, KeyError, TypeError, IndexError, binascii.Error) as e:
        sys.exit("does not fit: %s" % e)

if __name__ == "__main__":
    main()
