"""Error codes: everything that a device may report as `error_code`, and what it means. The one list.

The agent and `ddi_feedback` spell them where they use them; a test holds them to each other. Documents (components and
playbooks) are held to this list, so that no code reaches a person who finds nothing written about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

ERROR_CODES: Mapping[str, str] = MappingProxyType({
    "artifact_missing": "the document names an artifact that the server does not publish",
    "bad_bundle": "the download is no well-formed artifact",
    "bad_digest": "the download, or what is published, is not the artifact that the document names",
    "bad_manifest": "the artifact's manifest is not about the declared release and its files",
    "bad_signature": "no trusted key signed the artifact's files",
    "clock_behind": "the device's clock is behind the moment at which the server signed; it updates all the same",
    "disk_full": "the device has no room",
    "disk_refused": "the device's disk refuses to be written: read-only, without permission, or damaged",
    "document_invalid": "the desired document cannot be read, or is that of another model or class",
    "generation_older": "the published generation is below one that the device has seen",
    "golden_mismatch": "the artifact does not answer the golden inputs as pinned",
    "inference_failed": "the model gave no answer to a frame, or none of the declared shape",
    "inference_hung": "the artifact's first inference, on its golden inputs, did not end in time",
    "install_failed": "the device's update client (SWUpdate, RAUC) could not install the package",
    "journal_lost": "both copies of the device's journal were damaged",
    "journal_restored": "the device's journal was damaged, and read from its second copy",
    "keys_missing": "the server publishes no list of signing keys that can be read",
    "load_crashed": "the artifact ended the process that loaded it",
    "load_failed": "the runtime refuses the model, or the model does not fit its inference config",
    "load_hung": "the artifact did not load in time",
    "low_confidence": "too few answers reached the declared confidence in the health window",
    "metadata_expired": "the published metadata is older than it says it may be",
    "metadata_invalid": "the published metadata does not verify",
    "not_enrolled": "the server does not know the device",
    "nothing_desired": "nothing is published for the device's model and class, or nothing fits the device",
    "out_of_memory": "the artifact needs more memory than the device has left",
    "provider_missing": "the device has not the declared provider, or the model does not run on it",
    "quarantined": "what is desired failed on this device before, and was not named again since",
    "recalled": "the device left a release that was halted, or superseded by an older one",
    "reports_refused": "the server cannot read some of the device's reports",
    "server_away": "the server did not answer, or not as it should",
    "slot_damaged": "files of a kept artifact changed on the device's disk",
    "trial_interrupted": "the agent ended again and again while a release was on trial",
    "undeclared": "the device runs what was never declared for it, and its class says that it keeps that",
    "unhealthy": "the application on a device with an update client says that the model does not answer as it should",
})  # fmt: skip
