"""Proofs and trees made by others: transparency-dev/merkle, and inclusion proofs of a production log of 10^8 leaves."""

import json
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tlog.compact_range import EMPTY
from tlog.hashing import leaf_hash, node_hash
from tlog.prove import nodes_of
from tlog.verify import MalformedProof, RootMismatch, verify_consistency, verify_inclusion


def load(path: Path) -> Any:
    return json.loads(path.read_bytes())


def accepted(check: Callable[[], None]) -> bool:
    try:
        check()
    except (MalformedProof, RootMismatch):
        return False
    return True


def unpack(text: str | None) -> bytes:
    return b64decode(text or "")


def test_inclusion_proofs_to_accept_and_to_reject(shared: Callable[[str], Path]) -> None:
    cases = load(shared("vectors/merkle/inclusion.json"))
    for case in cases:
        proof = [unpack(item) for item in case["proof"] or []]
        arguments = (case["leafIdx"], case["treeSize"], unpack(case["leafHash"]), proof, unpack(case["root"]))
        assert accepted(lambda a=arguments: verify_inclusion(*a)) is not case["wantErr"], case["file"]


def test_consistency_proofs_to_accept_and_to_reject(shared: Callable[[str], Path]) -> None:
    cases = load(shared("vectors/merkle/consistency.json"))
    for case in cases:
        proof = [unpack(item) for item in case["proof"] or []]
        arguments = (case["size1"], case["size2"], proof, unpack(case["root1"]), unpack(case["root2"]))
        assert accepted(lambda a=arguments: verify_consistency(*a)) is not case["wantErr"], case["file"]


def test_the_tree_of_eight_leaves(shared: Callable[[str], Path]) -> None:
    tree = load(shared("vectors/merkle/rfc6962_tree.json"))
    hashes = [leaf_hash(bytes.fromhex(entry)) for entry in tree["leaf_inputs_hex"]]
    for size, root in enumerate(tree["root_hashes_hex_by_size"]):
        assert EMPTY.append_many(hashes[:size]).root().hex() == root
    node_at = nodes_of(hashes)
    for level, nodes in enumerate(tree["node_hashes_hex_by_level"]):
        for index, node in enumerate(nodes):
            if (index + 1) << level <= len(hashes):
                assert node_at(level, index).hex() == node
    assert node_hash(hashes[0], hashes[1]) == node_at(1, 0)


def test_inclusion_proofs_of_a_production_log(shared: Callable[[str], Path]) -> None:
    cases = load(shared("vectors/rekor/inclusion_proofs.json"))
    assert cases
    for case in cases:
        leaf = leaf_hash(b64decode(case["canonicalizedBody_b64"]))
        proof = [b64decode(item) for item in case["hashes"]]
        index, size, root = int(case["logIndex"]), int(case["treeSize"]), b64decode(case["rootHash"])
        verify_inclusion(index, size, leaf, proof, root)
        assert not accepted(lambda a=(index, size, leaf, proof[::-1], root): verify_inclusion(*a)) or len(proof) < 2
        assert not accepted(lambda a=(index ^ 1, size, leaf, proof, root): verify_inclusion(*a))
