"""Bundles: an exported model as a folder that answers by itself, without torch.

A folder holds ONNX, preprocessing, labels, calibration, golden samples, a model card, and a
manifest with the digest of every file. ``exporting`` writes it, ``serving`` serves it; what both
know of the folder, and the one way from a sample to an answer, stands here. Nothing is pickled.
"""

from headstart.bundles.answering import Bundle, BundleMember, open_bundle
from headstart.bundles.equality import BATCHES, Agreement, compare_logits, num_compared
from headstart.bundles.golden import golden_bytes, verify_bundle
from headstart.bundles.golden_file import GOLDEN
from headstart.bundles.manifest import MANIFEST, check_files, manifest_bytes
from headstart.bundles.records import BUNDLE, BundleRecord, MemberRecord, read_bundle_record

__all__ = [
    "BATCHES",
    "BUNDLE",
    "GOLDEN",
    "MANIFEST",
    "Agreement",
    "Bundle",
    "BundleMember",
    "BundleRecord",
    "MemberRecord",
    "check_files",
    "compare_logits",
    "golden_bytes",
    "manifest_bytes",
    "num_compared",
    "open_bundle",
    "read_bundle_record",
    "verify_bundle",
]
